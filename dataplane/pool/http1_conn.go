package pool

import (
	"errors"
	"io"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

type http1State uint8

const (
	http1Busy http1State = iota
	http1Idle
	http1Closed
)

// http1Conn is a connection, and the one stream that it carries at a time.
type http1Conn struct {
	conn
	h1    http1.ClientConn
	pool  *http1Pool
	shard *http1Shard

	state  http1State // guarded by shard.mu
	hungUp bool       // guarded by shard.mu: the peer has closed
	// idleSince is written before the connection is put, and read under shard.mu.
	idleSince time.Time

	// These are the current request's, and belong to its reader.
	failed, remote bool
	wire           uint64
}

// hangup is called by the watcher: an idle connection is closed at once, a busy one's reader finds out
// itself.
func (c *http1Conn) hangup() {
	s := c.shard
	s.mu.Lock()
	c.hungUp = true
	if c.state != http1Idle {
		s.mu.Unlock()
		return
	}
	c.state = http1Closed
	for i := range s.idle {
		if s.idle[i] == c {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			break
		}
	}
	s.open--
	s.mu.Unlock()
	c.close(true, false)
}

// SendHeaders gathers the head.
func (c *http1Conn) SendHeaders(h *header.Map, end bool) *Error {
	return c.sendError(c.h1.WriteHeaders(h, end))
}

// SendData gathers a piece of the body, or sends it after Split.
func (c *http1Conn) SendData(p []byte, end bool) *Error {
	return c.sendError(c.h1.WriteData(p, end))
}

// SendTrailers ends the body.
func (c *http1Conn) SendTrailers(h *header.Map) *Error {
	return c.sendError(c.h1.WriteTrailers(h))
}

// Split sends what was gathered, and lets one goroutine send while another one reads.
func (c *http1Conn) Split() *Error { return c.sendError(c.h1.Split()) }

// sendError maps an error of the sending side, which may be another goroutine than the reader's.
func (c *http1Conn) sendError(err error) *Error {
	switch {
	case err == nil:
		return nil
	case err == network.ErrStale:
		return errStale
	case network.IsTimeout(err):
		if c.Canceled() {
			return errCanceled
		}
		return errDeadline
	}
	return &Error{Reason: ConnectionTermination, Why: "write failed", Cause: err}
}

// ReadHeaders reads the next response head.
func (c *http1Conn) ReadHeaders(h *header.Map) (bool, *Error) {
	end, err := c.h1.ReadHeaders(h)
	if err == nil {
		return end, nil
	}
	return false, c.readError(err, false)
}

func (c *http1Conn) readError(err error, body bool) *Error {
	if network.IsTimeout(err) && !c.Canceled() {
		return errDeadline // who set it may go on
	}
	c.failed = true
	var refused *http1.Error
	switch {
	case err == network.ErrStale:
		return errStale
	case c.Canceled():
		return errCanceled
	case errors.As(err, &refused):
		c.cfg.Stats.CxProtocolError.Inc(c.worker)
		return &Error{Reason: ProtocolError, Why: refused.Why, Cause: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		// What Envoy's parser calls a protocol error: the message is cut.
		c.remote = true
		c.cfg.Stats.CxProtocolError.Inc(c.worker)
		return &Error{Reason: ProtocolError, Why: "the connection ended within the response", Cause: err}
	case body && network.IsReset(err):
		c.remote = true
		return &Error{Reason: ConnectionTermination, Why: "the connection was reset within the response", Cause: err}
	}
	c.remote = true
	return &Error{Reason: ConnectionTermination, Why: "the connection ended before the response", Cause: err}
}

// Next waits for a piece of the response's body.
func (c *http1Conn) Next() ([]byte, bool, *Error) {
	p, end, _, err := c.h1.NextBody(true)
	if err != nil {
		return nil, false, c.readError(err, true)
	}
	return p, end, nil
}

// TryNext is Next if that need not wait.
func (c *http1Conn) TryNext() (p []byte, end, ok bool, e *Error) {
	p, end, ok, err := c.h1.NextBody(false)
	if err != nil {
		return nil, false, true, c.readError(err, true)
	}
	return p, end, ok, nil
}

// Trailers are the response's.
func (c *http1Conn) Trailers() *header.Map { return c.h1.Trailers() }

// SetDeadline sets when reads and writes fail.
func (c *http1Conn) SetDeadline(t time.Time) { _ = c.Sock.SetDeadline(t) }

// Info fills what is known of the connection.
func (c *http1Conn) Info(u *streaminfo.Upstream) { c.info(u) }

// Raw makes the stream a tunnel.
func (c *http1Conn) Raw() { c.h1.Raw() }

// Bytes are the current request's counts.
func (c *http1Conn) Bytes(b *streaminfo.Bytes) {
	sent := c.h1.Wire() - c.wire
	b.WireSent += sent
	b.HeaderSent += uint64(c.h1.RequestBytes)
	b.WireReceived += uint64(c.h1.HeadBytes) + c.h1.BodyWire()
	b.HeaderReceived += uint64(c.h1.HeadBytes)
}

// Close gives the connection back, or ends it.
func (c *http1Conn) Close() {
	w, s := c.worker, c.cfg.Stats
	s.CxTxBytesTotal.Add(w, c.h1.Wire()-c.wire)
	s.CxRxBytesTotal.Add(w, uint64(c.h1.HeadBytes)+c.h1.BodyWire())
	c.wire = c.h1.Wire()
	c.h1.HeadBytes = 0
	c.h1.End()
	reusable := !c.failed && !c.Canceled() && c.h1.Reusable()
	c.detach()
	if reusable && c.cfg.MaxRequests > 0 && c.requests >= c.cfg.MaxRequests {
		s.CxMaxRequests.Inc(w)
		reusable = false
	}
	if !reusable {
		c.end()
		return
	}
	c.release()
}

// end closes the connection after its request.
func (c *http1Conn) end() {
	finished := c.h1.Finished()
	c.shard.mu.Lock()
	remote := c.remote || c.hungUp
	c.state = http1Closed
	c.shard.mu.Unlock()
	c.Sock.Free()
	c.close(remote, !finished)
	c.shard.closed()
}

// release makes the connection idle.
func (c *http1Conn) release() {
	now := time.Now()
	c.idleSince = now
	if !c.old(now) && c.shard.put(c, c.cfg.IdleTimeout) {
		return
	}
	if c.old(now) {
		c.cfg.Stats.CxMaxDurationReached.Inc(c.worker)
	}
	c.end()
}

var _ Stream = (*http1Conn)(nil)
