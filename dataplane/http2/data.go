package http2

import (
	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
)

// direct is how much of a frame must be to come for it to be read straight into the stream's buffer.
const direct = 4 << 10

var (
	errConnWindow   = connError(http2.ErrCodeFlowControl, "DATA over the connection's window")
	errStreamWindow = streamError(http2.ErrCodeFlowControl, DetailRemoteReset, "DATA over the stream's window")
	errStreamClosed = streamError(http2.ErrCodeStreamClosed, DetailRemoteReset, "a frame on a stream that its sender has ended")
	errConnClosed   = connError(http2.ErrCodeStreamClosed, "a frame on a closed stream")
	errDataFirst    = streamError(http2.ErrCodeProtocol, DetailMessaging, "DATA before the head")
	errTooLong      = streamError(http2.ErrCodeProtocol, DetailRemoteReset, "the body is longer than content-length")
	errTooShort     = streamError(http2.ErrCodeProtocol, DetailRemoteReset, "the body is shorter than content-length")
)

// readData reads the payload of a DATA frame into its stream's queue.
func (c *conn) readData(f *frame) *Error {
	if f.id == 0 {
		return errNoStream
	}
	c.recvTotal += int64(f.length)
	if c.recvTotal > c.recvGranted.Load() {
		return errConnWindow
	}
	pad := 0
	left := f.length
	if f.has(http2.FlagDataPadded) {
		if left == 0 {
			return errPadding
		}
		for c.sock.Buffered() == 0 {
			if err := c.fill(false); err != nil {
				return err
			}
		}
		pad = int(c.sock.Buf.Bytes()[0])
		c.sock.Consume(1)
		if left--; pad > left {
			return errPadding
		}
		left -= pad
	}
	end := f.has(http2.FlagDataEndStream)
	if err := c.empty(left == 0 && !end); err != nil {
		return err
	}
	st := c.find(f.id)
	verdict := c.admit(st, f, left, end)
	if verdict != nil && verdict.conn {
		return verdict
	}
	if st == nil || verdict != nil {
		// It took of the window all the same.
		c.creditConn(int64(f.length))
		if err := c.discard(left + pad); err != nil {
			return err
		}
		return verdict
	}
	if err := c.deliver(st, left); err != nil {
		return err
	}
	if n := int64(f.length - left); n > 0 {
		c.creditConn(n)
		if err := c.discard(pad); err != nil {
			return err
		}
	}
	if end {
		c.remoteEnd(st)
	}
	return nil
}

// admit tells whether a DATA frame may come now. Without a stream and an error it is ignored.
func (c *conn) admit(st *stream, f *frame, n int, end bool) *Error {
	if st == nil {
		return c.unknown(f.id)
	}
	st.mu.Lock()
	r := &st.rx
	r.total += int64(f.length)
	r.granted += int64(f.length - n) // padding is given back at once
	over, ended := r.total > r.granted, r.end
	r.wire += uint64(f.length + frameHeaderLen)
	st.mu.Unlock()
	l := &st.loop
	l.received += int64(n)
	switch {
	case ended:
		return errStreamClosed
	case c.client && !l.final:
		return errDataFirst
	case over:
		return errStreamWindow
	case l.length >= 0 && l.received > l.length && !l.noBody, l.noBody && n > 0:
		return errTooLong
	case end && l.length > l.received && !l.noBody:
		return errTooShort
	}
	return nil
}

// unknown judges a frame on a stream that is not open.
func (c *conn) unknown(id uint32) *Error {
	if c.idle(id) {
		return errIdle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resets.has(id) || c.goaway.ignores(id) {
		return nil // RFC 9113 section 5.1: it was on its way when we reset the stream
	}
	return errConnClosed
}

// deliver moves n bytes of payload into the stream's queue.
func (c *conn) deliver(st *stream, n int) *Error {
	for n > 0 {
		have := c.sock.Buffered()
		if have == 0 && n >= direct {
			got, err := c.readStraight(st, n)
			if err != nil {
				return err
			}
			n -= got
			continue
		}
		if have == 0 {
			if err := c.fill(false); err != nil {
				return err
			}
			continue
		}
		p := c.sock.Buf.Bytes()[:min(have, n)]
		st.mu.Lock()
		ok := !st.rx.dropped
		if ok {
			st.rx.put(p, n)
		}
		st.mu.Unlock()
		if ok {
			st.recvCond.Signal()
		} else {
			c.creditConn(int64(len(p)))
		}
		n -= len(p)
		c.sock.Consume(len(p))
	}
	return nil
}

// put copies p behind what waits; n bytes of the frame are to come, p included.
func (r *recvState) put(p []byte, n int) {
	for len(p) > 0 {
		b := r.last(1, n)
		k := copy(b.B[b.W:], p)
		b.W += k
		p = p[k:]
		n -= k
	}
}

// last returns the last buffer if it has room for least bytes, or a new one for n.
func (r *recvState) last(least, n int) *buffer.Buffer {
	if k := len(r.in); k > 0 {
		if b := r.in[k-1]; len(b.B)-b.W >= least {
			return b
		}
		n = buffer.Large
	}
	b := buffer.Get(min(n, buffer.Large))
	r.in = append(r.in, b)
	return b
}

// readStraight reads up to n bytes of payload past the socket's buffer.
func (c *conn) readStraight(st *stream, n int) (int, *Error) {
	st.mu.Lock()
	if st.rx.dropped {
		st.mu.Unlock()
		err := c.fill(false) // to be discarded
		return 0, err
	}
	b := st.rx.last(direct/2, buffer.Large)
	st.rx.filling = b
	to := b.B[b.W:min(b.W+n, len(b.B))]
	st.mu.Unlock()
	c.before(false)
	got, err := c.sock.Read(to)
	c.straight = true
	st.mu.Lock()
	st.rx.filling = nil
	if st.rx.dropped {
		if len(st.rx.in) == 0 { // else its front is lent
			buffer.Put(b)
		}
		st.mu.Unlock()
		c.creditConn(int64(got))
	} else {
		b.W += got
		st.mu.Unlock()
		st.recvCond.Signal()
	}
	if err != nil {
		return got, c.ended(err)
	}
	c.came()
	return got, nil
}

// discard drops n bytes of payload.
func (c *conn) discard(n int) *Error {
	for n > 0 {
		if c.sock.Buffered() == 0 {
			if err := c.fill(false); err != nil {
				return err
			}
		}
		k := min(n, c.sock.Buffered())
		c.sock.Consume(k)
		n -= k
	}
	return nil
}

// remoteEnd notes that the peer has ended the stream: for the connection first, so that its user, once it
// knows, finds the stream closed by both.
func (c *conn) remoteEnd(st *stream) {
	c.mu.Lock()
	c.end(st, false)
	c.mu.Unlock()
	st.mu.Lock()
	st.rx.end = true
	st.mu.Unlock()
	st.recvCond.Signal()
}

// took counts n bytes as taken. It returns by how much the connection's window is to be opened.
func (c *conn) took(n int64) int64 {
	if n == 0 || c.unacked.Add(n) < max(int64(c.o.InitialConnectionWindow), initialWindow)/2 {
		return 0
	}
	inc := c.unacked.Swap(0)
	c.recvGranted.Add(inc)
	return inc
}

// creditConn is for bytes that nobody will take. The loop flushes.
func (c *conn) creditConn(n int64) {
	if inc := c.took(n); inc != 0 {
		c.mu.Lock()
		c.putWindowUpdate(0, uint32(inc))
		c.mu.Unlock()
		c.wrote = true
	}
}

// credit opens windows and tells the peer.
func (c *conn) credit(st *stream, streamInc, connInc int64) {
	c.mu.Lock()
	if streamInc != 0 && !st.tx.closed && !st.tx.remoteEnd {
		c.putWindowUpdate(st.id, uint32(streamInc))
	}
	if connInc != 0 {
		c.putWindowUpdate(0, uint32(connInc))
	}
	c.flush(false)
}
