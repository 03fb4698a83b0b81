package cluster

import (
	"math"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// live is what a cluster is while one configuration is in force: built on the first use, or at once where
// names have to be resolved or hosts checked.
type live struct {
	cluster *Cluster
	config  *Config
	spec    *Spec
	traffic *traffic
	dialer  *dialer
	env     lb.Env

	// view is what picks go by.
	view atomic.Pointer[view]
	drop atomic.Pointer[endpoint.Drop]

	detector  *health.Detector  // nil: none
	checkers  []*health.Checker // immutable once built
	names     *names            // nil: not a DNS cluster
	originals *originals        // nil: not ORIGINAL_DST
	timeouts  *Timeouts         // nil: not tracked
	sizes     *Sizes            // nil: not tracked

	// The rest is guarded by cluster.mu.
	hosts   []*endpoint.Host
	byKey   map[hostKey]*endpoint.Host
	options endpoint.SetOptions
	// waiting counts what has to happen before the cluster may serve for the first time: the first answers
	// of name servers and the first checks of hosts.
	waiting   int
	unchecked map[*endpoint.Host]int
	tracked   map[*endpoint.Host]*tracked // per_endpoint_stats
	warm      bool
	active    bool // in force, or about to be: its numbers are the cluster's
	closed    bool
}

// view is a set of hosts with the load balancer for it. It is immutable.
type view struct {
	set      *endpoint.HostSet
	balancer lb.LoadBalancer
}

// hostKey tells hosts apart: by address, and by number where an address occurs more than once.
type hostKey struct {
	address string
	n       int
}

// build brings a configuration to life. before, if not nil, is the live cluster that it replaces without
// a change of what connections depend on: hosts and connections go over. c.mu is held.
func (c *Cluster) build(config *Config, before *live) *live {
	spec := config.Spec()
	var t *traffic
	if before != nil {
		t = before.traffic
	} else {
		t = c.newTraffic(spec)
	}
	if spec.Err != nil {
		c.m.log.Error("cluster configuration cannot be read again", "cluster", c.name, "err", spec.Err)
	}
	l := &live{cluster: c, config: config, spec: spec, traffic: t, byKey: map[hostKey]*endpoint.Host{}, unchecked: map[*endpoint.Host]int{}}
	l.env = lb.Env{
		Stats: &t.stats.LB, Scope: c.scope, Workers: c.m.o.Stats.Workers(), Runtime: c.m.o.Runtime,
		Active: t.stats.RqActive.Value,
	}
	if before != nil {
		l.dialer = before.dialer
	} else {
		l.dialer = newDialer(c, config, spec, t)
	}
	if spec.TrackTimeouts {
		l.timeouts = &Timeouts{}
		stats.Bind(c.scope, l.timeouts)
	}
	if spec.TrackSizes {
		l.sizes = &Sizes{}
		stats.Bind(c.scope, l.sizes)
	}
	l.startHealth()
	l.options.Local = c.m.o.Locality
	l.discover(before)
	if l.view.Load() == nil {
		l.rebuild()
	}
	if l.names != nil {
		l.names.start()
	}
	if before == nil && len(l.checkers) > 0 {
		l.awaitChecks()
	}
	l.warm = l.waiting == 0
	return l
}

// discover comes by the first hosts. cluster.mu is held.
func (l *live) discover(before *live) {
	var known map[hostKey]*endpoint.Host
	if before != nil {
		known = before.byKey
	}
	spec := l.spec
	switch l.config.Discovery {
	case OriginalDst:
		l.originals = newOriginals(l, before)
		l.env.Provided = l.originals
	case Aggregate:
		l.env.Provided = lb.NewAggregate(spec.LB, &l.env, len(spec.Children), l.child)
	case StrictDNS, LogicalDNS:
		l.rebuild()
		l.names = newNames(l, before)
		l.names.place(known)
	case EDS:
		if a := l.cluster.assignment; a != nil {
			l.assign(a, known)
		}
	default:
		if spec.Assignment != nil {
			l.assign(spec.Assignment, known)
		}
	}
}

// child is the cluster of an aggregate by its place; nil: there is none at present.
func (l *live) child(i int) lb.Child {
	if c := l.cluster.m.set.Get(l.spec.Children[i]); c != nil && c != l.cluster {
		return c
	}
	return nil
}

func (c *Cluster) newTraffic(s *Spec) *traffic {
	t := &traffic{http1Scope: c.sub("http1")}
	stats.Bind(c.scope, &t.stats)
	t.codes = newCodes(c.scope, &t.stats.RqCompleted)
	for i, name := range priorities {
		th, open := &s.Breakers[i], &t.stats.Default
		if i == 1 {
			open = &t.stats.High
		}
		var rest remainingStats
		remaining := func(*stats.Gauge) *stats.Gauge { return nil }
		if th.Track {
			stats.Bind(c.sub("circuit_breakers."+name), &rest)
			rest.set(th)
			remaining = func(g *stats.Gauge) *stats.Gauge { return g }
		}
		b := &t.breakers[i]
		b.Connections.Init(th.Connections, open.CxOpen, remaining(&rest.Cx))
		b.Pending.Init(th.Pending, open.RqPendingOpen, remaining(&rest.Pending))
		b.Requests.Init(th.Requests, open.RqOpen, remaining(&rest.Rq))
		b.Retries.Init(th.Retries, open.RqRetryOpen, remaining(&rest.Retries))
		b.Pools.Init(th.Pools, open.CxPoolOpen, remaining(&rest.CxPools))
		if th.Budget != nil {
			b.Budget = &th.Budget.RetryBudget
		}
	}
	return t
}

// priorities are the names of the two within stats and runtime keys.
var priorities = [...]string{"default", "high"}

// activate makes l's numbers the cluster's: limits and gauges. cluster.mu is held.
func (l *live) activate() {
	l.active = true
	l.traffic.limit(l.cluster, l.spec)
	if l.originals == nil {
		n := l.view.Load().set.Count()
		if n.Total > 0 {
			l.cluster.countFirst()
		}
		l.cluster.show(n)
	}
}

// countFirst counts the first hosts as one change of membership, once. c.mu is held.
func (c *Cluster) countFirst() {
	if !c.counted {
		c.counted = true
		c.members.Change.Inc(0)
	}
}

// limit puts the thresholds in force, which runtime keys may override
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/upstream/cluster_manager/cluster_circuit_breakers#runtime).
func (t *traffic) limit(c *Cluster, s *Spec) {
	for i, name := range priorities {
		th, b := &s.Breakers[i], &t.breakers[i]
		key := "circuit_breakers." + c.name + "." + name + "."
		set := func(l *pool.Limit, field string, most uint32) {
			l.SetMax(uint32(min(c.m.o.Runtime.Uint(key+field, uint64(most)), math.MaxUint32)))
		}
		set(&b.Connections, "max_connections", th.Connections)
		set(&b.Pending, "max_pending_requests", th.Pending)
		set(&b.Requests, "max_requests", th.Requests)
		set(&b.Retries, "max_retries", th.Retries)
		set(&b.Pools, "max_connection_pools", th.Pools)
	}
}

// rebuild publishes the hosts as they are now. cluster.mu is held.
func (l *live) rebuild() {
	set := endpoint.NewHostSet(l.hosts, l.options)
	env := l.env
	env.Local = l.cluster.m.localSet(l.cluster)
	var old lb.LoadBalancer
	if v := l.view.Load(); v != nil {
		old = v.balancer
	}
	v := &view{set: set, balancer: l.spec.LB.New(&env, set, old)}
	l.view.Store(v)
	if l.active && l.originals == nil {
		l.cluster.show(set.Count())
	}
	l.cluster.m.localChanged(l.cluster)
}

// show sets the membership gauges.
func (c *Cluster) show(n endpoint.Count) {
	c.members.Total.Set(uint64(n.Total))
	c.members.Healthy.Set(uint64(n.Healthy))
	c.members.Degraded.Set(uint64(n.Degraded))
	c.members.Excluded.Set(uint64(n.Excluded))
	if c.config.Load().Discovery == StrictDNS || c.config.Load().Discovery == EDS {
		c.members.MaxHostWeight.Set(uint64(n.MaxWeight))
	}
}

// close ends what runs for l. Hosts that have gone over to next stay; the others leave. It must not be
// called with a lock held, because it waits for checks that may want one.
func (l *live) close(next *live) {
	c := l.cluster
	c.mu.Lock()
	l.closed = true
	staying := map[*endpoint.Host]bool{}
	if next != nil {
		for _, h := range next.all() {
			staying[h] = true
		}
	}
	var leaving []*endpoint.Host
	for _, h := range l.all() {
		l.untrack(h)
		if !staying[h] {
			leaving = append(leaving, h)
		}
	}
	c.mu.Unlock()
	if l.names != nil {
		l.names.close()
	}
	if l.originals != nil {
		l.originals.close()
	}
	for _, k := range l.checkers {
		k.Close()
	}
	if l.detector != nil {
		l.detector.Close()
	}
	for _, h := range leaving {
		h.Leave()
	}
	if next == nil || next.dialer != l.dialer {
		c.m.closeLater(l.dialer, l.spec.ConnectTimeout)
	}
}

// all are the hosts of l. cluster.mu is held.
func (l *live) all() []*endpoint.Host {
	if l.originals != nil {
		return l.originals.hosts()
	}
	return l.hosts
}

// MakePool implements endpoint.PoolMaker.
func (d *dialer) MakePool(h *endpoint.Host, o pool.Options) pool.Pool {
	b := &d.traffic.breakers[index(o.High)]
	if !b.Pools.CanCreate() {
		d.stats.CxPoolOverflow.Inc(0)
		return nil
	}
	b.Pools.Inc()
	cfg := d.poolConfig(h, o)
	if o.Downstream != 0 || o.OriginalSource != "" || o.Conn != nil {
		cfg.OnIdle = func() { h.DropPool(o) }
	}
	return d.m.o.NewPool(cfg)
}

// PoolGone implements endpoint.PoolMaker.
func (d *dialer) PoolGone(o pool.Options) { d.traffic.breakers[index(o.High)].Pools.Dec() }

var _ endpoint.PoolMaker = (*dialer)(nil)
