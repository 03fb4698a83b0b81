// Package clienthello reads a TLS ClientHello from bytes that were peeked of a connection: before a
// configuration is chosen, and without consuming them. A hello may span records and TCP segments.
package clienthello

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// Hello is a parsed ClientHello. Its lists are parts of the parsed bytes, but for ServerName and ALPN,
// which stay.
type Hello struct {
	// ServerName is the SNI as it was sent; ALPN the protocols that were offered.
	ServerName string
	ALPN       []string
	// HasServerName and HasALPN tell that the extensions were there.
	HasServerName, HasALPN bool
	// LegacyVersion is the hello's own version field; Versions are those of supported_versions, else
	// empty.
	LegacyVersion uint16
	Versions      List
	// CipherSuites, Extensions, Curves, SignatureAlgorithms and PointFormats are the lists in their
	// order, GREASE values included; Extensions are the types.
	CipherSuites, Extensions, Curves, SignatureAlgorithms List
	PointFormats                                          []byte

	extensions []byte // backing of Extensions, reused
	joined     []byte // a hello that spans records, reused
}

// List is a list of 16-bit values in network order.
type List []byte

// Len is the number of values.
func (l List) Len() int { return len(l) / 2 }

// At is one value.
func (l List) At(i int) uint16 { return uint16(l[2*i])<<8 | uint16(l[2*i+1]) }

// The errors of Parse.
var (
	// ErrMore asks for more bytes: Need tells how many.
	ErrMore = errors.New("ClientHello is incomplete")
	// ErrNotTLS tells that the bytes are no TLS handshake.
	ErrNotTLS = errors.New("no TLS handshake")
	// ErrTooLarge tells that the hello is larger than allowed.
	ErrTooLarge = errors.New("ClientHello is too large")
	// ErrBad tells that the hello is broken.
	ErrBad = errors.New("ClientHello is malformed")
)

const (
	recordHead    = 5
	messageHead   = 4
	maxRecord     = 1 << 14
	typeHandshake = 22
	typeHello     = 1
)

// Parse reads the hello that b begins with into h. Up to max bytes of hello are allowed. With ErrMore,
// need is how many bytes b must at least have for the next try to get further.
func (h *Hello) Parse(b []byte, max int) (need int, err error) {
	msg, need, err := h.join(b, max)
	if err != nil {
		return need, err
	}
	*h = Hello{extensions: h.extensions[:0], joined: h.joined}
	if !h.parse(msg) {
		return 0, ErrBad
	}
	return 0, nil
}

// join returns the hello's body, put together from its records.
func (h *Hello) join(b []byte, max int) (msg []byte, need int, err error) {
	h.joined = h.joined[:0]
	want := -1 // of message head and body, once known
	for at := 0; ; {
		n, err := record(b[at:])
		if err != nil {
			return nil, at + n, err
		}
		body := b[at+recordHead:]
		whole := len(body) >= n
		if whole {
			body = body[:n]
		}
		if len(h.joined) == 0 && want < 0 && whole { // the usual case: one record, nothing to copy
			if want, err = size(body, max); err == nil && len(body) >= want {
				return body[messageHead:want], 0, nil
			}
		}
		h.joined = append(h.joined, body...)
		if want, err = size(h.joined, max); err != nil && !errors.Is(err, ErrMore) {
			return nil, 0, err
		}
		if err == nil && len(h.joined) >= want {
			return h.joined[messageHead:want], 0, nil
		}
		if !whole {
			return nil, at + recordHead + n, ErrMore
		}
		if at += recordHead + n; at >= len(b) {
			return nil, at + recordHead, ErrMore
		}
	}
}

// record reads a record's head and returns the length of its body, or how many bytes the head needs.
func record(b []byte) (n int, err error) {
	if len(b) > 0 && b[0] != typeHandshake || len(b) > 1 && b[1] != 3 {
		return 0, ErrNotTLS
	}
	if len(b) < recordHead {
		return recordHead, ErrMore
	}
	n = int(b[3])<<8 | int(b[4])
	if n == 0 || n > maxRecord {
		return 0, ErrBad // nobody sends empty handshake records (RFC 8446, 5.1)
	}
	return n, nil
}

// size is the length of the message with its head.
func size(b []byte, max int) (int, error) {
	if len(b) > 0 && b[0] != typeHello {
		return -1, ErrBad
	}
	if len(b) < messageHead {
		return -1, ErrMore
	}
	n := messageHead + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
	if n > max {
		return -1, ErrTooLarge
	}
	return n, nil
}

func (h *Hello) parse(msg []byte) bool {
	s := cryptobyte.String(msg)
	var session, suites, compression, extensions cryptobyte.String
	if !s.ReadUint16(&h.LegacyVersion) || !s.Skip(32) ||
		!s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16LengthPrefixed(&suites) || len(suites)%2 != 0 ||
		!s.ReadUint8LengthPrefixed(&compression) {
		return false
	}
	h.CipherSuites = List(suites)
	if s.Empty() {
		return true // extensions are optional
	}
	if !s.ReadUint16LengthPrefixed(&extensions) || !s.Empty() {
		return false
	}
	for !extensions.Empty() {
		var kind uint16
		var body cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&body) {
			return false
		}
		for i := range h.extensions {
			if i%2 == 0 && List(h.extensions[i:]).At(0) == kind {
				return false // no extension twice (RFC 8446, 4.2)
			}
		}
		h.extensions = append(h.extensions, byte(kind>>8), byte(kind))
		if !h.extension(kind, body) {
			return false
		}
	}
	h.Extensions = List(h.extensions)
	return true
}

// The extensions that are read.
const (
	extServerName = 0
	extCurves     = 10
	extPoints     = 11
	extSignatures = 13
	extALPN       = 16
	extVersions   = 43
)

func (h *Hello) extension(kind uint16, s cryptobyte.String) bool {
	var list cryptobyte.String
	switch kind {
	case extServerName:
		h.HasServerName = true
		return h.readServerName(s)
	case extALPN:
		h.HasALPN = true
		return h.readALPN(s)
	case extCurves:
		ok := s.ReadUint16LengthPrefixed(&list) && s.Empty() && len(list)%2 == 0
		h.Curves = List(list)
		return ok
	case extSignatures:
		ok := s.ReadUint16LengthPrefixed(&list) && s.Empty() && len(list)%2 == 0
		h.SignatureAlgorithms = List(list)
		return ok
	case extPoints:
		ok := s.ReadUint8LengthPrefixed(&list) && s.Empty()
		h.PointFormats = list
		return ok
	case extVersions:
		ok := s.ReadUint8LengthPrefixed(&list) && s.Empty() && len(list)%2 == 0 && len(list) > 0
		h.Versions = List(list)
		return ok
	}
	return true
}

func (h *Hello) readServerName(s cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&name) || len(name) == 0 {
			return false
		}
		if kind != 0 { // host_name is the only kind
			continue
		}
		if h.ServerName != "" {
			return false // of each kind one (RFC 6066, 3)
		}
		for _, c := range name {
			if c == 0 {
				return false
			}
		}
		h.ServerName = string(name)
	}
	return true
}

func (h *Hello) readALPN(s cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || len(name) == 0 {
			return false
		}
		h.ALPN = append(h.ALPN, string(name))
	}
	return true
}

// Plaintext says, in the words of BoringSSL and the form of tls_inspector, what bytes are that are no
// TLS: %DOWNSTREAM_TRANSPORT_FAILURE_REASON% of such a connection.
func Plaintext(b []byte) string {
	code, name := "100000f7", "WRONG_VERSION_NUMBER"
	for _, p := range [...]string{"GET ", "POST ", "HEAD ", "PUT "} {
		if len(b) >= len(p) && string(b[:len(p)]) == p {
			code, name = "1000009c", "HTTP_REQUEST"
		}
	}
	if len(b) >= 5 && string(b[:5]) == "CONNE" {
		code, name = "1000009b", "HTTPS_PROXY_REQUEST"
	}
	return "TLS_error|error:" + code + ":SSL routines:OPENSSL_internal:" + name + ":TLS_error_end"
}
