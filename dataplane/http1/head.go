package http1

import (
	"bytes"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// headReader finds and parses the head of a message. It is embedded in both kinds of connection.
type headReader struct {
	maxBytes, maxHeaders int
	keepCase             bool
	customMethods        bool
	underscores          UnderscoreAction
	stats                *Stats
	request              bool
	// host is the value of the Host line, hosts how many of them there were.
	host  string
	hosts int
}

// readHead waits until sock holds a whole head, of at most max bytes, and returns its length. It skips
// empty lines before the first one, which RFC 9112 section 2.2 asks a server to.
func readHead(sock *network.Sock, limit int, skipEmpty bool) (int, *Error, error) {
	scanned := 0 // from the start of what is unread, a line's start
	for {
		if sock.Buffered() > 0 {
			b := sock.Buf.Bytes()
			for skipEmpty && scanned == 0 && len(b) > 0 && (b[0] == '\n' || b[0] == '\r' && len(b) > 1 && b[1] == '\n') {
				limit-- // a flood of them is no less than a head
				sock.Consume(bytes.IndexByte(b, '\n') + 1)
				b = sock.Buf.Bytes()
			}
			n, at := headEnd(b, scanned)
			if n > 0 && n <= limit {
				return n, nil, nil
			}
			if n > limit || len(b) > limit {
				return 0, &Error{Status: 431, Details: streaminfo.DetailHTTP1HeadersTooLarge, Why: "head is over its limit"}, nil
			}
			scanned = at
		}
		if err := sock.Fill(); err != nil {
			return 0, nil, err
		}
	}
}

// headEnd returns the length of the head that b begins with, or 0 and the start of the first line
// that is not complete.
func headEnd(b []byte, from int) (n, line int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from
		}
		if i == 0 || i == 1 && b[from] == '\r' {
			return from + i + 1, from
		}
		from += i + 1
	}
}

// cutLine takes a line off b. crlf is how the head's first line ended: a head that mixes line ends is
// one that two parsers read differently, so it is refused.
func cutLine(b []byte, crlf bool) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, nil, false
	}
	line, rest = b[:i], b[i+1:]
	if crlf {
		if i == 0 || line[i-1] != '\r' {
			return nil, nil, false
		}
		line = line[:i-1]
	}
	return line, rest, true
}

// parseFields parses header lines up to the empty one into h. b lies in h's arena: names are made
// lower case in place, and values point into it.
func (r *headReader) parseFields(b []byte, crlf bool, h *header.Map) *Error {
	first := true
	count := 0
	for {
		line, rest, ok := cutLine(b, crlf)
		if !ok {
			return bad("line ends differ within the head")
		}
		if len(line) == 0 {
			return nil
		}
		b = rest
		// Obsolete line folding is taken as Envoy takes it: as one space.
		for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			next, rest, ok := cutLine(b, crlf)
			if !ok {
				return bad("line ends differ within the head")
			}
			line, b = fold(h, line, next), rest
		}
		if first && (line[0] == ' ' || line[0] == '\t') {
			return bad("the first header line begins with white space")
		}
		first = false
		if count++; count > r.maxHeaders {
			return &Error{Status: 431, Details: streaminfo.DetailHTTP1TooManyHeaders, Why: "too many headers"}
		}
		if err := r.parseField(line, h); err != nil {
			return err
		}
	}
}

func fold(h *header.Map, line, next []byte) []byte {
	line, next = trimSpace(line), trimSpace(next)
	to := h.Grow(len(line) + 1 + len(next))
	n := copy(to, line)
	to[n] = ' '
	copy(to[n+1:], next)
	return to
}

func (r *headReader) parseField(line []byte, h *header.Map) *Error {
	var f header.Field
	colon := 0
	changed, underscore := false, false
	for ; colon < len(line); colon++ {
		c := line[colon]
		if c == ':' {
			break
		}
		l := lower[c]
		if l == 0 {
			return bad("a header name has a character that is no token")
		}
		changed = changed || l != c
		underscore = underscore || c == '_'
	}
	if colon == 0 || colon == len(line) {
		return bad("a header line has no name or no colon")
	}
	if changed {
		if r.keepCase {
			f.Case = h.Keep(line[:colon])
		}
		for i, c := range line[:colon] {
			line[i] = lower[c]
		}
	}
	value := trimSpace(line[colon+1:])
	if !validValue(value) {
		return refuse(streaminfo.DetailHTTP1InvalidCharacters, "a header value has a control character")
	}
	f.Name, f.Value = header.Borrow(line[:colon]), header.Borrow(value)
	if f.ID = header.IDOf(f.Name); f.ID != 0 {
		f.Name = f.ID.String()
	}
	if underscore {
		if done, err := r.underscore(f.Name); done {
			return err
		}
	}
	r.add(h, f)
	return nil
}

// underscore decides about a name with an underscore.
func (r *headReader) underscore(name string) (done bool, err *Error) {
	// What some servers take for the framing headers may not pass: CGI knows no difference.
	if r.request && (name == "transfer_encoding" || name == "content_length") {
		return true, bad("header " + name + " can be mistaken for the framing header")
	}
	switch r.underscores {
	case UnderscoreReject:
		r.stats.RequestsRejectedWithUnderscores.Inc(0)
		return true, refuse(streaminfo.DetailHTTP1Underscore, "header name has an underscore")
	case UnderscoreDrop:
		r.stats.DroppedHeadersWithUnderscores.Inc(0)
		return true, nil
	case UnderscoreAllow:
	}
	return false, nil
}

// add appends f, or joins it to the line that Envoy keeps the only one.
func (r *headReader) add(h *header.Map, f header.Field) {
	if f.ID == 0 || !h.Has(f.ID) {
		if f.ID == header.Host && r.request {
			r.host = f.Value
			r.hosts++
			return
		}
		h.AddField(f)
		return
	}
	if r.request && f.ID.InlineRequest() || !r.request && f.ID.InlineResponse() {
		h.AppendID(f.ID, f.Value, ",")
		return
	}
	h.AddField(f)
}
