package lb

import (
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// roundRobin takes hosts in turn: each the same, or as a schedule of their weights says.
type roundRobin struct {
	hosts   []*endpoint.Host
	cursors cursors
	weights *weights // nil: they are equal
}

func newRoundRobin(c *Config, e *Env, hosts []*endpoint.Host) picker {
	return &roundRobin{hosts: hosts, cursors: newCursors(e.Workers), weights: newWeights(c, e, hosts)}
}

func (r *roundRobin) pick(c *Context) *endpoint.Host {
	n := r.cursors.next(c.Worker)
	if r.weights != nil {
		if s := r.weights.schedule(); s != nil {
			return r.hosts[s.at(n)]
		}
	}
	return r.hosts[n%uint64(len(r.hosts))]
}

// weights are the schedule of hosts' weights. Where the weights change with time it is made anew by
// whoever picks when it is due.
type weights struct {
	current atomic.Pointer[schedule] // nil: equal weights
	due     atomic.Int64             // Unix ns; 0: the weights do not change
	now     func() time.Time
	// weigh returns the weights at a time, nil if they are equal, and when they change next; zero: never.
	weigh func(now time.Time) ([]float64, time.Time)
}

// newWeights returns nil where hosts have the same weight for good.
func newWeights(c *Config, e *Env, hosts []*endpoint.Host) *weights {
	if c.SlowStart != nil && c.SlowStart.Window > 0 {
		return startWeights(e, func(now time.Time) ([]float64, time.Time) { return c.SlowStart.weigh(e, hosts, now) })
	}
	if w := plainWeights(hosts); w != nil {
		s := &weights{}
		s.current.Store(newSchedule(w))
		return s
	}
	return nil
}

func startWeights(e *Env, weigh func(time.Time) ([]float64, time.Time)) *weights {
	w := &weights{now: e.now, weigh: weigh}
	w.refresh(e.now())
	return w
}

// plainWeights are the configured weights; nil if they are equal.
func plainWeights(hosts []*endpoint.Host) []float64 {
	out := make([]float64, len(hosts))
	equal := true
	for i, h := range hosts {
		out[i] = float64(h.Weight())
		equal = equal && out[i] == out[0]
	}
	if equal {
		return nil
	}
	return out
}

func (w *weights) schedule() *schedule {
	if due := w.due.Load(); due != 0 {
		if now := w.now(); now.UnixNano() >= due && w.due.CompareAndSwap(due, 0) {
			w.refresh(now)
		}
	}
	return w.current.Load()
}

func (w *weights) refresh(now time.Time) {
	of, next := w.weigh(now)
	var s *schedule
	if of != nil {
		s = newSchedule(of)
	}
	w.current.Store(s)
	if !next.IsZero() {
		w.due.Store(next.UnixNano())
	}
}
