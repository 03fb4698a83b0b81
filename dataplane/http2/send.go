package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// The put functions queue frames; mu is held.

func (c *conn) putSettings(set []http2.Setting) {
	p := c.q.frame(http2.FrameSettings, 0, 0, 6*len(set))
	for i, s := range set {
		binary.BigEndian.PutUint16(p[6*i:], uint16(s.ID))
		binary.BigEndian.PutUint32(p[6*i+2:], s.Val)
	}
}

// putSettingsAck keeps its place behind what was queued under the old settings: the peer may hold us to
// the new ones once it has it.
func (c *conn) putSettingsAck() {
	c.q.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	c.q.control++
}

func (c *conn) putWindowUpdate(id, n uint32) {
	binary.BigEndian.PutUint32(c.q.frame(http2.FrameWindowUpdate, 0, id, 4), n)
}

func (c *conn) putReset(id uint32, code ErrCode) {
	binary.BigEndian.PutUint32(c.q.frame(http2.FrameRSTStream, 0, id, 4), uint32(code))
	c.q.control++
	c.resets.add(id)
	c.stats.TxReset.Inc(c.w)
}

func (c *conn) putGoaway(last uint32, code ErrCode, text string) {
	p := c.q.frame(http2.FrameGoAway, 0, 0, 8+len(text))
	binary.BigEndian.PutUint32(p, last)
	binary.BigEndian.PutUint32(p[4:], uint32(code))
	copy(p[8:], text)
	c.stats.GoawaySent.Inc(c.w)
}

// putHeaders queues a header block of st, which end ends; estimate is how long it is at most.
func (c *conn) putHeaders(st *stream, end bool, estimate int, encode func(e *encoder, b []byte, h *header.Map) []byte, h *header.Map) {
	flags := http2.FlagHeadersEndHeaders
	if end {
		flags |= http2.FlagHeadersEndStream
	}
	if estimate <= maxFrameSize {
		// Straight to where it is written from.
		b := c.q.grow(frameHeaderLen + estimate)
		at := b.W
		n := len(encode(&c.enc, b.B[at+frameHeaderLen:at+frameHeaderLen], h))
		st.tx.last = lastFrame{b, at + 4, c.q.takes}
		c.q.head(b, http2.FrameHeaders, flags, st.id, n)
		c.sent(st, frameHeaderLen+n, true)
		return
	}
	block := encode(&c.enc, c.headBuf[:0], h)
	c.headBuf = block
	kind := http2.FrameHeaders
	for first := true; first || len(block) > 0; first = false {
		n := min(len(block), maxFrameSize)
		if n < len(block) {
			flags &^= http2.FlagHeadersEndHeaders
		} else {
			flags |= http2.FlagHeadersEndHeaders
		}
		p := c.q.frame(kind, flags, st.id, n)
		copy(p, block)
		if first {
			st.tx.last = lastFrame{c.q.tail, c.q.tail.W - n - frameHeaderLen + 4, c.q.takes}
		}
		c.sent(st, frameHeaderLen+n, true)
		block = block[n:]
		kind, flags = http2.FrameContinuation, flags&^http2.FlagHeadersEndStream
	}
	if cap(c.headBuf) > maxFrameSize {
		c.headBuf = nil
	}
}

// sent counts what was queued for a stream.
func (c *conn) sent(st *stream, n int, head bool) {
	st.tx.wire += uint64(n)
	if head {
		st.tx.head += uint64(n)
	}
}

// putEnd ends the sending side: on the last frame if that is still queued, else by one of its own.
func (c *conn) putEnd(st *stream) {
	l := st.tx.last
	if l.buf != nil && l.takes == c.q.takes {
		l.buf.B[l.at] |= byte(http2.FlagDataEndStream)
	} else {
		c.q.frame(http2.FrameData, http2.FlagDataEndStream, st.id, 0)
		c.sent(st, frameHeaderLen, false)
	}
	st.tx.last.buf = nil
	c.end(st, true)
}

// resetStream ends a stream by RST_STREAM; err is what its user is told. mu is held.
func (c *conn) resetStream(st *stream, err *Error) {
	if st.tx.closed {
		return
	}
	c.putReset(st.id, err.Code)
	st.tx.wire += frameHeaderLen + 4
	c.closeStream(st, err)
}

// writeData sends p under both windows and the bound of what is queued, waiting for them. With end it
// ends the stream.
func (st *stream) writeData(p []byte, end bool) *Error {
	c := st.c
	c.mu.Lock()
	for len(p) > 0 {
		n, err := c.acquire(st, len(p))
		if err != nil {
			c.mu.Unlock()
			return err
		}
		copy(c.q.frame(http2.FrameData, 0, st.id, n), p)
		st.tx.last = lastFrame{c.q.tail, c.q.tail.W - n - frameHeaderLen + 4, c.q.takes}
		c.sent(st, frameHeaderLen+n, false)
		c.floods.data++
		p = p[n:]
	}
	err := st.writable(c)
	if err == nil && end {
		c.putEnd(st)
	}
	if end || c.q.bytes >= maxPending/2 {
		c.flush(end)
	} else {
		c.mu.Unlock()
	}
	return err
}

// writable tells why nothing can be sent, or nil. mu is held.
func (st *stream) writable(c *conn) *Error {
	switch {
	case st.tx.err != nil:
		return st.tx.err
	case c.failed != nil:
		return c.failed
	case st.tx.localEnd:
		return errEnded
	}
	return nil
}

// acquire takes up to n bytes, at most a frame's, out of the windows, waiting until there are some. With
// n 0 it waits for room in the queue alone. mu is held, and was given up meanwhile if it waited.
func (c *conn) acquire(st *stream, n int) (int, *Error) {
	waited := false
	for {
		if err := st.writable(c); err != nil {
			c.acquired(st, n, waited)
			return 0, err
		}
		free := c.q.bytes < maxPending && (n == 0 || c.sendWindow > 0) && c.waiters.first(st)
		if free && (n == 0 || st.tx.window > 0) {
			take := min(int64(n), maxFrameSize, c.sendWindow, st.tx.window)
			if n == 0 {
				take = 0
			}
			c.sendWindow -= take
			st.tx.window -= take
			c.acquired(st, n, waited)
			return int(take), nil
		}
		if st.writeExpired.Load() {
			c.acquired(st, n, waited)
			c.stats.TxFlushTimeout.Inc(c.w)
			return 0, errDeadline
		}
		if !waited {
			waited = true
			c.stats.PendingSendBytes.Add(c.w, uint64(n))
		}
		if len(c.q.out) > 0 && !c.q.writing && c.q.err == nil {
			c.flush(false)
			c.mu.Lock()
			continue
		}
		if n > 0 && st.tx.window <= 0 {
			c.waiters.leave(c, st) // for its own window, not for a turn
		} else {
			c.waiters.join(st)
		}
		st.sendCond.Wait()
	}
}

// acquired ends a wait.
func (c *conn) acquired(st *stream, n int, waited bool) {
	if waited {
		c.stats.PendingSendBytes.Sub(c.w, uint64(n))
	}
	c.waiters.leave(c, st)
}

// waiters are the streams that wait for their turn to queue something, in order. It is guarded by mu.
type waiters struct{ head, tail *stream }

// first tells whether nobody is before st.
func (w *waiters) first(st *stream) bool { return w.head == nil || w.head == st }

func (w *waiters) join(st *stream) {
	if st.tx.waiting {
		return
	}
	st.tx.waiting = true
	if w.tail == nil {
		w.head = st
	} else {
		w.tail.tx.next = st
	}
	w.tail = st
}

// leave takes st out, and lets the next one look.
func (w *waiters) leave(c *conn, st *stream) {
	if !st.tx.waiting {
		return
	}
	st.tx.waiting = false
	var before *stream
	for s := w.head; s != st; s = s.tx.next {
		before = s
	}
	if before == nil {
		w.head = st.tx.next
	} else {
		before.tx.next = st.tx.next
	}
	if w.tail == st {
		w.tail = before
	}
	st.tx.next = nil
	w.wake(c)
}

// wake lets the first one look, if there is something to be had.
func (w *waiters) wake(c *conn) {
	if w.head != nil && c.q.bytes < maxPending {
		w.head.sendCond.Broadcast()
	}
}

// wakeAll has all of them look: the connection has failed.
func (w *waiters) wakeAll() {
	for st := w.head; st != nil; st = st.tx.next {
		st.sendCond.Broadcast()
	}
}
