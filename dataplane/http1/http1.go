// Package http1 is the HTTP/1 codec: ServerConn decodes requests and encodes responses, ClientConn the
// other way round. It is strict where leniency lets two parsers disagree (RFC 9112), and answers as
// Envoy does where that is safe.
package http1

import "github.com/pillion-proxy/pillion/dataplane/streaminfo"

// The limits that Envoy has by default.
const (
	// DefaultMaxHeaderBytes is max_request_headers_kb in bytes.
	DefaultMaxHeaderBytes = 60 << 10
	// DefaultMaxHeaders is max_headers_count.
	DefaultMaxHeaders = 100
	// maxChunkLine bounds the extensions of one chunk, of which nobody makes use.
	maxChunkLine = 4 << 10
)

// Error is a message that is refused: the status and the details that Envoy gives for it, and in Why
// what was wrong, for people.
type Error struct {
	Status  int
	Details string
	Why     string
}

// Error is Why.
func (e *Error) Error() string { return e.Details + ": " + e.Why }

func bad(why string) *Error {
	return &Error{Status: 400, Details: streaminfo.DetailHTTP1Codec, Why: why}
}

func refuse(details, why string) *Error { return &Error{Status: 400, Details: details, Why: why} }

// UnderscoreAction is what becomes of header names with underscores
// (HttpProtocolOptions.headers_with_underscores_action).
type UnderscoreAction uint8

// The actions.
const (
	UnderscoreAllow UnderscoreAction = iota
	UnderscoreReject
	UnderscoreDrop
)
