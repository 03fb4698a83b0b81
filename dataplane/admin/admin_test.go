package admin

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/logging"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// fixture is an interface that listens on a port of its own.
type fixture struct {
	t *testing.T
	*Admin
}

func start(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	logs, err := logging.New(logging.Options{Output: io.Discard, Level: logging.LevelWarning})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Config: &bootstrappb.Admin{Address: socketAddress("127.0.0.1", 0)},
		Stats:  stats.NewStore(1), Logs: logs, Runtime: runtime.New(runtime.Layer{Name: "admin", Admin: true}),
		Version: "0123456789/1.40.0/Clean/RELEASE/BoringSSL", Started: time.Now(),
		State: func() adminpb.ServerInfo_State { return adminpb.ServerInfo_LIVE },
	}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return &fixture{t, a}
}

func socketAddress(ip string, port uint32) *corepb.Address {
	return &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
		Address: ip, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: port},
	}}}
}

// raw sends bytes and reads until the other side closes, or has been silent for a while.
func (f *fixture) raw(request string) string {
	f.t.Helper()
	c, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		f.t.Fatal(err)
	}
	var out bytes.Buffer
	b := make([]byte, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Read(b)
		out.Write(b[:n])
		if err == io.EOF {
			out.WriteString("<EOF>")
			break
		}
		if err != nil {
			break
		}
	}
	return regexp.MustCompile(`date: [^\r]* GMT`).ReplaceAllString(out.String(), "date: D")
}

// call does a request as curl would: the path goes as it is.
func (f *fixture) call(method, target string, body ...string) (code int, contentType, text string) {
	f.t.Helper()
	var r io.Reader
	if len(body) > 0 {
		r = strings.NewReader(body[0])
	}
	req, err := http.NewRequest(method, "http://"+f.Addr().String()+"/", r)
	if err != nil {
		f.t.Fatal(err)
	}
	req.URL.Opaque = target
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

func (f *fixture) want(method, target string, code int, contentType, text string) {
	f.t.Helper()
	gotCode, gotType, got := f.call(method, target)
	if gotCode != code || gotType != contentType || got != text {
		f.t.Errorf("%s %s: got %d %s\n%s\nwant %d %s\n%s", method, target, gotCode, gotType, got, code, contentType, text)
	}
}

func TestTextEndpointsSayWhatEnvoySays(t *testing.T) {
	f := start(t, nil)
	f.want("GET", "/ready", 200, textPlain, "LIVE\n")
	f.want("GET", "/hot_restart_version", 200, textPlain, "disabled")
	f.want("GET", "/contention", 200, textPlain, "Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.")
	f.want("POST", "/heapprofiler?enable=y", 501, textPlain, "The current build does not support heap profiler")
	f.want("POST", "/cpuprofiler", 400, textPlain, "?enable=<y|n>\n")
	f.want("POST", "/allocprofiler?enable=z", 400, textPlain, "?enable=<y|n>\n")
	f.want("POST", "/allocprofiler?enable=y", 200, textPlain, "OK\n")
	f.want("GET", "/stats/recentlookups", 200, textPlain, "Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n")
	f.want("POST", "/stats/recentlookups/enable", 200, textPlain, "OK\n")
	f.want("POST", "/stats/recentlookups/clear", 200, textPlain, "OK\n")
	f.want("GET", "/stats/recentlookups", 200, textPlain, "   Count Lookup\n\ntotal: 0\n")
	f.want("POST", "/stats/recentlookups/disable", 200, textPlain, "OK\n")
	f.want("POST", "/runtime_modify", 400, textPlain, envoySays(t, "runtime_modify_noargs.txt"))
	f.want("GET", "/reset_counters", 405, textPlain, "Method GET not allowed, POST required.")
	f.want("GET", "/init_dump", 200, jsonType, "{}\n")
	f.want("GET", "/clusters?filter=%5B", 400, textPlain, "Invalid re2 regex")
	for _, path := range []string{"/reset_counters", "/healthcheck/fail", "/healthcheck/ok", "/reopen_logs", "/drain_listeners", "/quitquitquit"} {
		f.want("POST", path, 200, textPlain, "OK\n")
	}
}

func TestHelpIsEnvoysAndThenOurs(t *testing.T) {
	f := start(t, nil)
	want := envoySays(t, "help.txt")
	_, _, help := f.call("GET", "/help")
	if !strings.HasPrefix(help, want) || !strings.Contains(help[len(want):], "/why") {
		t.Errorf("got\n%s", help)
	}
	f.want("GET", "/nosuch", 404, textPlain, "invalid path. "+help)
	if code, kind, page := f.call("GET", "/"); code != 200 || kind != textHTML || !strings.Contains(page, `<form action="/stats" method="get">`) {
		t.Errorf("home: %d %s\n%s", code, kind, page)
	}
}

func TestReadyFollowsTheState(t *testing.T) {
	state := adminpb.ServerInfo_PRE_INITIALIZING
	f := start(t, func(o *Options) { o.State = func() adminpb.ServerInfo_State { return state } })
	for _, s := range []adminpb.ServerInfo_State{adminpb.ServerInfo_PRE_INITIALIZING, adminpb.ServerInfo_INITIALIZING, adminpb.ServerInfo_DRAINING} {
		state = s
		f.want("GET", "/ready", 503, textPlain, s.String()+"\n")
	}
}

func TestActionsReachTheirOwners(t *testing.T) {
	var did []string
	main := 0
	quit := make(chan struct{})
	f := start(t, func(o *Options) {
		o.Main = func(f func()) bool { main++; f(); return true }
		o.SetFailing = func(failing bool) {
			if failing {
				did = append(did, "fail")
			} else {
				did = append(did, "ok")
			}
		}
		o.Drain = func(d Drain) {
			s := "drain"
			for _, p := range []struct {
				on   bool
				name string
			}{{d.Graceful, "graceful"}, {d.InboundOnly, "inboundonly"}, {d.SkipExit, "skip_exit"}} {
				if p.on {
					s += " " + p.name
				}
			}
			did = append(did, s)
		}
		o.Reopen = func() { did = append(did, "reopen") }
		o.Quit = func() { close(quit) }
	})
	for _, path := range []string{
		"/healthcheck/fail", "/healthcheck/ok", "/drain_listeners", "/drain_listeners?inboundonly&graceful", "/drain_listeners?graceful=false&skip_exit", "/reopen_logs", "/quitquitquit",
	} {
		f.want("POST", path, 200, textPlain, "OK\n")
	}
	<-quit
	if got := strings.Join(did, ","); got != "fail,ok,drain,drain graceful inboundonly,drain graceful skip_exit,reopen" || main != 5 {
		t.Errorf("got %s, %d on main", got, main)
	}
}

func TestWithoutAMainGoroutineThereIsNoAnswer(t *testing.T) {
	f := start(t, func(o *Options) {
		o.Main = func(func()) bool { return false }
		o.SetFailing = func(bool) { t.Error("called") }
	})
	f.want("POST", "/healthcheck/fail", 503, textPlain, "the server is shutting down\n")
	if code, _, _ := f.call("GET", "/config_dump"); code != 503 {
		t.Errorf("got %d", code)
	}
}

func TestLoggingChangesLevels(t *testing.T) {
	f := start(t, func(o *Options) { o.Logs.SetLevel("misc", logging.LevelError) })
	f.want("POST", "/logging?level=bogus", 400, textPlain, envoySays(t, "logging_bad_level.txt"))
	f.want("POST", "/logging", 200, textPlain, strings.Replace(envoySays(t, "logging.txt"), "misc: warning", "misc: error", 1))
	f.want("POST", "/logging?paths=http:info,router:debug", 200, textPlain, envoySays(t, "logging_paths.txt"))
	f.want("POST", "/logging?nosuch=debug", 400, textPlain, envoySays(t, "logging_bad_name.txt"))
	f.want("POST", "/logging?level=warning", 200, textPlain, strings.Replace(envoySays(t, "logging.txt"), "misc: error", "misc: warning", 1))
	f.want("POST", "/logging?a=b&c=d", 400, textPlain, envoySays(t, "logging_two_params.txt"))
	for query, why := range map[string]string{
		"paths=x": "empty logger name or empty logger level", "paths=:info": "empty logger name or empty logger level",
		"paths=http:debug,router:": "empty logger name or empty logger level", "paths=http:zz": "unknown logger level", "paths=http:info:x": "unknown logger level",
		"paths=http:info,nosuch:debug": "unknown logger name", "group=http:info": "group parameter requires fine-grain logging to be enabled",
		"http=warn": "unknown logger level", "nosuch=bogus": "unknown logger level", "level=debug&paths=http:off": "invalid number of parameters",
	} {
		if code, _, text := f.call("POST", "/logging?"+query); code != 400 || !strings.HasPrefix(text, "error: "+why+"\n\nusage: ") || !strings.Contains(text, "\n  http: warning\n") {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
	for _, query := range []string{"", "level=", "paths=", "http=", "http", "paths=http:off,", "level=debug&level=info"} {
		if code, _, text := f.call("POST", "/logging?"+query); code != 200 || !strings.HasPrefix(text, "active loggers:\n  a2a: ") {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
	if _, _, text := f.call("POST", "/logging"); !strings.Contains(text, "\n  http: debug\n") {
		t.Errorf("the first of two counts: %s", text)
	}
}

func TestRuntimeIsShownAndModified(t *testing.T) {
	f := start(t, func(o *Options) {
		o.Runtime = runtime.New(runtime.Layer{Name: "global config", Values: map[string]string{"re2": "1"}}, runtime.Layer{Name: "admin", Admin: true})
	})
	f.want("POST", "/runtime_modify?foo.bar=7&x=1&x=2", 200, textPlain, "OK\n")
	f.want("POST", "/runtime_modify?x=", 200, textPlain, "OK\n")
	want := `{
 "layers": [
  "global config",
  "admin"
 ],
 "entries": {
  "foo.bar": {
   "layer_values": [
    "",
    "7"
   ],
   "final_value": "7"
  },
  "re2": {
   "layer_values": [
    "1",
    ""
   ],
   "final_value": "1"
  }
 }
}
`
	f.want("GET", "/runtime", 200, jsonType, want)
	if code, _, _ := f.call("POST", "/runtime_modify", "y=1+2&z=%41"); code != 200 {
		t.Errorf("a form: %d", code)
	}
	if v := f.o.Runtime.All(); v["y"].Final != "1+2" || v["z"].Final != "A" {
		t.Errorf("got %v", v)
	}
	if _, _, _ = f.call("POST", "/runtime_modify?q=1", "y=9"); f.o.Runtime.All()["y"].Final != "1+2" {
		t.Error("a query comes before a form")
	}
	f = start(t, func(o *Options) { o.Runtime = runtime.New() })
	f.want("POST", "/runtime_modify?x=1", 503, textPlain, "No admin layer specified")
}

func TestListenersAreListed(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var rows []Listener
	for _, l := range []string{
		"0.0.0.0_15090 0.0.0.0:15090", "0.0.0.0_15021 0.0.0.0:15021", "10.96.0.5_31400 10.96.0.5:31400", "10.96.0.5_15443 10.96.0.5:15443",
		"0.0.0.0_9080 0.0.0.0:9080 [::]:9080", "10.96.0.5_15021 10.96.0.5:15021", "0.0.0.0_80 0.0.0.0:80 [::]:80", "10.96.0.5_443 10.96.0.5:443",
		"virtualOutbound 0.0.0.0:15001", "virtualInbound 0.0.0.0:15006",
	} {
		words := strings.Fields(l)
		row := Listener{Name: words[0], Shown: true}
		for _, a := range words[1:] {
			row.Addresses = append(row.Addresses, tcp(a))
		}
		rows = append(rows, row)
	}
	rows = append(rows, Listener{Name: "warming", Addresses: []net.Addr{tcp("1.1.1.1:1")}})
	f := start(t, func(o *Options) { o.Listeners = func() []Listener { return rows } })
	f.want("GET", "/listeners", 200, textPlain, envoySays(t, "listeners.txt"))
	f.want("GET", "/listeners?format=json", 200, jsonType, envoySays(t, "listeners_json.json"))
	rows = []Listener{{Name: "int", Shown: true}, {Name: "pipe", Shown: true, Addresses: []net.Addr{&net.UnixAddr{Name: "@x", Net: "unix"}}}}
	f.want("GET", "/listeners", 200, textPlain, "int::envoy://int/\npipe::@x\n")
	_, _, text := f.call("GET", "/listeners?format=json")
	for _, part := range []string{"\"envoy_internal_address\": {\n     \"server_listener_name\": \"int\"", "\"pipe\": {\n     \"path\": \"@x\""} {
		if !strings.Contains(text, part) {
			t.Errorf("got %s", text)
		}
	}
}

func TestServerInfoPrintsDefaults(t *testing.T) {
	f := start(t, func(o *Options) {
		o.Started = time.Now().Add(-142*time.Second - time.Millisecond)
		o.CommandLine = &adminpb.CommandLineOptions{Concurrency: 2}
		o.Bootstrap = func() (*bootstrappb.Bootstrap, error) {
			return &bootstrappb.Bootstrap{Node: &corepb.Node{Id: "me"}}, nil
		}
	})
	_, kind, text := f.call("GET", "/server_info")
	if !strings.HasPrefix(text, "{\n \"version\": \"0123456789/1.40.0/Clean/RELEASE/BoringSSL\",\n \"state\": \"LIVE\",\n \"uptime_current_epoch\": \"142s\",\n"+
		" \"uptime_all_epochs\": \"142s\",\n \"hot_restart_version\": \"disabled\",\n \"command_line_options\": {\n  \"base_id\": \"0\",\n  \"concurrency\": 2,\n") || kind != jsonType {
		t.Errorf("got %s", text)
	}
	if !strings.HasSuffix(text, " \"client_features\": [],\n  \"listening_addresses\": [],\n  \"dynamic_parameters\": {}\n },\n \"hot_restart_initializing\": false\n}\n") {
		t.Errorf("got %s", text)
	}
}

func TestInitDumpTellsWhatListenersWaitFor(t *testing.T) {
	route := xds.Ref{TypeURL: xds.RouteURL, Name: "nosuch"}
	waits := resource(t, "warml", socketListener("warml"), false)
	waits.Refs = []xds.Ref{route, {TypeURL: xds.SecretURL, Name: "sec"}, {TypeURL: xds.ClusterURL, Name: "there"}}
	s := (&xds.Snapshot{}).With(xds.ListenerURL, xds.Change{Put: []*xds.Resource{waits}}).With(xds.ClusterURL, xds.Change{Put: []*xds.Resource{{Name: "there"}}})
	state := adminpb.ServerInfo_LIVE
	f := start(t, func(o *Options) {
		o.Snapshot = func() *xds.Snapshot { return s }
		o.Listeners = func() []Listener {
			return []Listener{{Name: "ready", Active: resource(t, "ready", socketListener("ready"), true)}, {Name: "warml", Warming: waits}}
		}
		o.State = func() adminpb.ServerInfo_State { return state }
	})
	digits := regexp.MustCompile(`manager (\w+) \d+`)
	_, _, text := f.call("GET", "/init_dump?mask=listener")
	want := "{\n \"unready_targets_dumps\": [\n  {\n   \"name\": \"init manager Listener-local-init-manager warml N\",\n   \"target_names\": [\n" +
		"    \"shared target RdsRouteConfigSubscription RDS init nosuch\",\n    \"shared target SdsApi sec\"\n   ]\n  }\n ]\n}\n"
	if got := digits.ReplaceAllString(text, "manager $1 N"); got != want {
		t.Errorf("got %s", got)
	}
	f.want("GET", "/init_dump?mask=nosuch", 200, jsonType, "{}\n")
	state = adminpb.ServerInfo_PRE_INITIALIZING
	if _, _, text := f.call("GET", "/init_dump"); !strings.Contains(text, "manager ready ") {
		t.Errorf("before the workers start no listener is ready: %s", text)
	}
}

func TestMemoryIsTheRuntimes(t *testing.T) {
	f := start(t, nil)
	_, kind, text := f.call("GET", "/memory")
	if !regexp.MustCompile(`^\{\n "allocated": "[1-9]\d+",\n "heap_size": "[1-9]\d+",\n "pageheap_unmapped": "\d+",\n "pageheap_free": "\d+",\n "total_thread_cache": "\d+",\n "total_physical_bytes": "[1-9]\d+"\n\}\n$`).MatchString(text) || kind != jsonType {
		t.Errorf("got %s", text)
	}
	if _, kind, text := f.call("GET", "/memory/tcmalloc"); kind != textError || !strings.Contains(text, "/gc/heap/allocs:bytes: ") {
		t.Errorf("got %s %s", kind, text)
	}
}

func TestProfilesAreForGo(t *testing.T) {
	dir := t.TempDir()
	f := start(t, func(o *Options) { o.Config.ProfilePath = dir + "/prof" })
	f.want("POST", "/cpuprofiler?enable=y", 200, textPlain, "OK\n")
	f.want("POST", "/cpuprofiler?enable=n", 200, textPlain, "OK\n")
	f.o.Config.ProfilePath = dir + "/no/such"
	f.want("POST", "/cpuprofiler?enable=y", 500, textPlain, "failure to start the profiler")
	for _, path := range []string{"/heap_dump", "/debug/pprof/goroutine", "/debug/pprof/heap"} {
		if code, _, text := f.call("GET", path); code != 200 || !strings.HasPrefix(text, "\x1f\x8b") {
			t.Errorf("%s: %d", path, code)
		}
	}
	if _, kind, text := f.call("GET", "/debug/pprof/goroutine?debug=1"); kind != textPlain || !strings.HasPrefix(text, "goroutine profile:") {
		t.Errorf("got %s %s", kind, text)
	}
	if _, _, text := f.call("GET", "/debug/pprof/"); !strings.Contains(text, "\nheap: ") {
		t.Errorf("got %s", text)
	}
	if code, _, _ := f.call("GET", "/debug/pprof/nosuch"); code != 404 {
		t.Errorf("got %d", code)
	}
	if code, _, text := f.call("GET", "/debug/pprof/profile?seconds=0.01"); code != 200 || !strings.HasPrefix(text, "\x1f\x8b") {
		t.Errorf("profile: %d", code)
	}
}
