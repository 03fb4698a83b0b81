package bookinfo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/xds/control"
)

// mesh is bookinfo on loopback with a real proxy as sidecar of those that call something: Envoy, or
// whatever PILLION_ENVOY names.
type mesh struct {
	t       *testing.T
	l       Layout
	s       *control.Server
	all     map[string]Workload
	sidecar map[string]string
}

func startMesh(t *testing.T, sidecars ...string) *mesh {
	t.Helper()
	binary := ""
	for _, name := range []string{os.Getenv("PILLION_ENVOY"), "envoy-1.40", "envoy"} {
		if path, err := exec.LookPath(name); err == nil && binary == "" {
			binary = path
		}
	}
	if binary == "" {
		t.Skip("no Envoy: set PILLION_ENVOY")
	}
	m := &mesh{t: t, l: Loopback(), all: map[string]Workload{}, sidecar: map[string]string{}}
	m.l.Pods = netip.AddrFrom4([4]byte{127, byte(100 + rand.IntN(100)), 0, 10})
	if l, err := net.Listen("tcp", netip.AddrPortFrom(m.l.Pods, 0).String()); err != nil {
		t.Skip("loopback has but one address here")
	} else {
		l.Close()
	}
	var err error
	if m.s, err = control.New(control.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.s.Close)
	m.serve(sidecars)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = m.s.Serve(l) }()
	for _, name := range sidecars {
		m.startSidecar(binary, m.all[name], l.Addr().(*net.TCPAddr).Port)
	}
	return m
}

// serve starts the applications and serves the mesh file. Who has no sidecar here is called directly.
func (m *mesh) serve(sidecars []string) {
	m.t.Helper()
	direct := "workloads:\n"
	for _, w := range m.l.Workloads() {
		m.all[w.Name] = w
		has := false
		for _, name := range sidecars {
			has = has || name == w.Name
		}
		if !has {
			direct += fmt.Sprintf("- {name: %s, sidecar: false}\n", w.Name)
		}
		if w.Service == "" {
			continue
		}
		o := m.l.Options(w)
		if !has {
			_, port, _ := net.SplitHostPort(o.Listen)
			o.Listen = net.JoinHostPort(w.Address.String(), port)
		}
		start(m.t, w.Service, w.Version, o.at(m.t))
	}
	text, err := m.l.Mesh()
	if err != nil {
		m.t.Fatal(err)
	}
	m.file("mesh.yaml", text)
	m.file("sidecars.yaml", []byte(direct))
}

func (m *mesh) file(name string, data []byte) {
	m.t.Helper()
	if err := m.s.UpdateFile(name, data); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) startSidecar(binary string, w Workload, controlPort int) {
	m.t.Helper()
	dir := m.t.TempDir()
	text, err := os.ReadFile("bootstrap.yaml")
	if err != nil {
		m.t.Fatal(err)
	}
	config := strings.ReplaceAll(string(text), "port_value: 18100", fmt.Sprintf("port_value: %d", controlPort))
	config = strings.ReplaceAll(config, "port_value: 15000", "port_value: 0")
	path, admin := filepath.Join(dir, "bootstrap.yaml"), filepath.Join(dir, "admin")
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", path, "--service-node", w.NodeID(), "--use-dynamic-base-id", "--admin-address-path", admin, "--concurrency", "1", "-l", "error")
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = logs.Close()
		if b, err := os.ReadFile(logs.Name()); err == nil && m.t.Failed() {
			m.t.Logf("%s:\n%s", w.Name, b[max(0, len(b)-2000):])
		}
	})
	m.until(w.Name+" to be ready", func() bool {
		b, err := os.ReadFile(admin)
		if err != nil || len(b) == 0 {
			return false
		}
		m.sidecar[w.Name] = string(b)
		resp, err := http.Get("http://" + string(b) + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
}

func (m *mesh) until(what string, cond func() bool) {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("waited too long for %s: %+v", what, m.s.Status())
		}
	}
}

// task puts a task in force, and waits until every sidecar has it.
func (m *mesh) task(names ...string) {
	m.t.Helper()
	for i, name := range names {
		text, err := Task(name)
		if err != nil {
			m.t.Fatal(err)
		}
		m.file(fmt.Sprintf("task%d.yaml", i), text)
	}
	for i := len(names); i < 3; i++ {
		m.file(fmt.Sprintf("task%d.yaml", i), nil)
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	for name := range m.sidecar {
		if err := m.s.WaitCurrent(ctx, m.all[name].NodeID()); err != nil {
			m.t.Fatalf("%s: %v: %q", name, err, m.s.Status().Nacked())
		}
	}
	if n := m.s.Status().Nacked(); len(n) > 0 {
		m.t.Fatalf("rejected: %q", n)
	}
}

// call calls a service's port from a workload with a sidecar.
func (m *mesh) call(from, host string, port int, path string, headers ...string) (*http.Response, string) {
	m.t.Helper()
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s:%d%s", m.all[from].Outbound, port+m.l.Offset, path), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return resp, string(b)
}

// at makes the options' address a listener.
func (o Options) at(t *testing.T) Options {
	t.Helper()
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = l
	return o
}

func TestTasks(t *testing.T) {
	m := startMesh(t, ClientName, "productpage-v1", "reviews-v2")
	version := func(headers ...string) string {
		t.Helper()
		resp, body := m.call(ClientName, "productpage:9080", 9080, "/productpage", headers...)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return resp.Header.Get("X-Reviews-Version")
	}
	m.until("a page", func() bool {
		resp, _ := m.call(ClientName, "productpage:9080", 9080, "/productpage")
		return resp.StatusCode == 200 && resp.Header.Get("X-Reviews-Version") != ""
	})

	t.Run("no routes", func(t *testing.T) {
		m.task()
		seen := map[string]bool{}
		m.until("all versions", func() bool { seen[version()] = true; return len(seen) == 3 })
	})
	t.Run("request routing", func(t *testing.T) {
		m.task("all-v1", "reviews-by-user")
		for range 10 {
			if got := version(); got != "v1" {
				t.Errorf("reviews %s", got)
			}
			if got := version("end-user", "jason"); got != "v2" {
				t.Errorf("reviews %s for jason", got)
			}
		}
	})
	t.Run("fault injection: delay", func(t *testing.T) {
		m.task("all-v1", "ratings-delay")
		before := time.Now()
		if got := version("end-user", "jason"); got != "" || time.Since(before) < 5900*time.Millisecond {
			t.Errorf("reviews %s after %s", got, time.Since(before))
		}
		if got := version(); got != "v1" {
			t.Errorf("reviews %s", got)
		}
	})
	t.Run("fault injection: abort", func(t *testing.T) {
		m.task("all-v1", "ratings-abort")
		resp, body := m.call(ClientName, "productpage", 9080, "/productpage", "end-user", "jason")
		if resp.Header.Get("X-Reviews-Version") != "v2" || !strings.Contains(body, "Ratings service is currently unavailable") {
			t.Errorf("got %v %s", resp.Header, body)
		}
	})
	t.Run("traffic shifting", func(t *testing.T) {
		m.task("all-v1", "reviews-50-50")
		n := map[string]int{}
		for range 200 {
			resp, _ := m.call(ClientName, "reviews:9080", 9080, "/reviews/0")
			n[resp.Header.Get("X-Version")]++
		}
		if n["v1"] < 60 || n["v3"] < 60 || n["v1"]+n["v3"] != 200 {
			t.Errorf("got %v", n)
		}
		m.task("all-v1", "reviews-v3")
		if got := version(); got != "v3" {
			t.Errorf("reviews %s", got)
		}
	})
	t.Run("request timeouts", func(t *testing.T) {
		m.task("all-v1", "reviews-timeout")
		before := time.Now()
		resp, body := m.call(ClientName, "reviews", 9080, "/reviews/0")
		if d := time.Since(before); resp.StatusCode != 504 || d < 450*time.Millisecond || d > 1900*time.Millisecond {
			t.Errorf("%d %s after %s", resp.StatusCode, body, d)
		}
	})
	t.Run("TCP traffic shifting", func(t *testing.T) {
		n := func() map[string]int {
			n := map[string]int{}
			for range 100 {
				n[m.echo()]++
			}
			return n
		}
		m.task("tcp-v1")
		if got := n(); got["one x\n"] != 100 {
			t.Errorf("got %v", got)
		}
		m.task("tcp-80-20")
		if got := n(); got["two x\n"] < 5 || got["two x\n"] > 40 || got["one x\n"]+got["two x\n"] != 100 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("circuit breaking", func(t *testing.T) {
		m.task("circuit-breaker")
		codes := make(chan int, 20)
		for range 20 {
			go func() {
				resp, _ := m.call(ClientName, "httpbin:8000", 8000, "/delay/0.1")
				codes <- resp.StatusCode
			}()
		}
		n := map[int]int{}
		for range 20 {
			n[<-codes]++
		}
		if n[200] == 0 || n[503] == 0 || n[200]+n[503] != 20 {
			t.Errorf("got %v", n)
		}
	})
	t.Run("mirroring", func(t *testing.T) {
		m.task("mirror")
		for range 5 {
			if resp, _ := m.call(ClientName, "httpbin:8000", 8000, "/headers"); resp.Header.Get("X-Version") != "v1" {
				t.Errorf("answered by %s", resp.Header.Get("X-Version"))
			}
		}
		m.until("the copies", func() bool {
			_, body := get(t, fmt.Sprintf("http://%s:18000/hits", m.all["httpbin-v2"].Address))
			var hits map[string]int
			return json.Unmarshal([]byte(body), &hits) == nil && hits["/headers"] == 5
		})
	})
	t.Run("egress by DNS", func(t *testing.T) {
		m.task("egress-dns")
		var resp *http.Response
		// A DNS cluster warms after it is accepted.
		m.until("the external service", func() bool {
			resp, _ = m.call(ClientName, "external.example", 80, "/status/200")
			return resp.StatusCode == 200
		})
		if got := resp.Header.Get("X-Version"); got != "external" {
			t.Errorf("answered by %q", got)
		}
		if resp, _ := m.call(ClientName, "external.example", 80, "/delay/5"); resp.StatusCode != 504 {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
	t.Run("registry only", func(t *testing.T) {
		m.task("registry-only")
		m.until("the block", func() bool {
			resp, _ := m.call(ClientName, "nowhere.example", 9080, "/")
			return resp.StatusCode == 502
		})
	})
}

// echo sends a line to tcp-echo from the client.
func (m *mesh) echo() string {
	m.t.Helper()
	c, err := net.Dial("tcp", m.l.Dial(m.all[ClientName], TCPEcho))
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "x\n"); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}
