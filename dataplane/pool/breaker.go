package pool

import (
	"math"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Breakers are a cluster's circuit breakers of one priority (cluster.v3.CircuitBreakers.Thresholds).
type Breakers struct {
	Connections, Pending, Requests, Retries, Pools Limit
	// Budget replaces Retries where a retry budget is set; nil: none.
	Budget *RetryBudget
}

// RetryBudget is CircuitBreakers.Thresholds.retry_budget.
type RetryBudget struct {
	Percent        float64 // of active and pending requests
	MinConcurrency uint32
}

// Limit is one circuit breaker: at most Max at a time. Like Envoy's it is checked, then counted, so
// that concurrent requests may pass it by a few.
type Limit struct {
	max  atomic.Uint32
	cur  atomic.Int64
	open stats.Gauge // 1 while cur has reached max
	// remaining is max less cur, if the cluster tracks it.
	remaining stats.Gauge
	state     atomic.Bool
	tracked   bool
}

// Init sets a limit's maximum and gauges; a nil remaining is not tracked.
func (l *Limit) Init(most uint32, open stats.Gauge, remaining *stats.Gauge) {
	l.max.Store(most)
	l.open = open
	l.tracked = remaining != nil
	if remaining != nil {
		l.remaining = *remaining
	}
	l.show(l.cur.Load())
}

// SetMax changes the maximum while the limit is in use.
func (l *Limit) SetMax(most uint32) {
	l.max.Store(most)
	l.show(l.cur.Load())
}

// Max is the maximum in force.
func (l *Limit) Max() uint32 { return l.max.Load() }

// Current is how many there are.
func (l *Limit) Current() int64 { return l.cur.Load() }

// CanCreate tells whether one more is allowed.
func (l *Limit) CanCreate() bool { return l.cur.Load() < int64(l.max.Load()) }

// Inc counts one more, allowed or not.
func (l *Limit) Inc() { l.show(l.cur.Add(1)) }

// Dec counts one less.
func (l *Limit) Dec() { l.show(l.cur.Add(-1)) }

func (l *Limit) show(cur int64) {
	most := l.max.Load()
	if l.tracked && most != math.MaxUint32 {
		l.remaining.Set(uint64(max(int64(most)-cur, 0)))
	}
	if open := cur >= int64(most); open != l.state.Load() && l.state.CompareAndSwap(!open, open) {
		v := uint64(0)
		if open {
			v = 1
		}
		l.open.Set(v)
	}
}

// Remaining refreshes the gauge of an unlimited limit, which is not kept up on every request.
func (l *Limit) Remaining() {
	if l.tracked {
		l.remaining.Set(uint64(max(int64(l.max.Load())-l.cur.Load(), 0)))
	}
}

type counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *counter) Inc() { c.n.Add(1) }

// Value is the count.
func (c *counter) Value() uint64 { return c.n.Load() }

type gauge struct{ n atomic.Int64 }

// Add adds n, which may be negative.
func (g *gauge) Add(n int64) { g.n.Add(n) }

// Value is the value, never less than 0.
func (g *gauge) Value() uint64 { return uint64(max(g.n.Load(), 0)) }

// CanRetry tells whether one more retry may be under way: by the limit, or by the budget, which is a
// share of the active and pending requests.
func (b *Breakers) CanRetry() bool {
	if b.Budget == nil {
		return b.Retries.CanCreate()
	}
	active := float64(b.Requests.Current() + b.Pending.Current())
	most := max(int64(active*b.Budget.Percent/100), int64(b.Budget.MinConcurrency))
	return b.Retries.Current() < most
}
