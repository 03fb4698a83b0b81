package lb

import (
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// Child is a cluster of an aggregate cluster.
type Child interface {
	// HostSet is the cluster's present set, Balancer the load balancer for it.
	HostSet() *endpoint.HostSet
	Balancer() LoadBalancer
}

// aggregate strings the priorities of several clusters together, picks one of all, and has its cluster's
// own load balancer pick within it
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/aggregate_cluster).
type aggregate struct {
	panic   uint64
	env     *Env
	n       int
	child   func(i int) Child
	current atomic.Pointer[strung]
}

// strung is the string of priorities that certain sets make. It is immutable.
type strung struct {
	sets  []*endpoint.HostSet // by child; nil: there is no such cluster
	slots []slot
	loads loads
}

// slot is one priority of one child. It makes the child's load balancer pick there.
type slot struct {
	child             int
	healthy, degraded fixedLoad
}

type fixedLoad PriorityLoad

// Load implements PriorityLoader.
func (f *fixedLoad) Load(*endpoint.HostSet, *PriorityLoad) *PriorityLoad { return (*PriorityLoad)(f) }

// NewAggregate makes the load balancer of an aggregate of n clusters; child returns one of them, or nil
// while there is none.
func NewAggregate(c *Config, e *Env, n int, child func(i int) Child) LoadBalancer {
	return &aggregate{panic: c.PanicThreshold, env: e, n: n, child: child}
}

// Pick implements LoadBalancer.
func (a *aggregate) Pick(c *Context) *endpoint.Host {
	s := a.current.Load()
	if s == nil || !a.same(s) {
		s = a.string()
		a.current.Store(s)
	}
	if len(s.slots) == 0 {
		return nil
	}
	load := &s.loads.PriorityLoad
	random := c.random()
	if c.HasHash {
		random = c.Hash // requests with one hash go to one cluster
	}
	at, degraded := load.choose(random)
	to := &s.slots[at]
	child := a.child(to.child)
	if child == nil {
		return nil
	}
	before := c.Priorities
	c.Priorities = &to.healthy
	if degraded {
		c.Priorities = &to.degraded
	}
	h := child.Balancer().Pick(c)
	c.Priorities = before
	return h
}

// same tells whether the children's sets are still those of s.
func (a *aggregate) same(s *strung) bool {
	for i := range a.n {
		var set *endpoint.HostSet
		if c := a.child(i); c != nil {
			set = c.HostSet()
		}
		if set != s.sets[i] {
			return false
		}
	}
	return true
}

func (a *aggregate) string() *strung {
	s := &strung{sets: make([]*endpoint.HostSet, a.n)}
	all := &endpoint.HostSet{}
	for i := range a.n {
		c := a.child(i)
		if c == nil {
			continue
		}
		set := c.HostSet()
		s.sets[i] = set
		all.Overprovisioning, all.WeightedPriorityHealth = set.Overprovisioning, set.WeightedPriorityHealth
		for p := range set.Priorities {
			if len(set.Priorities[p].Hosts) == 0 {
				continue // an empty priority takes no part in the string
			}
			all.Priorities = append(all.Priorities, set.Priorities[p])
			s.slots = append(s.slots, slot{child: i, healthy: only(set, p, false), degraded: only(set, p, true)})
		}
		all.Hosts = append(all.Hosts, set.Hosts...)
	}
	if len(s.slots) > 0 {
		s.loads = newLoads(all, a.panic, a.env.Runtime)
	}
	return s
}

// only is the load that goes to one priority alone.
func only(set *endpoint.HostSet, p int, degraded bool) fixedLoad {
	f := fixedLoad{Healthy: make([]uint32, len(set.Priorities)), Degraded: make([]uint32, len(set.Priorities))}
	if degraded {
		f.Degraded[p] = 100
	} else {
		f.Healthy[p] = 100
	}
	return f
}
