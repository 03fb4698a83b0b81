package admin

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

func TestStatsFormats(t *testing.T) {
	f := start(t, func(o *Options) { o.Stats.Scope("server").Gauge("live").Set(1) })
	prom := "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n"
	f.want("GET", "/stats?filter=server.live", 200, textPlain, "server.live: 1\n")
	f.want("GET", "/stats?format=json&filter=server.live", 200, jsonType, `{"stats":[{"name":"server.live","value":1}]}`)
	f.want("GET", "/stats/prometheus?format=json&filter=server.live", 200, textPlain, prom)
	f.want("GET", "/stats?format=prometheus&filter=server.live", 200, textPlain, prom)
	f.want("GET", "/stats?filter=%5B", 400, textPlain, "Invalid re2 regex: missing ]: [")
	f.want("GET", "/stats?type=bogus", 400, textPlain, "invalid &type= param")
	f.want("GET", "/stats?format=bogus", 400, textPlain, "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n")
	f.want("GET", "/stats?filter=zork", 200, textPlain, "")
	f.want("PUT", "/stats?filter=^server.l+ive$", 200, textPlain, "server.live: 1\n")
	for _, format := range []string{"html", "active-html"} {
		if _, kind, text := f.call("GET", "/stats?format="+format+"&filter=server.live|%3c"); kind != textHTML || !strings.Contains(text, "\nserver.live: 1\n") ||
			strings.Contains(text, "refresh") != (format == "active-html") || !strings.Contains(text, `value="server.live|&lt;"`) {
			t.Errorf("%s: %s\n%s", format, kind, text)
		}
	}
	if _, _, text := f.call("GET", "/stats/prometheus"); strings.Contains(text, "go_goroutines") {
		t.Error("what the process tells of itself is on a page of its own")
	}
	if _, _, text := f.call("GET", "/stats/process"); !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_open_fds ") {
		t.Errorf("got %s", text)
	}
}

func TestPrometheusInProtobufIfTheClientAcceptsIt(t *testing.T) {
	f := start(t, func(o *Options) { o.Stats.Scope("server").Gauge("live").Set(1) })
	req, err := http.NewRequest("GET", "http://"+f.Addr().String()+"/stats/prometheus?filter=server.live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Add("Accept", "text/plain;q=0.5")
	req.Header.Add("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Type") != stats.ContentTypeProtobuf || !strings.Contains(string(b), "\n\x11envoy_server_live\x18\x01\"\x0b\x12\t\t") {
		t.Errorf("got %s %q", resp.Header.Get("Content-Type"), b)
	}
}

func TestCountersAreReset(t *testing.T) {
	var c *stats.Counter
	flushed := 0
	f := start(t, func(o *Options) {
		c = o.Stats.Scope("x").Counter("y")
		c.Add(0, 5)
		o.Flush = func() { flushed++ }
	})
	f.want("POST", "/reset_counters", 200, textPlain, "OK\n")
	f.want("GET", "/stats?filter=^x", 200, textPlain, "x.y: 0\n")
	if flushed != 1 {
		t.Errorf("flushed %d times", flushed)
	}
}

func TestWhyTellsTheLastFailures(t *testing.T) {
	ring := &Ring{}
	f := start(t, func(o *Options) { o.Why = ring })
	f.want("GET", "/why", 200, textPlain, "no failure that the proxy answered for so far\n")
	f.want("GET", "/why?format=json", 200, jsonType, "{\n \"verdicts\": []\n}\n")
	for i := range ringSize + 2 {
		ring.Add(&filter.Verdict{Code: i})
	}
	if all := ring.Last(); len(all) != ringSize || all[0].Code != ringSize+1 || all[ringSize-1].Code != 2 {
		t.Errorf("%d, %d to %d", len(all), all[0].Code, all[len(all)-1].Code)
	}
	ring.Add(&filter.Verdict{
		At: time.Date(2026, 11, 23, 21, 35, 1, 5e6, time.UTC), ID: "id-1", Method: "GET", Host: "reviews:9080", Path: "/a", Code: 503, Flags: "UF", Details: "upstream_reset", Stage: "upstream",
		Because: "no connection to 10.0.0.1:9080 could be made", Cluster: "outbound|9080||reviews", Resource: []string{"CDS outbound|9080||reviews v39"},
		Attempts: []filter.VerdictTry{{Host: "10.0.0.1:9080", Why: "connection refused", Took: time.Millisecond}}, Took: 2 * time.Millisecond,
	})
	_, _, text := f.call("GET", "/why")
	want := "2026-11-23T21:35:01.005Z GET reviews:9080/a\n  503 UF upstream_reset, decided by the upstream after 2ms\n  because no connection to 10.0.0.1:9080 could be made\n" +
		"  cluster: outbound|9080||reviews\n  request id: id-1\n  by CDS outbound|9080||reviews v39\n  attempt 1: 10.0.0.1:9080: connection refused (1ms)\n\n"
	if !strings.HasPrefix(text, want) {
		t.Errorf("got\n%s", text)
	}
	if _, kind, text := f.call("GET", "/why?format=json"); kind != jsonType || !strings.Contains(text, `"because": "no connection to 10.0.0.1:9080 could be made"`) {
		t.Errorf("got %s", text)
	}
	v := &filter.Verdict{}
	if n := testing.AllocsPerRun(100, func() { ring.Add(v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
