package ads

import (
	"strings"
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/xds"
)

var both = xds.Config{Clusters: &xds.Ref{}, Listeners: &xds.Ref{}}

// The trace is Envoy 1.40's own but for the order of names, which here is theirs, and for what it does
// not say of a type without names on a new stream.
func TestStateOfTheWorld(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_GRPC), both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	c.send(xds.ClusterURL, "v1", cluster("a"), cluster("b"), cluster("bad"), cluster("c"))
	c.want("ClusterLoadAssignment names=[a b c]")
	c.want("Cluster nonce=n1 NACK=Error adding/updating cluster(s) bad: cluster is bad")
	h.has(xds.ClusterURL, "a", "b", "c")

	c.send(xds.EndpointURL, "e1", endpoints("a", 1), endpoints("b", 7), endpoints("zz", 1))
	c.want("ClusterLoadAssignment nonce=n2 names=[a b c] NACK=too many in b")
	h.has(xds.EndpointURL, "a")
	c.send(xds.EndpointURL, "e2", endpoints("a", 1), endpoints("b", 1))
	c.want("ClusterLoadAssignment version=e2 nonce=n3 names=[a b c]")
	h.has(xds.EndpointURL, "a", "b")

	c.send(xds.ClusterURL, "v2", cluster("a"), cluster("d"))
	c.want("ClusterLoadAssignment version=e2 nonce=n3 names=[a d]")
	c.want("Cluster version=v2 nonce=n4")
	h.has(xds.EndpointURL, "a")

	c.send("type.googleapis.com/foo.Bar", "x", &anypb.Any{TypeUrl: "type.googleapis.com/foo.Bar"})
	h.c.ClustersReady()
	c.want("Listener")
	c.send(xds.ListenerURL, "l1")
	c.want("Listener version=l1 nonce=n6")
	if !strings.Contains(h.log.String(), "Ignoring the message for type URL type.googleapis.com/foo.Bar as it has no current subscribers.") {
		t.Error(h.log.String())
	}
	c.send(xds.ClusterURL, "v3")
	c.want("ClusterLoadAssignment version=e2 nonce=n3")
	c.want("Cluster version=v3 nonce=n7")
	h.has(xds.ClusterURL)
	c.send(xds.ClusterURL, "v4", cluster("a"))
	c.want("ClusterLoadAssignment version=e2 nonce=n3 names=[a]")
	c.want("Cluster version=v4 nonce=n8")
	c.send(xds.EndpointURL, "e3", endpoints("a", 1))
	c.want("ClusterLoadAssignment version=e3 nonce=n9 names=[a]")

	c.end <- status.Error(codes.Unavailable, "bye")
	c = s.accept()
	c.want("Cluster node=me version=v4")
	c.want("ClusterLoadAssignment version=e3 names=[a]")
	c.want("Listener version=l1")
	h.has(xds.EndpointURL, "a")
	if log := h.log.String(); !strings.Contains(log, "StreamAggregatedResources gRPC config stream to xds closed: 14, bye") {
		t.Error(log)
	}
	for _, k := range []xds.EventKind{xds.Connected, xds.Disconnected, xds.Failed} {
		if !h.saw(k) {
			t.Errorf("no event %d", k)
		}
	}
}

func TestNodeGoesWithEachRequestUnlessTheFirstIsEnough(t *testing.T) {
	s := newScript(t)
	a := api(corepb.ApiConfigSource_GRPC)
	a.SetNodeOnFirstMessageOnly = false
	h := newHarness(t, s.addr, a, both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	c.send(xds.ClusterURL, "v1")
	c.want("Cluster node=me version=v1 nonce=n1")
}

func TestResourceLivesForItsTime(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_GRPC), both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	mortal := wrap(&discoverypb.Resource{Name: "a", Version: "1", Resource: cluster("a"), Ttl: durationpb.New(300_000_000)})
	c.send(xds.ClusterURL, "v1", mortal, cluster("b"))
	c.want("ClusterLoadAssignment names=[a b]")
	c.want("Cluster version=v1 nonce=n1")
	h.has(xds.ClusterURL, "a", "b")
	c.send(xds.ClusterURL, "v2", wrap(&discoverypb.Resource{Name: "a", Version: "1", Ttl: durationpb.New(300_000_000)}))
	c.want("Cluster version=v2 nonce=n2")
	h.has(xds.ClusterURL, "a", "b")
	h.has(xds.ClusterURL, "b")
	c.want("ClusterLoadAssignment names=[b]")
}

func TestStreamOfItsOwn(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, nil, xds.Config{
		Roots: []xds.Ref{
			{TypeURL: xds.SecretURL, Name: "one", Source: "grpc:sds"},
			{TypeURL: xds.SecretURL, Name: "two", Source: "grpc:sds"},
		},
	})
	h.c.Start()
	lines := map[string]*conn{}
	for range 2 {
		c := s.accept()
		if c.rest != "SDS" {
			t.Fatalf("got %s", c.rest)
		}
		if got := c.md.Get(":authority"); len(got) != 1 || got[0] != "sds" {
			t.Errorf("authority %q", got)
		}
		lines[show(<-c.got)] = c
	}
	one := lines["Secret node=me names=[one]"]
	if one == nil || lines["Secret node=me names=[two]"] == nil {
		t.Fatalf("got %v", lines)
	}
	one.send(xds.SecretURL, "s1", &anypb.Any{TypeUrl: xds.SecretURL, Value: []byte("\x0a\x03one")})
	one.want("Secret version=s1 nonce=n1 names=[one]")
	h.has(xds.SecretURL, "one")
}

func TestMetadataAndAuthority(t *testing.T) {
	s := newScript(t)
	a := api(corepb.ApiConfigSource_GRPC)
	a.GrpcServices[0].GetEnvoyGrpc().Authority = "istiod.istio-system.svc:15012"
	a.GrpcServices[0].InitialMetadata = []*corepb.HeaderValue{{Key: "ClusterID", Value: "k1"}}
	h := newHarness(t, s.addr, a, both)
	h.c.Start()
	c := s.accept()
	if got := c.md.Get(":authority"); len(got) != 1 || got[0] != "istiod.istio-system.svc:15012" {
		t.Errorf("authority %q", got)
	}
	if got := c.md.Get("clusterid"); len(got) != 1 || got[0] != "k1" {
		t.Errorf("metadata %q", got)
	}
}

func TestResponseOf100MB(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MB")
	}
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_GRPC), both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	big := cluster("a")
	filler := wrap(&wrapperspb.BytesValue{Value: make([]byte, 100<<20)})
	// An unknown field makes the resource large and keeps it valid.
	big.Value = append(big.Value, 0xfa, 0xff, 0x01)
	big.Value = append(appendVarint(big.Value, uint64(len(filler.Value))), filler.Value...)
	c.send(xds.ClusterURL, "v1", big)
	c.want("ClusterLoadAssignment names=[a]")
	c.want("Cluster version=v1 nonce=n1")
	h.has(xds.ClusterURL, "a")
}

func appendVarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func TestReceiveLimitIsKeptIfGiven(t *testing.T) {
	s := newScript(t)
	a := api(corepb.ApiConfigSource_GRPC)
	a.GrpcServices[0].GetEnvoyGrpc().MaxReceiveMessageLength = wrapperspb.UInt32(1000)
	h := newHarness(t, s.addr, a, both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	c.send(xds.ClusterURL, "v1", cluster(strings.Repeat("x", 2000)))
	s.accept().want("Cluster node=me")
	if !strings.Contains(h.log.String(), "closed: 8, ") {
		t.Error(h.log.String())
	}
}
