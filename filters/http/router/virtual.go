package router

import (
	"sync"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// virtual are the stats of a virtual cluster, or of a route with a stat_prefix
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#virtual-clusters).
// They are made when the first request belongs to them.
type virtual struct {
	Retry         stats.Counter `stat:"upstream_rq_retry"`
	LimitExceeded stats.Counter `stat:"upstream_rq_retry_limit_exceeded"`
	Overflow      stats.Counter `stat:"upstream_rq_retry_overflow"`
	Success       stats.Counter `stat:"upstream_rq_retry_success"`
	Timeout       stats.Counter `stat:"upstream_rq_timeout"`
	Total         stats.Counter `stat:"upstream_rq_total"`

	scope     *stats.Scope
	completed *stats.Counter
	codes     *stats.Codes
	time      *stats.Histogram
}

// virtuals finds them by their scope's name.
type virtuals struct {
	store *stats.Store
	m     sync.Map // string → *virtual
}

func (v *virtuals) get(name string) *virtual {
	if x, ok := v.m.Load(name); ok {
		return x.(*virtual)
	}
	scope := v.store.Scope(name)
	n := &virtual{scope: scope, completed: scope.Counter("upstream_rq_completed"), codes: stats.NewCodes(scope, "upstream_rq", true), time: scope.Histogram("upstream_rq_time")}
	stats.Bind(scope, n)
	x, loaded := v.m.LoadOrStore(name, n)
	if loaded {
		scope.Close()
	}
	return x.(*virtual)
}

func (v *virtuals) close() {
	v.m.Range(func(_, x any) bool {
		x.(*virtual).scope.Close()
		return true
	})
}

// belongs finds what the request is counted in besides its cluster.
func (r *router) belongs() {
	r.virtual = r.virtual[:0]
	host := r.route.VirtualHost
	if name := host.VirtualCluster(&r.s.Request.Map); name != "" {
		r.virtual = append(r.virtual, r.virtuals.get("vhost."+host.Name+".vcluster."+name))
	}
	if r.route.StatPrefix != "" {
		r.virtual = append(r.virtual, r.virtuals.get("vhost."+host.Name+".route."+r.route.StatPrefix))
	}
}
