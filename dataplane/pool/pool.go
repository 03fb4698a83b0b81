// Package pool keeps the connections to one upstream address, sharded by worker, and runs requests
// over them. It knows no host: a host holds its pools.
package pool

import (
	"context"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Pool is the connections to one address with one protocol and one set of Options.
type Pool interface {
	// Ready returns a stream on an open connection that has room, or nil: the plain path, which never
	// blocks. The circuit breaker for requests is the caller's.
	Ready(w stats.Worker) Stream
	// NewStream waits for room or dials, if the circuit breakers for connections and pending requests
	// allow. ctx ends the wait.
	NewStream(ctx context.Context, w stats.Worker) (Stream, *Error)
	// Drain closes what is idle, and the rest as its requests end; nothing new comes from the pool.
	Drain()
	// Close ends every connection at once.
	Close()
}

// Stream is one upstream request. Send methods may be called by one goroutine while another one reads;
// Cancel by any.
type Stream interface {
	// SendHeaders sends the request's head; end tells that there is neither body nor trailers. It may
	// keep the head back until ReadHeaders or the next SendData.
	SendHeaders(h *header.Map, end bool) *Error
	// SendData sends a piece of the body; it blocks while the peer takes no more. p is not kept.
	SendData(p []byte, end bool) *Error
	SendTrailers(h *header.Map) *Error
	// Split sends what was kept back: from now on one goroutine sends while another reads, and each piece
	// is sent at once. Without it, all is sent by the goroutine that then reads.
	Split() *Error
	// ReadHeaders waits for the next response head and parses it into h: informational ones too. end
	// tells that no body follows. An Error with Reason Stale means that nothing was sent.
	ReadHeaders(h *header.Map) (end bool, err *Error)
	// Next waits for a piece of the body, borrowed until the next call: nil with end, and Trailers then.
	// Not to be called again after end or an error.
	Next() (p []byte, end bool, err *Error)
	// TryNext is Next if that need not wait.
	TryNext() (p []byte, end, ok bool, err *Error)
	// Trailers are the response's, or nil; valid until Close.
	Trailers() *header.Map
	// SetDeadline is when a read or write that is under way, or comes later, fails with
	// os.ErrDeadlineExceeded as its Cause; zero is never.
	SetDeadline(t time.Time)
	// Cancel makes whoever reads or writes return an Error with Reason LocalReset. The stream is lost.
	Cancel()
	// Close ends the stream: its connection goes back to the pool if both sides are done, else it is
	// reset. The stream may not be used any more.
	Close()
	// Bytes adds the stream's counts to b.
	Bytes(b *streaminfo.Bytes)
	// Info fills the upstream half of a stream's info: connection, addresses, protocol, TLS.
	Info(u *streaminfo.Upstream)
	// Raw turns the stream into a tunnel after a 101 or a 2xx to CONNECT: SendData and Next carry bytes
	// without framing.
	Raw()
}

// Options are what a pool of connections differs in, besides its address. It is comparable; the zero
// Options are what most requests have.
type Options struct {
	Protocol Protocol
	High     bool // the priority, whose circuit breakers count
	// ServerName, SANs and ALPN override the transport socket's (auto_sni, istio.alpn); lists are joined
	// by commas.
	ServerName, SANs, ALPN string
	// FilterState is what shared filter-state objects add to the key.
	FilterState string
	// Downstream is the downstream connection's ID under connection_pool_per_downstream_connection.
	Downstream uint64
	// OriginalSource binds upstream connections to the client's address (original_src): "ADDRESS", or
	// "ADDRESS,MARK" for SO_MARK.
	OriginalSource string
	// Conn is the client's connection where the transport passes it on (PROXY protocol,
	// internal_upstream): a pool of its own for each. Else nil.
	Conn *streaminfo.Connection
}

// Protocol is what a pool speaks.
type Protocol uint8

// Auto lets ALPN decide.
const (
	HTTP1 Protocol = iota
	HTTP2
	HTTP3
	Auto
	TCP
)

// HostStats are one host's own counters, which /clusters shows. They are atomics, not stats: hosts are
// too many to have names.
type HostStats struct {
	CxTotal, CxConnectFail, RqTotal, RqError, RqSuccess, RqTimeout counter
	CxActive, RqActive, RqPendingActive                            gauge
}
