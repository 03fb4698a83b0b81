package peermetadata

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/dptest/race"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
	"github.com/pillion-proxy/pillion/filters/common/peer"
	"github.com/pillion-proxy/pillion/filters/common/peer/peertest"
	"github.com/pillion-proxy/pillion/xds"
)

// The configurations that istiod sends (reference/istiod/dumps).
const (
	inbound  = `{"downstream_discovery":[{"istio_headers":{}},{"workload_discovery":{}}],"downstream_propagation":[{"istio_headers":{}}]}`
	outbound = `{"upstream_discovery":[{"istio_headers":{}},{"workload_discovery":{}}],"upstream_propagation":[{"istio_headers":{"skip_external_clusters":true}}]}`
	gateway  = `{"upstream_discovery":[{"istio_headers":{}},{"workload_discovery":{}}],"upstream_propagation":[{"istio_headers":{}}]}`
	waypoint = `{"downstream_discovery":[{"workload_discovery":{}},{"baggage":{}}],"downstream_propagation":[{"baggage":{}}],"shared_with_upstream":true}`
	tunnel   = `{"upstream_discovery":[{"workload_discovery":{}},{"upstream_filter_state":{"peer_metadata_key":"upstream_peer"}}]}`
)

const selfID = "sidecar~10.0.0.1~self-0.default~default.svc.cluster.local"

func typed(t testing.TB, text string) *anypb.Any {
	t.Helper()
	a, err := anypb.New(&udpapb.TypedStruct{TypeUrl: "type.googleapis.com/" + typeName, Value: peertest.Struct(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type bench struct {
	server  *filter.Server
	factory filter.HTTPFactory
}

func build(t testing.TB, config string) *bench {
	t.Helper()
	store := stats.NewStore(1)
	b := &bench{server: &filter.Server{Stats: store, Node: filter.Node{ID: selfID, Metadata: peertest.Struct(t,
		`{"NAME":"self-0","NAMESPACE":"default","WORKLOAD_NAME":"self","CLUSTER_ID":"c1","NETWORK":"n1","LABELS":{"app":"self"}}`)}}}
	b.server.Clusters = peertest.Clusters(t, store, map[string]string{
		"in":                 `{}`,
		"out":                `{"metadata":{"filter_metadata":{"istio":{"services":[{"host":"h"}]}}}}`,
		"external":           `{"metadata":{"filter_metadata":{"istio":{"external":true}}}}`,
		"without":            `{"metadata":{"filter_metadata":{"istio":{"disable_mx":true}}}}`,
		"PassthroughCluster": `{}`,
	})
	b.server.Workloads = workload.NewIndex(store)
	put := func(name, addr string) *xds.Resource {
		return &xds.Resource{Name: name, Any: &anypb.Any{Value: []byte(name)}, Value: &workload.Workload{UID: name, Owner: name, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}}
	}
	b.server.Workloads.Apply((&xds.Snapshot{}).With(workload.URL, xds.Change{Put: []*xds.Resource{put("caller", "10.0.0.7"), put("called", "10.0.0.8")}}))
	c, err := parse(typed(t, config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.factory, err = c.Build(&filter.Context{Server: b.server}); err != nil {
		t.Fatal(err)
	}
	return b
}

// value is the header of a workload.
func value(workload string) string {
	return base64.StdEncoding.EncodeToString(peer.Marshal((&peer.Peer{Workload: workload, App: workload}).Metadata()))
}

func wantHeaders(t *testing.T, what string, h *header.Map, want ...string) {
	t.Helper()
	var got []string
	for _, f := range h.Fields() {
		got = append(got, f.Name+"="+f.Value)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: headers %q, want %q", what, got, want)
	}
}

func wantPeer(t *testing.T, s *filter.Stream, downstream bool, workload string) {
	t.Helper()
	got := ""
	if p, _ := peer.FindIn(&s.Info.FilterState, downstream); p != nil {
		got = p.Workload
	}
	if got != workload {
		t.Errorf("the peer is %q, want %q", got, workload)
	}
}

func selfHeaders() []string {
	return []string{"x-envoy-peer-metadata-id=" + selfID, "x-envoy-peer-metadata=" + ownValue}
}

// ownValue is what the node of these tests says of itself.
var ownValue = base64.StdEncoding.EncodeToString(peer.Marshal((&peer.Peer{Instance: "self-0", Namespace: "default", Workload: "self", Cluster: "c1", App: "self"}).Metadata()))

func TestInboundRequest(t *testing.T) {
	for _, c := range []struct {
		name           string
		request        []string
		remote         string
		peer           string
		afterRequest   []string
		afterResponse  []string
		responseHeader string
	}{
		{name: "of a sidecar", request: []string{"x-envoy-peer-metadata", value("client"), "x-envoy-peer-metadata-id", "id", "a", "b"}, peer: "client",
			afterRequest: []string{"a=b"}, afterResponse: selfHeaders()},
		{name: "with the ID alone", request: []string{"x-envoy-peer-metadata-id", "id"}, afterResponse: selfHeaders()[:1]},
		{name: "with metadata alone", request: []string{"x-envoy-peer-metadata", value("client")}, peer: "client", afterResponse: selfHeaders()[1:]},
		{name: "of nobody known"},
		{name: "of a discovered workload", remote: "10.0.0.7:1", peer: "caller"},
		{name: "of a workload on our network", remote: "10.0.0.7:1", request: []string{"x-forwarded-network", "n1"}, peer: "caller", afterRequest: []string{"x-forwarded-network=n1"}},
		{name: "of an address on another network", remote: "10.0.0.7:1", request: []string{"x-forwarded-network", "n2"}, afterRequest: []string{"x-forwarded-network=n2"}},
		{name: "with metadata that are none", request: []string{"x-envoy-peer-metadata", "Cg", "x-envoy-peer-metadata-id", "sidecar~1.2.3.4~a.b~c"}, afterResponse: selfHeaders()},
		{name: "with metadata that are no base64", request: []string{"x-envoy-peer-metadata", "!!"}, remote: "10.0.0.7:1", peer: "caller", afterResponse: selfHeaders()[1:]},
		{name: "with padding left out", request: []string{"x-envoy-peer-metadata", strings.TrimRight(value("client"), "=")}, peer: "client", afterResponse: selfHeaders()[1:]},
		{name: "twice", request: []string{"x-envoy-peer-metadata", value("client"), "x-envoy-peer-metadata", value("other")}, peer: "client", afterResponse: selfHeaders()[1:]},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build(t, inbound)
			s := peertest.Stream("in")
			if c.remote != "" {
				s.Conn.Info.Remote = netip.MustParseAddrPort(c.remote)
			}
			for i := 0; i < len(c.request); i += 2 {
				s.Request.Add(c.request[i], c.request[i+1])
			}
			f := b.factory(s)
			f.DecodeHeaders(s)
			wantHeaders(t, "request", &s.Request.Map, c.afterRequest...)
			wantPeer(t, s, true, c.peer)
			f.EncodeHeaders(s)
			wantHeaders(t, "response", &s.Response.Map, c.afterResponse...)
			f.OnStreamComplete(s)
		})
	}
}

func TestOutboundRequest(t *testing.T) {
	for _, c := range []struct {
		config, to string
		told       bool
	}{
		{outbound, "out", true}, {outbound, "in", true}, {outbound, "external", false}, {outbound, "PassthroughCluster", false}, {outbound, "without", false},
		{outbound, "unknown", true}, {outbound, "", true},
		{gateway, "external", true}, {gateway, "PassthroughCluster", true}, {gateway, "without", false},
	} {
		b := build(t, c.config)
		s := peertest.Stream(c.to)
		f := b.factory(s)
		f.DecodeHeaders(s)
		var want []string
		if c.told {
			want = selfHeaders()
		}
		wantHeaders(t, "to "+c.to, &s.Request.Map, want...)
	}
}

func TestOutboundRequestReplacesWhatTheApplicationSays(t *testing.T) {
	b := build(t, outbound)
	s := peertest.Stream("out")
	s.Request.Add("x-envoy-peer-metadata", "forged")
	b.factory(s).DecodeHeaders(s)
	wantHeaders(t, "request", &s.Request.Map, selfHeaders()[1], selfHeaders()[0])
}

func TestOutboundResponse(t *testing.T) {
	for _, c := range []struct {
		name, host string
		header     bool
		peer       string
	}{
		{"of a sidecar", "10.0.0.8:80", true, "server"},
		{"of a discovered workload", "10.0.0.8:80", false, "called"},
		{"of nobody known", "10.0.0.9:80", false, ""},
		{"of the proxy itself", "", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build(t, outbound)
			s := peertest.Stream("out")
			f := b.factory(s)
			f.DecodeHeaders(s)
			s.Info.Upstream.Host = c.host
			if c.header {
				s.Response.Add("x-envoy-peer-metadata-id", "server-id")
				s.Response.Add("x-envoy-peer-metadata", value("server"))
			}
			s.Response.Add("a", "b")
			f.EncodeHeaders(s)
			wantHeaders(t, "response", &s.Response.Map, "a=b")
			wantPeer(t, s, false, c.peer)
		})
	}
}

func TestWaypointBaggage(t *testing.T) {
	b := build(t, waypoint)
	s := peertest.Stream("in")
	s.Request.Add("baggage", "k8s.deployment.name=client,k8s.namespace.name=ns")
	f := b.factory(s)
	f.DecodeHeaders(s)
	wantPeer(t, s, true, "client")
	wantHeaders(t, "request", &s.Request.Map, "baggage=k8s.deployment.name=client,k8s.namespace.name=ns")
	f.EncodeHeaders(s)
	wantHeaders(t, "response", &s.Response.Map, "baggage="+(&peer.Peer{Instance: "self-0", Namespace: "default", Workload: "self", Cluster: "c1", App: "self"}).Baggage())
	for _, o := range s.Info.FilterState.Objects() {
		if o.Shared != streaminfo.SharedOnce {
			t.Errorf("%s is not shared with the upstream", o.Name)
		}
	}
}

func TestUpstreamFilterState(t *testing.T) {
	b := build(t, tunnel)
	s := peertest.Stream("in")
	f := b.factory(s)
	s.Info.Upstream.Host = "envoy://connect_originate/10.0.0.8:80"
	peer.Put(&s.Info.Upstream.FilterState, false, &peer.Peer{Workload: "told"}, streaminfo.SharedNone)
	f.EncodeHeaders(s)
	wantPeer(t, s, false, "told")
}

func TestPeersAreRememberedByID(t *testing.T) {
	b := build(t, inbound)
	first := func(id, v string) *peer.Peer {
		s := peertest.Stream("in")
		s.Request.Add("x-envoy-peer-metadata", v)
		s.Request.Add("x-envoy-peer-metadata-id", id)
		f := b.factory(s)
		f.DecodeHeaders(s)
		p, _ := peer.FindIn(&s.Info.FilterState, true)
		f.OnStreamComplete(s)
		return p
	}
	one := first("id", value("client"))
	if again := first("id", value("client")); again != one {
		t.Error("the same peer is read again")
	}
	if other := first("id2", value("client")); other == one {
		t.Error("another ID has the same peer")
	}
	for i := range 2 * maxPeers {
		first(fmt.Sprint("id-", i), value("client"))
	}
	x := b.factory(peertest.Stream("in")).(*stream).exchange
	if n := x.known.Len(); n > maxPeers {
		t.Errorf("%d peers are remembered", n)
	}
}

func TestNothingIsAllocatedForPeersThatAreKnown(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools forget")
	}
	in, out := build(t, inbound), build(t, outbound)
	s := peertest.Stream("in")
	conn := s.Conn
	v := value("client")
	run := func(b *bench, to string) {
		peertest.Begin(s, conn, "")
		s.Route = routes[to]
		s.Request.AddID(header.XEnvoyPeerMetadataID, "id")
		s.Request.AddID(header.XEnvoyPeerMetadata, v)
		f := b.factory(s)
		f.DecodeHeaders(s)
		s.Response.AddID(header.XEnvoyPeerMetadataID, "id")
		s.Response.AddID(header.XEnvoyPeerMetadata, v)
		f.EncodeHeaders(s)
		f.OnStreamComplete(s)
		s.Reset()
	}
	for name, b := range map[string]*bench{"in": in, "out": out} {
		for range 5 {
			run(b, name)
		}
		if n := testing.AllocsPerRun(100, func() { run(b, name) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

var routes = map[string]*route.Route{"in": peertest.Route("in"), "out": peertest.Route("out")}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`{"other":true}`: "field Config.other is not supported",
		`{"upstream_discovery":[{"new_method":{}}]}`:                          "field Config.upstream_discovery.new_method is not supported",
		`{"upstream_propagation":[{"istio_headers":{},"baggage":{}}]}`:        "field Config.upstream_propagation: baggage and istio_headers are both set",
		`{"downstream_discovery":[{"istio_headers":{"skip_external":true}}]}`: "field Config.downstream_discovery.istio_headers.skip_external is not supported",
	} {
		if _, err := parse(typed(t, text), nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	c, err := parse(typed(t, `{"upstream_discovery":[{"baggage":{}},{}],"downstream_discovery":[{"upstream_filter_state":{}}],"additional_labels":["role"]}`), nil)
	if err != nil || len(c.(*Config).upstreamDiscovery) != 0 || len(c.(*Config).downstreamDiscovery) != 0 || len(c.(*Config).labels) != 1 {
		t.Errorf("methods of the other direction: %+v, %v", c, err)
	}
	if _, err := parse(nil, nil); err != nil {
		t.Error(err)
	}
}

func TestRegistryFindsItByType(t *testing.T) {
	r := filter.NewRegistry(Extension)
	for _, text := range []string{inbound, outbound, gateway, waypoint, tunnel} {
		if _, _, err := r.HTTP("istio.metadata_exchange", typed(t, text)); err != nil {
			t.Error(err)
		}
	}
}
