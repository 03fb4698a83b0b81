package lb

import (
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// loads is which share of the requests each priority gets, and which of them are in panic. It is
// immutable.
type loads struct {
	PriorityLoad
	panic []bool
}

// newLoads reckons with the hosts' health
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/load_balancing/priority).
// threshold is healthy_panic_threshold in percent.
func newLoads(set *endpoint.HostSet, threshold uint64, r *runtime.Loader) loads {
	n := len(set.Priorities)
	healthy, degraded := make([]uint32, n), make([]uint32, n)
	for i, p := range set.Priorities {
		healthy[i], degraded[i] = availability(set, p)
	}
	total := min(sum(healthy)+sum(degraded), 100)
	l := loads{PriorityLoad: share(healthy, degraded, total), panic: make([]bool, n)}
	threshold = min(r.Uint(runtime.HealthyPanic, threshold), 100)
	if threshold == 0 && total == 0 {
		l.Healthy[0] = 100 // nobody is there to be asked, but the shares must add up
		return l
	}
	all := true
	for i, p := range set.Priorities {
		l.panic[i] = total < 100 && inPanic(p, threshold)
		all = all && l.panic[i]
	}
	if all {
		l.byNumber(set)
	}
	return l
}

// availability is the share of healthy and of degraded hosts times the overprovisioning factor, in
// percent, 100 at most.
func availability(set *endpoint.HostSet, p *endpoint.Priority) (healthy, degraded uint32) {
	count := len(p.Hosts) - p.Excluded
	if count <= 0 {
		return 0, 0
	}
	h, d, all := uint64(len(p.Healthy)), uint64(len(p.Degraded)), uint64(count)
	if set.WeightedPriorityHealth {
		h, d, all = weight(p.Healthy), weight(p.Degraded), 0
		for _, host := range p.Hosts {
			if !host.Flags().Excluded() {
				all += uint64(host.Weight())
			}
		}
		if all == 0 {
			return 0, 0
		}
	}
	factor := uint64(set.Overprovisioning)
	return uint32(min(factor*h/all, 100)), uint32(min(factor*d/all, 100))
}

func weight(hosts []*endpoint.Host) (n uint64) {
	for _, h := range hosts {
		n += uint64(h.Weight())
	}
	return n
}

// share gives each priority its availability's part of 100, the first priorities first: to healthy
// hosts, then what is left to degraded ones; what rounding leaves goes to the first that has any.
func share(healthy, degraded []uint32, total uint32) PriorityLoad {
	l := PriorityLoad{Healthy: make([]uint32, len(healthy)), Degraded: make([]uint32, len(degraded))}
	if total == 0 {
		return l
	}
	left := distribute(l.Healthy, healthy, 100, total)
	left = distribute(l.Degraded, degraded, left, total)
	if left == 0 {
		return l
	}
	for i := range healthy {
		if healthy[i] > 0 {
			l.Healthy[i] += left
			return l
		}
	}
	for i := range degraded {
		if degraded[i] > 0 {
			l.Degraded[i] += left
			return l
		}
	}
	return l
}

func distribute(to, available []uint32, left, total uint32) uint32 {
	for i, a := range available {
		to[i] = min(left, a*100/total)
		left -= to[i]
	}
	return left
}

// byNumber shares by the number of hosts, healthy or not: all priorities are in panic.
func (l *loads) byNumber(set *endpoint.HostSet) {
	clear(l.Healthy)
	clear(l.Degraded)
	all := uint32(len(set.Hosts))
	if all == 0 {
		l.Healthy[0] = 100
		return
	}
	left, first := uint32(100), -1
	for i, p := range set.Priorities {
		if first < 0 && len(p.Hosts) > 0 {
			first = i
		}
		l.Healthy[i] = uint32(100 * len(p.Hosts) / int(all))
		left -= l.Healthy[i]
	}
	l.Healthy[first] += left
}

// inPanic tells whether fewer than threshold percent of p's hosts can be used.
func inPanic(p *endpoint.Priority, threshold uint64) bool {
	count := len(p.Hosts) - p.Excluded
	if count <= 0 {
		return threshold > 0
	}
	return 100*float64(len(p.Healthy)+len(p.Degraded))/float64(count) < float64(threshold)
}

// choose finds the priority of a hash or random number.
func (l *PriorityLoad) choose(hash uint64) (priority int, degraded bool) {
	at, upTo := uint32(hash%100)+1, uint32(0)
	for i, n := range l.Healthy {
		if upTo += n; at <= upTo {
			return i, false
		}
	}
	for i, n := range l.Degraded {
		if upTo += n; at <= upTo {
			return i, true
		}
	}
	return 0, false
}

func sum(of []uint32) (n uint32) {
	for _, x := range of {
		n += x
	}
	return n
}
