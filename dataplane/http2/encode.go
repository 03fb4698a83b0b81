package http2

import (
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// estimate is how long the block of h is at most: literals, and a table size update.
func estimate(h *header.Map) int {
	const each = 1 + 5 + 5
	n := 16 + 6*(each+10) + len(h.Method) + len(h.Path) + len(h.Authority) + len(h.Scheme) + len(h.Protocol)
	fields := h.Fields()
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + each
	}
	return n
}

// connectionSpecific are the headers that HTTP/2 has no use for (RFC 9113 section 8.2.2).
func connectionSpecific(id header.ID) bool {
	switch id {
	case header.Connection, header.KeepAlive, header.ProxyConnection, header.TransferEncoding, header.Upgrade, header.HTTP2Settings:
		return true
	}
	return false
}

// fields appends the regular headers. noLength leaves out a content-length.
func (e *encoder) fields(b []byte, h *header.Map, noLength bool) []byte {
	fields := h.Fields()
	for i := range fields {
		f := &fields[i]
		switch {
		case f.ID == 0:
		case connectionSpecific(f.ID), isPseudo(f.ID), f.ID == header.Host:
			continue
		case f.ID == header.ContentLength && noLength:
			continue
		case f.ID == header.TE:
			if !hasToken(f.Value, "trailers") {
				continue
			}
			b = e.field(b, f.ID, f.Name, "trailers")
			continue
		}
		b = e.field(b, f.ID, f.Name, f.Value)
	}
	return b
}

// response appends the head of a response. A 101 is the 200 of an extended CONNECT (RFC 8441), and has
// neither Upgrade nor Connection.
func (e *encoder) response(b []byte, h *header.Map) []byte {
	b = e.start(b)
	status := h.Status
	switched := status == 101
	if switched {
		status = 200
	}
	switch status {
	case 200:
		b = static(b, 8)
	case 204:
		b = static(b, 9)
	case 206:
		b = static(b, 10)
	case 304:
		b = static(b, 11)
	case 400:
		b = static(b, 12)
	case 404:
		b = static(b, 13)
	case 500:
		b = static(b, 14)
	default:
		b = e.field(b, header.Status, ":status", header.StatusString(status))
	}
	// RFC 9110 section 8.6: no Content-Length in 1xx and 204.
	return e.fields(b, h, status < 200 || status == 204 || switched)
}

// request appends the head of a request. One that asks for an upgrade becomes an extended CONNECT (RFC
// 8441); a plain CONNECT has neither :scheme nor :path (RFC 9113 section 8.5).
func (e *encoder) request(b []byte, h *header.Map) []byte {
	b = e.start(b)
	method, protocol := h.Method, h.Protocol
	upgrade := isUpgrade(h)
	if upgrade {
		method, protocol = "CONNECT", h.Value(header.Upgrade)
	}
	switch method {
	case "GET":
		b = static(b, 2)
	case "POST":
		b = static(b, 3)
	default:
		b = e.field(b, header.Method, ":method", method)
	}
	plain := method == "CONNECT" && protocol == ""
	if !plain {
		switch h.Scheme {
		case "http", "":
			b = static(b, 6)
		case "https":
			b = static(b, 7)
		default:
			b = e.field(b, header.Scheme, ":scheme", h.Scheme)
		}
	}
	if h.HasAuthority || h.Authority != "" {
		b = e.field(b, header.Authority, ":authority", h.Authority)
	}
	if !plain {
		if h.Path == "/" {
			b = static(b, 4)
		} else {
			b = e.field(b, header.Path, ":path", h.Path)
		}
	}
	if protocol != "" {
		b = e.field(b, header.Protocol, ":protocol", protocol)
	}
	return e.fields(b, h, upgrade || plain)
}

// trailers appends a trailer section.
func (e *encoder) trailers(b []byte, h *header.Map) []byte {
	return e.fields(e.start(b), h, true)
}

// isUpgrade tells whether a request asks for an upgrade as HTTP/1 does.
func isUpgrade(h *header.Map) bool {
	return h.Has(header.Upgrade) && hasToken(h.Value(header.Connection), "upgrade")
}

// upgraded makes an extended CONNECT the upgrade that it stands for, so that the rest of the proxy knows
// one kind (as Envoy does).
func upgraded(h *header.Map) {
	protocol := h.Protocol
	h.Method, h.Protocol = "GET", ""
	h.AddID(header.Upgrade, protocol)
	h.AddID(header.Connection, "upgrade")
}

// switched makes the 200 of an extended CONNECT the 101 that it stands for.
func switched(h *header.Map, protocol string) {
	h.Status = 101
	h.AddID(header.Upgrade, protocol)
	h.AddID(header.Connection, "upgrade")
}
