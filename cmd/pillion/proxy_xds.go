package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pillion-proxy/pillion/dataplane"
	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/xds"
	"github.com/pillion-proxy/pillion/xds/ads"
	"github.com/pillion-proxy/pillion/xds/bootstrap"
	"github.com/pillion-proxy/pillion/xds/file"
)

// sources are where resources come from: streams to bootstrap clusters, and files.
type sources struct {
	files file.Opener
	proxy *dataplane.Proxy
}

func (s *sources) close() { s.files.Close() }

// makeClient makes the xds client, which feeds the proxy.
func (s *server) makeClient() error {
	b := s.bootstrap
	s.sources = &sources{files: file.Opener{RejectUnknown: s.flags.RejectUnknownDynamic, Log: s.logs.For("config")}, proxy: s.proxy}
	b.Node = ads.Node(b.Node, extensions(s.registry.Names()))
	streams := &ads.Opener{Node: b.Node, Dial: s.sources.dial, ADS: b.ADS, Log: s.logs.For("config")}
	s.registry.Options.Runtime = s.runtime
	s.registry.Options.HasCluster = s.hasCluster
	s.client = xds.New(xds.Config{
		Decoders:  dataplane.Decoders(s.registry, s.proxy.Server, s.proxy.Listeners),
		Open:      map[string]xds.OpenFunc{xds.SchemeADS: streams.Open, xds.SchemeGRPC: streams.Open, xds.SchemeDelta: streams.Open, xds.SchemePath: s.sources.files.Open},
		Listeners: b.Listeners, Clusters: b.Clusters, Publish: s.proxy.Apply, Observe: s.subscriptions.Event, Log: s.logs.For("config"),
	})
	return nil
}

// hasCluster tells whether a cluster is known, for validate_clusters: while the bootstrap's listeners are
// compiled its clusters are not in a snapshot yet.
func (s *server) hasCluster(name string) bool {
	if s.static == nil {
		s.static = map[string]bool{}
		for _, a := range s.bootstrap.Static {
			if a.GetTypeUrl() == xds.ClusterURL {
				s.static[clusterName(a.GetValue())] = true
			}
		}
	}
	return s.static[name] || s.client.Snapshot().Resource(xds.ClusterURL, name) != nil
}

// clusterName reads the name of an encoded Cluster, its field 1.
func clusterName(b []byte) string {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ""
		}
		b = b[size:]
		if n == 1 && t == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			return string(v)
		}
		if size = protowire.ConsumeFieldValue(n, t, b); size < 0 {
			return ""
		}
		b = b[size:]
	}
	return ""
}

// extensions are what the node says of us.
func extensions(listener, network, http []string) []*corepb.Extension {
	var out []*corepb.Extension
	add := func(category string, names []string) {
		for _, n := range names {
			out = append(out, &corepb.Extension{Name: n, Category: category})
		}
	}
	add("envoy.filters.listener", listener)
	add("envoy.filters.network", network)
	add("envoy.filters.http", http)
	return out
}

// dial makes the connection of a stream to a bootstrap cluster.
func (s *sources) dial(_ context.Context, name, authority string) (*grpc.ClientConn, error) {
	c := s.proxy.Clusters.Set().Get(name)
	if c == nil {
		return nil, fmt.Errorf("cluster %q is not known", name)
	}
	if authority == "" {
		authority = name
	}
	return ads.NewConn(func(ctx context.Context) (net.Conn, error) {
		h := c.Pick(&lb.Context{})
		if h == nil {
			return nil, errors.New("no healthy upstream")
		}
		conn, err := c.Owner(h).Dial(ctx, h, pool.Options{ALPN: "h2"}, 0)
		if err != nil {
			h.PutResult(endpoint.ConnectFailed)
			return nil, errors.New(err.String())
		}
		h.PutResult(endpoint.ConnectSuccessFinal)
		return conn, nil
	}, ads.ConnOptions{Authority: authority})
}

// locality is the node's, or nil.
func locality(n *corepb.Node) *endpoint.Locality {
	l := n.GetLocality()
	if l == nil {
		return nil
	}
	return &endpoint.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
}

// openLog opens a file for events, beside the access logs.
func (s *server) openLog(path string) (io.Writer, error) {
	f, err := s.files.Open(path)
	if err != nil {
		return nil, err
	}
	return lineWriter{f}, nil
}

// lineWriter is a log file as a Writer of whole lines.
type lineWriter struct{ *accesslog.File }

// Write adds the lines in p.
func (w lineWriter) Write(p []byte) (int, error) {
	w.Append(p)
	return len(p), nil
}

// maxConnections is the overload manager's limit of downstream connections; 0: none.
func (s *server) maxConnections() (int64, error) { return overloadLimit(s.bootstrap) }

// refused names what of a bootstrap is not done.
func refused(b *bootstrap.Bootstrap) error {
	if len(b.Types) > 0 {
		return fmt.Errorf("the bootstrap has configurations of unknown types: %s", strings.Join(b.Types, ", "))
	}
	if b.Tracing != nil {
		return errors.New("Bootstrap.tracing is not supported") //nolint:staticcheck,revive // names the field
	}
	for _, l := range b.Layers {
		if l.RTDS != nil {
			return fmt.Errorf("Bootstrap.layered_runtime: layer %q: rtds_layer is not supported", l.Name) //nolint:staticcheck,revive // names the field
		}
	}
	if len(b.Stats.Sinks) > 0 {
		return fmt.Errorf("Bootstrap.stats_sinks: %s is not supported", b.Stats.Sinks[0].GetName()) //nolint:staticcheck,revive // names the field
	}
	for _, e := range b.Extensions {
		if !knownBootstrapExtension(e) {
			return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", e.GetName(), typeName(e)) //nolint:staticcheck,revive // Envoy's text
		}
	}
	return nil
}
