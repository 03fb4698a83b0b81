package formatter

import (
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// sampleFormats reads the log formats of the bootstrap that the al_*.log files were recorded with.
func sampleFormats(t *testing.T) map[string]*corepb.SubstitutionFormatString {
	t.Helper()
	var config structpb.Struct
	b, err := os.ReadFile("testdata/envoy/alog.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	field := func(v *structpb.Value, path ...string) *structpb.Value {
		for _, p := range path {
			if l := v.GetListValue(); l != nil {
				v = l.GetValues()[0]
			}
			v = v.GetStructValue().GetFields()[p]
		}
		return v
	}
	logs := field(structpb.NewStructValue(&config), "static_resources", "listeners", "filter_chains", "filters", "typed_config", "access_log")
	out := map[string]*corepb.SubstitutionFormatString{}
	for _, l := range logs.GetListValue().GetValues() {
		path := field(l, "typed_config", "path").GetStringValue()
		format := field(l, "typed_config", "log_format")
		if format == nil {
			continue
		}
		b, err := protojson.Marshal(format)
		if err != nil {
			t.Fatal(err)
		}
		f := &corepb.SubstitutionFormatString{}
		if err := protojson.Unmarshal(b, f); err != nil {
			t.Fatal(err)
		}
		out[path[strings.LastIndexByte(path, '/')+1:]] = f
	}
	return out
}

func sampleTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func sampleConnection(remote string) *streaminfo.Connection {
	local := netip.MustParseAddrPort("127.0.0.1:31010")
	r := netip.MustParseAddrPort(remote)
	return &streaminfo.Connection{Remote: r, DirectRemote: r, Local: local, DirectLocal: local, ListenerName: "main"}
}

func sampleInfo(t *testing.T, start string) *streaminfo.Info {
	t.Helper()
	services, err := structpb.NewStruct(map[string]any{"services": []any{map[string]any{"host": "h.svc", "name": "h", "namespace": "n"}}})
	if err != nil {
		t.Fatal(err)
	}
	workload, _ := structpb.NewStruct(map[string]any{"workload": "w;ns;cn;cr;cl"})
	return &streaminfo.Info{
		Start: sampleTime(t, start), Protocol: streaminfo.HTTP11, Attempts: 1,
		RouteName: "rt", RouteResolutions: 1, RouteResolutionTime: 6 * time.Microsecond, FilterChainName: "fcname",
		ClusterName: "c_ok", ClusterStatName: "alt_c_ok;",
		ClusterMetadata:  streaminfo.Metadata{"istio": services},
		RouteMetadata:    streaminfo.Metadata{},
		LastDownstreamRx: 50 * time.Microsecond, LastUpstreamTx: 400 * time.Microsecond,
		Upstream: streaminfo.Upstream{
			Host: "127.0.0.1:31900", HostName: "ephost", Remote: netip.MustParseAddrPort("127.0.0.1:31900"),
			Local: netip.MustParseAddrPort("127.0.0.1:48406"), ConnectionID: 1, PoolReady: 300 * time.Microsecond,
			Protocol: streaminfo.HTTP11, HostMetadata: streaminfo.Metadata{"istio": workload},
		},
	}
}

// sampleFirst is the first request of the samples: a GET whose answer came from upstream.
func sampleFirst(t *testing.T) *Context {
	t.Helper()
	const id = "53bf4ee6-ad41-42d8-a7bd-612f80a8eb39"
	i := sampleInfo(t, "2026-11-23T22:03:58.447307Z")
	i.StreamID, i.ResponseCode, i.Details, i.BytesSent = id, 200, "via_upstream", 217
	i.FirstUpstreamRx, i.LastDownstreamTx, i.RequestComplete = 1100*time.Microsecond, 1192*time.Microsecond, 1200*time.Microsecond
	i.Downstream = streaminfo.Bytes{WireSent: 343, WireReceived: 178, HeaderSent: 107, HeaderReceived: 137}
	i.Upstream.Bytes = streaminfo.Bytes{WireSent: 227, WireReceived: 256, HeaderSent: 191, HeaderReceived: 20}
	i.Conn = sampleConnection("127.0.0.1:57618")
	i.Conn.Remote = netip.MustParseAddrPort("9.9.9.9:0")
	return &Context{
		Request: parseHead("GET /p/x-nodate?q=1&r=2 HTTP/1.1\r\nhost: a\r\nuser-agent: Mozilla \"q\"\r\nx-forwarded-for: 9.9.9.9\r\n" +
			"x-q: a\"b\\c\tt\xe9\r\nx-forwarded-proto: http\r\nx-request-id: " + id + "\r\nx-envoy-expected-rq-timeout-ms: 15000"),
		Response: parseHead("HTTP/1.1 200 OK\r\ncontent-length: 217\r\nx-envoy-upstream-service-time: 0\r\n" +
			"date: Mon, 23 Nov 2026 22:03:57 GMT\r\nserver: envoy"),
		Info: i, LogType: DownstreamEnd,
	}
}

// sampleSecond is a POST without anything special.
func sampleSecond(t *testing.T) *Context {
	t.Helper()
	c := sampleFirst(t)
	c.Request = parseHead("POST /svc/m HTTP/1.1\r\nhost: a\r\nx-request-id: 4ecd2dd0-268d-4bc4-b775-0e21dffd4670")
	c.Info.Start, c.Info.BytesSent = sampleTime(t, "2026-11-23T22:03:58.851Z"), 191
	c.Info.RequestComplete = 600 * time.Microsecond
	c.Info.Conn = sampleConnection("127.0.0.1:57620")
	return c
}

// sampleThird is a request whose upstream closed the connection.
func sampleThird(t *testing.T) *Context {
	t.Helper()
	c := sampleSecond(t)
	c.Request = parseHead("GET /p/close HTTP/1.1\r\nhost: a\r\nx-request-id: c86ca9de-59d7-4e90-9d81-2623a712c4d5")
	c.Response = parseHead("HTTP/1.1 503 Service Unavailable\r\nserver: envoy")
	c.Info.Start, c.Info.BytesSent, c.Info.ResponseCode = sampleTime(t, "2026-11-23T22:03:59.254100Z"), 95, 503
	c.Info.Details, c.Info.Flags = "upstream_reset_before_response_started{connection_termination}", streaminfo.UpstreamConnectionTermination
	c.Info.Conn = sampleConnection("127.0.0.1:57636")
	return c
}

func readSample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/envoy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// withCEL stands in for the operator that is linked elsewhere.
func withCEL() Options {
	return Options{Commands: map[string]Command{"CEL": func(string, int) (Operator, error) {
		return func(dst []byte, c *Context) ([]byte, Kind) { return append(dst, c.Request.Path...), String }, nil
	}}}
}

func TestWholeLogsAreEnvoys(t *testing.T) {
	formats := sampleFormats(t)
	for _, name := range []string{"al_text.log", "al_text_omit.log", "al_json.log", "al_json_omit.log", "al_json_nested.log"} {
		f, err := CompileSubstitution(formats[name], withCEL())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []byte
		for _, c := range []*Context{sampleFirst(t), sampleSecond(t), sampleThird(t)} {
			got = f.AppendContext(got, c)
		}
		want := readSample(t, name)
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// changing are the values that are others each time.
var changing = regexp.MustCompile(`(?m)^(EMIT_TIME|EMIT_TIME_LOCAL|UNIQUE_ID|HOSTNAME|COALESCE|ENVIRONMENT)\t.*$|"(EMIT_TIME|EMIT_TIME_LOCAL|UNIQUE_ID|HOSTNAME|COALESCE|ENVIRONMENT)":"[^"]*"`)

func TestEveryOperatorIsEnvoys(t *testing.T) {
	formats := sampleFormats(t)
	for name, end := range map[string]string{"al_ops.log": "----\n", "al_opsjson.log": "\n"} {
		f, err := CompileSubstitution(formats[name], withCEL())
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(readSample(t, name), end)
		got := strings.TrimSuffix(string(f.AppendContext(nil, sampleFirst(t))), end)
		got, want = changing.ReplaceAllString(got, "$1$2"), changing.ReplaceAllString(want, "$1$2")
		sep := "\n"
		if name == "al_opsjson.log" {
			sep = `,"`
		}
		g, w := strings.Split(got, sep), strings.Split(want, sep)
		if len(g) != len(w) {
			t.Errorf("%s: %d values, want %d", name, len(g), len(w))
		}
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Errorf("%s: %q, want %q", name, g[i], w[i])
			}
		}
	}
}
