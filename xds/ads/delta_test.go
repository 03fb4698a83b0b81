package ads

import (
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pillion-proxy/pillion/xds"
)

// The trace is Envoy 1.40's own, but that versions of good resources in a rejected response count here.
func TestDelta(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_DELTA_GRPC), both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	c.delta(xds.ClusterURL, "v1", nil, named("a", "1", cluster("a")), named("b", "1", cluster("b")), named("bad", "1", cluster("bad")), named("c", "1", cluster("c")))
	c.want("ClusterLoadAssignment add=[a b c]")
	c.want("Cluster nonce=n1 NACK=Error adding/updating cluster(s) bad: cluster is bad")
	h.has(xds.ClusterURL, "a", "b", "c")

	c.delta(xds.EndpointURL, "e1", nil, named("a", "1", endpoints("a", 1)), named("b", "1", endpoints("b", 7)), named("zz", "1", endpoints("zz", 1)))
	c.want("ClusterLoadAssignment nonce=n2 NACK=too many in b")
	h.has(xds.EndpointURL, "a")
	c.delta(xds.EndpointURL, "e2", []string{"c"}, named("b", "", endpoints("b", 1)))
	c.want("ClusterLoadAssignment nonce=n3")
	h.has(xds.EndpointURL, "a", "b")

	c.delta(xds.ClusterURL, "v2", nil, named("a", "2", cluster("a")), named("a", "3", cluster("a")))
	c.want("Cluster nonce=n4 NACK=duplicate name a found among added/updated resources")
	c.delta(xds.ClusterURL, "v3", []string{"a"}, named("a", "2", cluster("a")))
	c.want("Cluster nonce=n5 NACK=duplicate name a found in the union of added+removed resources")
	c.delta(xds.ClusterURL, "v4", []string{"c", "nosuch"})
	c.want("ClusterLoadAssignment drop=[c]")
	c.want("Cluster nonce=n6")
	c.delta(xds.ClusterURL, "v5", nil, named("c", "5", cluster("c")))
	c.want("ClusterLoadAssignment add=[c]")
	c.want("Cluster nonce=n7")
	c.delta(xds.ClusterURL, "v6", nil)
	c.want("Cluster nonce=n8")
	c.delta("type.googleapis.com/foo.Bar", "x", nil, named("x", "1", &anypb.Any{TypeUrl: "type.googleapis.com/foo.Bar"}))
	c.delta(xds.ClusterURL, "v7", nil, named("h", "1", nil))
	c.want("Cluster nonce=n10 NACK=Error adding/updating cluster(s) h: type URL  embedded in an individual Any does not match the message-wide type URL " + xds.ClusterURL + " in DeltaDiscoveryResponse")
	h.c.ClustersReady()
	c.want("Listener")

	c.end <- nil
	c = s.accept()
	c.want("Cluster node=me have=map[a:1 b:1 c:5]")
	c.want("ClusterLoadAssignment add=[a b c] have=map[a:1 b:]")
	c.want("Listener")
	// What changes meanwhile is asked for on the new stream.
	c.delta(xds.ClusterURL, "v8", []string{"b"}, named("d", "8", cluster("d")))
	c.want("ClusterLoadAssignment add=[d] drop=[b]")
	c.want("Cluster nonce=n1")
	h.has(xds.EndpointURL, "a")
}

func TestDeltaResourceLivesForItsTime(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_DELTA_GRPC), both)
	h.c.Start()
	c := s.accept()
	c.want("Cluster node=me")
	ttl := durationpb.New(300_000_000)
	c.delta(xds.ClusterURL, "v1", nil, &discoverypb.Resource{Name: "a", Version: "1", Resource: cluster("a"), Ttl: ttl}, named("b", "1", cluster("b")))
	c.want("ClusterLoadAssignment add=[a b]")
	c.want("Cluster nonce=n1")
	h.has(xds.ClusterURL, "a", "b")
	c.delta(xds.ClusterURL, "v1", nil, &discoverypb.Resource{Name: "a", Version: "1", Ttl: ttl})
	c.want("Cluster nonce=n2")
	c.delta(xds.ClusterURL, "v1", nil, &discoverypb.Resource{Name: "a", Version: "2", Ttl: durationpb.New(3600e9)})
	c.want("Cluster nonce=n3") // a heartbeat of another version counts for nothing
	h.has(xds.ClusterURL, "b")
	c.want("ClusterLoadAssignment drop=[a]")
	c.end <- nil
	s.accept().want("Cluster node=me have=map[b:1]")
}
