package hcm

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// http1Body is the body of the current request. Its reader is the router's pump, or the stream's own
// goroutine.
type http1Body struct {
	c      *http1Conn
	s      *filter.Stream
	closed atomic.Bool
	// deadline is request_timeout's end; zero: none.
	deadline time.Time
}

func (b *http1Body) start(s *filter.Stream) {
	b.s, b.deadline = s, time.Time{}
	b.closed.Store(false)
	if t := b.c.m.c.requestTimeout; t > 0 {
		b.deadline = s.Info.Start.Add(t)
	}
}

// Next waits for a piece of the body.
func (b *http1Body) Next() ([]byte, error) {
	if b.closed.Load() {
		return nil, filter.ErrBodyClosed
	}
	_ = b.c.conn.SetReadDeadline(b.deadline)
	p, end, err := b.c.codec.NextBody()
	if err == nil {
		return b.got(p, end)
	}
	return nil, b.failed(err)
}

func (b *http1Body) got(p []byte, end bool) ([]byte, error) {
	b.s.Touch()
	b.s.Info.LastDownstreamRx = b.s.Info.Now()
	if end {
		return nil, io.EOF
	}
	b.s.Info.BytesReceived += uint64(len(p))
	return p, nil
}

func (b *http1Body) failed(err error) error {
	var refused *http1.Error
	switch {
	case b.closed.Load():
		return filter.ErrBodyClosed
	case network.IsTimeout(err):
		return filter.ErrRequestTimeout
	case errors.As(err, &refused):
		return &filter.BodyError{Code: refused.Status, Details: refused.Details, Why: refused.Why}
	}
	b.s.Abort(filter.DownstreamDisconnect)
	return err
}

// TryNext is Next if that need not wait.
func (b *http1Body) TryNext() ([]byte, bool, error) {
	if !b.c.codec.BodyBuffered() && b.c.conn.Buffered() == 0 {
		return nil, false, nil
	}
	p, err := b.Next()
	return p, true, err
}

// Complete tells whether all of the body has been read from the socket.
func (b *http1Body) Complete() bool { return b.c.codec.BodyBuffered() }

// Trailers are the request's.
func (b *http1Body) Trailers() *header.Map { return b.c.codec.Trailers() }

// Close makes a reader return.
func (b *http1Body) Close() error {
	b.closed.Store(true)
	b.c.conn.CancelRead()
	return nil
}

var _ filter.CompleteBody = (*http1Body)(nil)
