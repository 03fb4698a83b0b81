package dataplane

import (
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// subscriptionStats are those of one subscription, below "cluster_manager.cds.", "listener_manager.lds.",
// "http.PREFIX.rds.NAME." and "sds.NAME."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/overview/xds_api#statistics).
type subscriptionStats struct {
	Attempt      stats.Counter     `stat:"update_attempt"`
	Success      stats.Counter     `stat:"update_success"`
	Failure      stats.Counter     `stat:"update_failure"`
	Rejected     stats.Counter     `stat:"update_rejected"`
	FetchTimeout stats.Counter     `stat:"init_fetch_timeout"`
	Time         stats.Gauge       `stat:"update_time"`
	Version      stats.Gauge       `stat:"version"`
	VersionText  stats.TextReadout `stat:"version_text"`
}

// durationStats and reloadStats are of some types alone.
type durationStats struct {
	Duration stats.Histogram `stat:"update_duration"`
}

type reloadStats struct {
	Reload     stats.Counter `stat:"config_reload"`
	ReloadTime stats.Gauge   `stat:"config_reload_time_ms"`
}

type secretStats struct {
	KeyRotationFailed stats.Counter `stat:"key_rotation_failed"`
}

type routeStats struct {
	UpdateEmpty stats.Counter `stat:"update_empty"`
}

// controlPlaneStats are those of a stream to a control plane.
type controlPlaneStats struct {
	Connected  stats.Gauge       `stat:"connected_state"`
	Pending    stats.Gauge       `stat:"pending_requests"`
	Limited    stats.Counter     `stat:"rate_limit_enforced"`
	Identifier stats.TextReadout `stat:"identifier"`
}

// subscription is the stats of one subscription.
type subscription struct {
	subscriptionStats
	durationStats
	reloadStats
	control *controlPlaneStats // of a stream of its own; nil: ADS
}

// Subscriptions counts what happens to subscriptions (xds.Config.Observe). The scopes of routes are known to
// their connection managers, which Bind them; a subscription that is counted before keeps what it has.
type Subscriptions struct {
	store *stats.Store

	mu      sync.Mutex
	byName  map[subscriptionKey]*subscription // guarded by mu
	ads     controlPlaneStats                 // guarded by mu
	started map[subscriptionKey][]xds.Event   // guarded by mu: what came before Bind, for routes
}

type subscriptionKey struct{ typeURL, name string }

// NewSubscriptions lists what is subscribed to as a whole: listeners and clusters, where they are.
func NewSubscriptions(store *stats.Store, ads, listeners, clusters bool) *Subscriptions {
	s := &Subscriptions{store: store, byName: map[subscriptionKey]*subscription{}, started: map[subscriptionKey][]xds.Event{}}
	if ads {
		stats.Bind(store.Scope("control_plane"), &s.ads)
	}
	if listeners {
		s.bind(subscriptionKey{typeURL: xds.ListenerURL}, store.Scope("listener_manager.lds"))
	}
	if clusters {
		s.bind(subscriptionKey{typeURL: xds.ClusterURL}, store.Scope("cluster_manager.cds"))
	}
	return s
}

// bind lists a subscription's stats. mu is held, or nobody else has s yet.
func (s *Subscriptions) bind(k subscriptionKey, scope *stats.Scope) *subscription {
	x := &subscription{}
	stats.Bind(scope, &x.subscriptionStats)
	if k.typeURL != xds.SecretURL {
		stats.Bind(scope, &x.durationStats)
	} else {
		stats.Bind(scope, &secretStats{})
	}
	if k.typeURL == xds.ClusterURL || k.typeURL == xds.RouteURL {
		stats.Bind(scope, &x.reloadStats)
	}
	if k.typeURL == xds.RouteURL {
		stats.Bind(scope, &routeStats{})
	}
	s.byName[k] = x
	return x
}

// Bind tells where the stats of a route configuration's subscription go. Of several connection managers
// with the same routes the first one counts, as in Envoy.
func (s *Subscriptions) Bind(typeURL, name string, scope *stats.Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := subscriptionKey{typeURL, name}
	if s.byName[k] != nil {
		return
	}
	x := s.bind(k, scope)
	for _, e := range s.started[k] {
		x.count(e)
	}
	delete(s.started, k)
}

// Event counts one event.
func (s *Subscriptions) Event(e xds.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := subscriptionKey{e.TypeURL, e.Name}
	x := s.byName[k]
	switch {
	case x != nil:
	case e.TypeURL == "":
		s.control(&s.ads, e)
		return
	case e.TypeURL == xds.SecretURL && e.Name != "":
		scope := s.store.Scope("sds." + e.Name)
		x = s.bind(k, scope)
		if e.Source != xds.SchemeADS {
			x.control = &controlPlaneStats{}
			stats.Bind(scope.Scope("control_plane"), x.control)
		}
	case e.TypeURL == xds.RouteURL && e.Name != "":
		s.started[k] = append(s.started[k], e)
		return
	default:
		return // endpoints are counted by their cluster
	}
	switch e.Kind {
	case xds.Connected, xds.Disconnected, xds.Identified:
		if x.control != nil {
			s.control(x.control, e)
		}
	default:
		x.count(e)
	}
}

func (s *Subscriptions) control(c *controlPlaneStats, e xds.Event) {
	switch e.Kind {
	case xds.Connected:
		c.Connected.Set(1)
	case xds.Disconnected:
		c.Connected.Set(0)
	case xds.Identified:
		c.Identifier.Set(e.Details)
	}
}

func (x *subscription) count(e xds.Event) {
	switch e.Kind {
	case xds.Attempt:
		x.Attempt.Inc(0)
	case xds.Success:
		x.Success.Inc(0)
		x.Time.Set(uint64(e.At.UnixMilli()))
		x.Version.Set(xxhash.Sum64String(e.Version))
		x.VersionText.Set(e.Version)
		x.Duration.Record(0, uint64(e.Took.Milliseconds()))
		x.Reload.Inc(0)
		x.ReloadTime.Set(uint64(e.At.UnixMilli()))
	case xds.Rejected:
		x.Rejected.Inc(0)
	case xds.Failed:
		x.Failure.Inc(0)
	case xds.FetchTimeout:
		x.FetchTimeout.Inc(0)
	}
}
