package endpoint

import (
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// Host is one address of one cluster: the live thing. It outlives updates of its endpoint with its
// pools, counters, health and ejection.
type Host struct {
	// Address is the host's key in its cluster. Immutable.
	Address Address
	// Cluster is the cluster's name. Immutable.
	Cluster string
	// Created is when the host came into being. Immutable.
	Created time.Time
	// Maker makes the host's pools. Immutable.
	Maker PoolMaker
	// Stats are shown by /clusters.
	Stats pool.HostStats

	endpoint  atomic.Pointer[Endpoint]
	flags     atomic.Uint32
	transport atomic.Pointer[Transport]
	monitor   atomic.Pointer[Monitor]
	failing   atomic.Uint32 // health checks that fail, by number
	resolved  atomic.Pointer[[]Address]
	healthyAt atomic.Int64 // Unix ns of when it last became healthy; 0: not yet
	used      atomic.Bool
	gone      atomic.Bool
	load      Load
	pools     pools
}

// Transport is the transport socket that a host's metadata has chosen.
type Transport struct {
	// Name is the transport_socket_match's; "default" is the cluster's own.
	Name   string
	Socket transport.Upstream
	// PassesOn tells that it passes the client's connection on (PROXY protocol, internal_upstream), so that
	// each client needs connections of its own.
	PassesOn bool
}

// NewHost makes the host of an endpoint. A nil maker makes no pools.
func NewHost(cluster string, e *Endpoint, maker PoolMaker, now time.Time) *Host {
	h := &Host{Address: e.Address, Cluster: cluster, Created: now, Maker: maker}
	h.endpoint.Store(e)
	h.flags.Store(uint32(e.Status.Flag()))
	return h
}

// Endpoint is the host's configuration in force.
func (h *Host) Endpoint() *Endpoint { return h.endpoint.Load() }

// Update gives the host a new version of its endpoint, and tells whether anything changed that a
// HostSet holds.
func (h *Host) Update(e *Endpoint) bool {
	old := h.endpoint.Swap(e)
	changed := old.Weight != e.Weight || old.Priority != e.Priority || old.Locality != e.Locality ||
		old.Canary != e.Canary || old.HashKey != e.HashKey || old.Hostname != e.Hostname || !sameMetadata(old.Metadata, e.Metadata)
	return h.SetFlags(e.Status.Flag(), edsFlags) || changed
}

// Resolve sets what a host of a logical DNS cluster stands for at present: addresses, best first.
// Connections that are open stay.
func (h *Host) Resolve(to []Address) { h.resolved.Store(&to) }

// Addresses are what to connect to, in order: what the host's name stands for, or its address and the
// additional ones.
func (h *Host) Addresses() []Address {
	if r := h.resolved.Load(); r != nil {
		return *r
	}
	if more := h.Endpoint().Additional; len(more) > 0 {
		return append([]Address{h.Address}, more...)
	}
	return []Address{h.Address}
}

// String is the address that %UPSTREAM_HOST% and /clusters show.
func (h *Host) String() string {
	if r := h.resolved.Load(); r != nil && len(*r) > 0 {
		return (*r)[0].text
	}
	return h.Address.text
}

// Flags are the health flags in force.
func (h *Host) Flags() Flag { return Flag(h.flags.Load()) }

// SetFlags sets the flags of mask to those in set, and tells whether that changed any.
func (h *Host) SetFlags(set, mask Flag) bool {
	for {
		old := h.flags.Load()
		now := old&^uint32(mask) | uint32(set&mask)
		if old == now {
			return false
		}
		if h.flags.CompareAndSwap(old, now) {
			return true
		}
	}
}

// SetFailing records the outcome of one of the cluster's health checks (the number of it, up to 31), and
// sets FailedActiveHC where any of them fails. It tells whether that changed the flag.
func (h *Host) SetFailing(check int, failing bool) bool {
	bit := uint32(1) << check
	now := uint32(0)
	if failing {
		now = h.failing.Or(bit) | bit
	} else {
		now = h.failing.And(^bit) &^ bit
	}
	set := Flag(0)
	if now != 0 {
		set = FailedActiveHC
	}
	return h.SetFlags(set, FailedActiveHC)
}

// Failing tells whether one of the cluster's health checks fails.
func (h *Host) Failing(check int) bool { return h.failing.Load()&(1<<check) != 0 }

// Status is the host's health in the words of EDS, for override_host_status: what we found out ourselves
// comes before what EDS says.
func (h *Host) Status() Status {
	f := h.Flags()
	if f&(FailedActiveHC|FailedOutlierCheck) != 0 {
		return Unhealthy
	}
	switch e := h.Endpoint().Status; {
	case e == Unhealthy || e == Draining || e == Timeout:
		return e
	case f&degradedFlags != 0:
		return Degraded
	default:
		return e
	}
}

// Weight is the endpoint's load_balancing_weight.
func (h *Host) Weight() uint32 { return h.endpoint.Load().Weight }

// Active is the number of requests on the host.
func (h *Host) Active() uint64 { return h.Stats.RqActive.Value() }

// Transport is the transport socket in force.
func (h *Host) Transport() *Transport { return h.transport.Load() }

// SetTransport sets the transport socket.
func (h *Host) SetTransport(t *Transport) { h.transport.Store(t) }

// Monitor is outlier detection's view of the host; nil: there is none.
func (h *Host) Monitor() Monitor {
	if m := h.monitor.Load(); m != nil {
		return *m
	}
	return nil
}

// SetMonitor sets who hears of the host's requests; nil: nobody.
func (h *Host) SetMonitor(m Monitor) {
	if m == nil {
		h.monitor.Store(nil)
		return
	}
	h.monitor.Store(&m)
}

// PutCode tells outlier detection, if there is any, of a response.
func (h *Host) PutCode(code int) {
	if m := h.monitor.Load(); m != nil {
		(*m).PutCode(code)
	}
}

// PutResult tells outlier detection, if there is any, of what is no response.
func (h *Host) PutResult(r Result) {
	if m := h.monitor.Load(); m != nil {
		(*m).PutResult(r)
	}
}

// PutDegraded tells outlier detection, if there is any, of x-envoy-degraded.
func (h *Host) PutDegraded() {
	if m := h.monitor.Load(); m != nil {
		(*m).PutDegraded()
	}
}

// HealthyAt is when the host last became healthy: it first passed its health check, or was first put
// into a set. Zero is not yet.
func (h *Host) HealthyAt() time.Time {
	if ns := h.healthyAt.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// SetHealthyAt sets HealthyAt; with once only if it is not set yet.
func (h *Host) SetHealthyAt(t time.Time, once bool) {
	if once {
		h.healthyAt.CompareAndSwap(0, t.UnixNano())
		return
	}
	h.healthyAt.Store(t.UnixNano())
}

// Use marks the host as used lately, and Unused takes the mark off and tells whether it was there
// (cleanup_interval).
func (h *Host) Use() {
	if !h.used.Load() {
		h.used.Store(true)
	}
}

// Unused takes the mark of Use off, and tells whether nothing used the host since the last call.
func (h *Host) Unused() bool { return !h.used.Swap(false) }

// Load is what the host says of its own load (ORCA).
func (h *Host) Load() *Load { return &h.load }

// Pool returns the host's pool for o, made on first use; nil: max_connection_pools are there. It takes
// no lock once the pool is there.
func (h *Host) Pool(o pool.Options) pool.Pool {
	if p := h.pools.get(o); p != nil {
		return p
	}
	return h.pools.add(h, o)
}

// Pools is the number of pools of the host.
func (h *Host) Pools() int { return h.pools.len() }

// DropPool forgets the pool for o, which has become idle, or whose downstream connection is gone; its
// requests finish.
func (h *Host) DropPool(o pool.Options) { h.pools.drop(h, o) }

// Gone tells whether the host has left its cluster: whoever picked it just before gets a pool whose
// connections serve one request each.
func (h *Host) Gone() bool { return h.gone.Load() }

// Leave marks the host as gone and drains its pools.
func (h *Host) Leave() {
	h.gone.Store(true)
	h.Drain()
}

// Return takes Leave back: the address is in the cluster again.
func (h *Host) Return() { h.gone.Store(false) }

// Drain lets the requests of all pools finish and closes what is idle. The host may go on to be used:
// it gets new pools.
func (h *Host) Drain() { h.pools.end(h, pool.Pool.Drain) }

// Close ends every connection of the host.
func (h *Host) Close() { h.pools.end(h, pool.Pool.Close) }

// Fill writes what a stream's info says of the host.
func (h *Host) Fill(u *streaminfo.Upstream) {
	e := h.Endpoint()
	u.Host, u.HostName, u.HostMetadata = h.String(), e.Hostname, e.Metadata
}
