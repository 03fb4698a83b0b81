package endpoint

import (
	"math"
	"sync/atomic"
	"time"
)

// Load is what a host has told of its own load, and the weight that follows from it
// (client_side_weighted_round_robin). Written by whoever gets a report; read by load balancers.
type Load struct {
	weight       atomic.Uint64 // math.Float64bits
	nonEmptyFrom atomic.Int64  // Unix ns of the first report of this run; 0: none
	last         atomic.Int64  // Unix ns of the last report
}

// Set records a weight that was computed from a report at now.
func (l *Load) Set(weight float64, now time.Time) {
	l.weight.Store(math.Float64bits(weight))
	l.nonEmptyFrom.CompareAndSwap(0, now.UnixNano())
	l.last.Store(now.UnixNano())
}

// Weight is the weight in force at now: ok is false before blackout has passed since the first report,
// and after expiration without one.
func (l *Load) Weight(now time.Time, blackout, expiration time.Duration) (w float64, ok bool) {
	first, last := l.nonEmptyFrom.Load(), l.last.Load()
	if first == 0 {
		return 0, false
	}
	at := now.UnixNano()
	if at-last >= int64(expiration) {
		// The next report begins a new blackout.
		l.nonEmptyFrom.CompareAndSwap(first, 0)
		return 0, false
	}
	if at-first < int64(blackout) {
		return 0, false
	}
	return math.Float64frombits(l.weight.Load()), true
}
