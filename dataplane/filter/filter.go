// Package filter is the seam of HTTP filters: the Stream that they work on, the interfaces that they
// implement, the Registry that configurations find them in.
package filter

import (
	"errors"
	"io"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// Status is a filter's verdict: Continue, or Stop after SendLocalReply.
type Status = network.Status

// The two verdicts.
const (
	Continue = network.Continue
	Stop     = network.Stop
)

// HTTP is one stream's filter. Its methods run on the stream's goroutine and may block; bodies that it
// wraps round Request.Body run on the pump's.
type HTTP interface {
	// DecodeHeaders sees the request's head. It may wrap s.Request.Body, or answer.
	DecodeHeaders(s *Stream) Status
	// EncodeHeaders sees the response's head, local replies included, in the reverse order of the chain,
	// whether DecodeHeaders was called or not. It may wrap s.Response.Body, or answer instead.
	EncodeHeaders(s *Stream) Status
	// OnStreamComplete is called once, at the end, before the access log.
	OnStreamComplete(s *Stream)
}

// Terminal is the last filter of a chain: it fills s.Response.
type Terminal interface {
	HTTP
	Serve(s *Stream)
}

// PassThrough does nothing: embed it and write what you need.
type PassThrough struct{}

// DecodeHeaders goes on.
func (PassThrough) DecodeHeaders(*Stream) Status { return Continue }

// EncodeHeaders goes on.
func (PassThrough) EncodeHeaders(*Stream) Status { return Continue }

// OnStreamComplete does nothing.
func (PassThrough) OnStreamComplete(*Stream) {}

// Body is a message body that is pulled. It has one reader at a time.
type Body interface {
	// Next waits for the next piece, borrowed until the call after; io.EOF is the end.
	Next() ([]byte, error)
	// Trailers are the message's, after io.EOF; nil: none.
	Trailers() *header.Map
	// Close makes Next return an error, now and later. Any goroutine may call it.
	Close() error
}

// BodyError is a request body that is not valid: the stream is answered so, if nothing was yet.
type BodyError struct {
	Code         int
	Details, Why string
}

// Error is Why.
func (e *BodyError) Error() string { return e.Why }

// ErrRequestTimeout is the end of request_timeout while the body was still coming.
var ErrRequestTimeout = errors.New("request_timeout has passed")

// ErrBodyClosed is what Next returns after Close.
var ErrBodyClosed = errors.New("body is closed")

// TryBody is a Body that can tell whether Next would wait: who reads it writes what it has before it
// waits.
type TryBody interface {
	Body
	// TryNext is Next if that need not wait; ok tells.
	TryNext() (p []byte, ok bool, err error)
}

// CompleteBody is a request Body that knows that all of it has been received, so that it can be sent
// without a second goroutine.
type CompleteBody interface {
	TryBody
	Complete() bool
}

// BytesBody is a Body that is there already.
type BytesBody struct {
	b    []byte
	read bool
	t    *header.Map
}

// Set makes b read p, then trailers.
func (b *BytesBody) Set(p []byte, trailers *header.Map) { *b = BytesBody{b: p, t: trailers} }

// Next returns the bytes once.
func (b *BytesBody) Next() ([]byte, error) {
	if b.read || len(b.b) == 0 {
		return nil, io.EOF
	}
	b.read = true
	return b.b, nil
}

// TryNext is Next.
func (b *BytesBody) TryNext() ([]byte, bool, error) {
	p, err := b.Next()
	return p, true, err
}

// Complete is true.
func (b *BytesBody) Complete() bool { return true }

// Len is how many bytes there are.
func (b *BytesBody) Len() int { return len(b.b) }

// Trailers are those that Set was given.
func (b *BytesBody) Trailers() *header.Map { return b.t }

// Close forgets the bytes.
func (b *BytesBody) Close() error {
	b.read = true
	return nil
}

var _ CompleteBody = (*BytesBody)(nil)
