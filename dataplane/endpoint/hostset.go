package endpoint

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// HostSet is the hosts of a cluster by priority and locality, as health was when it was made. It is
// immutable: every change of membership or health makes a new one.
type HostSet struct {
	// Priorities has at least one entry.
	Priorities []*Priority
	// Hosts are all of them.
	Hosts []*Host
	// Overprovisioning is in percent.
	Overprovisioning       uint32
	WeightedPriorityHealth bool

	byAddress atomic.Pointer[map[string]*Host]
}

// Priority is one priority's hosts. Healthy and Degraded are disjoint.
type Priority struct {
	Hosts, Healthy, Degraded []*Host
	// Excluded is how many do not count where the share of healthy ones is reckoned.
	Excluded int
	// Localities are sorted, but the proxy's own comes first: HasLocal tells whether it is there.
	Localities []*LocalityHosts
	HasLocal   bool
	// Weighted tells whether any locality has a weight.
	Weighted bool
}

// LocalityHosts are one locality's hosts at one priority.
type LocalityHosts struct {
	Locality                 Locality
	Weight                   uint32
	Hosts, Healthy, Degraded []*Host
	Excluded                 int
}

// SetOptions are what a HostSet is made with, beside its hosts.
type SetOptions struct {
	// Local is the proxy's own locality; nil: unknown.
	Local                  *Locality
	Overprovisioning       uint32 // 0: 140
	WeightedPriorityHealth bool
	// Weights are the weights of localities.
	Weights map[LocalityKey]uint32
}

// LocalityKey is a locality at a priority.
type LocalityKey struct {
	Priority uint32
	Locality Locality
}

// NewHostSet sorts hosts into priorities and localities, and by their present health.
func NewHostSet(hosts []*Host, o SetOptions) *HostSet {
	s := &HostSet{Hosts: hosts, Overprovisioning: o.Overprovisioning, WeightedPriorityHealth: o.WeightedPriorityHealth}
	if s.Overprovisioning == 0 {
		s.Overprovisioning = defaultOverprovisioning
	}
	n := uint32(1)
	for k := range o.Weights {
		n = max(n, k.Priority+1)
	}
	for _, h := range hosts {
		n = max(n, h.Endpoint().Priority+1)
	}
	groups := make([][]*Host, n)
	for _, h := range hosts {
		p := h.Endpoint().Priority
		groups[p] = append(groups[p], h)
	}
	s.Priorities = make([]*Priority, n)
	for i := range s.Priorities {
		s.Priorities[i] = newPriority(uint32(i), groups[i], &o)
	}
	return s
}

func newPriority(level uint32, hosts []*Host, o *SetOptions) *Priority {
	flags := make([]Flag, len(hosts))
	for i, h := range hosts {
		flags[i] = h.Flags()
	}
	p := &Priority{Hosts: hosts}
	p.Healthy, p.Degraded, p.Excluded = partition(hosts, flags)
	byLocality := map[Locality]int{}
	type group struct {
		hosts []*Host
		flags []Flag
	}
	var groups []group
	for i, h := range hosts {
		l := h.Endpoint().Locality
		at, ok := byLocality[l]
		if !ok {
			at = len(groups)
			byLocality[l] = at
			groups = append(groups, group{})
			p.Localities = append(p.Localities, &LocalityHosts{Locality: l, Weight: o.Weights[LocalityKey{level, l}]})
		}
		groups[at].hosts = append(groups[at].hosts, h)
		groups[at].flags = append(groups[at].flags, flags[i])
	}
	for i, l := range p.Localities {
		l.Hosts = groups[i].hosts
		l.Healthy, l.Degraded, l.Excluded = partition(l.Hosts, groups[i].flags)
		p.Weighted = p.Weighted || l.Weight > 0
	}
	p.sortLocalities(o.Local)
	return p
}

func (p *Priority) sortLocalities(local *Locality) {
	own := func(l *LocalityHosts) int {
		if local != nil && l.Locality == *local {
			return 0
		}
		return 1
	}
	slices.SortFunc(p.Localities, func(a, b *LocalityHosts) int {
		return cmp.Or(cmp.Compare(own(a), own(b)), cmp.Compare(a.Locality.Region, b.Locality.Region),
			cmp.Compare(a.Locality.Zone, b.Locality.Zone), cmp.Compare(a.Locality.SubZone, b.Locality.SubZone))
	})
	p.HasLocal = len(p.Localities) > 0 && own(p.Localities[0]) == 0
}

// partition splits hosts by health. Where all are healthy the list is shared.
func partition(hosts []*Host, flags []Flag) (healthy, degraded []*Host, excluded int) {
	all := true
	for _, f := range flags {
		if f.Excluded() {
			excluded++
		}
		all = all && f.Healthy()
	}
	if all {
		return hosts, nil, excluded
	}
	for i, h := range hosts {
		switch {
		case flags[i].Healthy():
			healthy = append(healthy, h)
		case flags[i].Degraded():
			degraded = append(degraded, h)
		}
	}
	return healthy, degraded, excluded
}

// Count is how many hosts there are of which health.
func (s *HostSet) Count() Count {
	c := Count{Total: uint32(len(s.Hosts))}
	for _, p := range s.Priorities {
		c.Healthy += uint32(len(p.Healthy))
		c.Degraded += uint32(len(p.Degraded))
		c.Excluded += uint32(p.Excluded)
	}
	for _, h := range s.Hosts {
		c.MaxWeight = max(c.MaxWeight, h.Weight())
	}
	return c
}

// Find returns the host with this address as String prints it, or nil.
func (s *HostSet) Find(address string) *Host {
	m := s.byAddress.Load()
	if m == nil {
		made := make(map[string]*Host, len(s.Hosts))
		for _, h := range s.Hosts {
			made[h.Address.text] = h
		}
		s.byAddress.Store(&made)
		m = &made
	}
	return (*m)[address]
}

// Filter returns the set of those hosts that keep says yes to, in the same localities and priorities.
// weight, if not nil, makes a locality's new weight of its old one.
func (s *HostSet) Filter(keep func(*Host) bool, weight func(old *LocalityHosts, hosts int) uint32) *HostSet {
	to := &HostSet{Overprovisioning: s.Overprovisioning, WeightedPriorityHealth: s.WeightedPriorityHealth}
	for _, p := range s.Priorities {
		f := &Priority{HasLocal: p.HasLocal, Hosts: filter(p.Hosts, keep), Healthy: filter(p.Healthy, keep), Degraded: filter(p.Degraded, keep)}
		for _, l := range p.Localities {
			lf := &LocalityHosts{Locality: l.Locality, Weight: l.Weight, Hosts: filter(l.Hosts, keep), Healthy: filter(l.Healthy, keep), Degraded: filter(l.Degraded, keep)}
			if weight != nil {
				lf.Weight = weight(l, len(lf.Hosts))
			}
			for _, h := range lf.Hosts {
				if h.Flags().Excluded() {
					lf.Excluded++
				}
			}
			f.Excluded += lf.Excluded
			f.Weighted = f.Weighted || lf.Weight > 0
			f.Localities = append(f.Localities, lf)
		}
		to.Priorities = append(to.Priorities, f)
		to.Hosts = append(to.Hosts, f.Hosts...)
	}
	return to
}

func filter(hosts []*Host, keep func(*Host) bool) []*Host {
	var out []*Host
	for _, h := range hosts {
		if keep(h) {
			out = append(out, h)
		}
	}
	return out
}
