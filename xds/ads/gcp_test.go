package ads

import (
	"context"
	"fmt"
	"net"
	"testing"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachetypes "github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/pillion-proxy/pillion/xds"
)

// controlPlane is go-control-plane's cache and server.
type controlPlane struct {
	cache  cachev3.SnapshotCache
	server *grpc.Server
	addr   string
}

func newControlPlane(t *testing.T, addr string, cache cachev3.SnapshotCache) *controlPlane {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := grpc.NewServer()
	discoverypb.RegisterAggregatedDiscoveryServiceServer(g, serverv3.NewServer(ctx, cache, nil))
	go func() { _ = g.Serve(l) }()
	t.Cleanup(func() { cancel(); g.Stop() })
	return &controlPlane{cache: cache, server: g, addr: l.Addr().String()}
}

func (c *controlPlane) set(t *testing.T, version string, clusters map[string]int) {
	t.Helper()
	var cs, es []cachetypes.Resource
	for name, n := range clusters {
		cs = append(cs, &clusterpb.Cluster{Name: name, ClusterDiscoveryType: &clusterpb.Cluster_Type{Type: clusterpb.Cluster_EDS}})
		es = append(es, &endpointpb.ClusterLoadAssignment{ClusterName: name, Endpoints: make([]*endpointpb.LocalityLbEndpoints, n)})
	}
	s, err := cachev3.NewSnapshot(version, map[resource.Type][]cachetypes.Resource{resource.ClusterType: cs, resource.EndpointType: es})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cache.SetSnapshot(t.Context(), "me", s); err != nil {
		t.Fatal(err)
	}
}

// localities is how many localities each cluster has: that is what an EDS update changes here.
func (h *harness) localities(want map[string]int) {
	h.t.Helper()
	h.until(fmt.Sprint("endpoints are ", want), func(s *xds.Snapshot) bool {
		if s.Len(xds.EndpointURL) != len(want) || s.Len(xds.ClusterURL) < len(want) {
			return false
		}
		for name, n := range want {
			r := s.Resource(xds.EndpointURL, name)
			if r == nil || len(r.Value.(*endpointpb.ClusterLoadAssignment).Endpoints) != n {
				return false
			}
		}
		return true
	})
}

func TestGoControlPlane(t *testing.T) {
	for name, kind := range map[string]corepb.ApiConfigSource_ApiType{"SotW": corepb.ApiConfigSource_GRPC, "delta": corepb.ApiConfigSource_DELTA_GRPC} {
		t.Run(name, func(t *testing.T) {
			cache := cachev3.NewSnapshotCache(true, cachev3.IDHash{}, nil)
			cp := newControlPlane(t, "127.0.0.1:0", cache)
			h := newHarness(t, cp.addr, api(kind), xds.Config{Clusters: &xds.Ref{}})
			h.c.Start()
			cp.set(t, "1", map[string]int{"a": 1, "b": 1})
			h.localities(map[string]int{"a": 1, "b": 1})
			kept := h.c.Snapshot().Resource(xds.ClusterURL, "a")
			cp.set(t, "2", map[string]int{"a": 2, "b": 1, "c": 1})
			h.localities(map[string]int{"a": 2, "b": 1, "c": 1})
			if h.c.Snapshot().Resource(xds.ClusterURL, "a") != kept {
				t.Error("cluster a has not changed and is another")
			}
			cp.set(t, "3", map[string]int{"a": 2, "bad": 1})
			h.localities(map[string]int{"a": 2})
			cp.set(t, "4", map[string]int{"a": 3, "d": 1})
			h.localities(map[string]int{"a": 3, "d": 1})

			// The server goes and comes back; meanwhile everything stays, and what has changed is caught up with.
			cp.server.Stop()
			h.until("the stream is lost", func(*xds.Snapshot) bool { return h.saw(xds.Disconnected) })
			h.localities(map[string]int{"a": 3, "d": 1})
			cp = newControlPlane(t, cp.addr, cache)
			cp.set(t, "5", map[string]int{"a": 4, "e": 1})
			h.localities(map[string]int{"a": 4, "e": 1})
			h.has(xds.ClusterURL, "a", "e")
		})
	}
}
