package formatter

import (
	"crypto/x509"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dataaccesslogpb "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	reqwithoutquerypb "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/req_without_query/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// istioFormat is the text format of Istio's meshConfig.accessLogFile.
const istioFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
	`%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ` +
	`%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" ` +
	`"%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ` +
	"%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"

func format(t testing.TB, f string, c *Context) string {
	t.Helper()
	compiled, err := Compile(f, Options{})
	if err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return string(compiled.AppendContext(nil, c))
}

func wantFormat(t *testing.T, c *Context, f, want string) {
	t.Helper()
	if got := format(t, f, c); got != want {
		t.Errorf("%s: %q, want %q", f, got, want)
	}
}

func TestPlainFormatsDoNotAllocate(t *testing.T) {
	text, err := Compile(istioFormat, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]*structpb.Value{}
	for name := range plainOperators {
		fields[name] = structpb.NewStringValue("%" + name + "%")
	}
	fields["mixed"] = structpb.NewStringValue("a %REQ(x-esc)% %START_TIME(%b %e %s.%3f)% %XFCC_VALUE(uri)% %QUERY_PARAM(q)% %GRPC_STATUS%")
	json, err := CompileJSON(&structpb.Struct{Fields: fields}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := sampleFirst(t)
	c.Request.Add("x-esc", `a"b`)
	dst := make([]byte, 0, 1<<14)
	for name, f := range map[string]Formatter{"Istio's text": text, "JSON of all": json} {
		if n := testing.AllocsPerRun(100, func() { dst = f.AppendContext(dst[:0], c) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { dst = f.Append(dst[:0], c.Request, c.Response, c.Info) }); n != 0 {
			t.Errorf("%s: %v allocations without a Context", name, n)
		}
	}
}

func TestNothingIsKnownOfAnEmptyContext(t *testing.T) {
	for name := range plainOperators {
		for _, c := range []*Context{{}, {Info: &streaminfo.Info{}}} {
			_ = format(t, "%"+name+"%", c)
		}
	}
	c := &Context{Info: &streaminfo.Info{}}
	wantFormat(t, c, "%REQ(:METHOD)% %PROTOCOL% %RESPONSE_CODE% %DURATION% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS% %RESPONSE_FLAGS%", "- - 0 - - - -")
	wantFormat(t, c, "%METADATA(ROUTE:x)% %FILTER_STATE(x)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END)% %START_TIME%", "- - - -")
	wantFormat(t, &Context{}, "%METADATA(ROUTE:x)% %FILTER_STATE(x)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END)% %QUERY_PARAM(a)% %PATH%", "- - - - -")
}

func TestHeaderValuesOmitWhatIsMissing(t *testing.T) {
	f, err := CompileHeader("%VIRTUAL_CLUSTER_NAME%|%UPSTREAM_CLUSTER%", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Append(nil, nil, nil, &streaminfo.Info{ClusterName: "a"})); got != "|a" {
		t.Errorf("%q", got)
	}
	if _, ok := f.Literal(); ok {
		t.Error("a format with operators is no literal")
	}
	f, _ = CompileHeader("100%%", Options{})
	if s, ok := f.Literal(); !ok || s != "100%" {
		t.Errorf("literal %q, %v", s, ok)
	}
}

func TestAddressesWithoutPort(t *testing.T) {
	pipe := &Context{Info: &streaminfo.Info{Conn: &streaminfo.Connection{LocalPipe: "/run/l.sock"}}}
	wantFormat(t, pipe, "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "/run/l.sock /run/l.sock /run/l.sock")
	wantFormat(t, pipe, "<%DOWNSTREAM_LOCAL_PORT%> <%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(12)%> <%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%>", "<> <> <>")
	wantFormat(t, pipe, "%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_REMOTE_PORT% %UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%", "- - -")
	j, _ := CompileJSON(&structpb.Struct{Fields: map[string]*structpb.Value{"p": structpb.NewStringValue("%DOWNSTREAM_LOCAL_PORT%")}}, Options{})
	if got := string(j.AppendContext(nil, pipe)); got != `{"p":null}`+"\n" {
		t.Errorf("port of a pipe in JSON: %s", got)
	}

	internal := &Context{Info: &streaminfo.Info{
		Conn:     &streaminfo.Connection{LocalPipe: "envoy://int/ep7"},
		Upstream: streaminfo.Upstream{Host: "envoy://up/e", RemotePipe: "envoy://up/e"}, Protocol: streaminfo.HTTP2,
	}}
	wantFormat(t, internal, "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%", "envoy://int/ep7 envoy://internal_client_address/ ep7")
	wantFormat(t, internal, "%UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%", "envoy://up/e envoy://internal_client_address/ e")
	wantFormat(t, internal, "%UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT% %UPSTREAM_HOST_NAME_WITHOUT_PORT%", "envoy://up/e envoy")
}

func TestAddressesOfIPv6(t *testing.T) {
	a, mapped := netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("[::ffff:1.2.3.4]:81")
	c := &Context{Info: &streaminfo.Info{Conn: &streaminfo.Connection{Local: a, Remote: mapped}, Upstream: streaminfo.Upstream{Host: "[::1]:2"}}}
	wantFormat(t, c, "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(130)%", "[::1]:80 ::1 ::1/128")
	wantFormat(t, c, "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "1.2.3.4:81 81 1.0.0.0/8")
	wantFormat(t, c, "%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT% %UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%", "[::1]:2 [::1] ::1")
}

func TestHostsAttempted(t *testing.T) {
	const f = "%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOST_NAMES_ATTEMPTED% %UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT% %UPSTREAM_CONNECTION_IDS_ATTEMPTED%"
	remote := netip.MustParseAddrPort("127.0.0.1:31951")
	i := &streaminfo.Info{
		Attempted: []streaminfo.Upstream{{Host: "127.0.0.1:1", HostName: "a:b:80"}},
		Upstream:  streaminfo.Upstream{Host: "127.0.0.1:31951", HostName: "z:9", Remote: remote, ConnectionID: 4},
	}
	c := &Context{Info: i}
	// The lines of Envoy for TCP, then HTTP.
	wantFormat(t, c, f, "127.0.0.1:1,127.0.0.1:31951 a:b:80,z:9 a:b,z 4")
	i.Protocol = streaminfo.HTTP11
	wantFormat(t, c, f, "127.0.0.1:31951 z:9 z 4")
	i.Upstream.Remote = netip.AddrPort{}
	wantFormat(t, c, f, "- - - -")
	i.Protocol = streaminfo.ProtocolNone
	wantFormat(t, c, f, "127.0.0.1:1,127.0.0.1:31951 a:b:80,z:9 a:b,z -")
}

func TestServerNamesAreSanitised(t *testing.T) {
	c := &Context{Info: &streaminfo.Info{Conn: &streaminfo.Connection{}}}
	for sni, want := range map[string]string{"": "-", "outbound_.80_._.a.b": "outbound_.80_._.a.b", "a*b": "invalid:a_b", "x y\"": "invalid:x_y_"} {
		c.Info.Conn.RequestedServerName = sni
		wantFormat(t, c, "%REQUESTED_SERVER_NAME%", want)
	}
}

func TestWhiteSpaceOfReasons(t *testing.T) {
	c := &Context{Info: &streaminfo.Info{Details: "a b\tc", Conn: &streaminfo.Connection{TransportFailureReason: "TLS error"}}}
	c.Info.Upstream.TransportFailureReason = "delayed connect error: x"
	c.Info.ConnectionTermination = "a b"
	wantFormat(t, c, "%RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "a_b_c a b\tc")
	wantFormat(t, c, "%DOWNSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_TRANSPORT_FAILURE_REASON%", "TLS_error delayed_connect_error:_x")
	wantFormat(t, c, "%CONNECTION_TERMINATION_DETAILS%", "a b")
}

func TestTLSOperators(t *testing.T) {
	from := time.Date(2026, 11, 25, 21, 13, 32, 0, time.UTC)
	leaf := streaminfo.NewCertificate(&x509.Certificate{NotBefore: from, NotAfter: from.AddDate(27, 4, 18), Raw: []byte("x")})
	peer := streaminfo.TextCertificate(streaminfo.CertificateText{Subject: "CN=a", Issuer: "CN=int", Serial: "abc", URISANs: []string{"spiffe://a/b", "spiffe://c/d"}})
	issuer := streaminfo.TextCertificate(streaminfo.CertificateText{Serial: "0a1b2c"})
	c := &Context{Info: &streaminfo.Info{Conn: &streaminfo.Connection{TLS: &streaminfo.TLS{
		Version: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384", Group: "X25519", Peer: peer, PeerIssuer: issuer, Local: leaf,
		PeerChain: []*streaminfo.Certificate{peer, issuer},
	}}}}
	c.Info.Upstream.TLS = &streaminfo.TLS{ServerName: "up.sni", Peer: leaf}
	wantFormat(t, c, "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_TLS_GROUP% %DOWNSTREAM_TLS_SESSION_ID%", "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519 -")
	wantFormat(t, c, "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER%", "spiffe://a/b,spiffe://c/d - CN=a CN=int")
	wantFormat(t, c, "%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_ISSUER_SERIAL% %DOWNSTREAM_PEER_CHAIN_SERIALS%", "abc 0a1b2c abc,0a1b2c")
	wantFormat(t, c, "%DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT%", "- -")
	wantFormat(t, c, "%UPSTREAM_SERVER_NAME% %UPSTREAM_PEER_CERT_V_START% %UPSTREAM_PEER_CERT_V_END(%b %e %H:%M:%S %Y %Z)%", "up.sni 2026-11-25T21:13:32.000Z Apr 12 21:13:32 2054 UTC")
}

func TestDurations(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	i := &streaminfo.Info{Start: start, Conn: &streaminfo.Connection{Start: start.Add(-45 * time.Millisecond), HandshakeDone: 5500 * time.Microsecond}}
	c := &Context{Info: i}
	wantFormat(t, c, "%DOWNSTREAM_HANDSHAKE_DURATION%", "-39") // cut towards zero, as milliseconds are everywhere
	if got := format(t, "%DURATION%", c); got < "3600000" || got > "3610000" {
		t.Errorf("duration so far: %s", got)
	}
	i.RequestComplete, i.Upstream.ConnectStart, i.Upstream.HandshakeDone = 1999*time.Microsecond, 5, 2055
	wantFormat(t, c, "%DURATION% %COMMON_DURATION(US_CX_BEG:US_HS_END:us)% %COMMON_DURATION(DS_RX_BEG:US_CX_BEG:ns)% %COMMON_DURATION(US_HS_END:US_CX_BEG:us)%", "1 2 5 -")
}

func TestTimeZones(t *testing.T) {
	at := time.Date(2026, 1, 4, 0, 5, 6, 0, time.FixedZone("X", -(3*3600+30*60)))
	for f, want := range map[string]string{
		"%z %Ez %E*z %Z": "-0330 -03:30 -03:30:00 X", "%U %W %V %G %u %j": "01 00 01 2026 7 004", "%I %l %p %k": "12 12 AM  0",
		"%-d %_d %0e %E4Y": "4  4 04 2026", "%E*S %E*f %E3S": "06 0 06.000", "%N %": "%N %",
	} {
		if got := string(compileTime(f).append(nil, at)); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
}

type stateObject struct{}

func (stateObject) FilterStateJSON() any                        { return map[string]any{"b": 1, "a": "<>"} }
func (stateObject) FilterStateField(name string) (string, bool) { return "f:" + name, name != "none" }

func TestFilterStateObjects(t *testing.T) {
	i := &streaminfo.Info{Conn: &streaminfo.Connection{}}
	i.Conn.FilterState.Set(streaminfo.StateObject{Name: "o", Value: stateObject{}})
	i.Upstream.FilterState.Set(streaminfo.StateObject{Name: "u", Value: streaminfo.Text("t")})
	c := &Context{Info: i}
	wantFormat(t, c, "%FILTER_STATE(o)% %FILTER_STATE(o:PLAIN)% %FILTER_STATE(o:FIELD:x)% %FILTER_STATE(o:FIELD:none)%", `{"a":"<>","b":1} - f:x -`)
	wantFormat(t, c, "%UPSTREAM_FILTER_STATE(u:PLAIN)% %FILTER_STATE(u:PLAIN)%", "t -")
}

func TestStreamIDs(t *testing.T) {
	i := &streaminfo.Info{Start: time.Now(), Conn: &streaminfo.Connection{ID: 3}}
	c := &Context{Info: i}
	id := format(t, "%STREAM_ID%", c)
	if len(id) != 36 || id[14] != '4' || !strings.Contains("89ab", id[19:20]) || id != format(t, "%STREAM_ID%", c) {
		t.Errorf("a TCP connection has an id of its own that stays: %s", id)
	}
	i.Conn.ID = 4
	if format(t, "%STREAM_ID%", c) == id {
		t.Error("another connection has another id")
	}
	i.Protocol = streaminfo.HTTP11
	wantFormat(t, c, "%STREAM_ID%", "-")
	if a := format(t, "%UNIQUE_ID%", c); len(a) != 36 || a[14] != '4' || a == format(t, "%UNIQUE_ID%", c) {
		t.Errorf("unique id %s", a)
	}
}

func TestNumbersAreWrittenAsEnvoyDoes(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "-0", 10000: "10000", 100000: "1e+05", 120000: "120000", 12000000: "1.2e+07", 0.001: "0.001", 0.0001: "1e-04",
		0.00012: "0.00012", 1e15: "1e+15", 9007199254740993: "9007199254740992", 18446744073709551615: "18446744073709551616",
		5e-324: "5e-324", 1. / 3: "0.3333333333333333", -100000.5: "-100000.5", 12345678901234567: "12345678901234568", 1.5e300: "1.5e+300",
	} {
		if got := string(appendDouble([]byte("x"), v)); got != "x"+want {
			t.Errorf("%v: %s, want %s", v, got[1:], want)
		}
	}
}

func TestJSONConstants(t *testing.T) {
	s, err := structpb.NewStruct(map[string]any{
		"z": "%PROTOCOL%", "a": map[string]any{"y": "%REQ(none)%", "x": map[string]any{"w": "%REQ(none)%"}}, "Z": 1, "t": true, "f": false, "n": nil,
		"l":  []any{"%REQ(none)%", nil, "x", map[string]any{"q": "%REQ(none)%"}, []any{}, []any{"%REQ(none)%"}, map[string]any{}},
		"eo": map[string]any{}, "el": []any{}, "es": "", "esc\n\"k": "\n\"\u0001\u007f<>/é\b\f", "pct": "%%", "lrb": "%LOCAL_REPLY_BODY%", "lm": "x%REQ(none)%",
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &Context{Request: &header.Map{}, Info: &streaminfo.Info{Protocol: streaminfo.HTTP11}}
	for omit, want := range map[bool]string{
		false: `{"Z":1,"a":{"x":{"w":null},"y":null},"el":[],"eo":{},"es":"","esc\n\"k":"\n\"\u0001` + "\u007f" + `<>/é\b\f","f":false,"l":[null,null,"x",{"q":null},[],[null],{}],"lm":"x-","lrb":"","n":null,"pct":"%","t":true,"z":"HTTP/1.1"}`,
		true:  `{"Z":1,"el":[],"es":"","esc\n\"k":"\n\"\u0001` + "\u007f" + `<>/é\b\f","f":false,"l":["x",[],[]],"lm":"x","lrb":"","pct":"%","t":true,"z":"HTTP/1.1"}`,
	} {
		f, err := CompileJSON(s, Options{OmitEmpty: omit})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.AppendContext(nil, c)); got != want+"\n" {
			t.Errorf("omit_empty_values %v:\n got %s\nwant %s", omit, got, want)
		}
	}
}

func TestSubstitutions(t *testing.T) {
	rwq, _ := anypb.New(&reqwithoutquerypb.ReqWithoutQuery{})
	str, _ := anypb.New(&structpb.Struct{})
	source := func(s *corepb.DataSource) *corepb.SubstitutionFormatString {
		return &corepb.SubstitutionFormatString{Format: &corepb.SubstitutionFormatString_TextFormatSource{TextFormatSource: s}}
	}
	inline := func(s string, x ...*anypb.Any) *corepb.SubstitutionFormatString {
		p := source(&corepb.DataSource{Specifier: &corepb.DataSource_InlineString{InlineString: s}})
		for _, a := range x {
			p.Formatters = append(p.Formatters, &corepb.TypedExtensionConfig{Name: "x", TypedConfig: a})
		}
		return p
	}
	c := &Context{Request: parseHead("GET /a?b HTTP/1.1")}
	for _, tc := range []struct {
		p         *corepb.SubstitutionFormatString
		want, err string
	}{
		{inline("%REQ_WITHOUT_QUERY(x?:PATH)%", rwq), "/a", ""},
		{inline("%REQ_WITHOUT_QUERY(a?b?c)%", rwq), "", "More than 1 alternative header specified in token: a?b?c"},
		{inline("%REQ_WITHOUT_QUERY(a)%"), "", "Not supported field in StreamInfo: REQ_WITHOUT_QUERY"},
		{inline("x", str), "", "Formatter not found: x"},
		{inline("%CEL(request.path)%"), "", "Not supported field in StreamInfo: CEL"},
		{source(&corepb.DataSource{Specifier: &corepb.DataSource_Filename{Filename: "/nope"}}), "", "Invalid path: /nope"},
		{source(&corepb.DataSource{Specifier: &corepb.DataSource_EnvironmentVariable{EnvironmentVariable: "NOPE_X"}}), "", "Environment variable doesn't exist: NOPE_X"},
		{source(&corepb.DataSource{Specifier: &corepb.DataSource_InlineBytes{InlineBytes: []byte("x")}}), "x", ""},
		{&corepb.SubstitutionFormatString{}, "", `SubstitutionFormatString: field: "format", reason: is required`},
		{&corepb.SubstitutionFormatString{Format: &corepb.SubstitutionFormatString_TextFormat{TextFormat: "%PATH%"}}, "/a?b", ""},
	} {
		s, err := CompileSubstitution(tc.p, Options{})
		if err != nil || tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("%v: error %v, want %s", tc.p, err, tc.err)
			}
			continue
		}
		if got := string(s.AppendContext(nil, c)); got != tc.want || s.ContentType != "text/plain" {
			t.Errorf("%v: %q of type %s", tc.p, got, s.ContentType)
		}
	}
}

func TestLogTypesAreTheProtos(t *testing.T) {
	for n, name := range dataaccesslogpb.AccessLogType_name {
		if got := LogType(n).String(); got != name {
			t.Errorf("%d: %s, want %s", n, got, name)
		}
	}
	if len(logTypeNames) != len(dataaccesslogpb.AccessLogType_name) || LogType(99).String() != "NotSet" {
		t.Error("more or fewer types than the proto")
	}
}

func BenchmarkIstioLine(b *testing.B) {
	f, err := Compile(istioFormat, Options{})
	if err != nil {
		b.Fatal(err)
	}
	i := &streaminfo.Info{Start: time.Now(), Protocol: streaminfo.HTTP11, ResponseCode: 200, Details: "via_upstream", RequestComplete: time.Millisecond}
	i.Conn = &streaminfo.Connection{Remote: netip.MustParseAddrPort("10.0.0.1:40000"), Local: netip.MustParseAddrPort("10.0.0.2:80")}
	c := &Context{Info: i, Request: parseHead("GET /a HTTP/1.1\r\nhost: h\r\nuser-agent: u\r\nx-request-id: 53bf4ee6-ad41-42d8-a7bd-612f80a8eb39"), Response: parseHead("HTTP/1.1 200 OK")}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = f.AppendContext(dst[:0], c)
	}
}
