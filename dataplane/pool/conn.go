package pool

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// conn is what every kind of upstream connection has: its socket, what is known of it, and its place in
// the stats from dial to destroy.
type conn struct {
	network.Sock
	cfg      *Config
	worker   stats.Worker
	up       streaminfo.Upstream // immutable after dial
	born     time.Time
	requests uint64
	watch    *network.Watch
	// ended makes destroyed count once.
	ended atomic.Bool
}

// dial opens a connection under connect_timeout and counts what becomes of it. The breaker for
// connections has been asked by the caller.
func (c *conn) dial(ctx context.Context, cfg *Config, w stats.Worker) *Error {
	c.cfg, c.worker, c.born = cfg, w, time.Now()
	s := cfg.Stats
	s.CxTotal.Inc(w)
	s.CxActive.Inc(w)
	cfg.Host.CxTotal.Inc()
	cfg.Host.CxActive.Add(1)
	if cfg.Breakers != nil {
		cfg.Breakers.Connections.Inc()
	}
	within, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	nc, err := cfg.Dial(within, cfg.Options, &c.up)
	timedOut := within.Err() != nil
	cancel()
	if err != nil {
		err = c.failed(ctx, err, timedOut)
		c.destroyed(false, false)
		return err
	}
	c.Sock.Init(nc)
	s.CxConnectMs.Record(w, uint64(time.Since(c.born).Milliseconds()))
	return nil
}

// failed tells a timeout of ours from one of the caller's, and counts.
func (c *conn) failed(ctx context.Context, err *Error, timedOut bool) *Error {
	s, w := c.cfg.Stats, c.worker
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	s.CxConnectFail.Inc(w)
	c.cfg.Host.CxConnectFail.Inc()
	if timedOut {
		s.CxConnectTimeout.Inc(w)
		return &Error{Reason: ConnectionTimeout, Transport: err.Transport, Why: "connect_timeout of " + c.cfg.ConnectTimeout.String() + " passed", Cause: err.Cause}
	}
	return err
}

func contextError(ctx context.Context) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errDeadline
	}
	return errCanceled
}

// These are made once: the plain path allocates no error.
var (
	errDeadline = &Error{Reason: Deadline}
	errCanceled = &Error{Reason: LocalReset}
	errStale    = &Error{Reason: Stale}
)

// watched has f called once when the peer hangs up.
func (c *conn) watched(f func()) {
	if t := c.TCP(); t != nil && c.cfg.Watcher != nil {
		c.watch = c.cfg.Watcher.Add(t, f)
	}
}

// destroyed takes the connection out of the stats; remote tells whose doing it was.
func (c *conn) destroyed(remote, active bool) {
	if c.ended.Swap(true) {
		return
	}
	s, w := c.cfg.Stats, c.worker
	s.CxActive.Dec(w)
	c.cfg.Host.CxActive.Add(-1)
	if c.cfg.Breakers != nil {
		c.cfg.Breakers.Connections.Dec()
	}
	s.CxDestroy.Inc(w)
	if active {
		s.CxDestroyWithActiveRq.Inc(w)
	}
	switch {
	case remote && active:
		s.CxDestroyRemote.Inc(w)
		s.CxDestroyRemoteWithActiveRq.Inc(w)
	case remote:
		s.CxDestroyRemote.Inc(w)
	case active:
		s.CxDestroyLocal.Inc(w)
		s.CxDestroyLocalWithActiveRq.Inc(w)
	default:
		s.CxDestroyLocal.Inc(w)
	}
	s.CxLengthMs.Record(w, uint64(time.Since(c.born).Milliseconds()))
	s.RqPerCx.Record(w, c.requests)
}

// close ends the connection; any goroutine may call it, once.
func (c *conn) close(remote, active bool) {
	c.destroyed(remote, active)
	c.watch.Remove()
	_ = c.Conn.Close()
}

// attach counts a request that begins on the connection.
func (c *conn) attach() {
	c.requests++
	s, w := c.cfg.Stats, c.worker
	s.RqTotal.Inc(w)
	s.RqActive.Inc(w)
	c.cfg.Host.RqTotal.Inc()
	c.cfg.Host.RqActive.Add(1)
}

// detach counts its end.
func (c *conn) detach() {
	c.cfg.Stats.RqActive.Dec(c.worker)
	c.cfg.Host.RqActive.Add(-1)
}

// old tells whether max_connection_duration has passed.
func (c *conn) old(now time.Time) bool {
	return c.cfg.MaxDuration > 0 && now.Sub(c.born) >= c.cfg.MaxDuration
}

// info fills the connection's part of u.
func (c *conn) info(u *streaminfo.Upstream) {
	host, name, meta := u.Host, u.HostName, u.HostMetadata
	*u = c.up
	u.Host, u.HostName, u.HostMetadata = host, name, meta
}

// ends fills the two ends of nc, where the dialler has not.
func ends(nc net.Conn, u *streaminfo.Upstream) {
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok && !u.Local.IsValid() {
		u.Local = a.AddrPort()
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok && !u.Remote.IsValid() {
		u.Remote = a.AddrPort()
	}
}
