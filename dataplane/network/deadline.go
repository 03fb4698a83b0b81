package network

import (
	"sync/atomic"
	"time"
)

// deadline is when a Sock's reads and writes fail. The runtime's timer is left alone while it is set to
// fire before the deadline but not too soon: when it fires early, it is set again. So a connection that
// gets a fresh deadline for each request moves its timer once in a while only.
type deadline struct {
	want, armed atomic.Int64 // since base; 0: none
	canceled    atomic.Bool
}

// base is what deadlines are counted from: a monotonic clock that fits an int64.
var base = time.Now()

// SetDeadline sets when reads and writes fail with os.ErrDeadlineExceeded; zero is never.
func (s *Sock) SetDeadline(t time.Time) error {
	if t.IsZero() {
		s.deadline.want.Store(0)
		return nil // a timer that fires finds nothing wanted
	}
	want := max(int64(t.Sub(base)), 1)
	s.deadline.want.Store(want)
	armed := s.deadline.armed.Load()
	if armed != 0 && armed <= want {
		if now := int64(time.Since(base)); armed-now > (want-now)/2 {
			return nil
		}
	}
	return s.arm(want)
}

func (s *Sock) arm(at int64) error {
	s.deadline.armed.Store(at)
	err := s.Conn.SetDeadline(base.Add(time.Duration(at)))
	if s.deadline.canceled.Load() {
		_ = s.Conn.SetDeadline(Past)
	}
	return err
}

// Cancel makes whoever reads or writes fail with os.ErrDeadlineExceeded, now and later. Any goroutine
// may call it.
func (s *Sock) Cancel() {
	s.deadline.canceled.Store(true)
	_ = s.Conn.SetDeadline(Past)
}

// Canceled tells whether Cancel was called.
func (s *Sock) Canceled() bool { return s.deadline.canceled.Load() }

// early tells whether err is the timer's that fired before its deadline, and sets it again.
func (s *Sock) early(err error) bool {
	if err == nil || !IsTimeout(err) || s.deadline.canceled.Load() || s.deadline.armed.Load() == 0 {
		return false
	}
	want := s.deadline.want.Load()
	if want == 0 {
		s.deadline.armed.Store(0)
		return s.Conn.SetDeadline(time.Time{}) == nil
	}
	return want > int64(time.Since(base)) && s.arm(want) == nil
}
