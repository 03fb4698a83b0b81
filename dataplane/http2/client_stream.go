package http2

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

type method uint8

const (
	methodOther method = iota
	methodHead
	methodConnect
)

// ClientStream is one request and its response. One goroutine may write while another one reads; methods
// that say so may be called by any. All is void after Close.
type ClientStream struct {
	stream
	method   method
	protocol string // of an extended CONNECT
}

// ID is the stream's number, once its head was written.
func (s *ClientStream) ID() uint32 { return s.id }

// WriteHeaders opens the stream and gathers the request's head; end tells that nothing follows.
func (s *ClientStream) WriteHeaders(h *header.Map, end bool) *Error {
	s.method, s.protocol = methodOther, ""
	switch {
	case isUpgrade(h):
		s.method, s.protocol = methodConnect, h.Value(header.Upgrade)
	case h.Method == "CONNECT":
		s.method = methodConnect
	case h.Method == "HEAD":
		s.method = methodHead
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.acquire(&s.stream, 0); err != nil {
		if s.id == 0 {
			e := *err
			e.Unsent = true
			return &e
		}
		return err
	}
	if c.goaway.got != nil {
		return &Error{Kind: Refused, Why: c.goaway.got.Why, Unsent: true}
	}
	c.alive.beforeStream(c)
	c.lastOwn = max(c.lastOwn+2, 1) | 1
	s.open(c.lastOwn)
	s.tx.headAt = c.q.appended
	c.opened(&s.stream)
	c.putHeaders(&s.stream, end, estimate(h), (*encoder).request, h)
	if end {
		c.end(&s.stream, true)
	}
	return nil
}

// open gives s its number.
func (s *ClientStream) open(id uint32) {
	s.mu.Lock()
	s.id = id
	s.mu.Unlock()
}

// WriteData gathers a piece of the request, waiting while the peer takes no more; with end, which may
// come alone, it ends the request and writes all. p is not kept.
func (s *ClientStream) WriteData(p []byte, end bool) *Error { return s.writeData(p, end) }

// WriteTrailers ends the request and writes all.
func (s *ClientStream) WriteTrailers(h *header.Map) *Error { return s.writeTrailers(h) }

// Flush writes what was gathered.
func (s *ClientStream) Flush() {
	s.c.mu.Lock()
	s.c.flush(true)
}

// ReadHeaders writes what was gathered, waits for the next response head, informational ones too, and
// adds it to h. end tells that nothing follows it.
func (s *ClientStream) ReadHeaders(h *header.Map) (end bool, err *Error) {
	s.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.rx
	for {
		switch {
		case r.closed != nil:
			return false, r.closed
		case s.readExpired.Load():
			return false, errDeadline
		case r.heads.take(h):
			return r.end && r.heads.n == 0 && len(r.in) == 0 && !r.hasTrailers, nil
		case r.err != nil:
			return false, r.err
		}
		s.recvCond.Wait()
	}
}

// NextBody returns the next piece of the response's body, borrowed until the call after; end comes alone,
// after the last piece. Without block it reports ok false when that needs a wait.
func (s *ClientStream) NextBody(block bool) (p []byte, end, ok bool, err *Error) {
	return s.nextBody(block)
}

// Trailers are the response's, once the body has ended; nil: none.
func (s *ClientStream) Trailers() *header.Map { return s.getTrailers() }

// Complete tells whether all of the response has been received.
func (s *ClientStream) Complete() bool { return s.received() }

// SetDeadline sets when a read or write that is under way, or comes later, fails with a Deadline; zero is
// never. Any goroutine may call it.
func (s *ClientStream) SetDeadline(t time.Time) { s.setDeadline(t, true, true) }

// Cancel makes whoever reads or writes return an error, now and later. Any goroutine may call it; the
// stream must still be closed.
func (s *ClientStream) Cancel() {
	s.mu.Lock()
	if s.rx.closed == nil {
		s.rx.closed = errCanceled
	}
	s.mu.Unlock()
	s.recvCond.Broadcast()
	c := s.c
	c.mu.Lock()
	if s.tx.err == nil {
		s.tx.err = errCanceled
	}
	s.sendCond.Broadcast()
	c.mu.Unlock()
}

// Close ends the stream: what both sides have not ended is reset with the code. s may not be used any
// more.
func (s *ClientStream) Close(code ErrCode) {
	s.setDeadline(time.Time{}, true, true)
	s.abandon()
	c := s.c
	c.mu.Lock()
	c.half.(*ClientConn).reserved--
	switch {
	case s.id == 0:
		s.tx.closed = true // never opened
	case !s.tx.closed:
		c.resetStream(&s.stream, &Error{Kind: LocalReset, Code: code})
	}
	s.tx.released = true
	c.reuse(&s.stream)
	c.flush(true)
}

// Counts are the stream's bytes on the wire, frame heads included.
func (s *ClientStream) Counts() Counts { return s.counts() }

// heads are responses that wait for ReadHeaders: informational ones, as many as are read in time, and a
// final one. It is guarded by the stream's mu.
type heads struct {
	maps  []*header.Map // reused
	n     int           // how many wait
	spare *header.Map
}

// maxHeads is how many responses wait at most; further informational ones are dropped.
const maxHeads = 4

// next returns an empty map for the next response.
func (h *heads) next() *header.Map {
	if h.spare == nil {
		h.spare = new(header.Map)
	}
	h.spare.Reset()
	return h.spare
}

// put adds the response that was decoded into m, which next returned.
func (h *heads) put(m *header.Map, final bool) {
	if h.n >= maxHeads && !final {
		return
	}
	if h.n == len(h.maps) {
		h.maps = append(h.maps, nil)
	}
	h.maps[h.n], h.spare = m, h.maps[h.n]
	h.n++
}

// take moves the first response to to.
func (h *heads) take(to *header.Map) bool {
	if h.n == 0 {
		return false
	}
	first := h.maps[0]
	copyHead(to, first)
	h.n--
	copy(h.maps, h.maps[1:h.n+1])
	h.maps[h.n] = first
	return true
}

// clear forgets what waits, and a map that has grown out of proportion.
func (h *heads) clear() {
	h.n = 0
	for i, m := range h.maps {
		if i > 0 || m.ArenaCap() > 8<<10 {
			h.maps[i] = nil
			continue
		}
		m.Reset()
	}
	if len(h.maps) > 1 {
		h.maps = h.maps[:1]
	}
	if len(h.maps) == 1 && h.maps[0] == nil {
		h.maps = h.maps[:0]
	}
}

// copyHead adds a response's head to to, with strings of its own.
func copyHead(to, from *header.Map) {
	to.Status = from.Status
	fields := from.Fields()
	for i := range fields {
		f := fields[i]
		if f.ID == 0 {
			f.Name = to.KeepString(f.Name)
		}
		f.Value = to.KeepString(f.Value)
		to.AddField(f)
	}
}
