package control

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

const clientID = "sidecar~127.0.0.1~client.default~default.svc.cluster.local"

func clientMesh(endpoints string, port int) string {
	return fmt.Sprintf(`
services:
- name: reviews
  vip: 10.96.0.3
  ports: [{port: 9080, protocol: http}]
  endpoints:
%s  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
  routes:
  - {match: {prefix: /, headers: [{name: end-user, string_match: {exact: jason}}]}, route: {cluster: v2}}
  - {match: {prefix: /}, route: {cluster: v1}}
workloads:
- {name: client, address: 127.0.0.1, labels: {app: client}, interception: NONE, outbound: 127.0.0.1, outbound_ports: {9080: %d}}
`, endpoints, port)
}

func TestEnvoyTakesAMeshAndRoutes(t *testing.T) {
	for _, api := range []string{"GRPC", "DELTA_GRPC"} {
		t.Run(api, func(t *testing.T) {
			port := freePort(t)
			s, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			mesh := clientMesh(backends(t, "v1", "v2"), port)
			if err := s.UpdateFile("mesh.yaml", []byte(mesh)); err != nil {
				t.Fatal(err)
			}
			e := startEnvoy(t, s, clientID, api)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.WaitCurrent(ctx, clientID, xds.ClusterURL, xds.EndpointURL, xds.ListenerURL, xds.RouteURL); err != nil {
				t.Fatal(err, s.Status())
			}
			eventually(t, "a listener", func() bool { code, _ := fetch(t, port, "reviews:9080", ""); return code == 200 })
			if _, body := fetch(t, port, "reviews:9080", ""); body != "v1" {
				t.Errorf("got %q", body)
			}
			if _, body := fetch(t, port, "reviews.default", "jason"); body != "v2" {
				t.Errorf("got %q for jason", body)
			}

			// A changed cluster warms anew, and needs its endpoints once more.
			if err := s.UpdateFile("z.yaml", []byte("services: [{name: reviews, cluster: {connect_timeout: 3s}}]")); err != nil {
				t.Fatal(err)
			}
			if err := s.WaitCurrent(ctx, clientID, xds.ClusterURL); err != nil {
				t.Fatal(err, s.Status())
			}
			eventually(t, "the changed cluster to be warm", func() bool {
				return !strings.Contains(e.get("/config_dump?resource=dynamic_warming_clusters"), "outbound|") &&
					strings.Contains(e.get("/config_dump?resource=dynamic_active_clusters"), `"connect_timeout": "3s"`)
			})
			e.wantNothingRejected()
		})
	}
}

func TestEnvoyTakesEveryKindOfSidecar(t *testing.T) {
	for name, extra := range map[string]string{
		"redirect":       "mesh: {access_log: /dev/null}",
		"tproxy":         "mesh: {interception: TPROXY}",
		"registry only":  "mesh: {outbound: REGISTRY_ONLY}",
		"mutual TLS":     "mesh: {mtls: PERMISSIVE}",
		"strict":         "mesh: {mtls: STRICT}",
		"everything set": read(t, "everything.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i, text := range []string{read(t, "bookinfo.yaml"), extra} {
				if err := s.UpdateFile(fmt.Sprintf("%d.yaml", i), []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			// Envoy is to listen on other ports than Istio's: they are taken on a machine that has one.
			if err := s.Update(Change{Put: moved(t, s, productpageID)}); err != nil {
				t.Fatal(err)
			}
			e := startEnvoy(t, s, productpageID, "DELTA_GRPC")
			e.wantAll(s, productpageID)
		})
	}
}

// moved are the listeners of a node that are bound, at ports of the test's own.
func moved(t *testing.T, s *Server, node string) []proto.Message {
	t.Helper()
	var all []proto.Message
	for _, r := range nodeResources(t, s.current(), node) {
		l, ok := r.msg.(*listenerpb.Listener)
		if !ok || l.GetBindToPort() != nil {
			continue
		}
		l = proto.CloneOf(l)
		a := l.GetAddress().GetSocketAddress()
		a.Address, a.PortSpecifier = "127.0.0.1", &corepb.SocketAddress_PortValue{PortValue: uint32(freePort(t))}
		// A transparent socket needs a capability.
		l.Transparent = nil
		all = append(all, l)
	}
	return all
}

// wantAll wants Envoy to have accepted everything that its node is served, and to be ready.
func (e *envoy) wantAll(s *Server, node string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitCurrent(ctx, node, xds.ClusterURL, xds.EndpointURL, xds.ListenerURL, xds.RouteURL); err != nil {
		e.t.Fatal(err, s.Status().Nacked(), s.Status())
	}
	eventually(e.t, "Envoy to be ready", func() bool { return strings.HasPrefix(e.get("/ready"), "LIVE") })
	e.wantNothingRejected()
	all := nodeResources(e.t, s.current(), node)
	listeners, clusters := 0, 0
	for r := range all {
		switch r.typeURL {
		case xds.ListenerURL:
			listeners++
		case xds.ClusterURL:
			clusters++
		}
	}
	eventually(e.t, "all listeners", func() bool {
		return strings.Count(e.get("/config_dump?resource=dynamic_listeners"), `"active_state"`) == listeners
	})
	if n := strings.Count(e.get("/config_dump?resource=dynamic_active_clusters"), `"cluster": {`); n != clusters {
		e.t.Errorf("Envoy has %d clusters, want %d", n, clusters)
	}
}

func TestEnvoyTakesARecording(t *testing.T) {
	for name, dump := range map[string]string{
		"config_dump": read(t, "istiod", "realenvoy-oracle-sidecar.config_dump.json"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.UpdateFile("dump.json", []byte(dump)); err != nil {
				t.Fatal(err)
			}
			// There is no agent here that has the secrets.
			secrets, err := s.ca.secrets("spiffe://cluster.local/ns/default/sa/bookinfo-productpage")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Update(Change{Put: append(secrets, moved(t, s, "any")...)}); err != nil {
				t.Fatal(err)
			}
			e := startEnvoy(t, s, "any", "GRPC")
			e.wantAll(s, "any")
		})
	}
}

// TestUpdatesLoseNoRequest moves traffic to clusters that come and go with the very same update.
func TestUpdatesLoseNoRequest(t *testing.T) {
	for _, api := range []string{"GRPC", "DELTA_GRPC"} {
		t.Run(api, func(t *testing.T) {
			port := freePort(t)
			s, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			endpoints := backends(t, "v1", "v2")
			update := func(subset, more string) {
				t.Helper()
				mesh := fmt.Sprintf(`
services:
- name: reviews
  ports: [{port: 9080, protocol: http}]
  endpoints:
%s  subsets: [{name: %s, labels: {version: v1}}]
  cluster: {%s}
  routes: [{match: {prefix: /}, route: {cluster: %s}}]
workloads:
- {name: client, address: 127.0.0.1, labels: {app: client}, interception: NONE, outbound: 127.0.0.1, outbound_ports: {9080: %d}}
`, endpoints, subset, more, subset, port)
				if err := s.UpdateFile("mesh.yaml", []byte(mesh)); err != nil {
					t.Fatal(err)
				}
			}
			update("s0", "")
			e := startEnvoy(t, s, clientID, api)
			e.wantAll(s, clientID)
			eventually(t, "a listener", func() bool { code, _ := fetch(t, port, "reviews", ""); return code == 200 })

			stop, lost := make(chan struct{}), make(chan map[string]int)
			go func() {
				bad := map[string]int{}
				for {
					select {
					case <-stop:
						lost <- bad
						return
					default:
					}
					if code, body := fetch(t, port, "reviews", ""); code != 200 {
						bad[fmt.Sprint(code, " ", body)]++
					}
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			for i := 1; i <= 30; i++ {
				update(fmt.Sprintf("s%d", i), fmt.Sprintf("connect_timeout: %ds", i%3+1))
				if i%3 == 0 {
					if err := s.WaitCurrent(ctx, clientID, xds.ClusterURL, xds.RouteURL); err != nil {
						t.Fatal(err, s.Status())
					}
				}
			}
			close(stop)
			if bad := <-lost; len(bad) > 0 {
				t.Errorf("lost requests: %v", bad)
			}
			e.wantNothingRejected()
		})
	}
}

// TestEnvoyRejectsWhatIsBadAndKeepsTheRest shows the faults, and that a rejection's reason is told.
func TestEnvoyRejectsWhatIsBadAndKeepsTheRest(t *testing.T) {
	port := freePort(t)
	s := newServer(t, Options{}, clientMesh(backends(t, "v1", "v2"), port))
	e := startEnvoy(t, s, clientID, "DELTA_GRPC")
	e.wantAll(s, clientID)
	err := s.Update(Change{
		Put: []proto.Message{&clusterpb.Cluster{Name: "nowhere", ClusterDiscoveryType: &clusterpb.Cluster_Type{Type: clusterpb.Cluster_EDS}}},
		Raw: []Raw{{Name: "noise", Any: &anypb.Any{TypeUrl: xds.ListenerURL, Value: []byte("noise")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Wait(ctx, func(st Status) bool { return len(st.Nacked()) == 2 }); err != nil {
		t.Fatal(err, s.Status().Nacked())
	}
	told := strings.Join(s.Status().Nacked(), "\n")
	for _, want := range []string{"cluster.v3.Cluster", "nowhere", "listener.v3.Listener", "noise"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q does not name %s", told, want)
		}
	}
	if code, body := fetch(t, port, "reviews", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if err := s.Update(Change{Reset: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitCurrent(ctx, clientID); err != nil {
		t.Fatal(err, s.Status().Nacked())
	}
}

// TestEnvoyComesBackToAnotherControlPlane loses no request over it.
func TestEnvoyComesBackToAnotherControlPlane(t *testing.T) {
	port := freePort(t)
	mesh := clientMesh(backends(t, "v1", "v2"), port)
	first := newServer(t, Options{}, mesh)
	e := startEnvoy(t, first, clientID, "DELTA_GRPC")
	e.wantAll(first, clientID)
	address := e.control
	first.Close()
	if code, body := fetch(t, port, "reviews", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	second := newServer(t, Options{}, mesh)
	serveAt(t, second, address)
	e.wantAll(second, clientID)
	if code, body := fetch(t, port, "reviews", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if n := second.Drop(nil); n != 1 {
		t.Errorf("dropped %d streams", n)
	}
	eventually(t, "Envoy to come back", func() bool { return len(second.Status().Clients) == 1 })
}
