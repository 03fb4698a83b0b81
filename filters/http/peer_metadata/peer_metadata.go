// Package peermetadata is Istio's envoy.filters.http.peer_metadata: requests and responses carry who sends
// them, and what they carried is left in filter state for telemetry.
package peermetadata

import (
	"encoding/base64"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/filters/common/memo"
	"github.com/pillion-proxy/pillion/filters/common/peer"
)

// Extension is the filter.
var Extension = filter.NewHTTPAny("envoy.filters.http.peer_metadata", typeName, parse)

const (
	baggage = "baggage"
	// forwardedNetwork tells the network that a request comes from: addresses of another one are not ours
	// to look up.
	forwardedNetwork = "x-forwarded-network"
	// maxPeers is how many peers are known by their ID.
	maxPeers = 500
)

// exchange is a filter that has come to life. It is immutable, but for its cache.
type exchange struct {
	*Config
	ctx *filter.Context
	// id, value and baggage are what we say of ourselves.
	id, value, baggage string
	network            string
	shared             streaminfo.Sharing
	known              *memo.Map[string, *peer.Peer] // by ID
	pool               sync.Pool
}

// Build gives the filter life.
func (c *Config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	self := peer.FromNode(&ctx.Node, c.labels)
	x := &exchange{
		Config: c, ctx: ctx, id: ctx.Node.ID, value: base64.StdEncoding.EncodeToString(peer.Marshal(self.Metadata())),
		baggage: peer.FromNode(&ctx.Node, nil).Baggage(), network: ctx.Node.Metadata.GetFields()["NETWORK"].GetStringValue(),
		known: memo.NewMap[string, *peer.Peer](maxPeers),
	}
	if c.sharedWithUpstream {
		x.shared = streaminfo.SharedOnce
	}
	x.pool.New = func() any { return &stream{exchange: x} }
	return func(*filter.Stream) filter.HTTP { return x.pool.Get().(*stream) }, nil
}

// stream is one stream's filter.
type stream struct {
	*exchange
	// gotID and gotValue tell which headers the request carried: a response carries the same.
	gotID, gotValue bool
}

// DecodeHeaders learns who sent the request, and tells the upstream who passes it on.
func (f *stream) DecodeHeaders(s *filter.Stream) filter.Status {
	if len(f.downstreamDiscovery) > 0 {
		f.discoverDownstream(s)
	}
	if len(f.upstreamPropagation) > 0 {
		f.tellUpstream(s)
	}
	return filter.Continue
}

func (f *stream) discoverDownstream(s *filter.Stream) {
	h := &s.Request.Map
	for i := range f.downstreamDiscovery {
		var p *peer.Peer
		switch f.downstreamDiscovery[i].method {
		case istioHeaders:
			f.gotID, f.gotValue = h.Has(header.XEnvoyPeerMetadataID), h.Has(header.XEnvoyPeerMetadata)
			p = f.read(h)
		case workloadDiscovery:
			if n, ok := h.Get(forwardedNetwork); !ok || n == f.network {
				p = peer.Discover(f.ctx.Workloads, s.Info.DownstreamRemote().Addr())
			}
		case baggageHeader:
			if v, ok := h.Get(baggage); ok {
				p = peer.FromBaggage(v, "")
			}
		case upstreamFilterState:
		}
		if p != nil {
			peer.Put(&s.Info.FilterState, true, p, f.shared)
			break
		}
	}
	remove(h, f.downstreamDiscovery)
}

func (f *stream) tellUpstream(s *filter.Stream) {
	h := &s.Request.Map
	for _, to := range f.upstreamPropagation {
		switch {
		case to.method == baggageHeader:
			h.Set(baggage, f.baggage)
		case !f.skips(s, to.skipExternal):
			h.SetID(header.XEnvoyPeerMetadataID, f.id)
			h.SetID(header.XEnvoyPeerMetadata, f.value)
		}
	}
}

// EncodeHeaders learns who sent the response, and tells the client who passes it on, if it asked by
// telling us who it is.
func (f *stream) EncodeHeaders(s *filter.Stream) filter.Status {
	if len(f.upstreamDiscovery) > 0 {
		f.discoverUpstream(s)
	}
	if len(f.downstreamPropagation) > 0 {
		f.tellDownstream(s)
	}
	return filter.Continue
}

func (f *stream) discoverUpstream(s *filter.Stream) {
	h, u := &s.Response.Map, &s.Info.Upstream
	for i := range f.upstreamDiscovery {
		d := &f.upstreamDiscovery[i]
		var p *peer.Peer
		switch d.method {
		case istioHeaders:
			p = f.read(h)
		case workloadDiscovery:
			if !peer.Remote(u) {
				p = peer.Discover(f.ctx.Workloads, peer.UpstreamAddr(u))
			}
		case upstreamFilterState:
			p, _ = peer.Of(u.FilterState.Get(d.key))
		case baggageHeader:
		}
		if p != nil {
			peer.Put(&s.Info.FilterState, false, p, f.shared)
			break
		}
	}
	remove(h, f.upstreamDiscovery)
}

func (f *stream) tellDownstream(s *filter.Stream) {
	h := &s.Response.Map
	for _, to := range f.downstreamPropagation {
		switch {
		case to.method == baggageHeader:
			h.Set(baggage, f.baggage)
		case (f.gotID || f.gotValue) && !f.skips(s, to.skipExternal):
			if f.gotID {
				h.SetID(header.XEnvoyPeerMetadataID, f.id)
			}
			if f.gotValue {
				h.SetID(header.XEnvoyPeerMetadata, f.value)
			}
		}
	}
}

// skips tells whether the request goes to a cluster that is not to learn who we are.
func (f *stream) skips(s *filter.Stream, external bool) bool {
	c := peer.Cluster(s, f.ctx.Clusters)
	return c != nil && peer.Skips(c.Name, c.Spec().Metadata, external)
}

// remove takes the exchange's headers off a message, if it was looked for them.
func remove(h *header.Map, methods []discovery) {
	for i := range methods {
		if methods[i].method == istioHeaders {
			h.DelID(header.XEnvoyPeerMetadataID)
			h.DelID(header.XEnvoyPeerMetadata)
			return
		}
	}
}

// read finds the peer in the headers of a message. What it said the first time is remembered by its ID.
func (f *stream) read(h *header.Map) *peer.Peer {
	value := h.Value(header.XEnvoyPeerMetadata)
	if value == "" {
		return nil
	}
	id := h.Value(header.XEnvoyPeerMetadataID)
	if id != "" {
		if p, ok := f.known.Get(id); ok {
			return p
		}
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return nil
	}
	m := &structpb.Struct{}
	if proto.Unmarshal(b, m) != nil {
		return nil
	}
	p := peer.FromMetadata(m, f.labels)
	if id == "" {
		return p
	}
	return f.known.Put(strings.Clone(id), p)
}

// OnStreamComplete gives the filter back.
func (f *stream) OnStreamComplete(*filter.Stream) {
	x := f.exchange
	*f = stream{exchange: x}
	x.pool.Put(f)
}

var _ filter.HTTP = (*stream)(nil)
