package health

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/pool"
)

// session is the checks of one host.
type session struct {
	checker *Checker
	host    *endpoint.Host
	ctx     context.Context //nolint:containedctx // The life of the session.
	cancel  context.CancelFunc

	// Owned by the session's goroutine.
	pool pool.Pool
	conn net.Conn

	mu       sync.Mutex
	first    bool   // guarded by mu: nothing is known of the host yet
	healthy  bool   // guarded by mu: counted in the gauge
	degraded bool   // guarded by mu: counted in the gauge
	good     uint32 // guarded by mu: successes in a row while failing
	bad      uint32 // guarded by mu: failures in a row while healthy
	gone     bool   // guarded by mu: removed
}

// result is what one check found.
type result struct {
	passed, degraded bool
	failure          failure
	retriable        bool // the failure counts towards the threshold
	status           int  // of HTTP; 0: none
}

// transition is what a check did to the host's state.
type transition uint8

const (
	unchanged transition = iota
	pending              // a threshold is being counted to
	changedState
)

func (s *session) run() {
	defer s.drop()
	c := s.checker.check
	if c.InitialJitter > 0 && !sleep(s.ctx, rand.N(c.InitialJitter)) {
		return
	}
	for {
		s.checker.env.Stats.Attempt.Inc(0)
		r := s.probe()
		if s.ctx.Err() != nil || !sleep(s.ctx, s.record(r)) {
			return
		}
	}
}

func (s *session) probe() result {
	ctx, cancel := context.WithTimeout(s.ctx, s.checker.check.Timeout)
	defer cancel()
	var r result
	switch c := s.checker.check; {
	case c.HTTP != nil:
		r = s.probeHTTP(ctx, c.HTTP)
	case c.GRPC != nil:
		r = s.probeGRPC(ctx, c.GRPC)
	default:
		r = s.probeTCP(ctx, c.TCP)
	}
	if !r.passed && r.failure == network && ctx.Err() == context.DeadlineExceeded { //nolint:errorlint // It is that very error.
		r.failure = networkTimeout
	}
	if !s.checker.check.Reuse || !r.passed && r.failure != active {
		s.drop()
	}
	return r
}

// drop closes what the session holds open.
func (s *session) drop() {
	if s.pool != nil {
		s.pool.Close()
		s.pool = nil
	}
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// record takes a result in, and returns the time until the next check.
func (s *session) record(r result) time.Duration {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return 0
	}
	flags := s.host.Flags()
	var t transition
	if r.passed {
		t = s.pass(r.degraded)
	} else {
		t = s.failed(r)
	}
	s.host.SetFlags(0, endpoint.PendingActiveHC)
	changed := s.host.Flags() != flags
	s.mu.Unlock()
	s.checker.env.OnChecked(s.host, r.passed, changed)
	return s.checker.interval(r.passed, t)
}

func (s *session) pass(degraded bool) (t transition) {
	k := s.checker
	k.env.Stats.Success.Inc(0)
	s.bad = 0
	if s.host.Failing(k.env.Number) {
		s.good++
		// The first result ever is taken at its word.
		if s.first || s.good >= k.check.HealthyThreshold {
			s.host.SetFailing(k.env.Number, false)
			s.host.SetHealthyAt(time.Now(), false)
			t = changedState
			k.events.added(s.host, s.first)
		} else {
			t = pending
		}
	}
	if t != pending {
		s.host.SetFlags(0, endpoint.ActiveHCTimeout|endpoint.ExcludedViaImmediateHCFail)
		s.count(true)
	}
	set := endpoint.Flag(0)
	if degraded {
		set = endpoint.DegradedActiveHC
	}
	if s.host.SetFlags(set, endpoint.DegradedActiveHC) {
		k.events.degraded(s.host, degraded)
		t = max(t, changedState)
	}
	s.countDegraded(degraded)
	if k.check.LogSuccesses {
		k.events.passed(s.host)
	}
	s.first = false
	return t
}

func (s *session) failed(r result) transition {
	k := s.checker
	k.env.Stats.Failure.Inc(0)
	if r.failure == network || r.failure == networkTimeout {
		k.env.Stats.NetworkFailure.Inc(0)
	}
	if s.fail(r.failure, r.retriable, r.status) {
		return changedState
	}
	if s.bad > 0 && !s.host.Failing(k.env.Number) {
		return pending
	}
	return unchanged
}

// fail counts a failure, and tells whether the host is failing from now on. s.mu is held.
func (s *session) fail(f failure, retriable bool, status int) (changed bool) {
	k := s.checker
	s.good = 0
	if !s.host.Failing(k.env.Number) {
		s.bad++
		// What the host itself says counts at once; what may be the network's fault, by the threshold.
		counted := f == network || f == networkTimeout || retriable
		if !counted || s.bad >= k.check.UnhealthyThreshold {
			s.host.SetFailing(k.env.Number, true)
			s.count(false)
			changed = true
			k.events.ejected(s.host, f, status)
		}
	}
	timeout := endpoint.Flag(0)
	if f == networkTimeout {
		timeout = endpoint.ActiveHCTimeout
	}
	s.host.SetFlags(timeout, endpoint.ActiveHCTimeout)
	if s.first || k.check.LogFailures {
		k.events.failed(s.host, f, s.first, status)
	}
	s.first = false
	return changed
}

// count keeps the gauge of healthy hosts. s.mu is held.
func (s *session) count(healthy bool) {
	switch {
	case healthy == s.healthy:
	case healthy:
		s.checker.env.Stats.Healthy.Inc(0)
	default:
		s.checker.env.Stats.Healthy.Dec(0)
	}
	s.healthy = healthy
}

func (s *session) countDegraded(degraded bool) {
	switch {
	case degraded == s.degraded:
	case degraded:
		s.checker.env.Stats.Degraded.Inc(0)
	default:
		s.checker.env.Stats.Degraded.Dec(0)
	}
	s.degraded = degraded
}

// forget takes a removed host out of the gauges.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.count(false)
	s.countDegraded(false)
}

// interval is the time to the next check, by Envoy's many intervals.
func (k *Checker) interval(passed bool, t transition) time.Duration {
	c := k.check
	d := c.Interval
	switch {
	case !k.env.Traffic():
		d = c.NoTraffic
		if passed && t != pending {
			d = c.NoTrafficHealthy
		}
	case passed && t == pending:
		d = c.HealthyEdge
	case !passed && t == pending:
		d = c.UnhealthyEdge
	case !passed:
		d = c.Unhealthy
	}
	if p := d * time.Duration(c.IntervalPercent) / 100; p > 0 {
		d += rand.N(p)
	}
	if c.IntervalJitter > 0 {
		d += rand.N(c.IntervalJitter)
	}
	most := k.env.Runtime.Uint("health_check.max_interval", uint64(d.Milliseconds()))
	least := k.env.Runtime.Uint("health_check.min_interval", 1)
	if ms := uint64(d.Milliseconds()); ms > most || ms < least {
		d = time.Duration(max(min(ms, most), least)) * time.Millisecond
	}
	return max(d, time.Millisecond)
}
