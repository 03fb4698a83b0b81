package tcpproxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// relay moves bytes both ways: this goroutine from the client, a second one to it. A side that has ended
// is half closed on the other one; what ends badly ends both.
func (s *session) relay() {
	r := &relay{s: s}
	r.moved.Store(time.Now().UnixNano())
	done := make(chan direction, 1)
	// Owned by the session: ends with the connections, which relay waits for.
	go func() {
		d := r.copy(&s.conn.Sock, &s.up.Sock)
		done <- d
	}()
	from := r.copy(&s.up.Sock, &s.conn.Sock)
	to := <-done
	s.info.BytesReceived, s.info.BytesSent = from.bytes, to.bytes
	r.close(from, to)
}

type relay struct {
	s       *session
	moved   atomic.Int64 // when anything last moved, Unix nanoseconds
	broken  atomic.Bool
	expired atomic.Int32 // which timeout ended it
}

const (
	idleExpired = 1 + iota
	durationExpired
)

// direction is what became of one way.
type direction struct {
	bytes uint64
	err   error // nil: ended well
	read  bool  // err is of the reading side
}

var errEnded = errors.New("the other direction has failed")

// copy moves bytes from src to dst until src ends.
func (r *relay) copy(dst, src *network.Sock) (d direction) {
	d = r.buffered(dst, src)
	for d.err == nil {
		if r.broken.Load() {
			d.err = errEnded
			break
		}
		_ = src.Conn.SetReadDeadline(r.tick())
		n, read, err := move(dst, src)
		d.bytes += uint64(n)
		if n > 0 {
			r.moved.Store(time.Now().UnixNano())
		}
		switch {
		case err == io.EOF:
			_ = dst.CloseWrite()
			return d
		case err == nil:
		case network.IsTimeout(err) && read && !r.over():
		default:
			d.err, d.read = err, read
		}
	}
	r.fail(dst, src)
	return d
}

// fail ends both directions.
func (r *relay) fail(dst, src *network.Sock) {
	r.broken.Store(true)
	_ = dst.Conn.SetReadDeadline(network.Past)
	_ = src.Conn.SetReadDeadline(network.Past)
	_ = dst.Conn.SetWriteDeadline(network.Past)
	_ = src.Conn.SetWriteDeadline(network.Past)
}

// buffered sends what listener filters have peeked.
func (r *relay) buffered(dst, src *network.Sock) (d direction) {
	if src.Buffered() == 0 {
		return d
	}
	n, err := dst.Conn.Write(src.Buf.Bytes())
	src.Free()
	return direction{bytes: uint64(n), err: err}
}

// tick is when to look at the timeouts next: several times within the idle timeout, so that it is kept
// within a part of itself.
func (r *relay) tick() time.Time {
	c := r.s.c
	d := time.Time{}
	now := time.Now()
	if c.idle > 0 {
		idle := time.Unix(0, r.moved.Load()).Add(c.idle)
		if step := now.Add(max(c.idle/8, time.Millisecond)); idle.After(step) {
			idle = step
		}
		d = idle
	}
	if end := r.s.end; !end.IsZero() && (d.IsZero() || end.Before(d)) {
		d = end
	}
	if r.broken.Load() {
		return network.Past
	}
	return d
}

// over tells whether a timeout has passed, and which.
func (r *relay) over() bool {
	if r.s.conn.ShutDown() || r.broken.Load() {
		return true
	}
	now := time.Now()
	if end := r.s.end; !end.IsZero() && !now.Before(end) {
		r.expired.CompareAndSwap(0, durationExpired)
		return true
	}
	if idle := r.s.c.idle; idle > 0 && now.Sub(time.Unix(0, r.moved.Load())) >= idle {
		r.expired.CompareAndSwap(0, idleExpired)
		return true
	}
	return false
}

// move moves what there is, by splice where both sides are plain TCP. read tells that err is src's.
func move(dst, src *network.Sock) (n int64, read bool, err error) {
	if to, from := dst.TCP(), src.TCP(); to != nil && from != nil {
		return splice(to, from)
	}
	b := buffer.Get(buffer.Large)
	defer buffer.Put(b)
	k, err := src.Conn.Read(b.B)
	if k == 0 {
		return 0, true, err
	}
	w, werr := dst.Conn.Write(b.B[:k])
	if werr != nil {
		return int64(w), false, werr
	}
	return int64(w), true, err
}

// splice lets the kernel move bytes from one socket to the other without copying them.
func splice(to, from *net.TCPConn) (int64, bool, error) {
	const most = 1 << 30
	n, err := to.ReadFrom(&io.LimitedReader{R: from, N: most})
	if err == nil && n < most {
		return n, true, io.EOF
	}
	var op *net.OpError
	read := err != nil && (network.IsTimeout(err) || errors.As(err, &op) && op.Op == "readfrom" && !isWrite(err))
	return n, read, err
}

// isWrite tells an error of the writing side: its peer is gone.
func isWrite(err error) bool { return network.IsReset(err) }

// close closes the upstream connection, and the client's as the upstream's ended.
func (r *relay) close(from, to direction) {
	s := r.s
	w := s.conn.Worker
	switch r.expired.Load() {
	case idleExpired:
		s.stats.IdleTimeout.Inc(w)
		s.cluster.Stats().CxIdleTimeout.Inc(w)
		s.info.ConnectionTermination = ""
		s.info.Details = "tcp_session_idle_timeout"
		s.up.Finish(false)
		return
	case durationExpired:
		s.stats.MaxDuration.Inc(w)
		s.info.Set(streaminfo.DurationTimeout)
		s.info.Details = "max_connection_duration_reached"
		s.up.Finish(false)
		return
	}
	upstreamFailed := to.err != nil && to.read && !errors.Is(to.err, errEnded) && network.IsReset(to.err)
	if upstreamFailed {
		s.up.Finish(true)
		_ = s.conn.Reset()
		return
	}
	if from.err != nil && from.read && network.IsReset(from.err) {
		s.up.Reset()
		return
	}
	s.up.Finish(from.err == nil && to.err == nil)
}
