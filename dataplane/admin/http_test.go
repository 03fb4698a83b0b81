package admin

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
)

const (
	common = "cache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\ndate: D\r\nserver: envoy\r\n"
	live   = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=UTF-8\r\n" + common + "transfer-encoding: chunked\r\n\r\n5\r\nLIVE\n\r\n0\r\n\r\n"
	bad    = "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\n\r\nBad Request<EOF>"
)

// The answers are those of Envoy 1.40 to the same bytes, but for HEAD, whose body it sends.
func TestBytesOnTheWireAreEnvoys(t *testing.T) {
	f := start(t, nil)
	for _, c := range []struct{ request, want string }{
		{"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n", strings.TrimSuffix(live, "5\r\nLIVE\n\r\n0\r\n\r\n")},
		{"OPTIONS /ready HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"DELETE /ready HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"GET //ready HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"GET /ready? HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"GET /x/../re%61dy?x=#not HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n<EOF>"},
		{"GET /x/../re%61dy HTTP/1.1\r\nHost: a\r\n\r\n", live},
		{"GET /ready HTTP/1.1\r\nHost: a\r\n\r\nHEAD /ready HTTP/1.1\r\nHost: a\r\n\r\nGET /ready HTTP/1.1\r\nHost: a\r\n\r\n", live + strings.TrimSuffix(live, "5\r\nLIVE\n\r\n0\r\n\r\n") + live},
		{"GET /ready HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n", strings.Replace(live, "transfer", "connection: close\r\ntransfer", 1) + "<EOF>"},
		{"FOO /ready HTTP/1.1\r\nHost: a\r\n\r\n", bad},
		{"GARBAGE\r\n\r\n", bad},
		{"GET ready HTTP/1.1\r\nHost: a\r\n\r\n", bad},
		{"GET /ready HTTP/1.0\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 16\r\ncontent-type: text/plain\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\n\r\nUpgrade Required<EOF>"},
		{"GET /ready HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n<EOF>"},
		{"GET http://foo/ready HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\ndate: D\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n"},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\ndate: D\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n"},
		{"GET /healthcheck/ok HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\ncontent-type: text/plain; charset=UTF-8\r\n" + common +
			"transfer-encoding: chunked\r\n\r\n26\r\nMethod GET not allowed, POST required.\r\n0\r\n\r\n"},
		{"POST /runtime_modify HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nz=1&y=2", "HTTP/1.1 100 Continue\r\n\r\n" +
			strings.Replace(live, "5\r\nLIVE\n", "3\r\nOK\n", 1)},
		{"GET /stats?filter=^(server\\.(live|state)|zz)$&usedonly HTTP/1.1\r\nHost: a\r\n\r\n", strings.Replace(live, "5\r\nLIVE\n\r\n", "", 1)},
	} {
		if got := f.raw(c.request); got != c.want {
			t.Errorf("%q:\ngot  %q\nwant %q", c.request, got, c.want)
		}
	}
	long := f.raw("GET /ready HTTP/1.1\r\nHost: a\r\nx: " + strings.Repeat("y", 80<<10) + "\r\n\r\n")
	if !strings.HasPrefix(long, "HTTP/1.1 431 Request Header Fields Too Large\r\n") {
		t.Errorf("a long head: got %q", long)
	}
}

func TestErrorsOfConfigDumpHaveEnvoysHeaders(t *testing.T) {
	f := start(t, nil)
	for path, name := range map[string]string{
		"/config_dump?mask=no..such": "config_dump_mask_bad", "/config_dump?resource=nosuch": "config_dump_resource_bad", "/config_dump?name_regex=%5B": "config_dump_name_regex_bad",
	} {
		got := f.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		head = strings.Replace(head, "connection: close\r\n", "", 1) + "\r\n\r\n"
		var want []string
		for line := range strings.SplitSeq(envoySays(t, name+".hdr"), "\r\n") {
			if strings.HasPrefix(line, "date: ") {
				line = "date: D"
			}
			want = append(want, line)
		}
		if head != strings.Join(want, "\r\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", path, head, strings.Join(want, "\r\n"))
		}
		if _, text, _ := strings.Cut(body, "\r\n"); !strings.HasPrefix(text, envoySays(t, name+".txt")+"\r\n0\r\n") {
			t.Errorf("%s: got %q", path, body)
		}
	}
}

func TestQueriesAreReadAsEnvoyReadsThem(t *testing.T) {
	q := &request{query: parseQuery("filter=^(a\\|b)+$%24&usedonly=false&&filter=x&%7a=%zz&n")}
	for name, want := range map[string]string{"filter": "^(a\\|b)+$$", "usedonly": "false", "z": "%zz", "n": ""} {
		if got, ok := q.get(name); !ok || got != want {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
	if q.has("nosuch") || len(parseQuery("a;b")) != 1 {
		t.Error("only & separates")
	}
}

func TestPathsAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"/ready": "/ready", "//ready": "/ready", "/ready/": "/ready/", "/a/./b": "/a/b", "/a/../b": "/b", "/../b": "/b", "/a/b/..": "/a/", "/a/.": "/a/",
		"/re%61dy": "/ready", "/%2Fx%zz": "/%2Fx%zz", `/a\b`: "/a/b", "/": "/", "/%2e%2e/x": "/x",
	} {
		if got, whole := normalise(in + "?q=//%61"); got != want || whole != want+"?q=//%61" {
			t.Errorf("%s: got %s, %s", in, got, whole)
		}
	}
}

func TestHTTP2WithPriorKnowledge(t *testing.T) {
	f := start(t, nil)
	tr := &http2.Transport{AllowHTTP: true, DialTLS: func(network, addr string, _ *tls.Config) (net.Conn, error) { return net.Dial(network, addr) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest("GET", "http://"+f.Addr().String()+"/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "LIVE\n" || resp.ProtoMajor != 2 || resp.Header.Get("Content-Length") != "" || len(resp.Header["Date"]) != 1 ||
		resp.Header.Get("Server") != "envoy" || resp.Header.Get("Cache-Control") != "no-cache, max-age=0" {
		t.Errorf("got %q, %v: %v", b, err, resp)
	}
	h := &f.stats.http
	if h.CxHTTP2Total.Value() != 1 || h.RqHTTP2Total.Value() != 1 || h.CxHTTP1Total.Value() != 0 {
		t.Error("counted as HTTP/2")
	}
}

func TestTheInterfaceCountsItself(t *testing.T) {
	f := start(t, nil)
	f.call("GET", "/ready")
	f.call("GET", "/nosuch")
	f.raw("GARBAGE\r\n\r\n")
	for f.stats.http.CxDestroy.Value() < 3 { // the ends of connections come after their answers
	}
	_, _, text := f.call("GET", "/stats?usedonly&filter=admin")
	for _, want := range []string{
		"http.admin.downstream_cx_active: 1", "http.admin.downstream_cx_total: 4", "http.admin.downstream_cx_http1_total: 4", "http.admin.downstream_cx_destroy: 3",
		"http.admin.downstream_cx_protocol_error: 1", "http.admin.downstream_rq_total: 4", "http.admin.downstream_rq_active: 1", "http.admin.downstream_rq_2xx: 1",
		"http.admin.downstream_rq_4xx: 2", "http.admin.downstream_rq_completed: 3", "listener.admin.http.admin.downstream_rq_4xx: 2",
		"listener.admin.downstream_cx_active: 1", "listener.admin.downstream_cx_total: 4", "listener.admin.main_thread.downstream_cx_active: 1",
		"listener.admin.main_thread.downstream_cx_total: 4", "http.admin.downstream_rq_http1_total: 4",
	} {
		if !strings.Contains("\n"+text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestAllowPaths(t *testing.T) {
	exact := func(s string) *matcherpb.StringMatcher {
		return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: s}}
	}
	f := start(t, func(o *Options) {
		o.Config.AllowPaths = []*matcherpb.StringMatcher{exact("/ready"), {MatchPattern: &matcherpb.StringMatcher_Prefix{Prefix: "/stats"}}}
	})
	f.want("GET", "/ready", 200, textPlain, "LIVE\n")
	f.want("GET", "/ready?x", 403, textPlain, "request to path /ready?x not allowed")
	f.want("GET", "/nosuch", 403, textPlain, "request to path /nosuch not allowed")
	f.want("GET", "/stats?filter=zork", 200, textPlain, "")
}

func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	files := accesslog.NewFiles(accesslog.FilesOptions{})
	defer files.Close()
	f := start(t, func(o *Options) {
		o.Files = files
		o.Config.AccessLogPath = path
	})
	f.raw("GET //ready?a=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\nConnection: close\r\n\r\n")
	f.raw("FOO / HTTP/1.1\r\nHost: h\r\n\r\n")
	files.Flush()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `Z] "GET /ready?a=1 HTTP/1.1" 200 - 0 5 `) || !strings.HasSuffix(lines[0], ` - "127.0.0.1" "me" "-" "h" "-"`) ||
		!strings.Contains(lines[1], `"FOO / HTTP/1.1" 400 - 0 11 `) {
		t.Errorf("got %q", lines)
	}
}

func TestTheGlobalConnectionLimit(t *testing.T) {
	var active atomic.Int64
	limit := func(o *Options) {
		o.Admit = func() bool { return false }
		o.Dismiss = func() { active.Add(-1) }
	}
	f := start(t, limit)
	if got := f.raw("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"); strings.Contains(got, "200") {
		t.Errorf("got %q", got)
	}
	if n := f.stats.listener.GlobalCxOverflow.Value(); n != 1 {
		t.Errorf("overflow %d", n)
	}
	f = start(t, func(o *Options) { limit(o); o.Config.IgnoreGlobalConnLimit = true })
	f.want("GET", "/ready", 200, textPlain, "LIVE\n")
	if active.Load() != 0 {
		t.Error("what was not counted in is not counted out")
	}
}

func TestListenSaysWhatItCannotBind(t *testing.T) {
	f := start(t, nil)
	port := uint32(f.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		a    *corepb.Address
		want string
	}{
		{socketAddress("127.0.0.1", port), "cannot bind '" + f.Addr().String() + "': Address already in use"},
		{socketAddress("localhost", 1), "malformed IP address: localhost. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"},
		{&corepb.Address{}, "field Admin.address: only a socket_address or a pipe is supported"},
	} {
		if _, err := listen(c.a, nil); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestAPipeAndTheAddressFile(t *testing.T) {
	dir := t.TempDir()
	pipe := dir + "/sock"
	f := start(t, func(o *Options) {
		o.Config = &bootstrappb.Admin{Address: &corepb.Address{Address: &corepb.Address_Pipe{Pipe: &corepb.Pipe{Path: pipe, Mode: 0o600}}}}
	})
	c, err := net.Dial("unix", pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), "LIVE") {
		t.Errorf("got %q, %v", b, err)
	}
	if info, err := os.Stat(pipe); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	f = start(t, func(o *Options) { o.AddressPath = dir + "/address" })
	if b, err := os.ReadFile(dir + "/address"); err != nil || string(b) != f.Addr().String() {
		t.Errorf("got %q, %v", b, err)
	}
	if f := start(t, func(o *Options) { o.Config = nil }); f.Addr() != nil {
		t.Error("without an address there is no interface")
	}
}

func TestCloseEndsConnections(t *testing.T) {
	f := start(t, nil)
	c, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	f.conns = map[net.Conn]struct{}{} // for the clean-up's Close
}
