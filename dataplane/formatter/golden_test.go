package formatter

import (
	"encoding/json"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// golden is what Envoy 1.40 made of many formats for one request: as text, as a JSON value, and as
// part of a JSON string. Strings hold bytes as code points.
type golden struct {
	Request string
	Omit    bool
	Formats [][4]string
}

func readGoldens(t *testing.T, name string) []golden {
	t.Helper()
	var out []golden
	readJSON(t, name, &out)
	return out
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/envoy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// bytesOf undoes the encoding of bytes as code points.
func bytesOf(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// parseHead reads an HTTP/1 message head into a Map.
func parseHead(head string) *header.Map {
	m := &header.Map{}
	lines := strings.Split(head, "\r\n")
	words := strings.SplitN(lines[0], " ", 3)
	if strings.HasPrefix(words[0], "HTTP/") {
		m.Status, _ = strconv.Atoi(words[1])
	} else if len(words) > 1 {
		m.Method, m.Path, m.Scheme = words[0], words[1], "http"
	}
	for _, l := range lines[1:] {
		if name, value, ok := strings.Cut(l, ":"); ok {
			m.Add(strings.ToLower(name), strings.TrimSpace(value))
		}
	}
	return m
}

// xRaw is the response that the request asked the recorded upstream for.
func xRaw(req *header.Map) (resp, trailers *header.Map) {
	raw, ok := req.Get("x-raw")
	if !ok {
		return parseHead("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-two: a\r\nx-two: b"), nil
	}
	head, rest, _ := strings.Cut(strings.ReplaceAll(raw, `\r\n`, "\r\n"), "\r\n\r\n")
	resp = parseHead(head)
	if strings.HasPrefix(rest, "0\r\n") {
		trailers = parseHead(rest)
	}
	return resp, trailers
}

func metadata(t *testing.T) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{
		"s": `str "q" \ é`, "n": 3, "f": 1.5, "b": true, "nul": nil, "e": "", "big": 12345678901234,
		"l": []any{1, "a", nil, map[string]any{"z": 1, "a": 2}},
		"o": map[string]any{"in": map[string]any{"deep": "v"}, "z": "1", "a": 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recorded rebuilds the stream that a golden was recorded of.
func recorded(t *testing.T, g golden) *Context {
	t.Helper()
	c := &Context{Request: parseHead(bytesOf(g.Request)), LogType: DownstreamEnd}
	c.Response, c.Trailers = xRaw(c.Request)
	local := netip.MustParseAddrPort("127.0.0.1:31952")
	remote := netip.MustParseAddrPort("127.0.0.1:40000")
	five, _ := structpb.NewStruct(map[string]any{"v": 5})
	one, _ := structpb.NewStruct(map[string]any{"v": 1})
	dynamic, _ := structpb.NewStruct(map[string]any{"n": 42, "s": "x"})
	firstD, ok := c.Request.Get("x-d")
	if !ok {
		firstD = "-"
	}
	i := &streaminfo.Info{
		Start: time.Now(), Protocol: streaminfo.HTTP11, ResponseCode: c.Response.Status, Details: "via_upstream",
		RouteName: "rt", RouteResolutions: 1, ClusterName: "c", ClusterStatName: "c",
		RouteMetadata:       streaminfo.Metadata{"x": metadata(t)},
		VirtualHostMetadata: streaminfo.Metadata{"x": one},
		ListenerMetadata:    streaminfo.Metadata{"x": five},
		ClusterMetadata:     streaminfo.Metadata{"x": metadata(t)},
		Metadata:            streaminfo.Metadata{"d": dynamic},
		Conn:                &streaminfo.Connection{Remote: remote, DirectRemote: remote, Local: local, DirectLocal: local},
		Upstream:            streaminfo.Upstream{Host: "127.0.0.1:31951", Remote: netip.MustParseAddrPort("127.0.0.1:31951")},
		LastDownstreamRx:    time.Microsecond, LastDownstreamTx: time.Microsecond,
	}
	i.FilterState.Set(streaminfo.StateObject{Name: "k", Value: streaminfo.Text(`va"lue ` + firstD)})
	c.Info = i
	if _, reset := c.Request.Get("x-close"); reset {
		c.Response = parseHead("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14")
		i.Details, i.Flags = "upstream_reset_before_response_started{connection_termination}", streaminfo.UpstreamConnectionTermination
	}
	return c
}

// varies tells whether a format's value is another each time, or needs what is linked elsewhere.
func varies(format string) bool {
	for _, s := range []string{"EMIT_TIME", "UNIQUE_ID", "STREAM_ID", "CEL(", "COMMON_DURATION(DS_RX_BEG:DS_TX_END", "%DURATION%"} {
		if strings.Contains(format, s) {
			return true
		}
	}
	return false
}

func TestFormatsPrintWhatEnvoyPrints(t *testing.T) {
	t.Setenv("MYENV", `env value "x"`)
	for _, file := range []string{"ops.json", "omit.json", "query.json"} {
		for n, g := range readGoldens(t, file) {
			c := recorded(t, g)
			if file != "query.json" {
				// The connection manager that these were recorded with removes it.
				c.Request.DelID(header.XForwardedClientCert)
			}
			for _, row := range g.Formats {
				if format := bytesOf(row[0]); !varies(format) {
					checkGolden(t, file+" "+strconv.Itoa(n), format, row, g.Omit, c)
				}
			}
		}
	}
}

func checkGolden(t *testing.T, where, format string, row [4]string, omit bool, c *Context) {
	t.Helper()
	f, err := Compile(format, Options{OmitEmpty: omit})
	if err != nil {
		t.Errorf("%s: %s: %v", where, format, err)
		return
	}
	if got, want := string(f.AppendContext(nil, c)), bytesOf(row[1]); got != want {
		t.Errorf("%s: %s: text\n got %q\nwant %q", where, format, got, want)
	}
	for i, value := range []string{format, "<" + format + ">"} {
		j, err := CompileJSON(&structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue(value)}}, Options{OmitEmpty: omit})
		if err != nil {
			t.Errorf("%s: %s: %v", where, value, err)
			continue
		}
		want := `{"k":` + bytesOf(row[2+i]) + "}\n"
		if row[2+i] == "(absent)" {
			want = "{}\n"
		}
		if got := string(j.AppendContext(nil, c)); got != want {
			t.Errorf("%s: %s: JSON\n got %q\nwant %q", where, value, got, want)
		}
	}
}

// differs are time formats that glibc makes nothing sensible of: a width before Envoy's own letters.
var differs = map[string]bool{"%START_TIME(%12f)%": true, "%START_TIME(%10f)%": true, "%START_TIME(%99f)%": true, "%START_TIME(%5)%": true}

func TestTimesPrintWhatEnvoyPrints(t *testing.T) {
	g := readGoldens(t, "time.json")[0]
	values := map[string]string{}
	for _, row := range g.Formats {
		values[row[0]] = row[1]
	}
	seconds, _ := strconv.ParseInt(values["%START_TIME(%s)%"], 10, 64)
	nanos, _ := strconv.ParseInt(values["%START_TIME(%9f)%"], 10, 64)
	c := recorded(t, g)
	c.Info.Start = time.Unix(seconds, nanos)
	for _, row := range g.Formats {
		if format := row[0]; !varies(format) && !differs[format] {
			checkGolden(t, "time.json", format, row, false, c)
		}
	}
}

func TestRejectionsAreEnvoys(t *testing.T) {
	var rows [][2]string
	readJSON(t, "nack.json", &rows)
	for _, row := range rows {
		format, want := row[0], row[1]
		if strings.Contains(format, "CEL") {
			continue // linked elsewhere
		}
		_, err := Compile(format, Options{})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if cut, _, ok := strings.Cut(want, "JSON supplied is not valid."); ok {
			// The rest is the JSON parser's.
			got, want = got[:min(len(got), len(cut))], cut
		}
		if got != want {
			t.Errorf("%q:\n got %q\nwant %q", format, got, want)
		}
	}
}
