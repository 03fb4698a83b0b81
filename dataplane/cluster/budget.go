package cluster

import (
	"sync"
	"time"
)

// budget is what a retry budget with an interval goes by: how many requests there were a while ago.
type budget struct {
	mu    sync.Mutex
	marks [2]mark // guarded by mu: the newer one last
}

type mark struct {
	at    time.Time
	total uint64
}

// CanRetry tells whether the circuit breaker for retries, or the retry budget in its place, allows
// another retry.
func (c *Cluster) CanRetry(high bool) bool {
	l := c.touch()
	b := &l.traffic.breakers[index(high)]
	t := &l.spec.Breakers[index(high)]
	if t.Budget == nil {
		return b.Retries.CanCreate()
	}
	considered := uint64(max(b.Requests.Current(), 0) + max(b.Pending.Current(), 0))
	if t.Budget.Interval > 0 {
		considered = max(considered, l.traffic.budgets[index(high)].recent(l.traffic.stats.RqTotal.Value(), time.Now(), t.Budget.Interval))
	}
	allowed := max(uint64(t.Budget.Percent*float64(considered)/100), uint64(t.Budget.MinConcurrency))
	return uint64(max(b.Retries.Current(), 0)) < allowed
}

// recent estimates how many requests began within the last interval, by what was seen of total when
// retries asked before: exact while they ask at least once an interval, else by the mean rate.
func (b *budget) recent(total uint64, now time.Time, interval time.Duration) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.marks[1].at.IsZero() {
		b.marks = [2]mark{{now, total}, {now, total}}
		return 0
	}
	if now.Sub(b.marks[1].at) >= interval {
		b.marks[0], b.marks[1] = b.marks[1], mark{now, total}
	}
	since, age := b.marks[0], now.Sub(b.marks[0].at)
	n := total - min(since.total, total)
	if age > interval {
		return uint64(float64(n) * float64(interval) / float64(age))
	}
	return n
}
