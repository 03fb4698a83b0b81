// Package lb holds the load-balancing policies: each is made for one set of hosts, and picks from it
// without a lock.
package lb

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// LoadBalancer picks hosts. It is made for one HostSet, and may be used by many goroutines.
type LoadBalancer interface {
	// Pick returns a host, or nil if there is none to be had.
	Pick(c *Context) *endpoint.Host
}

// Context is what a pick goes by. It lives in the stream, because a LoadBalancer gets a pointer to it,
// and belongs to the stream's goroutine. Attempts of one stream use the same Context.
type Context struct {
	// Headers are the request's; nil for TCP. Info is the stream's; nil: there is none.
	Headers *header.Map
	Info    *streaminfo.Info
	Worker  stats.Worker
	// Hash is what the hash policy made of the request, if HasHash.
	Hash    uint64
	HasHash bool
	// Criteria choose a subset; nil: none.
	Criteria *Criteria
	// Random is the state of the picks' random numbers; 0 is seeded on first use.
	Random uint64
	// OverrideHost is an address, "10.0.0.1:80", that a filter (stateful_session) has chosen. With
	// OverrideStrict nothing else will do: the request is answered by OverrideStatus, or 503 if that is 0,
	// where the address is none of the cluster's.
	OverrideHost   string
	OverrideStrict bool
	OverrideStatus int
	// Predicate, if not nil, may turn down a pick up to HostSelectionAttempts times, after which the last
	// one is taken.
	Predicate             HostPredicate
	HostSelectionAttempts int
	// Priorities, if not nil, changes the shares of the priorities (retry_priority).
	Priorities PriorityLoader
	// OriginalDst is where the client meant to go; not valid: it is not known.
	OriginalDst netip.AddrPort
	// Conn is the client's connection; nil: there is none.
	Conn *streaminfo.Connection

	attempted int // how many hosts an override_host policy has used up
}

// HostPredicate turns hosts down, as retry_host_predicate does.
type HostPredicate interface {
	ShouldSelectAnother(h *endpoint.Host) bool
}

// PriorityLoader changes the shares of the priorities, as retry_priority does.
type PriorityLoader interface {
	// Load returns the shares to go by; usual is what they would be, and may be returned.
	Load(set *endpoint.HostSet, usual *PriorityLoad) *PriorityLoad
}

// PriorityLoad is how many of 100 requests go to healthy and to degraded hosts of each priority.
type PriorityLoad struct{ Healthy, Degraded []uint32 }

// Env is what policies are made with, beside their configuration and hosts.
type Env struct {
	Stats *Stats
	// Scope is the cluster's, for ring_hash_lb.* and maglev_lb.*; nil: not counted.
	Scope *stats.Scope
	// Workers is the number of workers, main not counted.
	Workers int
	Runtime *runtime.Loader
	// Local is the set of the local cluster, for zone aware routing; nil: there is none.
	Local *endpoint.HostSet
	// Active is the number of requests on the whole cluster; nil: the sum of its hosts'.
	Active func() uint64
	// Provided is the cluster's own load balancer, for CLUSTER_PROVIDED.
	Provided LoadBalancer
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

func (e *Env) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// Stats are the stats below "cluster.NAME." that load balancers count.
type Stats struct {
	HealthyPanic           stats.Counter `stat:"lb_healthy_panic"`
	LocalClusterNotOK      stats.Counter `stat:"lb_local_cluster_not_ok"`
	RecalculateZone        stats.Counter `stat:"lb_recalculate_zone_structures"`
	SubsetsActive          stats.Gauge   `stat:"lb_subsets_active"`
	SubsetsCreated         stats.Counter `stat:"lb_subsets_created"`
	SubsetsFallback        stats.Counter `stat:"lb_subsets_fallback"`
	SubsetsFallbackPanic   stats.Counter `stat:"lb_subsets_fallback_panic"`
	SubsetsRemoved         stats.Counter `stat:"lb_subsets_removed"`
	SubsetsSelected        stats.Counter `stat:"lb_subsets_selected"`
	ZoneClusterTooSmall    stats.Counter `stat:"lb_zone_cluster_too_small"`
	ZoneNoCapacityLeft     stats.Counter `stat:"lb_zone_no_capacity_left"`
	ZoneRoutingAllDirectly stats.Counter `stat:"lb_zone_routing_all_directly"`
	ZoneRoutingCrossZone   stats.Counter `stat:"lb_zone_routing_cross_zone"`
	ZoneRoutingSampled     stats.Counter `stat:"lb_zone_routing_sampled"`
}

// random is the next random number of the stream's picks (splitmix64).
func (c *Context) random() uint64 {
	if c.Random == 0 {
		c.Random = rand.Uint64() | 1
	}
	c.Random += 0x9e3779b97f4a7c15
	z := c.Random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a random number in [0, n).
func (c *Context) below(n int) int { return int(c.random() % uint64(n)) }

// unit is a random number in [0, 1).
func (c *Context) unit() float64 { return float64(c.random()>>11) / (1 << 53) }

// settled tells whether h, the pick of the given attempt, is final.
func (c *Context) settled(h *endpoint.Host, attempt int) bool {
	return h == nil || c.Predicate == nil || attempt >= c.HostSelectionAttempts || !c.Predicate.ShouldSelectAnother(h)
}

// cursors are one counter a worker, each on a cache line of its own.
type cursors []cursor

type cursor struct {
	n atomic.Uint64
	_ [56]byte
}

func newCursors(workers int) cursors {
	c := make(cursors, workers+1)
	for i := range c {
		c[i].n.Store(rand.Uint64() >> 1)
	}
	return c
}

func (c cursors) next(w stats.Worker) uint64 {
	if int(w) >= len(c) {
		w = 0
	}
	return c[w].n.Add(1)
}
