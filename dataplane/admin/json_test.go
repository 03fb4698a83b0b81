package admin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/compressor/v3"
	basicauthpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/basic_auth/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	xdstypepb "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// envoySays reads what a real Envoy 1.40 said: testdata/envoy is copied from reference/admin-samples.
func envoySays(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/envoy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

func printed(t *testing.T, m proto.Message, defaults bool) string {
	t.Helper()
	var b bytes.Buffer
	p := newPrinter(&b)
	p.defaults = defaults
	if err := p.document(m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sameDocument compares two documents: byte for byte, but for the order of what is in a map.
func sameDocument(t *testing.T, name, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: what is printed is no JSON: %v", name, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s: another document", name)
	}
	gl, wl := sortedLines(got), sortedLines(want)
	for i := range min(len(gl), len(wl)) {
		if gl[i] != wl[i] {
			t.Fatalf("%s: other lines, such as\n%s\n%s", name, gl[i], wl[i])
		}
	}
	if len(gl) != len(wl) {
		t.Errorf("%s: %d lines, want %d", name, len(gl), len(wl))
	}
}

func sortedLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], ",")
	}
	slices.Sort(lines)
	return lines
}

func TestPrinterSpeaksEnvoysDialect(t *testing.T) {
	for _, c := range []struct {
		file     string
		m        proto.Message
		defaults bool
		exact    bool // there are no maps in it
	}{
		{"config_dump_include_eds.json.gz", &adminpb.ConfigDump{}, false, false},
		{"config_dump_nack.json.gz", &adminpb.ConfigDump{}, false, false},
		{"config_dump_pre_init.json.gz", &adminpb.ConfigDump{}, false, false},
		{"server_info.json.gz", &adminpb.ServerInfo{}, true, false},
		{"clusters_json.json.gz", &adminpb.Clusters{}, false, true},
		{"clusters_json_filter.json.gz", &adminpb.Clusters{}, false, true},
		{"certs.json.gz", &adminpb.Certificates{}, true, true},
		{"listeners_json.json", &adminpb.Listeners{}, false, true},
		{"memory.json", &adminpb.Memory{}, true, true},
		{"init_dump_pre_init.json", &adminpb.UnreadyTargetsDumps{}, false, true},
	} {
		want := envoySays(t, c.file)
		if err := protojson.Unmarshal([]byte(want), c.m); err != nil {
			t.Fatalf("%s: %v", c.file, err)
		}
		got := printed(t, c.m, c.defaults)
		if c.exact && got != want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.file, got, want)
		}
		sameDocument(t, c.file, got, want)
	}
}

// The characters and numbers were put through Envoy 1.40.
func TestPrinterEscapesAndNumbers(t *testing.T) {
	in := "\x01\x02\b\t\n\v\f\r\x1f !\"#$%&'()*+,-./<>\\\x7f\u0080\u009f\u00a0\u00ad\u0600\u0603\u06dd\u070f\u17b4\u200b\u200f\u2010\u2028\u202e\u2060\u2064\u206a\u206f\ufeff\ufff9\ufffb\ufffd\U0001d173\U0001d17a\U000e0001\U000e0020\U000e007f\U0001f600"
	want := `\u0001\u0002\b\t\n\u000b\f\r\u001f !\"#$%&'()*+,-./\u003c\u003e\\\u007f\u0080\u009f` + "\u00a0" + `\u00ad\u0600\u0603\u06dd\u070f\u17b4\u200b\u200f` + "\u2010" + `\u2028\u202e\u2060\u2064\u206a\u206f\ufeff\ufff9\ufffb` + "\ufffd" + `\ud834\udd73\ud834\udd7a\udb40\udc01\udb40\udc20\udb40\udc7f` + "\U0001f600"
	if got := string(appendJSONString(nil, in)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(appendJSONString(nil, "a\xffb")); got != "a\ufffdb" {
		t.Errorf("no UTF-8: %q", got)
	}
	for f, want := range map[float64]string{
		1: "1", 1.5: "1.5", 0.1: "0.1", 1e20: "1e+20", 123456789012345680: "1.2345678901234568e+17", 1e-7: "1e-07",
		3.14159265358979: "3.14159265358979", 1e300: "1e+300", 0: "0", -5: "-5", 1 << 53: "9007199254740992", 16777216.5: "16777216.5",
		1e15: "1e+15", 1e16: "1e+16", 123456.789: "123456.789", 33.3: "33.3",
	} {
		if got := string(appendFloat(nil, f, 64)); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
	if got := string(appendFloat(nil, float64(float32(0.1)), 32)); got != "0.1" {
		t.Errorf("a float: got %s", got)
	}
}

func TestPrinterKnowsTheWellKnownTypes(t *testing.T) {
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{durationpb.New(250 * time.Millisecond), `"0.250s"`},
		{durationpb.New(-1500 * time.Microsecond), `"-0.001500s"`},
		{durationpb.New(3*time.Second + time.Nanosecond), `"3.000000001s"`},
		{durationpb.New(10 * time.Second), `"10s"`},
		{timestamppb.New(time.Date(2026, 11, 23, 21, 35, 1, 114e6, time.UTC)), `"2026-11-23T21:35:01.114Z"`},
		{timestamppb.New(time.Date(2026, 11, 23, 21, 35, 1, 0, time.UTC)), `"2026-11-23T21:35:01Z"`},
		{wrapperspb.UInt64(7), `"7"`},
		{wrapperspb.UInt32(0), `0`},
		{wrapperspb.Bool(true), `true`},
		{wrapperspb.Bytes([]byte("a")), `"YQ=="`},
		{&fieldmaskpb.FieldMask{Paths: []string{"a_b.c", "d"}}, `"aB.c,d"`},
		{structpb.NewNullValue(), "null"},
		{&structpb.ListValue{}, "[]"},
		{&structpb.Struct{}, "{}"},
		{&anypb.Any{}, "{}"},
		{pack(wrapperspb.String("x")), "{\n \"@type\": \"type.googleapis.com/google.protobuf.StringValue\",\n \"value\": \"x\"\n}"},
		{&anypb.Any{TypeUrl: "type.googleapis.com/no.such", Value: []byte{1, 2}}, "{\n \"@type\": \"type.googleapis.com/no.such\",\n \"value\": \"AQI=\"\n}"},
		{&anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.StringValue", Value: []byte{0xff}}, "{\n \"@type\": \"type.googleapis.com/google.protobuf.StringValue\",\n \"value\": \"/w==\"\n}"},
		{&corepb.SocketAddress{Protocol: 9}, "{\n \"protocol\": 9\n}"},
	} {
		if got := printed(t, c.m, false); got != c.want+"\n" {
			t.Errorf("%T: got %s, want %s", c.m, got, c.want)
		}
	}
}

// What is redacted, and that file names are, was seen in Envoy 1.40.
func TestPrinterRedactsWhatIsSensitive(t *testing.T) {
	inline := func(s string) *corepb.DataSource {
		return &corepb.DataSource{Specifier: &corepb.DataSource_InlineString{InlineString: s}}
	}
	file := &corepb.DataSource{Specifier: &corepb.DataSource_Filename{Filename: "hidden.pem"}, WatchedDirectory: &corepb.WatchedDirectory{Path: "hidden"}}
	cert := &tlspb.TlsCertificate{CertificateChain: inline("shown"), PrivateKey: file, Password: inline("hidden")}
	value, err := structpb.NewStruct(map[string]any{
		"common_tls_context": map[string]any{"tlsCertificates": []any{map[string]any{
			"certificate_chain": map[string]any{"filename": "shown"}, "private_key": map[string]any{"filename": "hidden"}, "password": "hidden",
		}}},
		"sni": "shown",
		"more": map[string]any{"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
			"private_key": map[string]any{"inline_string": "kept, for more is no field"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const upstream = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
	for _, m := range []proto.Message{
		cert,
		&tlspb.Secret{Name: "shown", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: cert}},
		&tlspb.Secret{Name: "shown", Type: &tlspb.Secret_SessionTicketKeys{SessionTicketKeys: &tlspb.TlsSessionTicketKeys{Keys: []*corepb.DataSource{inline("hidden")}}}},
		&tlspb.Secret{Name: "shown", Type: &tlspb.Secret_GenericSecret{GenericSecret: &tlspb.GenericSecret{Secret: inline("hidden"),
			Secrets: map[string]*corepb.DataSource{"shown": {Specifier: &corepb.DataSource_EnvironmentVariable{EnvironmentVariable: "hidden"}}}}}},
		&basicauthpb.BasicAuth{Users: inline("hidden"), ForwardUsernameHeader: "shown"},
		&udpapb.TypedStruct{TypeUrl: upstream, Value: value},
		&xdstypepb.TypedStruct{TypeUrl: upstream, Value: value},
	} {
		got := printed(t, m, false)
		if strings.Contains(got, "hidden") || !strings.Contains(got, "[redacted]") || !strings.Contains(got, "shown") {
			t.Errorf("%T:\n%s", m, got)
		}
	}
	key := &tlspb.TlsCertificate{PrivateKey: &corepb.DataSource{Specifier: &corepb.DataSource_InlineBytes{InlineBytes: []byte("x")}}}
	if got, want := printed(t, key, false), "{\n \"private_key\": {\n  \"inline_bytes\": \"W3JlZGFjdGVkXQ==\"\n }\n}\n"; got != want {
		t.Errorf("got %s", got)
	}
	unknown := &udpapb.TypedStruct{TypeUrl: "type.googleapis.com/no.such", Value: value}
	if got := printed(t, unknown, false); !strings.Contains(got, "hidden") {
		t.Error("of a type that is not known nothing is known to be sensitive")
	}
}
