package ads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pillion-proxy/pillion/xds"
)

// Stream is one gRPC stream that is opened again whenever it ends. What was accepted stays meanwhile.
type Stream struct {
	method, name string // of the RPC
	cluster      string
	authority    string
	delta        bool
	firstOnly    bool // the node goes with a stream's first request only
	receive      int  // max_receive_message_length
	metadata     metadata.MD
	node         *corepb.Node
	dial         Dialer
	limit        *limiter // owned by send
	backoff      backoff  // owned by run
	sink         xds.Sink
	log          *slog.Logger

	cancel context.CancelFunc
	ctx    context.Context // ends with Close
	done   sync.WaitGroup  // run, and what is timed
	wake   chan struct{}   // something is queued

	mu     sync.Mutex
	types  map[string]*subscription
	order  []string // of first subscription: that is the order in which they are asked for again
	queue  []request
	live   bool // a stream is open: requests are queued
	closed bool
}

func (o *Opener) stream(api *corepb.ApiConfigSource, sink xds.Sink) *Stream {
	service := api.GrpcServices[0]
	e := service.GetEnvoyGrpc()
	s := &Stream{
		cluster: e.GetClusterName(), authority: e.GetAuthority(), delta: api.ApiType == corepb.ApiConfigSource_DELTA_GRPC,
		firstOnly: api.SetNodeOnFirstMessageOnly, receive: int(e.GetMaxReceiveMessageLength().GetValue()),
		node: o.Node, dial: o.Dial, limit: newLimiter(api.RateLimitSettings), backoff: newBackoff(service), sink: sink, log: o.Log,
		wake: make(chan struct{}, 1), types: map[string]*subscription{}, metadata: metadata.MD{},
	}
	if s.authority == "" {
		s.authority = s.cluster
	}
	if s.receive == 0 {
		s.receive = math.MaxInt32
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, h := range service.InitialMetadata {
		v := h.Value
		if v == "" {
			v = string(h.RawValue)
		}
		s.metadata.Append(h.Key, strings.ReplaceAll(v, "%%", "%"))
	}
	return s
}

func (s *Stream) start() {
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(s.run) // ended by Close, joined by Wait
}

// Close ends the stream.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	for _, t := range s.types {
		for _, timer := range t.ttl {
			timer.Stop()
		}
	}
	s.mu.Unlock()
	s.cancel()
}

// Wait waits for the stream's goroutines.
func (s *Stream) Wait() { s.done.Wait() }

// run opens the stream again and again.
func (s *Stream) run() {
	for s.ctx.Err() == nil {
		err := s.once()
		if s.ctx.Err() != nil {
			return
		}
		st := status.New(codes.OK, "")
		if !errors.Is(err, io.EOF) {
			st = status.Convert(err)
		}
		s.log.Warn(fmt.Sprintf("%s gRPC config stream to %s closed: %d, %s", s.name, s.cluster, st.Code(), st.Message()))
		s.sink.Connected(err)
		if sleep(s.ctx, s.backoff.next()) != nil {
			return
		}
	}
}

// once is one stream from its opening to its end.
func (s *Stream) once() error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	cc, err := s.dial(ctx, s.cluster, s.authority)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }() // each stream has a connection of its own: there is nothing to keep
	if len(s.metadata) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, s.metadata)
	}
	st, err := cc.NewStream(ctx, &grpc.StreamDesc{StreamName: s.name, ServerStreams: true, ClientStreams: true}, s.method,
		grpc.MaxCallRecvMsgSize(s.receive), grpc.MaxCallSendMsgSize(math.MaxInt32))
	if err != nil {
		return err
	}
	s.sink.Connected(nil)
	s.restart()
	var sender sync.WaitGroup
	sender.Go(func() { // ended by cancel, joined here
		if s.send(ctx, st) != nil {
			cancel()
		}
	})
	err = s.recv(st)
	s.mu.Lock()
	s.live, s.queue = false, nil
	s.mu.Unlock()
	cancel()
	sender.Wait()
	return err
}

// recv takes responses until the stream ends.
func (s *Stream) recv(st grpc.ClientStream) error {
	for {
		var err error
		if s.delta {
			err = s.recvDelta(st)
		} else {
			err = s.recvSotW(st)
		}
		if err != nil {
			return err
		}
		s.backoff.reset()
	}
}

// send sends what is queued until the stream ends.
func (s *Stream) send(ctx context.Context, st grpc.ClientStream) error {
	first := true
	for {
		m := s.next(first || !s.firstOnly)
		if m == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
			}
			continue
		}
		if err := s.limit.take(ctx); err != nil {
			return nil
		}
		if err := st.SendMsg(m); err != nil {
			return err
		}
		first = false
	}
}

// accept has the sink judge a response, and queues the answer.
func (s *Stream) accept(r *xds.Response, nonce string, beats []beat) {
	s.mu.Lock()
	t := s.types[r.TypeURL]
	s.mu.Unlock()
	if t == nil {
		if s.delta {
			s.log.Warn(fmt.Sprintf("Dropping received DeltaDiscoveryResponse (with version %s) for non-existent subscription %s.", r.Version, r.TypeURL))
		} else {
			s.log.Warn(fmt.Sprintf("Ignoring the message for type URL %s as it has no current subscribers.", r.TypeURL))
		}
		return
	}
	v := s.sink.Accept(r)
	if v.Details != "" {
		s.log.Warn(fmt.Sprintf("gRPC config for %s rejected: %s", r.TypeURL, v.Details))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.took(r, v)
	s.beat(t, v, beats)
	if !s.live {
		return
	}
	if !s.delta {
		t.nonce = nonce
		s.unqueue(r.TypeURL) // the acknowledgement has all names
	}
	s.push(request{t: t, ack: true, nonce: nonce, version: t.version, details: v.Details})
}

// beat is a resource's time to live, in a response.
type beat struct {
	name, version string
	ttl           time.Duration
	alone         bool // a heartbeat: it comes without the resource
}

// beat sets the timers of resources that live for a time only. It is called with mu held.
func (s *Stream) beat(t *subscription, v xds.Verdict, beats []beat) {
	for _, b := range beats {
		old := t.ttl[b.name]
		switch {
		case s.closed, b.ttl <= 0 && old == nil, v.Whole, contains(v.Rejected, b.name):
			continue
		case b.alone && (old == nil || s.delta && t.versions[b.name] != b.version):
			continue
		}
		if old != nil {
			old.Stop()
			delete(t.ttl, b.name)
		}
		if b.ttl <= 0 {
			continue
		}
		if t.ttl == nil {
			t.ttl = map[string]*time.Timer{}
		}
		var timer *time.Timer
		timer = time.AfterFunc(b.ttl, func() { s.expire(t, b.name, &timer) })
		t.ttl[b.name] = timer
	}
}

// expire takes away a resource whose time has passed, as if the server had.
func (s *Stream) expire(t *subscription, name string, timer **time.Timer) {
	s.mu.Lock()
	if s.closed || t.ttl[name] != *timer {
		s.mu.Unlock()
		return
	}
	s.done.Add(1) // under mu, and so before Close: Wait waits for this
	defer s.done.Done()
	delete(t.ttl, name)
	delete(t.versions, name)
	s.mu.Unlock()
	s.sink.Accept(&xds.Response{TypeURL: t.url, Version: t.version, Delta: true, Removed: []string{name}})
}

var (
	_ xds.Stream   = (*Stream)(nil)
	_ xds.OpenFunc = (*Opener)(nil).Open
)
