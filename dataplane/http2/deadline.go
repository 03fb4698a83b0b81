package http2

import (
	"sync/atomic"
	"time"
)

// deadlines are a stream's two deadlines and their one timer. As a Sock's, the timer is left alone while
// it fires before the deadlines do: it is set again then. So a stream, and the object's next stream, move
// it once in a while only.
type deadlines struct {
	readExpired, writeExpired atomic.Bool

	// These are guarded by the stream's mu.
	timer       *time.Timer
	armed       time.Duration // since base; 0: not
	read, write time.Duration
}

// forget is for a stream that nobody has any more: a timer that fires finds nothing wanted.
func (d *deadlines) forget() {
	d.read, d.write = 0, 0
	d.readExpired.Store(false)
	d.writeExpired.Store(false)
}

func sinceBase(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(t.Sub(base), 1)
}

// setDeadline sets when reads, writes or both fail; the zero time is never. They fail at once under a
// deadline that has passed.
func (st *stream) setDeadline(t time.Time, read, write bool) {
	at := sinceBase(t)
	st.mu.Lock()
	if read {
		st.read = at
		st.readExpired.Store(false)
	}
	if write {
		st.write = at
		st.writeExpired.Store(false)
	}
	if at == 0 || st.armed != 0 && st.armed <= at {
		st.mu.Unlock()
		return
	}
	wait := at - now()
	if wait <= 0 {
		c := st.expire(at)
		st.mu.Unlock()
		st.wake(c)
		return
	}
	st.arm(at, wait)
	st.mu.Unlock()
}

// arm sets the timer. mu is held.
func (st *stream) arm(at, wait time.Duration) {
	st.armed = at
	if st.timer == nil {
		st.timer = time.AfterFunc(wait, st.fire)
		return
	}
	st.timer.Reset(wait)
}

// fire is the timer's.
func (st *stream) fire() {
	st.mu.Lock()
	st.armed = 0
	at := now()
	c := st.expire(at)
	next := time.Duration(0)
	for _, d := range [2]time.Duration{st.read, st.write} {
		if d > at && (next == 0 || d < next) {
			next = d
		}
	}
	if next != 0 {
		st.arm(next, next-at)
	}
	st.mu.Unlock()
	st.wake(c)
}

// expire notes which deadlines have passed, and returns the connection whose writers are to be woken. mu
// is held.
func (st *stream) expire(at time.Duration) *conn {
	if st.read != 0 && st.read <= at {
		st.readExpired.Store(true)
	}
	if st.write == 0 || st.write > at {
		return nil
	}
	st.writeExpired.Store(true)
	return st.c
}

// wake has whoever waits look again.
func (st *stream) wake(c *conn) {
	st.recvCond.Broadcast()
	if c != nil {
		c.mu.Lock()
		st.sendCond.Broadcast()
		c.mu.Unlock()
	}
}
