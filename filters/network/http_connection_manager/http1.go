package hcm

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// http1Conn is a downstream HTTP/1 connection: one stream at a time, on the connection's goroutine.
type http1Conn struct {
	m     *manager
	conn  *network.Conn
	codec http1.ServerConn
	body  http1Body
	born  time.Time

	requests uint64
	// close tells that the connection ends after the current response; draining that it will soon.
	close, draining, broken bool
	drainEnd                time.Time
	wire                    uint64 // written before the current stream

	mu     sync.Mutex
	stream *filter.Stream // guarded by mu: what a hang-up aborts
}

func (m *manager) serveHTTP1(conn *network.Conn) {
	c := &http1Conn{m: m, conn: conn, born: time.Now()}
	c.codec.Init(&conn.Sock, &m.http1)
	c.body.c = c
	w := conn.Worker
	m.stats.CxHTTP1Total.Inc(w)
	m.stats.CxHTTP1Active.Inc(w)
	defer m.stats.CxHTTP1Active.Dec(w)
	for c.wait() {
		s := m.streams.Get().(*filter.Stream)
		keep := c.serve(s)
		m.release(s)
		if !keep {
			break
		}
	}
	c.finish()
}

// hangup aborts the current stream; the watcher calls it.
func (c *http1Conn) hangup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		return
	}
	why := filter.DownstreamDisconnect
	if c.conn.ShutDown() {
		why = filter.LocalClose
	}
	c.stream.Abort(why)
}

// wait waits for the next request. It reports false if the connection is over.
func (c *http1Conn) wait() bool {
	if c.conn.Buffered() > 0 {
		return true
	}
	for {
		_ = c.conn.SetDeadline(c.idleDeadline())
		err := c.codec.Wait()
		if err == nil {
			return true
		}
		if !network.IsTimeout(err) || c.conn.ShutDown() {
			c.remoteClosed(err)
			return false
		}
		if c.draining {
			c.localClosed()
			return false
		}
		c.timedOut()
	}
}

// idleDeadline is when an idle connection's next step is due: idle_timeout, max_connection_duration, or
// the end of drain_timeout once that has begun.
func (c *http1Conn) idleDeadline() time.Time {
	if c.draining {
		return c.drainEnd
	}
	var d time.Time
	if t := c.m.c.idleTimeout; t > 0 {
		d = time.Now().Add(t)
	}
	if t := c.m.c.maxConnectionDuration; t > 0 {
		if end := c.born.Add(t); d.IsZero() || end.Before(d) {
			d = end
		}
	}
	return d
}

// timedOut begins to drain an idle connection: it has drain_timeout for a request that is under way to
// us, whose response will close it (as Envoy).
func (c *http1Conn) timedOut() {
	w := c.conn.Worker
	if t := c.m.c.maxConnectionDuration; t > 0 && time.Since(c.born) >= t {
		c.m.stats.CxMaxDurationReached.Inc(w)
	} else {
		c.m.stats.CxIdleTimeout.Inc(w)
	}
	c.startDrain()
}

func (c *http1Conn) startDrain() {
	if !c.draining {
		c.draining = true
		c.drainEnd = time.Now().Add(c.m.c.drainTimeout)
	}
}

func (c *http1Conn) remoteClosed(err error) {
	if err == io.EOF || network.IsReset(err) {
		c.m.stats.CxDestroyRemote.Inc(c.conn.Worker)
		return
	}
	c.m.stats.CxDestroyLocal.Inc(c.conn.Worker)
}

func (c *http1Conn) localClosed() {
	c.m.stats.CxDestroyLocal.Inc(c.conn.Worker)
}

// serve takes one request through the proxy. It reports whether the connection may carry another one.
func (c *http1Conn) serve(s *filter.Stream) bool {
	m := c.m
	start := time.Now()
	c.close, c.broken = false, false
	c.requests++
	m.begin(s, c.conn, c, start, streaminfo.HTTP11)
	c.mu.Lock()
	c.stream = s
	c.mu.Unlock()
	c.conn.OnHangup(c.hangup)
	m.stats.RqHTTP1Total.Inc(c.conn.Worker)
	if !c.read(s, start) {
		c.leave(s)
		return false
	}
	m.run(s, c)
	c.leave(s)
	if c.broken {
		c.conn.Reset()
		m.stats.CxDestroyLocal.Inc(c.conn.Worker)
		return false
	}
	if c.close || s.Aborted() != filter.NotAborted {
		return false
	}
	c.codec.EndBody()
	c.codec.Release()
	c.conn.Idle()
	return true
}

// leave takes the stream out of the hang-up's reach.
func (c *http1Conn) leave(*filter.Stream) {
	c.mu.Lock()
	c.stream = nil
	c.mu.Unlock()
}

// read reads the request's head. It reports false if there is none and the connection is over; a request
// that is refused has been answered then.
func (c *http1Conn) read(s *filter.Stream, start time.Time) bool {
	m := c.m
	_ = c.conn.SetDeadline(m.c.headersDeadline(start))
	err := c.codec.ReadRequest(&s.Request.Map)
	_ = c.conn.SetDeadline(time.Time{})
	s.Info.Downstream.HeaderReceived = uint64(c.codec.Request.HeadBytes)
	var refused *http1.Error
	switch {
	case err == nil:
		if c.codec.Request.HTTP10 {
			s.Info.Protocol = streaminfo.HTTP10
		}
		c.close = c.codec.Request.Close
		s.Info.LastDownstreamRx = s.Info.Now()
		if c.codec.HasBody() {
			c.body.start(s)
			s.Request.Body = &c.body
		}
		return true
	case errors.As(err, &refused):
		c.refuse(s, refused)
	case network.IsTimeout(err):
		m.stats.RqHeaderTimeout.Inc(c.conn.Worker)
		c.close = true
		s.SendLocalReply(408, "request header timeout", streaminfo.DetailRequestHeaderTimeout, 0)
		m.answer(s, c)
	default:
		m.abandon(s, c, err)
	}
	return false
}

// refuse answers a request that is no valid HTTP, and ends the connection.
func (c *http1Conn) refuse(s *filter.Stream, e *http1.Error) {
	c.m.stats.CxProtocolError.Inc(c.conn.Worker)
	c.close = true
	s.Info.Set(streaminfo.DownstreamProtocolError)
	s.Stage, s.Because = "codec", e.Why
	s.SendLocalReply(e.Status, http1.Reason(e.Status), e.Details, 0)
	c.m.answer(s, c)
}

// finish ends the connection: after an answer that closes it the client gets to read that answer.
func (c *http1Conn) finish() {
	c.conn.OnHangup(nil)
	if c.broken {
		return
	}
	if c.close {
		if c.codec.BodyDone() && c.conn.Buffered() == 0 && !c.conn.HungUp() && c.codec.Request.Close {
			c.localClosed()
			return
		}
		c.localClosed()
		_ = c.conn.CloseDelayed(c.m.c.delayedClose)
	}
}

// Headers writes the response's head.
func (c *http1Conn) Headers(s *filter.Stream, end bool) error {
	h := &s.Response.Map
	upgraded := s.Upgraded
	if c.codec.CloseDelimited(h) {
		c.close = true
	}
	if !upgraded && !c.codec.BodyDone() && (s.Response.Local || !c.codec.BodyBuffered()) {
		// Answered before the end of the request: the client may still be sending it. As Envoy does it, a
		// reply of our own does not look whether the end has come already.
		c.close = true
		c.m.stats.RqResponseBeforeRqComplete.Inc(c.conn.Worker)
	}
	if max := c.m.c.maxRequests; max > 0 && c.requests >= max {
		c.m.stats.CxMaxRequestsReached.Inc(c.conn.Worker)
		c.close = true
	}
	if c.draining || c.conn.Drain != nil && c.conn.Drain.DrainClose() {
		c.m.stats.CxDrainClose.Inc(c.conn.Worker)
		c.close = true
	}
	switch {
	case c.close && !upgraded:
		h.SetID(header.Connection, "close")
	case c.codec.Request.HTTP10:
		h.SetID(header.Connection, "keep-alive")
	}
	return c.codec.WriteHeaders(h, end)
}

// Data gathers a piece of the body.
func (c *http1Conn) Data(p []byte) error { return c.codec.WriteData(p) }

// Flush writes what was gathered.
func (c *http1Conn) Flush() error { return c.codec.Flush() }

// End ends the response.
func (c *http1Conn) End(trailers *header.Map) error { return c.codec.WriteEnd(trailers) }

// Informational writes a 1xx response.
func (c *http1Conn) Informational(h *header.Map) error { return c.codec.Informational(h) }

// Reset leaves the response without its end, and the connection with it.
func (c *http1Conn) Reset() {
	c.broken = true
	_ = c.codec.Flush()
}

// Raw makes both directions bytes.
func (c *http1Conn) Raw() {
	c.codec.Raw()
	c.close = true
}

// RequestDone tells whether the request has been read to its end.
func (c *http1Conn) RequestDone() bool { return c.codec.BodyDone() || c.codec.BodyBuffered() }

// Count fills the stream's bytes on the wire.
func (c *http1Conn) Count(s *filter.Stream) {
	now := c.codec.Wire()
	s.Info.Downstream.WireSent = now - c.wire
	c.wire = now
	s.Info.Downstream.WireReceived = s.Info.Downstream.HeaderReceived + c.codec.BodyWire()
}

var _ responder = (*http1Conn)(nil)
