package envoytest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Binary is the Envoy that scenarios are recorded with.
const Binary = "/usr/local/bin/envoy-1.40"

// LogFormat is the access log that outcomes are made of; Scenario.Log comes after it.
const LogFormat = "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"

// Record runs the scenario on Envoy.
func Record(t *testing.T, s *Scenario) *Golden {
	t.Helper()
	up := newUpstream(t)
	e := start(t, s, up.addr)
	g := &Golden{}
	for i := range s.Steps {
		st := &s.Steps[i]
		if len(st.Runtime) > 0 {
			e.modify(t, st.Runtime)
		}
		up.prepare(&st.Upstream)
		o := send(t, e.listener, &st.Request)
		o.Name, o.Log, o.Upstream = st.Name, e.nextLog(t), up.take()
		s.Tidy(&o)
		g.Steps = append(g.Steps, o)
	}
	if s.Stats != "" {
		g.Stats = e.stats(t, s)
	}
	return g
}

type envoy struct {
	listener, admin string
	log             string
	read            int
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func start(t *testing.T, s *Scenario, upstream string) *envoy {
	t.Helper()
	dir := t.TempDir()
	port, admin := freePort(t), freePort(t)
	e := &envoy{listener: "127.0.0.1:" + strconv.Itoa(port), admin: "127.0.0.1:" + strconv.Itoa(admin), log: filepath.Join(dir, "access.log")}
	config := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(config, bootstrap(s, e, port, admin, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, Binary, "-c", config, "--concurrency", "1", "--base-id", strconv.Itoa(7000+port%20000), "-l", "warning", "--file-flush-interval-msec", "10",
		"--service-cluster", "test-cluster", "--service-node", "test-node")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() || testing.Verbose() {
			t.Logf("envoy: %s", out.String())
		}
	})
	for range 200 {
		if b, err := e.get("/ready"); err == nil && strings.HasPrefix(b, "LIVE") {
			return e
		}
		if cmd.ProcessState != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("envoy is not ready: %s", out.String())
	return nil
}

// Reject runs Envoy in validation mode on the scenario's configuration and returns its complaint; "" is
// none.
func Reject(t *testing.T, s *Scenario) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(config, bootstrap(s, &envoy{log: "/dev/null"}, 1, 2, "127.0.0.1:3"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, Binary, "-c", config, "--mode", "validate", "-l", "critical", "--base-id", strconv.Itoa(5000+os.Getpid()%20000)).CombinedOutput()
	if err == nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func bootstrap(s *Scenario, e *envoy, port, admin int, upstream string) []byte {
	const types = "type.googleapis.com/"
	host, p, _ := net.SplitHostPort(upstream)
	upPort, _ := strconv.Atoi(p)
	address := func(host string, port int) any {
		return map[string]any{"socket_address": map[string]any{"address": host, "port_value": port}}
	}
	filters := append([]any{}, anySlice(s.Filters)...)
	filters = append(filters, map[string]any{"name": "envoy.filters.http.router", "typed_config": map[string]any{"@type": types + "envoy.extensions.filters.http.router.v3.Router"}})
	format := LogFormat
	if s.Log != "" {
		format += " " + s.Log
	}
	hcm := map[string]any{
		"@type": types + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "t",
		"route_config": s.RouteConfig(), "http_filters": filters, "http_protocol_options": map[string]any{"enable_trailers": true},
		"access_log": []any{map[string]any{"name": "file", "typed_config": map[string]any{"@type": types + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": e.log,
			"log_format": map[string]any{"text_format_source": map[string]any{"inline_string": format + "\n"}}}}},
	}
	cluster := map[string]any{"name": "up", "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
			"@type": types + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": map[string]any{"http_protocol_options": map[string]any{"enable_trailers": true}}}},
		"load_assignment": map[string]any{"cluster_name": "up", "endpoints": []any{map[string]any{"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": address(host, upPort)}}}}}}}
	layers := []any{map[string]any{"name": "static", "static_layer": orMap(s.Runtime)}, map[string]any{"name": "admin", "admin_layer": map[string]any{}}}
	return mustJSON(map[string]any{
		"admin": map[string]any{"address": address("127.0.0.1", admin)}, "layered_runtime": map[string]any{"layers": layers},
		"static_resources": map[string]any{"clusters": []any{cluster}, "listeners": []any{map[string]any{"name": "l", "address": address("127.0.0.1", port),
			"filter_chains": []any{map[string]any{"filters": []any{map[string]any{"name": "hcm", "typed_config": hcm}}}}}}},
	})
}

func orMap(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func anySlice[T any](in []T) (out []any) {
	for _, v := range in {
		out = append(out, v)
	}
	return out
}

func (e *envoy) get(path string) (string, error) {
	resp, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func (e *envoy) modify(t *testing.T, values map[string]string) {
	t.Helper()
	q := ""
	for k, v := range values {
		q += "&" + k + "=" + v
	}
	resp, err := http.Post("http://"+e.admin+"/runtime_modify?"+q[1:], "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func (e *envoy) stats(t *testing.T, s *Scenario) map[string]uint64 {
	t.Helper()
	path := "/stats?usedonly"
	if os.Getenv("ALLSTATS") != "" {
		path = "/stats" // for looking at what there is
	}
	text, err := e.get(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil && s.Counts(name) {
			out[name] = n
		}
	}
	return out
}

// nextLog waits for the next line of the access log.
func (e *envoy) nextLog(t *testing.T) string {
	t.Helper()
	for range 300 {
		b, _ := os.ReadFile(e.log)
		if i := bytes.IndexByte(b[min(e.read, len(b)):], '\n'); i >= 0 {
			line := string(b[e.read : e.read+i])
			e.read += i + 1
			return line
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no line in the access log")
	return ""
}

// send sends r on a connection of its own.
func send(t *testing.T, addr string, r *Request) Outcome {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(r.wire()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: r.Method})
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	body, err := io.ReadAll(resp.Body)
	o := Outcome{Status: resp.StatusCode, Headers: lines(resp.Header), Body: string(body), Trailers: lines(resp.Trailer)}
	if err != nil {
		o.Body += "<" + err.Error() + ">"
	}
	return o
}

func (r *Request) wire() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nhost: %s\r\n", r.Method, r.Path, r.Host)
	for _, h := range r.Headers {
		b.WriteString(h + "\r\n")
	}
	switch {
	case len(r.Pieces) > 0 || len(r.Trailers) > 0:
		b.WriteString("transfer-encoding: chunked\r\n\r\n")
		pieces := r.Pieces
		if r.Body != nil {
			pieces = []string{*r.Body}
		}
		for _, p := range pieces {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
		}
		b.WriteString("0\r\n")
		for _, h := range r.Trailers {
			b.WriteString(h + "\r\n")
		}
		b.WriteString("\r\n")
	case r.Body != nil:
		fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(*r.Body), *r.Body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func lines(h http.Header) (out []string) {
	for name, values := range h {
		for _, v := range values {
			out = append(out, strings.ToLower(name)+": "+v)
		}
	}
	return sorted(out)
}
