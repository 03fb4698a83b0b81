// Package router is envoy.filters.http.router: it picks a cluster and a host for a request, sends it,
// tries again where the route says so, and brings the response back.
package router

import (
	"errors"
	"sync"
	"time"

	routerpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Extension is the router.
var Extension = filter.NewTerminalHTTP("envoy.filters.http.router", parse)

// config is a compiled Router
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/router/v3/router.proto).
type config struct {
	dynamicStats    bool
	suppress        bool
	respectExpected bool
	strict          []string
}

func parse(p *routerpb.Router, _ filter.Parsers) (filter.HTTPConfig, error) {
	switch {
	case len(p.GetUpstreamLog()) > 0:
		return nil, errors.New("Router.upstream_log is not supported") //nolint:revive // names the field
	case p.GetUpstreamLogOptions() != nil:
		return nil, errors.New("Router.upstream_log_options is not supported") //nolint:revive // names the field
	case len(p.GetUpstreamHttpFilters()) > 0:
		return nil, errors.New("Router.upstream_http_filters is not supported") //nolint:revive // names the field
	}
	// start_child_span concerns tracing alone, suppress_grpc_request_failure_code_stats stats that gRPC
	// requests have beside the HTTP ones here.
	return &config{dynamicStats: p.GetDynamicStats() == nil || p.GetDynamicStats().GetValue(), suppress: p.GetSuppressEnvoyHeaders(),
		respectExpected: p.GetRespectExpectedRqTimeout(), strict: p.GetStrictCheckHeaders()}, nil
}

// shared is what all streams' routers have in common.
type shared struct {
	c     *config
	ctx   *filter.Context
	stats Stats
	pool  sync.Pool

	virtuals virtuals
}

// Build gives the router life.
func (c *config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	sh := &shared{c: c, ctx: ctx}
	scope := ctx.RootScope(trimDot(ctx.StatPrefix))
	stats.Bind(scope, &sh.stats)
	sh.virtuals.store = ctx.Stats
	ctx.OnClose(sh.virtuals.close)
	sh.pool.New = func() any { return &router{shared: sh} }
	return func(*filter.Stream) filter.HTTP { return sh.pool.Get().(*router) }, nil
}

func trimDot(prefix string) string {
	if n := len(prefix); n > 0 && prefix[n-1] == '.' {
		return prefix[:n-1]
	}
	return prefix
}

// router is one stream's. It belongs to the stream's goroutine, but for its pump.
type router struct {
	filter.PassThrough
	*shared
	s       *filter.Stream
	route   *route.Route
	cluster *cluster.Cluster
	spec    *cluster.Spec // the cluster's
	times   timeouts
	retry   retryState
	send    sender
	body    responseBody

	// The current attempt.
	up       pool.Stream
	host     *endpoint.Host
	owner    *cluster.Cluster // host's: cluster, but for an aggregate
	began    time.Time        // the attempt
	counted  bool             // the breaker for requests counts it
	virtual  []*virtual       // what the request is counted in besides its cluster
	pending  bool             // the host's success is known with the trailers (gRPC)
	followed redirectState
	cookies  []string // set-cookie of hash policies
	shadows  shadows
	timedOut bool
}

// Serve takes the request upstream, and fills s.Response.
func (r *router) Serve(s *filter.Stream) {
	r.s = s
	w := s.Worker
	r.stats.RqTotal.Inc(w)
	for {
		r.route = s.Route
		if r.route == nil {
			r.stats.NoRoute.Inc(w)
			s.Stage, s.Because = "route", "no route matches"
			s.SendLocalReply(404, "", "route_not_found", flagNoRoute)
			return
		}
		if r.answered() {
			return
		}
		if !r.findCluster() || !r.prepare() {
			return
		}
		r.run()
		if !r.redirect() {
			return
		}
	}
}

// OnStreamComplete ends what is left of the attempt and gives the router back.
func (r *router) OnStreamComplete(s *filter.Stream) {
	if r.s == nil {
		r.release()
		return
	}
	r.send.stop()
	r.finish()
	if r.cluster != nil && !r.began.IsZero() && s.Info.ResponseCode != 0 && !s.Response.Local {
		r.chargeTime()
	}
	r.release()
}

func (r *router) release() {
	sh := r.shared
	kept, cookies, virtual, hosts := r.send.kept[:0], r.cookies[:0], r.virtual[:0], r.retry.hosts[:0]
	clear(hosts[:cap(hosts)])
	*r = router{shared: sh, cookies: cookies, virtual: virtual}
	r.send.kept, r.retry.hosts = kept, hosts
	sh.pool.Put(r)
}

var _ filter.Terminal = (*router)(nil)
