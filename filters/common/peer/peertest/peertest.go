// Package peertest has clusters with Istio's metadata, and streams that go to them, for the tests of
// Istio's filters.
package peertest

import (
	"log/slog"
	"net"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// Struct parses JSON.
func Struct(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Clusters makes static clusters of their JSON without name and type.
func Clusters(t testing.TB, store *stats.Store, byName map[string]string) *cluster.Set {
	t.Helper()
	var put []*xds.Resource
	for name, text := range byName {
		p := &clusterpb.Cluster{}
		if err := protojson.Unmarshal([]byte(text), p); err != nil {
			t.Fatal(err)
		}
		p.Name, p.ClusterDiscoveryType = name, &clusterpb.Cluster_Type{Type: clusterpb.Cluster_STATIC}
		a, err := anypb.New(p)
		if err != nil {
			t.Fatal(err)
		}
		name, v, err := cluster.Type(cluster.Options{}).Decode(a)
		if err != nil {
			t.Fatal(err)
		}
		put = append(put, &xds.Resource{Name: name, Any: a, Value: v})
	}
	m := cluster.NewManager(cluster.ManagerOptions{Stats: store, NewPool: func(pool.Config) pool.Pool { return nil }, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(m.Close)
	m.Apply((&xds.Snapshot{}).With(xds.ClusterURL, xds.Change{Put: put}))
	return m.Set()
}

// Route is a route to a cluster.
func Route(to string) *route.Route {
	return &route.Route{Kind: route.Forward, Cluster: to, VirtualHost: &route.VirtualHost{}}
}

// Stream makes a stream that goes to a cluster; "" is nowhere.
func Stream(to string) *filter.Stream {
	conn := &network.Conn{Worker: 1}
	conn.Sock.Conn = &net.TCPConn{} // nothing is ever read from it
	s := &filter.Stream{}
	Begin(s, conn, to)
	return s
}

// Begin readies s for a GET / of a.example on conn.
func Begin(s *filter.Stream, conn *network.Conn, to string) {
	s.Begin(conn, nil, time.Now(), 0)
	s.Info.Protocol = streaminfo.HTTP11
	h := &s.Request.Map
	h.Method, h.Path, h.Authority, h.HasAuthority = "GET", "/", "a.example", true
	if to != "" {
		s.Route = Route(to)
	}
}
