// Package metadataexchange is Istio's envoy.filters.network.metadata_exchange: both ends of a TCP
// connection tell each other who they are before the first byte of the application.
package metadataexchange

import (
	"net"
	"net/netip"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
	"github.com/pillion-proxy/pillion/filters/common/peer"
)

// Extension is the filter of a listener's chain, Upstream that of a cluster.
var (
	Extension = filter.NewNetworkAny("envoy.filters.network.metadata_exchange", typeName, parseNetwork)
	Upstream  = filter.NewUpstreamAny("envoy.filters.network.upstream.metadata_exchange", typeName, parseUpstream)
)

// exchange is what both directions have in common. It is immutable.
type exchange struct {
	*Config
	stats     *Stats
	frame     []byte
	known     *peers
	workloads *workload.Index
}

// exchange makes c's exchange with what the proxy has one of: stats, our own preamble, and the peers that
// have told who they are.
func (c *Config) exchange(s *filter.Server) *exchange {
	return &exchange{
		Config: c, workloads: s.Workloads,
		stats: filter.Singleton(s, "metadata_exchange", func() *Stats {
			st := &Stats{}
			stats.Bind(s.Stats.Scope("metadata_exchange"), st)
			return st
		}),
		frame: filter.Singleton(s, "metadata_exchange.preamble."+c.labelKey, func() []byte {
			return preamble(peer.FromNode(&s.Node, c.labels), s.Node.ID)
		}),
		known: filter.Singleton(s, "metadata_exchange.peers."+c.labelKey, func() *peers { return newPeers(c.labels) }),
	}
}

// negotiated tells whether a connection is to carry preambles.
func (x *exchange) negotiated(t *streaminfo.TLS, w stats.Worker) bool {
	if t == nil || t.ALPN != x.protocol {
		x.stats.ProtocolNotFound.Inc(w)
		return false
	}
	x.stats.ProtocolFound.Inc(w)
	return true
}

// begin sends our preamble on c, and returns what strips the peer's off. A write that fails is left to the
// first read to find.
func (x *exchange) begin(c net.Conn, slot *peer.Slot, w stats.Worker) *stripped {
	_, _ = c.Write(x.frame)
	x.stats.Added.Inc(w)
	return &stripped{Conn: c, x: x, slot: slot, worker: w}
}

// discover looks for a peer without preamble by its address.
func (x *exchange) discover(state *streaminfo.FilterState, downstream bool, a netip.Addr, w stats.Worker) {
	if x.discovery {
		if p := peer.Discover(x.workloads, a); p != nil {
			peer.Put(state, downstream, p, streaminfo.SharedNone)
			x.stats.Added.Inc(w)
			return
		}
	}
	peer.PutNotFound(state)
}

// Build gives the listener's filter life.
func (c *Config) Build(ctx *filter.Context) (filter.NetworkFactory, error) {
	f := &downstream{c.exchange(ctx.Server)}
	return func(*network.Conn) network.Filter { return f }, nil
}

// downstream is the filter of every connection: what differs is in the connection.
type downstream struct{ *exchange }

// OnNewConnection exchanges preambles if that was negotiated. It does not wait for the client's: that is
// stripped off when the connection is read.
func (f *downstream) OnNewConnection(c *network.Conn) network.Status {
	state := &c.Info.FilterState
	if f.negotiated(c.Info.TLS, c.Worker) {
		slot := &peer.Slot{}
		peer.Put(state, true, slot, streaminfo.SharedNone)
		c.Wrap(func(inner net.Conn) net.Conn { return f.begin(inner, slot, c.Worker) })
		return network.Continue
	}
	if f.discovery && f.workloads != nil {
		// The upstream host is not known yet.
		peer.Put(state, false, peer.Late(func() *peer.Peer {
			if c.Stream == nil {
				return nil
			}
			return peer.Discover(f.workloads, peer.UpstreamAddr(&c.Stream.Upstream))
		}), streaminfo.SharedNone)
	}
	f.discover(state, true, c.Info.Remote.Addr(), c.Worker)
	return network.Continue
}

// OnClose does nothing.
func (f *downstream) OnClose(*network.Conn) {}

// BuildUpstream gives the cluster's filter life.
func (c *Config) BuildUpstream(s *filter.Server, _ string) (network.UpstreamFilter, error) {
	return &upstream{c.exchange(s)}, nil
}

// upstream is the filter of all of a cluster's connections.
type upstream struct{ *exchange }

// OnConnect exchanges preambles if that was negotiated; else c stays what it is.
func (f *upstream) OnConnect(c net.Conn, u *streaminfo.Upstream) (net.Conn, error) {
	if f.negotiated(u.TLS, 0) {
		slot := &peer.Slot{}
		peer.Put(&u.FilterState, false, slot, streaminfo.SharedNone)
		return f.begin(c, slot, 0), nil
	}
	f.discover(&u.FilterState, false, peer.UpstreamAddr(u), 0)
	return c, nil
}

var (
	_ network.Filter         = (*downstream)(nil)
	_ network.UpstreamFilter = (*upstream)(nil)
)
