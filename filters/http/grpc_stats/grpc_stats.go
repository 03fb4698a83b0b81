// Package grpcstats is envoy.filters.http.grpc_stats: it counts gRPC calls and messages by cluster, and by
// method if asked.
package grpcstats

import (
	"io"
	"strings"
	"sync/atomic"

	grpcstatspb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/filters/common/grpc"
)

// Extension is the filter.
var Extension = filter.NewHTTP("envoy.filters.http.grpc_stats", parse)

// config is a compiled FilterConfig
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/grpc_stats/v3/config.proto).
type config struct {
	emit, all, replaceDots, upstream bool
	listed                           map[method]struct{} // individual_method_stats_allowlist
}

type method struct{ service, name string }

func parse(p *grpcstatspb.FilterConfig, _ filter.Parsers) (filter.HTTPConfig, error) {
	c := &config{emit: p.GetEmitFilterState(), all: p.GetStatsForAllMethods().GetValue(), replaceDots: p.GetReplaceDotsInGrpcServiceName(), upstream: p.GetEnableUpstreamStats()}
	for _, s := range p.GetIndividualMethodStatsAllowlist().GetServices() {
		for _, m := range s.GetMethodNames() {
			if c.listed == nil {
				c.listed = map[method]struct{}{}
			}
			c.listed[method{s.GetName(), m}] = struct{}{}
		}
	}
	return c, nil
}

// counter is the filter of all streams; gRPC calls get a call of their own.
type counter struct {
	filter.PassThrough
	*config
	clusters *cluster.Set
	methods  *grpc.Stats
}

// Build gives the filter life.
func (c *config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	f := &counter{config: c, clusters: ctx.Clusters, methods: grpc.Of(ctx.Server)}
	return func(*filter.Stream) filter.HTTP { return f }, nil
}

// DecodeHeaders looks for gRPC.
func (f *counter) DecodeHeaders(s *filter.Stream) filter.Status {
	if !grpc.IsRequest(&s.Request.Map) {
		return filter.Continue
	}
	c := &call{counter: f, calls: f.find(s), worker: s.Worker}
	c.request.call, c.response.call = c, c
	if s.Request.Body != nil {
		c.request.Body = s.Request.Body
		s.Request.Body = &c.request
	}
	s.Become(f, c)
	return filter.Continue
}

// find finds the stats of a call; nil is none.
func (f *counter) find(s *filter.Stream) *grpc.Calls {
	if s.Route == nil || s.Route.Kind != route.Forward {
		return nil
	}
	to := f.clusters.Get(s.Route.ClusterName(&s.Request.Map, &s.Info))
	if to == nil {
		return nil
	}
	service, name, ok := grpc.Method(s.Request.Path)
	if !ok {
		return nil
	}
	switch {
	case f.all && f.replaceDots:
		service = strings.ReplaceAll(service, ".", "_")
	case f.all:
	default:
		if _, ok := f.listed[method{service, name}]; !ok {
			service, name = "", ""
		}
	}
	return f.methods.Calls("grpc", to.Config().StatName(), service, name)
}

// call is the filter of one gRPC call. Its request's messages are counted by the pump.
type call struct {
	*counter
	calls             *grpc.Calls // nil: not counted
	worker            stats.Worker
	request, response tap
	counts            bool // the response's messages are counted
}

// DecodeHeaders goes on: the counter has seen to the request.
func (c *call) DecodeHeaders(*filter.Stream) filter.Status { return filter.Continue }

// EncodeHeaders counts a status that is in the headers, and watches the body and the trailers.
func (c *call) EncodeHeaders(s *filter.Stream) filter.Status {
	h := &s.Response.Map
	c.status(s, h)
	end := s.Response.Body == nil
	if end {
		c.upstreamTime(s)
		return filter.Continue
	}
	c.counts = grpc.IsResponse(h, end)
	c.response.Body = s.Response.Body
	c.response.frames.EndFlag = connectEnd
	c.response.ended = func() {
		if t := c.response.Trailers(); t != nil {
			c.status(s, t)
		}
		c.upstreamTime(s)
	}
	s.Response.Body = &c.response
	return filter.Continue
}

// connectEnd marks the end of stream in the Connect protocol, which Envoy does not count in responses.
const connectEnd = 2

func (c *call) status(s *filter.Stream, h *header.Map) {
	if v, ok := h.Lookup(header.GrpcStatus); ok && c.calls != nil {
		c.calls.Status(s.Worker, v)
	}
}

func (c *call) upstreamTime(s *filter.Stream) {
	if c.upstream && c.calls != nil && s.Info.LastUpstreamTx > 0 && s.Info.LastUpstreamRx > 0 {
		c.calls.UpstreamTime(s.Worker, uint64(max(s.Info.LastUpstreamRx-s.Info.LastUpstreamTx, 0).Milliseconds()))
	}
}

// OnStreamComplete leaves the counts for the access log and for istio.stats.
func (c *call) OnStreamComplete(s *filter.Stream) {
	m := Messages{c.request.n.Load(), c.response.n.Load()}
	if c.emit && m != (Messages{}) {
		s.Info.FilterState.Set(streaminfo.StateObject{Name: Extension.Name, Value: &m})
	}
}

// tap counts the messages of a body that passes.
type tap struct {
	filter.Body
	call   *call
	frames grpc.Frames
	n      atomic.Uint64
	ended  func() // the response's; nil: the request's
}

// Next counts what it hands on.
func (t *tap) Next() ([]byte, error) {
	p, err := t.Body.Next()
	t.see(p, err)
	return p, err
}

// TryNext is Next if that need not wait.
func (t *tap) TryNext() ([]byte, bool, error) {
	p, ok, err := filter.TryNext(t.Body)
	if ok {
		t.see(p, err)
	}
	return p, ok, err
}

// Complete tells whether all of the body has been received.
func (t *tap) Complete() bool { return filter.Complete(t.Body) }

func (t *tap) see(p []byte, err error) {
	if err == io.EOF && t.ended != nil {
		t.ended()
		t.ended = nil
	}
	if len(p) == 0 || t == &t.call.response && !t.call.counts {
		return
	}
	n := t.frames.Count(p)
	if n == 0 {
		return
	}
	t.n.Add(n)
	switch calls := t.call.calls; {
	case calls == nil:
	case t == &t.call.response:
		calls.Responses(t.call.worker, n)
	default:
		calls.Requests(t.call.worker, n)
	}
}

var (
	_ filter.HTTP         = (*counter)(nil)
	_ filter.HTTP         = (*call)(nil)
	_ filter.CompleteBody = (*tap)(nil)
	_ filter.HTTPConfig   = (*config)(nil)
)
