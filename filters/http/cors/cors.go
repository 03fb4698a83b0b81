// Package cors is envoy.filters.http.cors: it answers CORS preflights and marks the responses to
// cross-origin requests.
package cors

import (
	"fmt"
	"sync"

	corspb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Extension is the filter.
var Extension = filter.PerRoute(filter.NewHTTP("envoy.filters.http.cors", parse), parsePolicy)

// config is a compiled Cors, which says nothing: policies are the routes'.
type config struct{}

func parse(*corspb.Cors, filter.Parsers) (filter.HTTPConfig, error) { return config{}, nil }

// parsePolicy compiles a CorsPolicy
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/cors/v3/cors.proto).
func parsePolicy(p *corspb.CorsPolicy, ps filter.Parsers) (filter.Config, error) {
	c := &route.CORS{AllowMethods: p.GetAllowMethods(), AllowHeaders: p.GetAllowHeaders(), ExposeHeaders: p.GetExposeHeaders(), MaxAge: p.GetMaxAge(),
		Enabled: runtime.CompileFraction(p.GetFilterEnabled()), HasEnabled: p.GetFilterEnabled() != nil,
		Shadow: runtime.CompileFraction(p.GetShadowEnabled()), HasShadow: p.GetShadowEnabled() != nil}
	if v := p.GetAllowCredentials(); v != nil {
		c.AllowCredentials = route.Bool{Value: v.GetValue(), Set: true}
	}
	if v := p.GetAllowPrivateNetworkAccess(); v != nil {
		c.AllowPrivateNetworkAccess = route.Bool{Value: v.GetValue(), Set: true}
	}
	if v := p.GetForwardNotMatchingPreflights(); v != nil {
		c.ForwardNotMatchingPreflights = route.Bool{Value: v.GetValue(), Set: true}
	}
	var err error
	if c.AllowOrigin, err = matcher.CompileStrings(p.GetAllowOriginStringMatch(), ps.Logs().Matcher); err != nil {
		return nil, fmt.Errorf("CorsPolicy.allow_origin_string_match: %w", err)
	}
	return c, nil
}

// cors is the filter of all streams; those with an origin get an active of their own.
type cors struct {
	filter.PassThrough
	name    string
	runtime *runtime.Loader
	stats   Stats
	pool    sync.Pool
}

// Build gives the filter life.
func (config) Build(c *filter.Context) (filter.HTTPFactory, error) {
	f := &cors{name: c.FilterName, runtime: c.Runtime}
	stats.Bind(c.HTTPScope("cors"), &f.stats)
	f.pool.New = func() any { return &active{cors: f} }
	return func(*filter.Stream) filter.HTTP { return f }, nil
}

// DecodeHeaders looks for an origin: most requests have none.
func (f *cors) DecodeHeaders(s *filter.Stream) filter.Status {
	if !s.Request.Has(header.Origin) {
		return filter.Continue
	}
	origin := s.Request.Value(header.Origin)
	if origin == "" || s.Route == nil || s.Route.Kind != route.Forward {
		return filter.Continue
	}
	a := f.pool.Get().(*active)
	a.origin, a.policies = origin, f.policies(a.policies[:0], s.Route)
	if len(a.policies) == 0 {
		f.put(a)
		return filter.Continue
	}
	s.Become(f, a)
	return a.DecodeHeaders(s)
}

func (f *cors) put(a *active) {
	clear(a.policies)
	*a = active{cors: f, policies: a.policies[:0]}
	f.pool.Put(a)
}

// policies lists the policies of a route, the most specific first: those of typed_per_filter_config or,
// without any, those of the deprecated cors fields.
func (f *cors) policies(list []any, r *route.Route) []any {
	list = r.PerFilterAll(list, f.name)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	if len(list) > 0 {
		return list
	}
	if r.CORS != nil {
		list = append(list, r.CORS)
	}
	if v := r.VirtualHost.CORS; v != nil {
		list = append(list, v)
	}
	return list
}

var (
	_ filter.HTTP       = (*cors)(nil)
	_ filter.HTTPConfig = config{}
)
