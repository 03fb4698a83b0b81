package workload

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// Index finds workloads by address. A nil Index knows none: workload discovery is not configured.
type Index struct {
	byAddress atomic.Pointer[map[netip.Addr]*Workload] // replaced by main, read by all
	total     *stats.Gauge
	last      *xds.Snapshot // main only
}

// NewIndex makes an Index without workloads, and its gauge workload_discovery.total.
func NewIndex(s *stats.Store) *Index {
	x := &Index{total: s.Scope("workload_discovery").Gauge("total"), last: &xds.Snapshot{}}
	x.byAddress.Store(&map[netip.Addr]*Workload{})
	x.total.Set(0)
	return x
}

// Find returns the workload at an address; nil: none is known.
func (x *Index) Find(a netip.Addr) *Workload {
	if x == nil {
		return nil
	}
	return (*x.byAddress.Load())[a.Unmap()]
}

// Apply brings the index to what s says. The main goroutine calls it.
func (x *Index) Apply(s *xds.Snapshot) {
	if x == nil {
		return
	}
	changed, removed := s.Diff(x.last, URL)
	old := x.last
	x.last = s
	if len(changed) == 0 && len(removed) == 0 {
		return
	}
	next := maps.Clone(*x.byAddress.Load())
	for _, name := range removed {
		drop(next, old.Resource(URL, name))
	}
	for _, r := range changed {
		drop(next, old.Resource(URL, r.Name))
	}
	// Who comes last has an address: it is a new pod with the address of one whose end has not been told yet.
	// Of those that come together the first by uid has it.
	slices.SortFunc(changed, func(a, b *xds.Resource) int { return strings.Compare(b.Name, a.Name) })
	for _, r := range changed {
		if w, ok := r.Value.(*Workload); ok {
			for _, a := range w.Addresses {
				next[a] = w
			}
		}
	}
	x.byAddress.Store(&next)
	x.total.Set(uint64(len(next)))
}

func drop(m map[netip.Addr]*Workload, r *xds.Resource) {
	if r == nil {
		return
	}
	if w, ok := r.Value.(*Workload); ok {
		for _, a := range w.Addresses {
			if m[a] == w {
				delete(m, a)
			}
		}
	}
}
