package pool

import (
	"errors"
	"io"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Tunnel is a TCPConn as the Stream of a CONNECT that ends here: the request's body is what the upstream
// gets, and what it sends is the response's (route.v3.RouteAction.UpgradeConfig.ConnectConfig). There are
// no heads on the wire: the response is 200 as soon as there is a connection.
type Tunnel struct {
	c              *TCPConn
	preface        []byte // sent before the payload: a PROXY protocol header
	sent, received uint64
	consume        int
	answered       bool
	ended, remote  bool
}

// Tunnel makes a stream of a connection that has just been opened; preface, if any, is sent first.
func (t *TCPConn) Tunnel(preface []byte) *Tunnel { return &Tunnel{c: t, preface: preface} }

// SendHeaders sends the preface.
func (t *Tunnel) SendHeaders(_ *header.Map, end bool) *Error {
	if err := t.write(t.preface); err != nil || !end {
		return err
	}
	return t.SendData(nil, true)
}

// SendData sends a piece of the payload; end shuts our side of the connection down.
func (t *Tunnel) SendData(p []byte, end bool) *Error {
	if err := t.write(p); err != nil || !end {
		return err
	}
	_ = t.c.CloseWrite() // a transport that cannot goes on: the end comes with Close
	return nil
}

func (t *Tunnel) write(p []byte) *Error {
	if len(p) == 0 {
		return nil
	}
	n, err := t.c.Sock.Write(p)
	t.sent += uint64(n)
	return t.failed(err)
}

// failed is an error of the connection in the pool's words.
func (t *Tunnel) failed(err error) *Error {
	switch {
	case err == nil:
		return nil
	case network.IsTimeout(err):
		if t.c.Canceled() {
			return errCanceled
		}
		return errDeadline
	}
	return &Error{Reason: ConnectionTermination, Why: "the connection ended", Cause: err}
}

// SendTrailers ends the payload.
func (t *Tunnel) SendTrailers(*header.Map) *Error { return t.SendData(nil, true) }

// Split does nothing: both directions are free of each other.
func (t *Tunnel) Split() *Error { return nil }

// ReadHeaders answers for the upstream.
func (t *Tunnel) ReadHeaders(h *header.Map) (bool, *Error) {
	h.Status, t.answered = 200, true
	return false, nil
}

// Next waits for bytes from the upstream.
func (t *Tunnel) Next() ([]byte, bool, *Error) {
	t.c.Sock.Consumed(&t.consume)
	if t.c.Buffered() == 0 {
		if err := t.c.Fill(); err != nil {
			if errors.Is(err, io.EOF) {
				t.ended, t.remote = true, true
				return nil, true, nil
			}
			t.remote = !network.IsTimeout(err)
			return nil, false, t.failed(err)
		}
	}
	p := t.c.Buf.Bytes()
	t.consume = len(p)
	t.received += uint64(len(p))
	return p, false, nil
}

// TryNext is Next if that need not wait.
func (t *Tunnel) TryNext() (p []byte, end, ok bool, err *Error) {
	t.c.Sock.Consumed(&t.consume)
	if t.c.Buffered() == 0 {
		return nil, false, false, nil
	}
	p, end, err = t.Next()
	return p, end, true, err
}

// Trailers are none.
func (t *Tunnel) Trailers() *header.Map { return nil }

// SetDeadline sets when reads and writes fail.
func (t *Tunnel) SetDeadline(d time.Time) { _ = t.c.Sock.SetDeadline(d) }

// Cancel makes whoever reads or writes return.
func (t *Tunnel) Cancel() { t.c.Sock.Cancel() }

// Close closes the connection.
func (t *Tunnel) Close() {
	t.c.Count(t.sent, t.received)
	t.c.Finish(t.remote)
}

// Bytes adds the payload's counts.
func (t *Tunnel) Bytes(b *streaminfo.Bytes) {
	b.WireSent += t.sent
	b.WireReceived += t.received
}

// Info fills what is known of the connection.
func (t *Tunnel) Info(u *streaminfo.Upstream) { t.c.Info(u) }

// Raw does nothing: there is no framing.
func (t *Tunnel) Raw() {}

var _ Stream = (*Tunnel)(nil)
