package http2

import (
	"github.com/pillion-proxy/pillion/dataplane/header"
)

func (b *block) has(ids ...header.ID) bool {
	for _, id := range ids {
		if b.pseudo&(1<<id) == 0 {
			return false
		}
	}
	return true
}

// request checks the head of a request as a whole (RFC 9113 section 8.3.1).
func (b *block) checkRequest(end, allowConnect bool) {
	m := b.m
	if !b.wants() {
		return
	}
	b.authority()
	switch {
	case !b.has(header.Method):
		b.invalid(DetailMessaging, "request has no :method")
	case m.Method == "CONNECT" && !b.has(header.Protocol):
		// RFC 9113 section 8.5.
		if b.pseudo&(1<<header.Path|1<<header.Scheme) != 0 {
			b.invalid(DetailMessaging, "CONNECT has a :path or :scheme")
		}
	case b.has(header.Protocol) && (m.Method != "CONNECT" || !allowConnect):
		b.invalid(DetailMessaging, ":protocol is not allowed")
	case !b.has(header.Scheme, header.Path):
		b.invalid(DetailMessaging, "request has no :scheme or no :path")
	case !validPath(m.Path, m.Method):
		b.invalid(DetailInvalidHeader, "value of :path is not valid")
	}
	switch {
	case !m.HasAuthority:
		b.invalid(DetailMessaging, "request has neither :authority nor host")
	case end && b.length > 0:
		b.invalid(DetailMessaging, "content-length of a request that has no body")
	case m.Method == "CONNECT" && b.length > 0 && !b.has(header.Protocol):
		b.invalid(DetailMessaging, "CONNECT has a content-length")
	}
}

// authority lets :authority win over host, as Envoy does, so that only one is passed on.
func (b *block) authority() {
	m := b.m
	switch {
	case b.hosts > 1:
		b.invalid(DetailInvalidHeader, "more than one host")
	case b.hosts == 1 && !m.HasAuthority:
		if !validAuthority(b.host) {
			b.invalid(DetailInvalidHeader, "value of host is not valid")
		}
		m.Authority, m.HasAuthority = b.host, true
	}
}

// checkResponse checks the head of a response as a whole.
func (b *block) checkResponse(end bool) {
	m := b.m
	switch {
	case !b.wants():
	case !b.has(header.Status):
		b.invalid(DetailMessaging, "response has no :status")
	case m.Status == 101:
		b.invalid(DetailMessaging, "HTTP/2 has no status 101")
	case m.Status < 200 && end:
		b.invalid(DetailMessaging, "an informational response ends the stream")
	case b.length > 0 && (m.Status < 200 || m.Status == 204):
		b.invalid(DetailMessaging, "content-length of a response that has no body")
	}
}
