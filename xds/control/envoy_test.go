package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
)

// envoyBinary finds a real Envoy, or skips the test.
func envoyBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("PILLION_ENVOY"), "envoy-1.40", "envoy"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Envoy: set PILLION_ENVOY")
	return ""
}

// envoy is a running Envoy.
type envoy struct {
	t     *testing.T
	admin string
}

const bootstrap = `
node: {id: %[1]q, cluster: test}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  ads_config:
    api_type: %[2]s
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}}]}]
  # Istio's agent has its secrets here.
  - name: sds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: sds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}}]}]
layered_runtime:
  layers:
  - name: static
    static_layer:
      "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": true
  - {name: admin, admin_layer: {}}
`

// startEnvoy runs Envoy as a client of s and ends it with the test.
func startEnvoy(t *testing.T, s *Server, node, api string) *envoy {
	t.Helper()
	binary := envoyBinary(t)
	dir := t.TempDir()
	config, adminPath := filepath.Join(dir, "envoy.yaml"), filepath.Join(dir, "admin")
	port := serve(t, s).Port
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, node, api, port), 0o600); err != nil {
		t.Fatal(err)
	}
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", config, "--use-dynamic-base-id", "--admin-address-path", adminPath, "--concurrency", "1", "-l", "warning")
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = logs.Close()
		if text, err := os.ReadFile(logs.Name()); err == nil && t.Failed() {
			t.Logf("Envoy's log:\n%s", text)
		}
	})
	e := &envoy{t: t}
	eventually(t, "Envoy's admin port", func() bool {
		b, err := os.ReadFile(adminPath)
		e.admin = string(b)
		return err == nil && e.admin != ""
	})
	return e
}

func serve(t *testing.T, s *Server) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Close)
	return l.Addr().(*net.TCPAddr)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (e *envoy) get(path string) string {
	e.t.Helper()
	r, err := http.Get("http://" + e.admin + path)
	if err != nil {
		e.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(b)
}

// stats are Envoy's counters and gauges of a prefix.
func (e *envoy) stats(filter string) map[string]int {
	e.t.Helper()
	var all struct {
		Stats []struct {
			Name  string
			Value int
		}
	}
	if err := json.Unmarshal([]byte(e.get("/stats?format=json&type=Counters&filter="+filter)), &all); err != nil {
		e.t.Fatal(err)
	}
	to := map[string]int{}
	for _, s := range all.Stats {
		to[s.Name] = s.Value
	}
	return to
}

func (e *envoy) wantNothingRejected() {
	e.t.Helper()
	for name, n := range e.stats("update_rejected|update_failure|init_fetch_timeout") {
		if n > 0 && !strings.HasSuffix(name, "update_failure") {
			e.t.Errorf("%s is %d", name, n)
		}
	}
}

// backends serve a name each, and make a mesh file in which they are reviews' subsets.
func backends(t *testing.T, versions ...string) (endpoints string) {
	t.Helper()
	for _, v := range versions {
		b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, v)
		}))
		t.Cleanup(b.Close)
		endpoints += fmt.Sprintf("  - {address: 127.0.0.1, ports: {9080: %d}, labels: {version: %s}, locality: r/z}\n", b.Listener.Addr().(*net.TCPAddr).Port, v)
	}
	return endpoints
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// fetch calls host by the sidecar's listener.
func fetch(t *testing.T, port int, host, user string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if user != "" {
		r.Header.Set("end-user", user)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

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
