package network

import (
	"sync/atomic"
	"time"
)

// deadline is when a Sock's reads, or its writes, fail. The runtime's timer is left alone while it is
// set to fire before the deadline but not too soon: when it fires early, it is set again. So a
// connection that gets a fresh deadline for each request moves its timer once in a while only.
type deadline struct {
	want, armed atomic.Int64 // since base; 0: none
	canceled    atomic.Bool
}

// base is what deadlines are counted from: a monotonic clock that fits an int64.
var base = time.Now()

// SetDeadline sets when reads and writes fail with os.ErrDeadlineExceeded; zero is never.
func (s *Sock) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline is SetDeadline for reads.
func (s *Sock) SetReadDeadline(t time.Time) error { return s.set(&s.reads, t) }

// SetWriteDeadline is SetDeadline for writes.
func (s *Sock) SetWriteDeadline(t time.Time) error { return s.set(&s.writes, t) }

func (s *Sock) set(d *deadline, t time.Time) error {
	if s.raw == nil {
		// A layer such as TLS does not survive a write that failed because a timer fired early: it has a
		// Sock of its own below it to be lazy. See Layer.
		if d.canceled.Load() {
			t = Past
		}
		return s.put(d, t)
	}
	if t.IsZero() {
		d.want.Store(0)
		return nil // a timer that fires finds nothing wanted
	}
	want := max(int64(t.Sub(base)), 1)
	d.want.Store(want)
	armed := d.armed.Load()
	if armed != 0 && armed <= want {
		if now := int64(time.Since(base)); armed-now > (want-now)/2 {
			return nil
		}
	}
	return s.arm(d, want)
}

func (s *Sock) arm(d *deadline, at int64) error {
	d.armed.Store(at)
	err := s.put(d, base.Add(time.Duration(at)))
	if d.canceled.Load() {
		_ = s.put(d, Past)
	}
	return err
}

func (s *Sock) put(d *deadline, t time.Time) error {
	if d == &s.reads {
		return s.Conn.SetReadDeadline(t)
	}
	return s.Conn.SetWriteDeadline(t)
}

// Cancel makes whoever reads or writes fail with os.ErrDeadlineExceeded, now and later. Any goroutine
// may call it.
func (s *Sock) Cancel() {
	s.reads.canceled.Store(true)
	s.writes.canceled.Store(true)
	_ = s.Conn.SetDeadline(Past)
}

// Canceled tells whether Cancel was called.
func (s *Sock) Canceled() bool { return s.writes.canceled.Load() }

// CancelRead is Cancel for reads alone. Any goroutine may call it.
func (s *Sock) CancelRead() {
	s.reads.canceled.Store(true)
	_ = s.Conn.SetReadDeadline(Past)
}

// early tells whether err is the timer's that fired before its deadline, and sets it again.
func (s *Sock) early(d *deadline, err error) bool {
	if err == nil || !IsTimeout(err) || d.canceled.Load() || d.armed.Load() == 0 {
		return false
	}
	want := d.want.Load()
	if want == 0 {
		d.armed.Store(0)
		return s.put(d, time.Time{}) == nil && !d.canceled.Load()
	}
	return want > int64(time.Since(base)) && s.arm(d, want) == nil
}

func (d *deadline) from(o *deadline) {
	d.want.Store(o.want.Load())
	d.armed.Store(o.armed.Load())
	d.canceled.Store(o.canceled.Load())
}
