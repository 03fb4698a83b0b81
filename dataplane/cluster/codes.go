package cluster

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// codes count responses by status: all of them, and those of canaries, of requests that came from
// within or from outside, and between zones.
type codes struct {
	scope     *stats.Scope
	completed *stats.Counter
	all       *stats.Codes
	time      lazyHistogram

	canary, internal, external, retry codeGroup
	zones                             atomic.Pointer[map[string]*codeGroup]
	mu                                sync.Mutex // held to change zones
}

func newCodes(scope *stats.Scope, completed *stats.Counter) *codes {
	c := &codes{scope: scope, completed: completed, all: stats.NewCodes(scope, "upstream_rq", true)}
	c.time.name = "upstream_rq_time"
	c.time.scope = scope
	c.canary.prefix, c.internal.prefix, c.external.prefix = "canary", "internal", "external"
	c.retry.prefix = "retry"
	return c
}

// codeGroup is counted below a prefix of the cluster's scope, and made when it first occurs.
type codeGroup struct {
	prefix  string
	current atomic.Pointer[groupCells]
}

type groupCells struct {
	completed *stats.Counter
	codes     *stats.Codes
	time      lazyHistogram
}

func (g *codeGroup) cells(scope *stats.Scope) *groupCells {
	if c := g.current.Load(); c != nil {
		return c
	}
	c := &groupCells{completed: scope.Counter(g.prefix + ".upstream_rq_completed"), codes: stats.NewCodes(scope, g.prefix+".upstream_rq", true)}
	c.time.name, c.time.scope = g.prefix+".upstream_rq_time", scope
	if !g.current.CompareAndSwap(nil, c) {
		return g.current.Load()
	}
	return c
}

// lazyHistogram is listed from its first value on.
type lazyHistogram struct {
	scope   *stats.Scope
	name    string
	current atomic.Pointer[stats.Histogram]
}

func (l *lazyHistogram) record(w stats.Worker, v uint64) {
	h := l.current.Load()
	if h == nil {
		h = l.scope.Histogram(l.name)
		l.current.Store(h)
	}
	h.Record(w, v)
}

// Response is what is counted of one response.
type Response struct {
	Status int
	// Canary tells that the host is one, or says so (x-envoy-upstream-canary).
	Canary bool
	// Internal tells that the request came from within (x-envoy-internal).
	Internal bool
	// Host is whose response it is; nil: the proxy's own.
	Host *endpoint.Host
}

// CountResponse counts a response by its status.
func (c *Cluster) CountResponse(w stats.Worker, r Response) {
	k := c.touch().traffic.codes
	k.completed.Inc(w)
	k.all.Inc(w, r.Status)
	if r.Canary {
		k.canary.cells(k.scope).count(w, r.Status)
	}
	k.side(r.Internal).cells(k.scope).count(w, r.Status)
	if z := c.zone(k, r.Host); z != nil {
		z.cells(k.scope).count(w, r.Status)
	}
}

// CountRetry counts a response that was not passed on, because the request is tried again.
func (c *Cluster) CountRetry(w stats.Worker, status int) {
	k := c.touch().traffic.codes
	k.retry.cells(k.scope).count(w, status)
}

// CountTime records how long a response took, in milliseconds.
func (c *Cluster) CountTime(w stats.Worker, r Response, ms uint64) {
	k := c.touch().traffic.codes
	k.time.record(w, ms)
	if r.Canary {
		k.canary.cells(k.scope).time.record(w, ms)
	}
	k.side(r.Internal).cells(k.scope).time.record(w, ms)
	if z := c.zone(k, r.Host); z != nil {
		z.cells(k.scope).time.record(w, ms)
	}
}

func (g *groupCells) count(w stats.Worker, status int) {
	g.completed.Inc(w)
	g.codes.Inc(w, status)
}

func (k *codes) side(internal bool) *codeGroup {
	if internal {
		return &k.internal
	}
	return &k.external
}

// zone finds the counters of responses from h's zone to the proxy's; nil where one is unknown.
func (c *Cluster) zone(k *codes, h *endpoint.Host) *codeGroup {
	if c.m.o.Locality == nil || c.m.o.Locality.Zone == "" || h == nil {
		return nil
	}
	to := h.Endpoint().Locality.Zone
	if to == "" {
		return nil
	}
	if m := k.zones.Load(); m != nil {
		if g := (*m)[to]; g != nil {
			return g
		}
	}
	return k.addZone(c.m.o.Locality.Zone, to)
}

func (k *codes) addZone(from, to string) *codeGroup {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := map[string]*codeGroup{}
	if m := k.zones.Load(); m != nil {
		maps.Copy(next, *m)
	}
	if next[to] == nil {
		next[to] = &codeGroup{prefix: "zone." + from + "." + to}
	}
	k.zones.Store(&next)
	return next[to]
}
