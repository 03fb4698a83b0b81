package cluster

import (
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// endpointStats are a host's own stats under track_cluster_stats.per_endpoint_stats.
type endpointStats struct {
	CxConnectFail   stats.Counter `stat:"cx_connect_fail"`
	CxTotal         stats.Counter `stat:"cx_total"`
	RqError         stats.Counter `stat:"rq_error"`
	RqSuccess       stats.Counter `stat:"rq_success"`
	RqTimeout       stats.Counter `stat:"rq_timeout"`
	RqTotal         stats.Counter `stat:"rq_total"`
	CxActive        stats.Gauge   `stat:"cx_active"`
	RqActive        stats.Gauge   `stat:"rq_active"`
	RqPendingActive stats.Gauge   `stat:"rq_pending_active"`
	Healthy         stats.Gauge   `stat:"healthy"`
}

// tracked copies a host's counters into stats at every flush.
type tracked struct {
	host  *endpoint.Host
	scope *stats.Scope
	stats endpointStats
	last  [6]uint64 // guarded by cluster.mu: what the counters have been brought up to
}

// track begins to show a host's stats. cluster.mu is held.
func (l *live) track(h *endpoint.Host) {
	if !l.spec.TrackEndpoints || l.tracked[h] != nil {
		return
	}
	name := h.Endpoint().ObservabilityName
	if name == "" {
		name = h.String()
	}
	t := &tracked{host: h, scope: l.cluster.scope.Scope("endpoint." + statName(name))}
	stats.Bind(t.scope, &t.stats)
	if l.tracked == nil {
		l.tracked = map[*endpoint.Host]*tracked{}
	}
	l.tracked[h] = t
	t.flush()
}

// untrack takes a host's stats away. cluster.mu is held.
func (l *live) untrack(h *endpoint.Host) {
	if t := l.tracked[h]; t != nil {
		delete(l.tracked, h)
		t.scope.Close()
	}
}

func (t *tracked) flush() {
	s := &t.host.Stats
	counters := [6]*stats.Counter{&t.stats.CxConnectFail, &t.stats.CxTotal, &t.stats.RqError, &t.stats.RqSuccess, &t.stats.RqTimeout, &t.stats.RqTotal}
	for i, v := range [6]uint64{s.CxConnectFail.Value(), s.CxTotal.Value(), s.RqError.Value(), s.RqSuccess.Value(), s.RqTimeout.Value(), s.RqTotal.Value()} {
		counters[i].Add(0, v-t.last[i])
		t.last[i] = v
	}
	t.stats.CxActive.Set(s.CxActive.Value())
	t.stats.RqActive.Set(s.RqActive.Value())
	t.stats.RqPendingActive.Set(s.RqPendingActive.Value())
	healthy := uint64(0)
	if t.host.Flags().Healthy() {
		healthy = 1
	}
	t.stats.Healthy.Set(healthy)
}

// flush brings the stats of tracked hosts, and the gauges of unlimited breakers, up to date.
func (m *Manager) flush() {
	for _, c := range m.set.All() {
		l := c.live.Load()
		if l == nil {
			continue
		}
		for i := range l.traffic.breakers {
			b := &l.traffic.breakers[i]
			b.Connections.Remaining()
			b.Pending.Remaining()
			b.Requests.Remaining()
			b.Retries.Remaining()
			b.Pools.Remaining()
		}
		c.mu.Lock()
		for _, t := range l.tracked {
			t.flush()
		}
		c.mu.Unlock()
	}
}
