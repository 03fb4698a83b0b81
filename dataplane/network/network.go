// Package network holds the downstream connection and the seams of the connection layer: listener
// filters, network filters, terminal filters, upstream filters.
package network

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Status is a filter's verdict.
type Status uint8

// Continue goes on to the next filter; Stop ends the connection or the stream, which the filter has
// answered or closed by then.
const (
	Continue Status = iota
	Stop
)

// ListenerFilter looks at an accepted connection before a filter chain is chosen. It may Peek and may
// block, under the listener's deadline.
type ListenerFilter interface{ OnAccept(c *Conn) Status }

// Filter is one connection's network filter.
type Filter interface {
	// OnNewConnection is a gate: it may block, wrap the connection (Conn.Wrap), or refuse it by Stop.
	OnNewConnection(c *Conn) Status
	// OnClose is called once, when the connection is over, in the order of the chain.
	OnClose(c *Conn)
}

// Terminal is the last filter of a chain.
type Terminal interface {
	Filter
	// Serve carries the connection until it is over. The caller closes the connection then.
	Serve(c *Conn)
}

// UpstreamFilter is a network filter of a cluster (`filters`): it may wrap a new upstream connection.
type UpstreamFilter interface {
	OnConnect(c net.Conn, i *streaminfo.Upstream) (net.Conn, error)
}

// Drainer tells whether a connection should be closed after its current response, because its
// listener or filter chain drains or the server is failing health checks.
type Drainer interface{ DrainClose() bool }

// Conn is a downstream connection. It belongs to the goroutine that serves it; what others may call
// says so.
type Conn struct {
	Sock
	Worker stats.Worker
	Info   streaminfo.Connection
	// Drain is set by the listener before the first network filter.
	Drain Drainer
	// BufferLimit is per_connection_buffer_limit_bytes.
	BufferLimit int
	// Watcher tells when the client hangs up; nil: nobody does.
	Watcher *Watcher

	// FilterTimedOut and FilterClosed are how a listener filter tells that it ended at the deadline, or
	// with the client's connection.
	FilterTimedOut, FilterClosed bool
	// Stream is what the terminal filter knows of the connection as a whole: tcp_proxy's stream info; nil:
	// nothing, or HTTP. It belongs to the connection's goroutine, and stays valid for OnClose.
	Stream *streaminfo.Info
	// ListenerPort is the port of the socket that accepted the connection; 0: none.
	ListenerPort uint16
	// Counted tells that the connection counts in the proxy's limit.
	Counted bool

	reports  []report
	onHangup atomic.Pointer[func()]
	shutdown atomic.Bool
	hungUp   atomic.Bool
	watch    *Watch
	bottom   *net.TCPConn // the socket under whatever wraps it; nil: no TCP
}

// Start makes c carry an accepted connection.
func (c *Conn) Start(n net.Conn) {
	c.Sock.Init(n)
	c.bottom = c.TCP()
}

// Socket is the TCP socket under whatever wraps the connection, for its options; nil if it is no TCP.
func (c *Conn) Socket() *net.TCPConn { return c.bottom }

// Wrap puts a layer over the connection: reads and writes go through what f returns from now on, and
// bytes that were peeked but not consumed are read by f's connection first.
func (c *Conn) Wrap(f func(net.Conn) net.Conn) {
	inner := c.Sock.below()
	c.Sock.Init(f(inner))
	c.Sock.reads.canceled.Store(inner.reads.canceled.Load())
	c.Sock.writes.canceled.Store(inner.writes.canceled.Load())
}

// OnHangup has f called, on another goroutine, when the client has closed its side or reset the
// connection; at once if that has happened. Nil takes f back, and does not wait for a call under way.
// Nothing is ever called for connections that are no plain TCP sockets.
func (c *Conn) OnHangup(f func()) {
	if f == nil {
		c.onHangup.Store(nil)
		return
	}
	c.onHangup.Store(&f)
	if c.watch == nil && c.Watcher != nil && c.bottom != nil {
		c.watch = c.Watcher.Add(c.bottom, c.hangup)
	}
	if c.hungUp.Load() {
		c.hangup()
	}
}

// HungUp tells whether the client is known to have closed its side.
func (c *Conn) HungUp() bool { return c.hungUp.Load() }

func (c *Conn) hangup() {
	c.hungUp.Store(true)
	if f := c.onHangup.Swap(nil); f != nil {
		(*f)()
	}
}

// Shutdown makes the connection's goroutine end it, from any goroutine: reads and writes fail from now
// on, and who waits for something else is told as of a hang-up.
func (c *Conn) Shutdown() {
	c.shutdown.Store(true)
	c.Cancel()
	if f := c.onHangup.Swap(nil); f != nil {
		(*f)()
	}
}

// ShutDown tells whether Shutdown was called.
func (c *Conn) ShutDown() bool { return c.shutdown.Load() }

// Close closes the connection and takes it off the watcher.
func (c *Conn) Close() error {
	c.watch.Remove()
	c.Sock.Free()
	return c.Sock.Conn.Close()
}

// Reset closes the connection with a RST where it is TCP.
func (c *Conn) Reset() error {
	if c.bottom == nil {
		return c.Close()
	}
	_ = c.bottom.SetLinger(0)
	err := c.bottom.Close() // at once: a layer above must not say goodbye first
	_ = c.Close()
	return err
}

// CloseDelayed closes our side, then waits for the client to close its own, or d, so that what was
// written last is not lost to a RST (Envoy's delayed_close_timeout).
func (c *Conn) CloseDelayed(d time.Duration) error {
	t := c.TCP()
	if t == nil || d <= 0 || c.HungUp() || t.CloseWrite() != nil {
		return c.Close()
	}
	_ = c.Sock.Conn.SetReadDeadline(time.Now().Add(d)) // over whatever was set or canceled
	var drop [2048]byte
	for {
		if _, err := c.Sock.Conn.Read(drop[:]); err != nil {
			break
		}
	}
	return c.Close()
}

// IsTimeout tells whether err is a passed deadline.
func IsTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// IsReset tells whether err is the peer's RST.
func IsReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Past is a deadline that has passed: setting it wakes whoever waits.
var Past = time.Unix(1, 0)
