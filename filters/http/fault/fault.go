// Package fault is envoy.filters.http.fault: it delays, aborts and slows down requests to see how those
// who sent them cope.
package fault

import (
	"fmt"
	"slices"
	"sync"

	faultpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	common "github.com/pillion-proxy/pillion/filters/common/fault"
)

// Extension is the filter. What a route says replaces the filter's own configuration.
var Extension = filter.PerRoute(filter.NewHTTP("envoy.filters.http.fault", parse), parseRoute)

// config is a compiled HTTPFault
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/fault/v3/fault.proto).
type config struct {
	delay    *common.Delay
	abort    *abort
	limit    *common.Limit
	cluster  string
	headers  matcher.Headers
	nodes    []string
	max      uint64
	hasMax   bool
	keys     keys
	noStats  bool // disable_downstream_cluster_stats
	metadata *structpb.Struct
}

// abort is a compiled FaultAbort.
type abort struct {
	percent common.Percent
	http    uint64 // 0: see the others
	grpc    uint64
	isGRPC  bool
	header  bool // the request says
	body    string
}

// keys are the runtime keys that may say something else than the configuration.
type keys struct {
	delayPercent, delayDuration, abortPercent, abortHTTP, abortGRPC, max, limitPercent string
}

func parse(p *faultpb.HTTPFault, ps filter.Parsers) (filter.HTTPConfig, error) { return compile(p, ps) }

func parseRoute(p *faultpb.HTTPFault, ps filter.Parsers) (filter.Config, error) {
	return compile(p, ps)
}

func compile(p *faultpb.HTTPFault, ps filter.Parsers) (*config, error) {
	c := &config{delay: common.CompileDelay(p.GetDelay()), abort: compileAbort(p.GetAbort()), limit: common.CompileLimit(p.GetResponseRateLimit()),
		cluster: p.GetUpstreamCluster(), nodes: p.GetDownstreamNodes(), max: uint64(p.GetMaxActiveFaults().GetValue()), hasMax: p.GetMaxActiveFaults() != nil,
		noStats: p.GetDisableDownstreamClusterStats(), metadata: p.GetFilterMetadata(),
		keys: keys{
			delayPercent:  or(p.GetDelayPercentRuntime(), "fault.http.delay.fixed_delay_percent"),
			delayDuration: or(p.GetDelayDurationRuntime(), "fault.http.delay.fixed_duration_ms"),
			abortPercent:  or(p.GetAbortPercentRuntime(), "fault.http.abort.abort_percent"),
			abortHTTP:     or(p.GetAbortHttpStatusRuntime(), "fault.http.abort.http_status"),
			abortGRPC:     or(p.GetAbortGrpcStatusRuntime(), "fault.http.abort.grpc_status"),
			max:           or(p.GetMaxActiveFaultsRuntime(), "fault.http.max_active_faults"),
			limitPercent:  or(p.GetResponseRateLimitPercentRuntime(), "fault.http.rate_limit.response_percent"),
		}}
	var err error
	if c.headers, err = matcher.CompileHeaders(p.GetHeaders(), ps.Logs().Matcher); err != nil {
		return nil, fmt.Errorf("HTTPFault.headers: %w", err)
	}
	return c, nil
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func compileAbort(p *faultpb.FaultAbort) *abort {
	if p == nil {
		return nil
	}
	a := &abort{percent: common.CompilePercent(p.GetPercentage(), ""), body: or(p.GetResponseBody(), "fault filter abort")}
	switch e := p.GetErrorType().(type) {
	case *faultpb.FaultAbort_HttpStatus:
		a.http = uint64(e.HttpStatus)
	case *faultpb.FaultAbort_GrpcStatus:
		a.grpc, a.isGRPC = uint64(e.GrpcStatus), true
	case *faultpb.FaultAbort_HeaderAbort_:
		a.header = true
		a.percent = common.CompilePercent(p.GetPercentage(), common.AbortPercentHeader)
	}
	return a
}

// idle tells that the configuration does nothing.
func (c *config) idle() bool { return c.delay == nil && c.abort == nil && c.limit == nil }

// fault is the filter of all streams; those that it has something to do for get an active of their own.
type fault struct {
	filter.PassThrough
	*config
	name    string
	runtime *runtime.Loader
	stats   Stats
	byPeer  peerStats
	pool    sync.Pool
}

// Build gives the filter life.
func (c *config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	f := &fault{config: c, name: ctx.FilterName, runtime: ctx.Runtime}
	f.bind(ctx)
	f.pool.New = func() any { return &active{fault: f} }
	return func(*filter.Stream) filter.HTTP { return f }, nil
}

// DecodeHeaders looks whether the stream's configuration has faults for the request.
func (f *fault) DecodeHeaders(s *filter.Stream) filter.Status {
	c := f.config
	if s.Route != nil && s.Route.HasPerFilter {
		if own, ok := s.Route.PerFilter(f.name).(*config); ok {
			c = own
		}
	}
	if c.idle() || !c.applies(&s.Request.Map, s) {
		return filter.Continue
	}
	a := f.pool.Get().(*active)
	a.config = c
	s.Become(f, a)
	return a.DecodeHeaders(s)
}

// applies tells whether the request is one of those that faults are for.
func (c *config) applies(h *header.Map, s *filter.Stream) bool {
	if c.cluster != "" && (s.Route == nil || s.Route.Kind != route.Forward || s.Route.ClusterName(h, &s.Info) != c.cluster) {
		return false
	}
	if len(c.nodes) > 0 {
		node, ok := h.Lookup(header.XEnvoyDownstreamServiceNode)
		if !ok || !slices.Contains(c.nodes, node) {
			return false
		}
	}
	return c.headers.Match(h)
}

var (
	_ filter.HTTP       = (*fault)(nil)
	_ filter.HTTPConfig = (*config)(nil)
)
