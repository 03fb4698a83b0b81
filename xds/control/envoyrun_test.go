package control

import (
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
	t              *testing.T
	admin, control string
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
	at := serve(t, s)
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, node, api, at.Port), 0o600); err != nil {
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
	e := &envoy{t: t, control: at.String()}
	eventually(t, "Envoy's admin port", func() bool {
		b, err := os.ReadFile(adminPath)
		e.admin = string(b)
		return err == nil && e.admin != ""
	})
	return e
}

func serve(t *testing.T, s *Server) *net.TCPAddr {
	t.Helper()
	return serveAt(t, s, "127.0.0.1:0")
}

func serveAt(t *testing.T, s *Server, address string) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", address)
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
