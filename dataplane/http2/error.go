package http2

import (
	"golang.org/x/net/http2"
)

// Kind is what ended a stream or a connection.
type Kind uint8

// The kinds.
const (
	// RemoteReset is the peer's RST_STREAM, or what Envoy calls so.
	RemoteReset Kind = iota + 1
	// Refused is a request that the peer did not process: REFUSED_STREAM, or above its GOAWAY's last
	// stream. It may be tried again.
	Refused
	// Terminated is a connection that ended.
	Terminated
	// Protocol is a peer that broke the protocol or flooded us.
	Protocol
	// LocalReset is our own doing.
	LocalReset
	// Deadline is a deadline that passed.
	Deadline
	// Overflow is a connection that takes no more streams.
	Overflow
)

var kinds = [...]string{RemoteReset: "remote reset", Refused: "remote refused stream reset", Terminated: "connection termination",
	Protocol: "protocol error", LocalReset: "local reset", Deadline: "deadline", Overflow: "overflow"}

// String is the kind as Envoy's reset reasons spell it.
func (k Kind) String() string { return kinds[k] }

// Error is how a stream or a connection ended. It travels as *Error, never as error: a typed nil is not
// nil. It is immutable.
type Error struct {
	Kind Kind
	// Code is what was or will be on the wire.
	Code ErrCode
	// Details is Envoy's response code details for it, or "".
	Details string
	// Why says for people what was wrong.
	Why   string
	Cause error
	// Unsent tells that nothing of the request went out.
	Unsent bool
	// conn tells an error of the connection from one of a stream.
	conn bool
}

// Error is for logs.
func (e *Error) Error() string {
	s := "http2: " + e.Kind.String()
	if e.Kind != Deadline && e.Kind != Terminated {
		s += " (" + e.Code.String() + ")"
	}
	if e.Why != "" {
		s += ": " + e.Why
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap is Cause.
func (e *Error) Unwrap() error { return e.Cause }

// These are made once: no path allocates them.
var (
	errDeadline = &Error{Kind: Deadline}
	errCanceled = &Error{Kind: LocalReset, Code: http2.ErrCodeInternal, Why: "canceled"}
	errClosed   = &Error{Kind: LocalReset, Code: http2.ErrCodeNo, Why: "body is closed"}
	errFull     = &Error{Kind: Overflow, Why: "no room for another stream", Unsent: true}
	errEnded    = &Error{Kind: LocalReset, Code: http2.ErrCodeInternal, Why: "written after its end"}
)

// connError is a connection error (RFC 9113 section 5.4.1).
func connError(code ErrCode, why string) *Error {
	return &Error{Kind: Protocol, Code: code, Details: detailCodec + ":" + why, Why: why, conn: true}
}

// streamError is a stream error (RFC 9113 section 5.4.2).
func streamError(code ErrCode, details, why string) *Error {
	return &Error{Kind: Protocol, Code: code, Details: details, Why: why}
}
