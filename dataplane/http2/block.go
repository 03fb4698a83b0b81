package http2

import (
	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

type blockKind uint8

const (
	blockRequest blockKind = iota
	blockResponse
	blockTrailers
)

// block is the header block that is being decoded: it checks each field (RFC 9113 section 8), bounds
// them all, and puts them into a Map. It belongs to the read loop.
type block struct {
	// These are the connection's.
	maxBytes, maxFields int
	underscores         UnderscoreAction
	obsText             bool // bytes over 0x7f are allowed
	stats               *Stats
	w                   stats.Worker
	request             bool // requests are read, not responses

	m    *header.Map // nil: the fields are of no interest
	kind blockKind
	// fields and bytes count what came, as Envoy does: pseudo headers and cookie crumbs included.
	fields, bytes int
	pseudo        uint16 // which came, by ID
	regular       bool   // a regular field came
	host          string
	hosts         int
	cookies       []string
	length        int64 // content-length; -1: none
	dups          bool  // an inline header came twice
	malformed     *Error
	over          *Error // over a limit: a stream error always
}

// reset begins a block.
func (b *block) reset(m *header.Map, kind blockKind) {
	b.m, b.kind = m, kind
	b.fields, b.bytes, b.pseudo, b.regular = 0, 0, 0, false
	b.host, b.hosts, b.cookies, b.length, b.dups = "", 0, b.cookies[:0], -1, false
	b.malformed, b.over = nil, nil
}

// wants tells whether the next field is kept.
func (b *block) wants() bool { return b.m != nil && b.malformed == nil && b.over == nil }

// skip counts a field that is not looked at.
func (b *block) skip() { b.fields++ }

// held is what the block counts in the budget of header bytes.
func (b *block) held() int { return b.bytes + b.fields*fieldOverhead }

func (b *block) invalid(details, why string) {
	if b.malformed == nil {
		b.malformed = streamError(http2.ErrCodeProtocol, details, why)
	}
}

var (
	errTooManyHeaders = streamError(http2.ErrCodeInternal, DetailTooManyHeaders, "too many headers")
	errHeadersTooBig  = streamError(http2.ErrCodeInternal, DetailHeaderListTooBig, "headers are over their limit")
	errUnderscore     = streamError(http2.ErrCodeInternal, DetailUnderscore, "header name has an underscore")
)

// add takes a field. Once one was refused the rest is counted only.
func (b *block) add(f *field) {
	b.fields++
	if !b.wants() {
		return
	}
	b.bytes += len(f.name) + len(f.value)
	switch {
	case b.fields > b.maxFields:
		b.over = errTooManyHeaders
		b.stats.HeaderOverflow.Inc(b.w)
	case b.bytes > b.maxBytes:
		b.over = errHeadersTooBig
		b.stats.HeaderListSizeTooLarge.Inc(b.w)
	case isPseudo(f.id):
		b.addPseudo(f)
	case f.valid&nameValid == 0:
		b.invalid(DetailInvalidHeader, "header name is not valid")
	case f.valid&valueValid == 0 && (!b.obsText || f.valid&valueObs == 0):
		b.invalid(DetailInvalidHeader, "value of header "+f.name+" is not valid")
	default:
		b.regular = true
		b.addRegular(f)
	}
}

func (b *block) addPseudo(f *field) {
	bit := uint16(1) << f.id
	switch {
	case b.kind == blockTrailers:
		b.invalid(DetailMessaging, "trailers have pseudo header "+f.name)
	case b.regular:
		b.invalid(DetailMessaging, "pseudo header "+f.name+" is not before the regular ones")
	case b.pseudo&bit != 0:
		b.invalid(DetailMessaging, "pseudo header "+f.name+" came twice")
	case (f.id == header.Status) != (b.kind == blockResponse):
		b.invalid(DetailInvalidHeader, "pseudo header "+f.name+" is of no use here")
	}
	b.pseudo |= bit
	m := b.m
	ok := true
	switch f.id {
	case header.Method:
		m.Method, ok = f.value, validMethod(f.value)
	case header.Path:
		m.Path, ok = f.value, f.valid&valueValid != 0
	case header.Authority:
		m.Authority, m.HasAuthority, ok = f.value, true, validAuthority(f.value)
	case header.Scheme:
		m.Scheme, ok = f.value, validScheme(f.value)
	case header.Protocol:
		m.Protocol, ok = f.value, validMethod(f.value)
	case header.Status:
		m.Status, ok = parseStatus(f.value)
	}
	if !ok {
		b.invalid(DetailInvalidHeader, "value of "+f.name+" is not valid")
	}
}

func (b *block) addRegular(f *field) {
	out := header.Field{Name: f.name, Value: trim(f.value), ID: f.id}
	switch f.id {
	case 0:
		if !b.checkName(f.name) {
			return
		}
	case header.Connection, header.KeepAlive, header.ProxyConnection, header.TransferEncoding, header.Upgrade:
		b.invalid(DetailInvalidHeader, "header "+f.name+" is of HTTP/1's connections")
		return
	case header.TE:
		// RFC 9113 section 8.2.2: nothing but "trailers".
		if !equalFold(out.Value, "trailers") {
			b.invalid(DetailInvalidHeader, "te is not trailers")
			return
		}
	case header.Host:
		b.host = out.Value
		b.hosts++
		return
	case header.Cookie:
		if b.kind == blockRequest {
			b.cookies = append(b.cookies, out.Value)
			return
		}
	case header.ContentLength:
		if !b.contentLength(out.Value) {
			return
		}
	}
	if f.id != 0 && b.m.Has(f.id) && b.inline(f.id) {
		b.dups = true
	}
	b.m.AddField(out)
}

// contentLength parses one. It reports false if the field is to be left out.
func (b *block) contentLength(v string) bool {
	if b.kind == blockTrailers {
		return false // RFC 9110 section 6.5.1: no framing there
	}
	n, ok := parseLength(v)
	if !ok || b.length >= 0 {
		b.invalid(DetailInvalidHeader, "content-length is malformed or given twice")
		return false
	}
	b.length = n
	return true
}

// checkName looks at a name that is not well known. It reports false if the field is to be left out.
func (b *block) checkName(name string) bool {
	if name[0] == ':' {
		b.invalid(DetailInvalidHeader, "pseudo header "+name+" is not known")
		return false
	}
	if !b.request {
		return true
	}
	for i := range len(name) {
		if name[i] != '_' {
			continue
		}
		// What some servers take for the framing headers may not pass: CGI knows no difference.
		if name == "transfer_encoding" || name == "content_length" {
			b.invalid(DetailInvalidHeader, "header "+name+" can be mistaken for the framing header")
			return false
		}
		switch b.underscores {
		case UnderscoreReject:
			b.over = errUnderscore
			b.stats.RequestsRejectedWithUnderscores.Inc(b.w)
			return false
		case UnderscoreDrop:
			b.stats.DroppedHeadersWithUnderscores.Inc(b.w)
			return false
		case UnderscoreAllow:
		}
		return true
	}
	return true
}

func (b *block) inline(id header.ID) bool {
	if b.kind == blockTrailers {
		return false
	}
	if b.request {
		return id.InlineRequest()
	}
	return id.InlineResponse()
}

// finish puts the fields together that Envoy keeps as one.
func (b *block) finish() {
	if !b.wants() {
		return
	}
	if len(b.cookies) > 0 {
		b.m.AddID(header.Cookie, b.join(b.cookies, "; ")) // RFC 9113 section 8.2.3
	}
	if b.dups {
		b.joinInline()
	}
}

// join joins values in one piece of the arena: one by one they would take the square of it.
func (b *block) join(values []string, delimiter string) string {
	if len(values) == 1 {
		return values[0]
	}
	n := len(delimiter) * (len(values) - 1)
	for _, v := range values {
		n += len(v)
	}
	to := b.m.Grow(n)[:0]
	for i, v := range values {
		if i > 0 {
			to = append(to, delimiter...)
		}
		to = append(to, v...)
	}
	return header.Borrow(to)
}

// joinInline joins repeated inline headers at the place of the first.
func (b *block) joinInline() {
	fields := b.m.Fields()
	for i := range fields {
		id := fields[i].ID
		if id == 0 || !b.inline(id) {
			continue
		}
		b.cookies = append(b.cookies[:0], fields[i].Value)
		for j := i + 1; j < len(fields); j++ {
			if fields[j].ID == id {
				b.cookies = append(b.cookies, fields[j].Value)
				fields[j].ID = header.Host // gone: no other field has it
			}
		}
		fields[i].Value = b.join(b.cookies, ",")
	}
	b.m.DelFunc(gone)
}

func gone(f *header.Field) bool { return f.ID == header.Host }
