package admin

import (
	"bufio"
	"io"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// maxHead is the most that a request's head may have, as in Envoy; readSize what is read at once.
	maxHead  = 60 << 10
	readSize = 4 << 10
	// writeTimeout is how long a client may take for one write: one that does not read holds a
	// connection alone, for nothing is written on the main goroutine.
	writeTimeout = 30 * time.Second
)

// preface is what an HTTP/2 client with prior knowledge sends first (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// conn is a downstream connection. It counts what goes through it, and bounds the head that is read.
type conn struct {
	net.Conn
	id      uint64
	started time.Time
	head    io.LimitedReader
	br      *bufio.Reader

	received, sent atomic.Uint64
	http2          bool
	// local tells that we closed it, and not the client; spoke that it has said what it speaks.
	local, spoke bool
}

func newConn(raw net.Conn, id uint64) *conn {
	c := &conn{Conn: raw, id: id, started: time.Now()}
	c.head = io.LimitedReader{R: counter{c}, N: math.MaxInt64}
	c.br = bufio.NewReaderSize(&c.head, readSize)
	return c
}

// counter reads the connection itself.
type counter struct{ c *conn }

func (r counter) Read(p []byte) (int, error) {
	n, err := r.c.Conn.Read(p)
	r.c.received.Add(uint64(n))
	return n, err
}

// Read reads what has been buffered first.
func (c *conn) Read(p []byte) (int, error) { return c.br.Read(p) }

// Write writes within writeTimeout.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.sent.Add(uint64(n))
	return n, err
}

// limitHead bounds what is read until freeBody: more is an error of reading.
func (c *conn) limitHead() { c.head.N = maxHead + readSize }

func (c *conn) freeBody() { c.head.N = math.MaxInt64 }

// tooLong tells that the bound was reached.
func (c *conn) tooLong() bool { return c.head.N <= 0 }

// prefersHTTP2 tells whether the client speaks HTTP/2. It reads no more than it takes to know.
func (c *conn) prefersHTTP2() bool {
	for n := 1; n <= len(preface); n++ {
		b, err := c.br.Peek(n)
		if err != nil || b[n-1] != preface[n-1] {
			return false
		}
	}
	c.http2 = true
	return true
}

// lingerTime and lingerBytes bound how long a client is listened to that has been answered with an error.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// linger reads what the client still sends, for closing with something unread would take the answer
// away from it.
func (c *conn) linger() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
}

func (c *conn) remote() netip.AddrPort    { return addrPort(c.RemoteAddr()) }
func (c *conn) localAddr() netip.AddrPort { return addrPort(c.LocalAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
