package filter

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Request is a request on its way through the filters.
type Request struct {
	header.Map
	// Body is nil where there is none.
	Body Body
}

// Response is the response, once there is one: Status is not 0 then.
type Response struct {
	header.Map
	// Body is nil where there is none.
	Body Body
	// Local tells that the proxy made it.
	Local bool
}

// Stream is one request and its response. It is owned by its goroutine and reused: nothing borrowed
// from it survives OnStreamComplete.
type Stream struct {
	Request  Request
	Response Response
	// Route is what the request matched, pinned with its table; nil: none.
	Route *route.Route
	Info  streaminfo.Info
	// Pick is here, not on a stack: what goes by pointer through an interface must live in the Stream.
	Pick   lb.Context
	Conn   *network.Conn
	Worker stats.Worker
	// Random is the stream's random value: fractions and weights are taken from it.
	Random uint64
	// IdleTimeout is the stream's, 0 never; MaxDuration is when it must be over, zero never.
	IdleTimeout time.Duration
	MaxDuration time.Time
	// Upgrade is the kind of upgrade that the request asked for and the route allows, in lower case:
	// "websocket", "connect"; "" is none. Upgraded tells that the upstream has agreed.
	Upgrade  string
	Upgraded bool
	// GRPC tells of a gRPC request: local replies are gRPC's.
	GRPC bool
	// Responder is the codec's side of the stream, for the connection manager.
	Responder any
	// Stage and Because say for /why what decided about a local reply, Attempts what was tried before.
	Stage, Because string
	Attempts       []VerdictTry
	// Manager is the connection manager that the stream belongs to.
	Manager Manager

	// Entry is what access logs see of the stream.
	Entry accesslog.Entry
	// LocalBody is where SendLocalReply puts its body.
	LocalBody BytesBody

	filters []HTTP

	activity atomic.Int64 // when anything last moved, as time since Info.Start

	mu       sync.Mutex
	canceler Canceler           // guarded by mu
	aborted  AbortReason        // guarded by mu
	cancel   context.CancelFunc // guarded by mu; nil until Context is asked for
	ctx      context.Context    //nolint:containedctx // the stream is the context's owner
}

// Manager is what filters ask of the connection manager.
type Manager interface {
	// LocalReply rewrites s.Response, a local reply, as local_reply_config says.
	LocalReply(s *Stream, r *accesslog.Reply)
	// Match matches the route of s anew.
	Match(s *Stream) *route.Route
	// Informational sends a 1xx response at once.
	Informational(s *Stream, h *header.Map) error
}

// Canceler is something that can be waited for, and woken from another goroutine.
type Canceler interface{ Cancel() }

// AbortReason is why a stream was given up from outside.
type AbortReason uint8

// The reasons.
const (
	NotAborted AbortReason = iota
	// DownstreamDisconnect is a client that has gone (DC).
	DownstreamDisconnect
	// DownstreamReset is a client that reset the stream (DR).
	DownstreamReset
	// DownstreamProtocolError is a client that broke the protocol.
	DownstreamProtocolError
	// LocalClose is a connection that we close: drained, or timed out.
	LocalClose
)

// Abort gives the stream up, from any goroutine: whatever it waits for returns.
func (s *Stream) Abort(why AbortReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted != NotAborted {
		return
	}
	s.aborted = why
	if s.cancel != nil {
		s.cancel()
	}
	if s.canceler != nil {
		s.canceler.Cancel()
	}
}

// Aborted tells whether and why the stream was given up.
func (s *Stream) Aborted() AbortReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aborted
}

// WaitOn tells what the stream waits for from now on, so that Abort can wake it; nil is nothing. After
// WaitOn(nil) the canceler is not called any more. It reports false, and cancels c, if the stream has
// been given up already.
func (s *Stream) WaitOn(c Canceler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canceler = c
	if s.aborted == NotAborted {
		return true
	}
	if c != nil {
		c.Cancel()
	}
	return false
}

// Context ends with the stream, with its client, or at MaxDuration. It is made on first use.
func (s *Stream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		if s.MaxDuration.IsZero() {
			s.ctx, s.cancel = context.WithCancel(context.Background())
		} else {
			s.ctx, s.cancel = context.WithDeadline(context.Background(), s.MaxDuration)
		}
		if s.aborted != NotAborted {
			s.cancel()
		}
	}
	return s.ctx
}

// Touch notes that something moved, for the idle timeout. The pump calls it as well.
func (s *Stream) Touch() { s.activity.Store(int64(s.Info.Now())) }

// IdleSince is when something last moved.
func (s *Stream) IdleSince() time.Time {
	return s.Info.Start.Add(time.Duration(s.activity.Load()))
}

// Answered tells whether there is a response, the proxy's or the upstream's.
func (s *Stream) Answered() bool { return s.Response.Status != 0 }

// Filters are the stream's, in the order of the chain, for the connection manager.
func (s *Stream) Filters() []HTTP { return s.filters }

// ClearRouteCache matches the route anew: for a filter that has changed what it depends on.
func (s *Stream) ClearRouteCache() {
	s.Route = s.Manager.Match(s)
}

// Begin readies s for a request on conn at this moment.
func (s *Stream) Begin(conn *network.Conn, m Manager, start time.Time, random uint64) {
	s.Conn, s.Worker, s.Manager, s.Random = conn, conn.Worker, m, random
	s.Info.Start, s.Info.Conn = start, &conn.Info
	s.Request.Reset()
	s.Response.Reset()
}

// Reset empties s for reuse. What it borrowed out is void from here on.
func (s *Stream) Reset() {
	s.mu.Lock()
	if s.cancel != nil {
		s.cancel()
	}
	s.canceler, s.cancel, s.ctx, s.aborted = nil, nil, nil, NotAborted
	s.mu.Unlock()
	s.Request.Map.Reset()
	s.Response.Map.Reset()
	s.Request.Body, s.Response.Body, s.Response.Local = nil, nil, false
	s.Route, s.Conn, s.Manager = nil, nil, nil
	s.Info.Reset()
	s.Pick = lb.Context{}
	s.IdleTimeout, s.MaxDuration = 0, time.Time{}
	s.Upgrade, s.Upgraded, s.GRPC, s.Responder = "", false, false, nil
	s.Stage, s.Because, s.Attempts = "", "", s.Attempts[:0]
	s.LocalBody.Set(nil, nil)
	s.Entry = accesslog.Entry{}
	clear(s.filters)
	s.filters = s.filters[:0]
	s.activity.Store(0)
}
