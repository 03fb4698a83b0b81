package http2

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"
)

// keepalive sends PINGs and ends a connection that does not answer (connection_keepalive). It is guarded
// by the connection's mu.
type keepalive struct {
	timer   *time.Timer // nil: not begun
	waiting bool        // a PING has no answer yet
	sent    time.Duration
	payload uint64
	stopped bool
}

// start begins the interval PINGs, if there are to be any.
func (k *keepalive) start(c *conn) {
	if c.o.KeepaliveInterval > 0 {
		k.arm(c, k.interval(c))
	}
}

func (k *keepalive) stop() {
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

func (k *keepalive) arm(c *conn, d time.Duration) {
	if k.timer == nil {
		k.timer = time.AfterFunc(d, c.ping)
		return
	}
	k.timer.Reset(d)
}

// interval is KeepaliveInterval with its jitter.
func (k *keepalive) interval(c *conn) time.Duration {
	d := c.o.KeepaliveInterval
	return d + time.Duration(rand.Float64()*c.o.KeepaliveJitter*float64(d))
}

// ping is the timer's: it sends a PING, or ends the connection for want of an answer to the last one.
func (c *conn) ping() {
	c.mu.Lock()
	k := &c.alive
	if k.stopped {
		c.mu.Unlock()
		return
	}
	if !k.waiting {
		k.send(c)
		c.flush(false)
		return
	}
	// Whatever came tells that the peer is there; the answer may be behind it.
	since := max(k.sent, time.Duration(c.lastRx.Load()))
	if left := c.o.KeepaliveTimeout - (now() - since); left > 0 {
		k.arm(c, left)
		c.mu.Unlock()
		return
	}
	c.stats.KeepaliveTimeout.Inc(c.w)
	k.stop()
	if c.failed == nil {
		c.failed = &Error{Kind: Terminated, Why: "no answer to a PING within " + c.o.KeepaliveTimeout.String()}
	}
	c.mu.Unlock()
	c.sock.Cancel()
}

// send queues a PING whose answer must come in time.
func (k *keepalive) send(c *conn) {
	k.waiting, k.sent, k.payload = true, now(), rand.Uint64()
	binary.BigEndian.PutUint64(c.q.frame(http2.FramePing, 0, 0, 8), k.payload)
	k.arm(c, c.o.KeepaliveTimeout)
}

// acked takes the answer to a PING. It reports whether that was ours.
func (k *keepalive) acked(c *conn, payload uint64) bool {
	if !k.waiting || payload != k.payload {
		return false
	}
	k.waiting = false
	switch {
	case k.stopped:
	case c.o.KeepaliveInterval > 0:
		k.arm(c, k.interval(c))
	default:
		k.timer.Stop()
	}
	return true
}

// beforeStream sends a PING ahead of a stream on a connection that was idle for long
// (connection_idle_interval).
func (k *keepalive) beforeStream(c *conn) {
	if c.o.IdlePing > 0 && !k.waiting && !k.stopped && c.open == 0 && now()-time.Duration(c.lastRx.Load()) >= c.o.IdlePing {
		k.send(c)
	}
}
