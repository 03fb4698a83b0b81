package accesslog

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// compile compiles an access log given as JSON; $ stands for a directory.
func compile(t testing.TB, config, dir string, o Options) (*Config, error) {
	t.Helper()
	p := &accesslogpb.AccessLog{}
	if err := protojson.Unmarshal([]byte(strings.ReplaceAll(config, "$", dir)), p); err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	return Compile([]*accesslogpb.AccessLog{p}, o)
}

func fileLog(format string) string {
	if format != "" {
		format = "," + format
	}
	return `{"name":"f","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog","path":"$/log"` + format + `}}`
}

// sample is the first request of Envoy's samples, as in package formatter's tests.
func sample(t testing.TB) *Entry {
	t.Helper()
	start, err := time.Parse(time.RFC3339Nano, "2026-11-23T22:03:58.447307Z")
	if err != nil {
		t.Fatal(err)
	}
	req, resp := &header.Map{Method: "GET", Path: "/p/x-nodate?q=1&r=2", Authority: "a"}, &header.Map{Status: 200}
	req.Add("user-agent", `Mozilla "q"`)
	req.Add("x-forwarded-for", "9.9.9.9")
	req.Add("x-request-id", "53bf4ee6-ad41-42d8-a7bd-612f80a8eb39")
	resp.Add("x-envoy-upstream-service-time", "0")
	return &Entry{Request: req, Response: resp, LogType: formatter.DownstreamEnd, Info: &streaminfo.Info{
		Start: start, Protocol: streaminfo.HTTP11, ResponseCode: 200, BytesSent: 217, RequestComplete: 1200 * time.Microsecond,
		Upstream: streaminfo.Upstream{Host: "127.0.0.1:31900", Remote: netip.MustParseAddrPort("127.0.0.1:31900")},
	}}
}

const sampleLine = `[2026-11-23T22:03:58.447Z] "GET /p/x-nodate?q=1&r=2 HTTP/1.1" 200 - 0 217 1 0 "9.9.9.9" "Mozilla "q"" "53bf4ee6-ad41-42d8-a7bd-612f80a8eb39" "a" "127.0.0.1:31900"` + "\n"

func TestFileLogFormats(t *testing.T) {
	for _, c := range []struct{ name, format, want string }{
		{"none is the default", "", sampleLine},
		{"empty deprecated format is the default", `"format":""`, sampleLine},
		{"deprecated format", `"format":"x %RESPONSE_CODE%\n"`, "x 200\n"},
		{"deprecated json_format is typed", `"json_format":{"c":"%RESPONSE_CODE%"}`, `{"c":200}` + "\n"},
		{"typed_json_format", `"typed_json_format":{"c":"%RESPONSE_CODE%"}`, `{"c":200}` + "\n"},
		{"text_format_source", `"log_format":{"text_format_source":{"inline_string":"%PROTOCOL%|%REQ(x)%\n"}}`, "HTTP/1.1|-\n"},
		{"omit_empty_values", `"log_format":{"omit_empty_values":true,"text_format":"%PROTOCOL%|%REQ(x)%\n"}`, "HTTP/1.1|\n"},
		{"json_format", `"log_format":{"json_format":{"b":"%REQ(x)%","a":"%ACCESS_LOG_TYPE%"}}`, `{"a":"DownstreamEnd","b":null}` + "\n"},
	} {
		dir := t.TempDir()
		config, err := compile(t, fileLog(c.format), dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		files := NewFiles(FilesOptions{})
		logs, err := config.Build(&Context{Files: files, Runtime: runtime.New()})
		if err != nil {
			t.Fatal(err)
		}
		logs.Log(sample(t))
		logs.Close()
		wantFile(t, filepath.Join(dir, "log"), c.want)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("%s:\n got %q\nwant %q", path, b, want)
	}
}

func TestRejectionsAreEnvoys(t *testing.T) {
	typed := func(name, rest string) string {
		return `{"name":"f","typed_config":{"@type":"type.googleapis.com/` + name + `"` + rest + `}}`
	}
	const file = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
	for config, want := range map[string]string{
		`{"name":"f"}`: "Didn't find a registered implementation for 'f' with type URL: ''",
		typed("google.protobuf.Struct", `,"value":{}`): "Didn't find a registered implementation for 'f' with type URL: 'google.protobuf.Struct'",
		typed(file, ""): "Proto constraint validation failed (FileAccessLogValidationError.Path: value length must be at least 1 characters)",
		typed(file, `,"path":"/x","format":"%BOGUS%"`):                                                                                             "Not supported field in StreamInfo: BOGUS",
		typed(file, `,"path":"/x","log_format":{"json_format":{"a":["%REQ(a"]}}`):                                                                  "Incorrect configuration: %REQ(a. Couldn't find valid command at position 0",
		typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", `,"log_format":{"text_format":"%A%"}`):                                  "Not supported field in StreamInfo: A",
		`{"name":"f","filter":{"extension_filter":{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{}}}}}`: "Didn't find a registered implementation for 'x' with type URL: 'google.protobuf.Struct'",
		`{"name":"f","filter":{"response_flag_filter":{"flags":["XX"]}}}`:                                                                          "Proto constraint validation failed (AccessLogFilterValidationError.ResponseFlagFilter: embedded message failed validation | caused by ResponseFlagFilterValidationError.Flags[0]: value must be in list [",
		`{"name":"f","filter":{"and_filter":{"filters":[{"traceable_filter":{}}]}}}`:                                                               "Proto constraint validation failed (AccessLogFilterValidationError.AndFilter: embedded message failed validation | caused by AndFilterValidationError.Filters: value must contain at least 2 item(s))",
	} {
		_, err := compile(t, config, "", Options{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", config, err, want)
		}
	}
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	for path, want := range map[string]string{"/nodir/x": "unable to open file '/nodir/x': No such file or directory", "/tmp": "unable to open file '/tmp': Is a directory"} {
		config, err := compile(t, strings.Replace(fileLog(""), "$/log", path, 1), "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		files := NewFiles(FilesOptions{})
		if _, err = config.Build(&Context{Files: files}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// recorder is a logger that is linked from elsewhere.
type recorder struct{ lines *[]string }

func (r recorder) Build(*Context) (Logger, error) { return r, nil }

func (r recorder) Log(e *Entry) { *r.lines = append(*r.lines, e.LogType.String()) }

func TestLoggersAndFiltersAreLinkedIn(t *testing.T) {
	var lines []string
	o := Options{
		Loggers: map[string]CompileLogger{"google.protobuf.Struct": func(*anypb.Any, Options) (LoggerConfig, error) { return recorder{&lines}, nil }},
		Filters: map[string]func(*anypb.Any) (Filter, error){"google.protobuf.Struct": func(a *anypb.Any) (Filter, error) {
			s := &structpb.Struct{}
			err := a.UnmarshalTo(s)
			return statusFilter{comparison{value: uint64(s.GetFields()["code"].GetNumberValue())}}, err
		}},
	}
	config, err := compile(t, `{"name":"f","filter":{"extension_filter":{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"code":200}}}},
		"typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{}}}`, "", o)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := config.Build(&Context{})
	if err != nil {
		t.Fatal(err)
	}
	e := sample(t)
	logs.Log(e)
	e.Info.ResponseCode = 404
	logs.Log(e)
	logs.Close()
	if len(lines) != 1 || lines[0] != "DownstreamEnd" {
		t.Errorf("logged %v", lines)
	}
}

func TestNoLogs(t *testing.T) {
	var logs *Logs
	logs.Log(nil)
	logs.Close()
	if !logs.Empty() {
		t.Error("nil is no logs")
	}
}

func TestLoggingDoesNotAllocate(t *testing.T) {
	dir := t.TempDir()
	config, err := compile(t, fileLog(""), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	files := NewFiles(FilesOptions{FlushInterval: time.Hour, MinFlush: 1 << 30})
	defer files.Close()
	logs, err := config.Build(&Context{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	e := sample(t)
	for range 3000 {
		logs.Log(e) // the buffer grows to its size
	}
	files.Flush()
	for range 3000 {
		logs.Log(e)
	}
	files.Flush()
	if n := testing.AllocsPerRun(1000, func() { logs.Log(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
