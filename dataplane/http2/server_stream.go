package http2

import (
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// ServerStream is one request and its response. Methods that read the body may be called by one goroutine
// while another one writes; those that say so by any. All is void once Serve has returned.
type ServerStream struct {
	// Data is the handler's.
	Data any

	stream
	end bool
}

// ID is the stream's number.
func (s *ServerStream) ID() uint32 { return s.id }

// EndStream tells that the request has no body.
func (s *ServerStream) EndStream() bool { return s.end }

// Err is how the client, the codec or the connection ended the stream, or nil. Any goroutine may call it.
func (s *ServerStream) Err() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rx.reset
}

// OnReset has f called once, on the connection's goroutine, when the client resets the stream, breaks
// the protocol or is gone; at once if that has happened. Nil takes f back, and waits for a call under way.
func (s *ServerStream) OnReset(f func(*Error)) {
	s.mu.Lock()
	for s.rx.telling {
		s.recvCond.Wait()
	}
	s.rx.onReset = f
	err := s.rx.reset
	s.mu.Unlock()
	if f != nil && err != nil {
		s.tell(err)
	}
}

// NextBody returns the next piece of the request's body, borrowed until the call after; end comes alone,
// after the last piece. Without block it reports ok false when that needs a wait.
func (s *ServerStream) NextBody(block bool) (p []byte, end, ok bool, err *Error) {
	return s.nextBody(block)
}

// BodyComplete tells whether all of the request has been received.
func (s *ServerStream) BodyComplete() bool { return s.received() }

// Trailers are the request's, once the body has ended; nil: none.
func (s *ServerStream) Trailers() *header.Map { return s.getTrailers() }

// CloseBody makes NextBody return an error, now and later; what comes is dropped. Any goroutine may call
// it.
func (s *ServerStream) CloseBody() { s.closeBody() }

// SetReadDeadline sets when NextBody fails with a Deadline; zero is never. Any goroutine may call it.
func (s *ServerStream) SetReadDeadline(t time.Time) { s.setDeadline(t, true, false) }

// SetWriteDeadline is SetReadDeadline for the write methods.
func (s *ServerStream) SetWriteDeadline(t time.Time) { s.setDeadline(t, false, true) }

// Informational writes a 1xx response.
func (s *ServerStream) Informational(h *header.Map) *Error {
	if err := s.writeHead(h, false, (*encoder).response); err != nil {
		return err
	}
	s.c.mu.Lock()
	s.tx.last.buf = nil // nothing of it may carry the end
	s.c.flush(false)
	return nil
}

// WriteHeaders gathers the response's head; end tells that nothing follows.
func (s *ServerStream) WriteHeaders(h *header.Map, end bool) *Error {
	return s.writeHead(h, end, (*encoder).response)
}

// WriteData gathers a piece of the response, waiting while the client takes no more; with end, which may
// come alone, it ends the response and writes all. p is not kept.
func (s *ServerStream) WriteData(p []byte, end bool) *Error { return s.writeData(p, end) }

// WriteTrailers ends the response and writes all.
func (s *ServerStream) WriteTrailers(h *header.Map) *Error { return s.writeTrailers(h) }

// Flush writes what was gathered.
func (s *ServerStream) Flush() {
	s.c.mu.Lock()
	s.c.flush(true)
}

// Reset ends the stream by RST_STREAM. Any goroutine may call it.
func (s *ServerStream) Reset(code ErrCode) { s.reset(code) }

// Counts are the stream's bytes on the wire, frame heads included.
func (s *ServerStream) Counts() Counts { return s.counts() }

// Counts are a stream's bytes on the wire, frame heads included: those of header frames, and of all.
type Counts struct {
	HeadersReceived, WireReceived, HeadersSent, WireSent uint64
}

func (st *stream) counts() (n Counts) {
	st.mu.Lock()
	n.HeadersReceived, n.WireReceived = st.rx.headBytes, st.rx.wire
	st.mu.Unlock()
	st.c.mu.Lock()
	n.HeadersSent, n.WireSent = st.tx.head, st.tx.wire
	st.c.mu.Unlock()
	return n
}

// writeHead gathers a header block once there is room for it.
func (st *stream) writeHead(h *header.Map, end bool, encode func(*encoder, []byte, *header.Map) []byte) *Error {
	c := st.c
	c.mu.Lock()
	if _, err := c.acquire(st, 0); err != nil {
		c.mu.Unlock()
		return err
	}
	c.putHeaders(st, end, estimate(h), encode, h)
	if !end {
		c.mu.Unlock()
		return nil
	}
	c.end(st, true)
	c.flush(true)
	return nil
}

// writeTrailers ends the sending side by a trailer section; none is an end alone.
func (st *stream) writeTrailers(h *header.Map) *Error {
	if h == nil || h.Len() == 0 {
		return st.writeData(nil, true)
	}
	return st.writeHead(h, true, (*encoder).trailers)
}

func (st *stream) reset(code ErrCode) {
	c := st.c
	c.mu.Lock()
	if st.tx.closed {
		c.mu.Unlock()
		return
	}
	c.resetStream(st, &Error{Kind: LocalReset, Code: code, Why: "reset"})
	c.flush(true)
}

// resetLeft resets a stream that its handler has left before both sides have ended it: one that was
// answered tells the client that the rest of the request is not wanted (RFC 9113 section 8.1). mu is held.
func (c *ServerConn) resetLeft(st *ServerStream) {
	if st.tx.closed {
		return
	}
	err := errCanceled
	if st.tx.localEnd {
		err = errAnswered
	}
	c.resetStream(&st.stream, err)
}

var errAnswered = &Error{Kind: LocalReset, Code: http2.ErrCodeNo, Why: "answered before the request's end"}
