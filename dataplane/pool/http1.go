package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// http1Pool keeps idle HTTP/1 connections by worker, the last used one first.
type http1Pool struct {
	cfg    Config
	opts   http1.ClientOptions
	shards []http1Shard
	ids    *atomic.Uint64
}

// http1Shard is one worker's. Its mutex is one of the locks of the request path; nothing is called
// while it is held.
type http1Shard struct {
	mu       sync.Mutex
	idle     []*http1Conn // oldest first; guarded by mu
	waiters  []*waiter    // first come first; guarded by mu
	open     int          // connections, idle, busy or being dialled; guarded by mu
	draining bool         // guarded by mu
	sweep    *time.Timer  // guarded by mu; nil until something is idle
	_        [16]byte
}

// waiter is a request that waits for a connection. Whoever takes it off the list answers it.
type waiter struct{ got chan *http1Conn }

// NewHTTP1 makes a pool of HTTP/1 connections.
func NewHTTP1(cfg Config) Pool {
	p := &http1Pool{cfg: cfg, shards: make([]http1Shard, cfg.Workers+1)}
	p.opts = http1.ClientOptions{MaxHeaderBytes: cfg.MaxResponseHeadersBytes, MaxHeaders: cfg.MaxResponseHeadersCount,
		KeepCase: cfg.HTTP1.KeepCase, ProperCase: cfg.HTTP1.ProperCase, EnableTrailers: cfg.HTTP1.EnableTrailers,
		AllowChunkedLength: cfg.HTTP1.AllowChunkedLength, FullyQualified: cfg.HTTP1.SendFullyQualified, Stats: cfg.HTTP1.Stats}
	return p
}

// Ready takes an idle connection, if there is one.
func (p *http1Pool) Ready(w stats.Worker) Stream {
	if c := p.shards[w].take(); c != nil {
		c.attach()
		return c
	}
	return nil
}

func (s *http1Shard) take() *http1Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle) - 1
	if n < 0 {
		return nil
	}
	c := s.idle[n]
	s.idle[n] = nil
	s.idle = s.idle[:n]
	c.state = http1Busy
	return c
}

// NewStream dials, if the circuit breakers allow, or waits for a connection that another request gives
// back.
func (p *http1Pool) NewStream(ctx context.Context, w stats.Worker) (Stream, *Error) {
	if s := p.Ready(w); s != nil {
		return s, nil
	}
	st := p.cfg.Stats
	if b := p.cfg.Breakers; b != nil && !b.Pending.CanCreate() {
		st.RqPendingOverflow.Inc(w)
		return nil, overflow("max_pending_requests", b.Pending.Max())
	}
	st.RqPendingTotal.Inc(w)
	p.pending(w, 1)
	c, err := p.dialOrWait(ctx, w)
	p.pending(w, -1)
	if err != nil {
		return nil, err
	}
	c.attach()
	return c, nil
}

func overflow(breaker string, limit uint32) *Error {
	return &Error{Reason: Overflow, Why: "circuit breaker " + breaker + " (" + itoa(limit) + ") is open"}
}

func (p *http1Pool) pending(w stats.Worker, n int64) {
	if n > 0 {
		p.cfg.Stats.RqPendingActive.Inc(w)
		if p.cfg.Breakers != nil {
			p.cfg.Breakers.Pending.Inc()
		}
	} else {
		p.cfg.Stats.RqPendingActive.Dec(w)
		if p.cfg.Breakers != nil {
			p.cfg.Breakers.Pending.Dec()
		}
	}
	p.cfg.Host.RqPendingActive.Add(n)
}

func (p *http1Pool) dialOrWait(ctx context.Context, w stats.Worker) (*http1Conn, *Error) {
	allowed := p.cfg.Breakers == nil || p.cfg.Breakers.Connections.CanCreate()
	s := &p.shards[w]
	s.mu.Lock()
	// A pool without connections makes one whatever the breaker says, else its requests wait for ever.
	if allowed || s.open == 0 {
		s.open++
		s.mu.Unlock()
		if !allowed {
			p.cfg.Stats.CxOverflow.Inc(w)
		}
		return p.dial(ctx, s, w)
	}
	wait := &waiter{got: make(chan *http1Conn, 1)}
	s.waiters = append(s.waiters, wait)
	s.mu.Unlock()
	p.cfg.Stats.CxOverflow.Inc(w)
	select {
	case c := <-wait.got:
		if c == nil { // a connection was closed instead: its place is ours
			return p.dial(ctx, s, w)
		}
		return c, nil
	case <-ctx.Done():
		return nil, s.giveUp(ctx, wait)
	}
}

// giveUp takes a waiter off the list; what it was given meanwhile goes on to the next one.
func (s *http1Shard) giveUp(ctx context.Context, wait *waiter) *Error {
	s.mu.Lock()
	for i := range s.waiters {
		if s.waiters[i] == wait {
			s.waiters = append(s.waiters[:i], s.waiters[i+1:]...)
			s.mu.Unlock()
			return contextError(ctx)
		}
	}
	s.mu.Unlock()
	if c := <-wait.got; c != nil {
		c.release()
	} else {
		s.closed()
	}
	return contextError(ctx)
}

func (p *http1Pool) dial(ctx context.Context, s *http1Shard, w stats.Worker) (*http1Conn, *Error) {
	c := &http1Conn{pool: p, shard: s, state: http1Busy}
	if err := c.dial(ctx, &p.cfg, w); err != nil {
		s.closed()
		return nil, err
	}
	p.cfg.Stats.CxHTTP1Total.Inc(w)
	ends(c.Conn, &c.up)
	c.up.Protocol = streaminfo.HTTP11
	c.h1.Init(&c.Sock, &p.opts)
	c.watched(c.hangup)
	return c, nil
}

// closed tells that a connection is gone: the first waiter may make another one.
func (s *http1Shard) closed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiters) > 0 {
		w := s.waiters[0]
		s.waiters = s.waiters[1:]
		w.got <- nil
		return
	}
	s.open--
}

// Drain closes the idle connections, and the busy ones when their requests end.
func (p *http1Pool) Drain() {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		s.draining = true
		idle := s.idle
		s.idle = nil
		s.open -= len(idle)
		for _, c := range idle {
			c.state = http1Closed
		}
		if s.sweep != nil {
			s.sweep.Stop()
		}
		s.mu.Unlock()
		for _, c := range idle {
			c.close(false, false)
		}
	}
}

// Close drains; busy connections belong to their requests, which end them.
func (p *http1Pool) Close() { p.Drain() }

// Idle tells whether the pool has no connection at all.
func (p *http1Pool) Idle() bool {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		open := s.open
		s.mu.Unlock()
		if open > 0 {
			return false
		}
	}
	return true
}

// put makes c idle, or hands it to a waiter. It reports false if the pool drains.
func (s *http1Shard) put(c *http1Conn, idleTimeout time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || c.hungUp {
		return false
	}
	if len(s.waiters) > 0 {
		w := s.waiters[0]
		s.waiters = s.waiters[1:]
		w.got <- c
		return true
	}
	c.state = http1Idle
	s.idle = append(s.idle, c)
	if s.sweep == nil && (idleTimeout > 0 || c.cfg.MaxDuration > 0) {
		s.sweep = time.AfterFunc(s.period(c.cfg), func() { s.sweepIdle(c.cfg) })
	}
	return true
}

// period is how often idle connections are looked at.
func (s *http1Shard) period(cfg *Config) time.Duration {
	d := cfg.IdleTimeout
	if cfg.MaxDuration > 0 && (d == 0 || cfg.MaxDuration < d) {
		d = cfg.MaxDuration
	}
	return max(min(d/4, 10*time.Second), 10*time.Millisecond)
}

// sweepIdle closes what has been idle, or open, for too long. It runs on a timer of the shard's that
// stops when nothing is idle.
func (s *http1Shard) sweepIdle(cfg *Config) {
	now := time.Now()
	s.mu.Lock()
	var timedOut, old []*http1Conn
	kept := s.idle[:0]
	for _, c := range s.idle {
		switch {
		case cfg.IdleTimeout > 0 && now.Sub(c.idleSince) >= cfg.IdleTimeout:
			timedOut = append(timedOut, c)
		case c.old(now):
			old = append(old, c)
		default:
			kept = append(kept, c)
			continue
		}
		c.state = http1Closed
		s.open--
	}
	clear(s.idle[len(kept):])
	s.idle = kept
	if len(kept) == 0 {
		s.sweep = nil
	} else {
		s.sweep.Reset(s.period(cfg))
	}
	s.mu.Unlock()
	for _, c := range timedOut {
		cfg.Stats.CxIdleTimeout.Inc(c.worker)
		c.close(false, false)
	}
	for _, c := range old {
		cfg.Stats.CxMaxDurationReached.Inc(c.worker)
		c.close(false, false)
	}
}

var _ Pool = (*http1Pool)(nil)
