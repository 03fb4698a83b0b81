// Package alpn is Istio's istio.alpn: it chooses the ALPN protocols that an upstream TLS connection offers
// by the HTTP version that will be spoken on it.
package alpn

import (
	"strings"

	alpnpb "istio.io/api/envoy/config/filter/http/alpn/v2alpha1"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/filters/common/peer"
)

// Extension is the filter.
var Extension = filter.NewHTTP("istio.alpn", parse)

// config is a compiled FilterConfig: what to offer, by the upstream's HTTP version; nil: nothing else than
// the cluster's transport socket would. The values are made once: a request allocates nothing.
type config struct{ protocols [streaminfo.HTTP3 + 1]any }

func parse(p *alpnpb.FilterConfig, _ filter.Parsers) (filter.HTTPConfig, error) {
	c := &config{}
	for _, o := range p.GetAlpnOverride() {
		at := streaminfo.HTTP10
		switch o.GetUpstreamProtocol() {
		case alpnpb.FilterConfig_HTTP11:
			at = streaminfo.HTTP11
		case alpnpb.FilterConfig_HTTP2:
			at = streaminfo.HTTP2
		case alpnpb.FilterConfig_HTTP10:
		}
		if c.protocols[at] == nil && len(o.GetAlpnOverride()) > 0 { // the first counts, as in Istio
			c.protocols[at] = streaminfo.ApplicationProtocols(strings.Join(o.GetAlpnOverride(), ","))
		}
	}
	return c, nil
}

// Build gives the filter life. It has no state of a stream.
func (c *config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	f := &alpn{c: c, ctx: ctx}
	return func(*filter.Stream) filter.HTTP { return f }, nil
}

type alpn struct {
	filter.PassThrough
	c   *config
	ctx *filter.Context
}

// DecodeHeaders leaves the protocols for the router, where the cluster does not forbid it.
func (f *alpn) DecodeHeaders(s *filter.Stream) filter.Status {
	c := peer.Cluster(s, f.ctx.Clusters)
	if c == nil {
		return filter.Continue
	}
	spec := c.Spec()
	if peer.KeepsALPN(spec.Metadata) {
		return filter.Continue
	}
	if v := f.c.protocols[upstream(&spec.HTTP, s.Info.Protocol)]; v != nil {
		s.Info.FilterState.Set(streaminfo.StateObject{Name: streaminfo.ApplicationProtocolsKey, Value: v, ReadOnly: true})
	}
	return filter.Continue
}

// upstream is the HTTP version that a cluster will be spoken to in; of several, the one that is tried
// first.
func upstream(h *cluster.HTTP, downstream streaminfo.Protocol) streaminfo.Protocol {
	switch h.Choose(downstream) {
	case pool.HTTP2, pool.Auto:
		return streaminfo.HTTP2
	case pool.HTTP3:
		return streaminfo.HTTP3
	default:
		if h.FollowDownstream && downstream == streaminfo.HTTP10 {
			return streaminfo.HTTP10
		}
		return streaminfo.HTTP11
	}
}

var _ filter.HTTP = (*alpn)(nil)
