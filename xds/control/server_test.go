package control

import (
	"maps"
	"slices"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretgrpc "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
)

// clusterFile is a file of one cluster.
func clusterFile(name, timeout string) string {
	return `{"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: ` + name + `, connect_timeout: ` + timeout +
		`, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}`
}

func endpointsFile(name string) string {
	return `{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: ` + name + `}`
}

func TestSotwSendsAllClustersButOnlyChangedEndpoints(t *testing.T) {
	s := newServer(t, Options{}, clusterFile("a", "1s"), clusterFile("b", "1s"), endpointsFile("a"), endpointsFile("b"))
	c := newSotw(t, s)
	c.ask("n", xds.ClusterURL)
	clusters := c.want(xds.ClusterURL, "a", "b")
	c.ack(clusters)
	c.ask("n", xds.EndpointURL, "a", "b")
	c.ack(c.want(xds.EndpointURL, "a", "b"), "a", "b")

	if err := s.UpdateFile("c.yaml", []byte(`{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: a, policy: {overprovisioning_factor: 100}}`)); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.EndpointURL, "a"), "a", "b")

	// A cluster that changes warms anew: its endpoints follow it, changed or not.
	if err := s.UpdateFile("b.yaml", []byte(clusterFile("b", "2s"))); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.ClusterURL, "a", "b"))
	c.ack(c.want(xds.EndpointURL, "b"), "a", "b")

	// Absence removes.
	if err := s.UpdateFile("a.yaml", nil); err != nil {
		t.Fatal(err)
	}
	c.want(xds.ClusterURL, "b")
}

func TestDeltaSendsWhatChanged(t *testing.T) {
	s := newServer(t, Options{}, clusterFile("a", "1s"), clusterFile("b", "1s"), endpointsFile("a"), endpointsFile("b"))
	c := newDelta(t, s)
	c.ask("n", xds.ClusterURL)
	first := c.want(xds.ClusterURL, []string{"a", "b"}, nil)
	c.ack(first)
	c.ask("n", xds.EndpointURL, "a", "b", "missing")
	c.ack(c.want(xds.EndpointURL, []string{"a", "b"}, []string{"missing"}))

	if err := s.UpdateFile("b.yaml", []byte(clusterFile("b", "2s"))); err != nil {
		t.Fatal(err)
	}
	changed := c.want(xds.ClusterURL, []string{"b"}, nil)
	c.ack(changed)
	c.ack(c.want(xds.EndpointURL, []string{"b"}, nil))
	if err := s.UpdateFile("a.yaml", nil); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.ClusterURL, nil, []string{"a"}))

	// "The server must resend" what is subscribed to again.
	c.ask("n", xds.EndpointURL, "a")
	c.ack(c.want(xds.EndpointURL, []string{"a"}, nil))

	// After a reconnect just what the client does not have is sent.
	if err := c.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	again := &deltaClient{t: t}
	again.stream = newDelta(t, s).stream
	again.write(&discoverypb.DeltaDiscoveryRequest{
		Node: &corepb.Node{Id: "n"}, TypeUrl: xds.ClusterURL,
		InitialResourceVersions: map[string]string{"b": changed.GetResources()[0].GetVersion(), "a": first.GetResources()[0].GetVersion()},
	})
	again.want(xds.ClusterURL, nil, []string{"a"})
}

func TestRejectionIsToldAndNotRepeated(t *testing.T) {
	s := newServer(t, Options{Settle: 50 * time.Millisecond}, clusterFile("a", "1s"))
	c := newSotw(t, s)
	c.ask("n", xds.ClusterURL)
	bad := c.want(xds.ClusterURL, "a")
	c.nack(bad, "", "cluster a: no")
	if err := s.Wait(testContext(t), func(st Status) bool { return len(st.Nacked()) == 1 }); err != nil {
		t.Fatal(err, s.Status())
	}
	want := "n: envoy.config.cluster.v3.Cluster " + bad.GetVersionInfo() + ": cluster a: no"
	if got := s.Status().Nacked(); got[0] != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
	// The next response is the next version, not the same one again.
	if err := s.UpdateFile("b.yaml", []byte(clusterFile("b", "1s"))); err != nil {
		t.Fatal(err)
	}
	good := c.want(xds.ClusterURL, "a", "b")
	if good.GetVersionInfo() == bad.GetVersionInfo() {
		t.Errorf("version %s was sent again", good.GetVersionInfo())
	}
	c.ack(good)
	if err := s.WaitCurrent(testContext(t), "n", xds.ClusterURL); err != nil {
		t.Fatal(err)
	}
	st := s.Status().Clients[0]
	if ts := st.Types[xds.ClusterURL]; st.Node != "n" || ts.Acked != good.GetVersionInfo() || ts.Nacks != 1 || ts.Nack != nil {
		t.Errorf("got %+v", st)
	}
}

// TestRoutesWaitForTheirClusters shows the order of an update that needs an order.
func TestRoutesWaitForTheirClusters(t *testing.T) {
	route := func(cluster string) string {
		return `{"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: r, virtual_hosts: [{name: v, domains: ["*"],
 routes: [{match: {prefix: /}, route: {cluster: ` + cluster + `}}]}]}`
	}
	s := newServer(t, Options{Settle: time.Hour}, clusterFile("a", "1s")+"\n---\n"+endpointsFile("a")+"\n---\n"+route("a"))
	c := newSotw(t, s)
	c.ask("n", xds.ClusterURL)
	c.ack(c.want(xds.ClusterURL, "a"))
	c.ask("n", xds.EndpointURL, "a")
	c.ack(c.want(xds.EndpointURL, "a"), "a")
	c.ask("n", xds.RouteURL, "r")
	c.ack(c.want(xds.RouteURL, "r"), "r")

	if err := s.UpdateFile("a.yaml", []byte(clusterFile("b", "1s")+"\n---\n"+endpointsFile("b")+"\n---\n"+route("b"))); err != nil {
		t.Fatal(err)
	}
	// Both clusters, until the route has moved.
	both := c.want(xds.ClusterURL, "a", "b")
	c.ask("n", xds.EndpointURL, "a", "b")
	c.write(&discoverypb.DiscoveryRequest{TypeUrl: both.GetTypeUrl(), VersionInfo: both.GetVersionInfo(), ResponseNonce: both.GetNonce()})
	r, names := c.read()
	if r.GetTypeUrl() != xds.EndpointURL {
		t.Fatalf("got %s %q before the endpoints", short(r.GetTypeUrl()), names)
	}
	c.ack(r, "a", "b")
	c.ack(c.want(xds.RouteURL, "r"), "r")
	c.ack(c.want(xds.ClusterURL, "b"))
	if err := s.WaitCurrent(testContext(t), "n", xds.ClusterURL, xds.RouteURL); err != nil {
		t.Fatal(err)
	}
}

func TestFaults(t *testing.T) {
	s := newServer(t, Options{Settle: 50 * time.Millisecond}, clusterFile("a", "1s"))
	c := newSotw(t, s)

	release := s.Hold(xds.ClusterURL)
	c.ask("n", xds.ClusterURL)
	c.ask("n", xds.ListenerURL)
	c.want(xds.ListenerURL)
	if err := s.UpdateFile("b.yaml", []byte(clusterFile("b", "1s"))); err != nil {
		t.Fatal(err)
	}
	release()
	r := c.want(xds.ClusterURL, "a")
	c.ack(r)
	c.ack(c.want(xds.ClusterURL, "a", "b"))

	s.Delay(xds.ClusterURL, time.Millisecond)
	if err := s.UpdateFile("b.yaml", nil); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.ClusterURL, "a"))
	s.Delay(xds.ClusterURL, 0)

	if n := s.Drop(func(cl Client) bool { return cl.Node == "other" }); n != 0 {
		t.Errorf("dropped %d of another node", n)
	}
	if n := s.Drop(nil); n != 1 {
		t.Errorf("dropped %d", n)
	}
	if _, err := c.stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	if err := s.Wait(testContext(t), func(st Status) bool { return len(st.Clients) == 0 }); err != nil {
		t.Error(err, s.Status())
	}
}

func TestAPIGoesOverFilesForAllOrOneNode(t *testing.T) {
	s := newServer(t, Options{}, clusterFile("a", "1s"), clusterFile("b", "1s"))
	if err := s.Update(Change{Remove: []Ref{{xds.ClusterURL, "a"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(Change{Node: "one", Put: []proto.Message{testCluster("c")}}); err != nil {
		t.Fatal(err)
	}
	names := func(node string) []string {
		var all []string
		for r := range nodeResources(t, s.current(), node) {
			all = append(all, r.name)
		}
		slices.Sort(all)
		return all
	}
	if got := names("one"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("one has %q", got)
	}
	if got := names("other"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("other has %q", got)
	}
	if err := s.Update(Change{Reset: true}); err != nil {
		t.Fatal(err)
	}
	if got := names("other"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after a reset other has %q", got)
	}
}

func TestSingleServicesOverTLS(t *testing.T) {
	pair, pool := testCertificate(t)
	s := newServer(t, Options{TLS: pair}, `{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: x, generic_secret: {secret: {inline_string: s}}}`)
	conn := dial(t, s, credentials.NewClientTLSFromCert(pool, "control"))
	stream, err := secretgrpc.NewSecretDiscoveryServiceClient(conn).StreamSecrets(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	// The type goes without saying.
	if err := stream.Send(&discoverypb.DiscoveryRequest{Node: &corepb.Node{Id: "n"}, ResourceNames: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || len(r.GetResources()) != 1 {
		t.Fatal(r, err)
	}
	if types := slices.Collect(maps.Keys(s.Status().Clients[0].Types)); !slices.Equal(types, []string{xds.SecretURL}) {
		t.Errorf("got %q", types)
	}
}
