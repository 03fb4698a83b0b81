// Package cluster compiles clusters (CDS) and keeps the live ones: their hosts, however they are
// discovered, their load balancers, circuit breakers and connections. A cluster that no request has
// touched costs little more than its bytes.
package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Cluster is one live cluster, across updates of its configuration. Its methods may be called by any
// goroutine.
type Cluster struct {
	name  string
	m     *Manager
	scope *stats.Scope
	// config is what is in force, live what has come of it; nil: nothing has touched the cluster yet.
	config atomic.Pointer[Config]
	live   atomic.Pointer[live]

	// mu guards building and every change of hosts. It is never held by a pick.
	mu         sync.Mutex
	assignment *endpoint.Assignment // guarded by mu: of EDS; nil: none yet
	members    memberStats          // immutable
	eds        *edsStats            // immutable; nil: not EDS
	stale      *time.Timer          // guarded by mu: endpoint_stale_after; nil: never
	next       *live                // guarded by mu: waits to be warm; nil: none
	counted    bool                 // guarded by mu: membership_change has its first one
	gone       bool                 // guarded by mu: removed
	scopes     []subScope           // guarded by mu: below scope
}

// traffic is what requests go by that outlives updates.
type traffic struct {
	stats    trafficStats
	breakers [2]pool.Breakers
	budgets  [2]budget
	codes    *codes

	http1      sync.Once
	http1Stats http1.Stats // guarded by http1
	http1Scope *stats.Scope
}

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.name }

// Config is the configuration in force. Its Spec is decoded on first use.
func (c *Cluster) Config() *Config { return c.config.Load() }

// Spec is the whole configuration in force.
func (c *Cluster) Spec() *Spec { return c.touch().spec }

// Pick chooses a host for a request; nil: there is none to be had. The host may be another cluster's,
// if this one is an aggregate: Owner tells.
func (c *Cluster) Pick(p *lb.Context) *endpoint.Host {
	l := c.touch()
	v := l.view.Load()
	if p.OverrideHost != "" {
		if h, final := lb.Override(v.set, l.spec.OverrideStatuses, p); h != nil || final {
			return h
		}
	}
	h := v.balancer.Pick(p)
	if h == nil {
		l.traffic.stats.CxNoneHealthy.Inc(p.Worker)
	}
	return h
}

// Owner is the cluster that h belongs to: whose stats, breakers and configuration count for it.
func (c *Cluster) Owner(h *endpoint.Host) *Cluster {
	if d, ok := h.Maker.(*dialer); ok {
		return d.cluster
	}
	return c
}

// PoolOptions are the options of a pool for a request from downstream, before the router and filters
// have added theirs. conn is the client's connection, or nil.
func (c *Cluster) PoolOptions(h *endpoint.Host, downstream streaminfo.Protocol, high bool, conn *streaminfo.Connection) pool.Options {
	d, ok := h.Maker.(*dialer)
	if !ok {
		return pool.Options{High: high}
	}
	o := pool.Options{Protocol: d.spec.HTTP.Choose(downstream), High: high}
	if conn != nil {
		if d.spec.PerDownstream {
			o.Downstream = conn.ID
		}
		if h.Transport().PassesOn {
			o.Conn = conn
		}
	}
	return o
}

// Pool returns h's connections with these options; nil: there are as many pools as max_connection_pools
// allows, which has been counted.
func (c *Cluster) Pool(h *endpoint.Host, o pool.Options) pool.Pool { return h.Pool(o) }

// Dial opens a connection for tcp_proxy, if the circuit breakers allow.
func (c *Cluster) Dial(ctx context.Context, h *endpoint.Host, o pool.Options, w stats.Worker) (*pool.TCPConn, *pool.Error) {
	d, ok := h.Maker.(*dialer)
	if !ok {
		return nil, &pool.Error{Reason: pool.LocalConnectionFailure, Why: "the host has no cluster"}
	}
	o.Protocol = pool.TCP
	cfg := d.poolConfig(h, o)
	return pool.DialTCP(ctx, &cfg, w)
}

// Stats are the cluster's traffic stats.
func (c *Cluster) Stats() *pool.Stats { return &c.touch().traffic.stats.Stats }

// Breakers are the circuit breakers of the default or of the high priority.
func (c *Cluster) Breakers(high bool) *pool.Breakers { return &c.touch().traffic.breakers[index(high)] }

// Timeouts are the histograms of timeout budgets; nil: they are not tracked.
func (c *Cluster) Timeouts() *Timeouts { return c.touch().timeouts }

// Sizes are the histograms of request and response sizes; nil: they are not tracked.
func (c *Cluster) Sizes() *Sizes { return c.touch().sizes }

// Drop tells whether a request is to be dropped by drop_overloads, and the category; all tells that every
// request is.
func (c *Cluster) Drop(random uint64) (category string, drop, all bool) {
	d := c.touch().drop.Load()
	if d == nil || !d.Share.Enabled(c.m.o.Runtime, random) {
		return "", false, false
	}
	return d.Category, true, d.Share.Numerator >= d.Share.Denominator
}

// ImmediateFail marks a host as failing its health check, because it said so in a response
// (x-envoy-immediate-health-check-fail).
func (c *Cluster) ImmediateFail(h *endpoint.Host) {
	for _, k := range c.touch().checkers {
		k.Fail(h)
	}
}

// HostSet implements lb.Child: the hosts as they are now.
func (c *Cluster) HostSet() *endpoint.HostSet { return c.touch().view.Load().set }

// Balancer implements lb.Child.
func (c *Cluster) Balancer() lb.LoadBalancer { return c.touch().view.Load().balancer }

// subScope is a scope below a cluster's.
type subScope struct {
	name  string
	scope *stats.Scope
}

// sub is a scope below the cluster's, which ends with it. c.mu is held.
func (c *Cluster) sub(name string) *stats.Scope {
	for _, s := range c.scopes {
		if s.name == name {
			return s.scope
		}
	}
	s := c.scope.Scope(name)
	c.scopes = append(c.scopes, subScope{name, s})
	return s
}

func index(high bool) int {
	if high {
		return 1
	}
	return 0
}

// touch brings the cluster to life on first use.
func (c *Cluster) touch() *live {
	if l := c.live.Load(); l != nil {
		return l
	}
	return c.wake()
}

// wake builds what configuration and assignment say.
func (c *Cluster) wake() *live {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.live.Load(); l != nil {
		return l
	}
	l := c.build(c.config.Load(), nil)
	l.activate()
	c.live.Store(l)
	return l
}

var _ lb.Child = (*Cluster)(nil)
