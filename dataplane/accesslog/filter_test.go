package accesslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func filter(t testing.TB, config string) Filter {
	t.Helper()
	p := &accesslogpb.AccessLogFilter{}
	if err := protojson.Unmarshal([]byte(config), p); err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	f, err := CompileFilter(p, Options{})
	if err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	return f
}

func entry() *Entry {
	return &Entry{Request: &header.Map{Method: "GET"}, Response: &header.Map{}, Info: &streaminfo.Info{Start: time.Now()}, LogType: formatter.DownstreamEnd}
}

func compare(op string, n int, key string) string {
	return fmt.Sprintf(`{"comparison":{"op":%q,"value":{"default_value":%d,"runtime_key":%q}}}`, op, n, key)
}

func TestFilters(t *testing.T) {
	r := runtime.New(runtime.Layer{Name: "s", Values: map[string]string{"k200": "200"}})
	code := func(n int) func(*Entry) { return func(e *Entry) { e.Info.ResponseCode = n } }
	flags := func(f streaminfo.Flag) func(*Entry) { return func(e *Entry) { e.Info.Flags = f } }
	took := func(d time.Duration) func(*Entry) { return func(e *Entry) { e.Info.RequestComplete = d } }
	grpc := func(status string) func(*Entry) { return func(e *Entry) { e.Response.Add("grpc-status", status) } }
	none := func(*Entry) {}
	for _, c := range []struct {
		name, config string
		set          func(*Entry)
		want         bool
	}{
		{"no status is 0", `{"status_code_filter":` + compare("EQ", 0, "x") + `}`, none, true},
		{"status GE", `{"status_code_filter":` + compare("GE", 500, "x") + `}`, code(500), true},
		{"status GE", `{"status_code_filter":` + compare("GE", 500, "x") + `}`, code(499), false},
		{"status LE", `{"status_code_filter":` + compare("LE", 404, "x") + `}`, code(405), false},
		{"status NE", `{"status_code_filter":` + compare("NE", 200, "x") + `}`, code(404), true},
		{"status from the runtime", `{"status_code_filter":` + compare("EQ", 1, "k200") + `}`, code(200), true},
		{"duration", `{"duration_filter":` + compare("GE", 50, "x") + `}`, took(50 * time.Millisecond), true},
		{"duration is cut to milliseconds", `{"duration_filter":` + compare("GE", 50, "x") + `}`, took(49_999 * time.Microsecond), false},
		{"duration of a stream that runs", `{"duration_filter":` + compare("LE", 50_000, "x") + `}`, none, true},
		{"any flag", `{"response_flag_filter":{}}`, flags(streaminfo.NoRouteFound), true},
		{"any flag, and there is none", `{"response_flag_filter":{}}`, none, false},
		{"one of the flags", `{"response_flag_filter":{"flags":["UF","DI"]}}`, flags(streaminfo.DelayInjected), true},
		{"another flag", `{"response_flag_filter":{"flags":["UF","DI"]}}`, flags(streaminfo.NoRouteFound), false},
		{"not traced", `{"traceable_filter":{}}`, none, false},
		{"traced", `{"traceable_filter":{}}`, func(e *Entry) { e.Info.Sampled = true }, true},
		{"health checks are not traced", `{"traceable_filter":{}}`, func(e *Entry) { e.Info.Sampled, e.Info.HealthCheck = true, true }, false},
		{"no health check", `{"not_health_check_filter":{}}`, none, true},
		{"health check", `{"not_health_check_filter":{}}`, func(e *Entry) { e.Info.HealthCheck = true }, false},
		{"header", `{"header_filter":{"header":{"name":"X-A","string_match":{"exact":"1"}}}}`, func(e *Entry) { e.Request.Add("x-a", "1") }, true},
		{"no header", `{"header_filter":{"header":{"name":"x-a","present_match":true}}}`, none, false},
		{"no request", `{"header_filter":{"header":{"name":"x-a","present_match":false}}}`, func(e *Entry) { e.Request = nil }, true},
		{"gRPC status", `{"grpc_status_filter":{"statuses":["UNAVAILABLE"]}}`, grpc("14"), true},
		{"another gRPC status", `{"grpc_status_filter":{"statuses":["UNAVAILABLE"]}}`, grpc("3"), false},
		{"gRPC status that HTTP's stands for", `{"grpc_status_filter":{"statuses":["UNAVAILABLE"]}}`, code(503), true},
		{"no status is UNKNOWN", `{"grpc_status_filter":{"statuses":["UNKNOWN"]}}`, none, true},
		{"a bad gRPC status is none", `{"grpc_status_filter":{"statuses":["UNKNOWN"]}}`, grpc("abc"), false},
		{"no gRPC statuses", `{"grpc_status_filter":{}}`, grpc("0"), false},
		{"no gRPC statuses excluded", `{"grpc_status_filter":{"exclude":true}}`, grpc("0"), true},
		{"log type", `{"log_type_filter":{"types":["DownstreamEnd"]}}`, none, true},
		{"log type excluded", `{"log_type_filter":{"types":["DownstreamEnd"],"exclude":true}}`, none, false},
		{"no log types", `{"log_type_filter":{}}`, none, false},
		{"no log types excluded", `{"log_type_filter":{"exclude":true}}`, none, true},
		{"another log type", `{"log_type_filter":{"types":["DownstreamEnd"]}}`, func(e *Entry) { e.LogType = formatter.DownstreamStart }, false},
		{"and", `{"and_filter":{"filters":[{"not_health_check_filter":{}},{"traceable_filter":{}}]}}`, none, false},
		{"or", `{"or_filter":{"filters":[{"not_health_check_filter":{}},{"traceable_filter":{}}]}}`, none, true},
		{"no runtime percentage", `{"runtime_filter":{"runtime_key":"x"}}`, none, false},
	} {
		e := entry()
		c.set(e)
		if got := filter(t, c.config).Match(e, r); got != c.want {
			t.Errorf("%s: %s: %v", c.name, c.config, got)
		}
	}
}

func TestMetadataFilter(t *testing.T) {
	const value = `"matcher":{"filter":"a","path":[{"key":"b"}],"value":{"bool_match":true}}`
	for _, c := range []struct {
		config string
		value  *structpb.Value
		want   bool
	}{
		{`{"metadata_filter":{}}`, nil, true},
		{`{"metadata_filter":{` + value + `}}`, nil, true},
		{`{"metadata_filter":{` + value + `,"match_if_key_not_found":false}}`, nil, false},
		{`{"metadata_filter":{` + value + `}}`, structpb.NewBoolValue(false), false},
		{`{"metadata_filter":{` + value + `,"match_if_key_not_found":false}}`, structpb.NewBoolValue(true), true},
	} {
		e := entry()
		if c.value != nil {
			e.Info.SetMetadata("a", "b", c.value)
		}
		if got := filter(t, c.config).Match(e, nil); got != c.want {
			t.Errorf("%s with %v: %v", c.config, c.value, got)
		}
	}
}

// TestRuntimeFilterSamplesAsEnvoy repeats what Envoy 1.40 logged of these request ids.
func TestRuntimeFilterSamplesAsEnvoy(t *testing.T) {
	r := runtime.New(runtime.Layer{Name: "s", Values: map[string]string{"k100": "100", "kobj": "{numerator: 100, denominator: HUNDRED}"}})
	ids := []uint32{0, 49, 50, 99, 100, 149, 150, 4999, 5000, 9999, 10000, 0xffffffff}
	for config, want := range map[string]string{
		`{"runtime_filter":{"runtime_key":"k100","percent_sampled":{"denominator":"TEN_THOUSAND"}}}`:                  "0 49 50 99 10000",
		`{"runtime_filter":{"runtime_key":"none","percent_sampled":{"numerator":5000,"denominator":"TEN_THOUSAND"}}}`: "0 49 50 99 100 149 150 4999 10000",
		`{"runtime_filter":{"runtime_key":"none","percent_sampled":{"numerator":50}}}`:                                "0 49 100 149 5000 10000",
		`{"runtime_filter":{"runtime_key":"kobj","percent_sampled":{"numerator":0}}}`:                                 "",
	} {
		f := filter(t, config)
		var got []string
		for _, id := range ids {
			e := entry()
			e.Info.StreamID = fmt.Sprintf("%08x-0000-0000-0000-000000000000", id)
			if f.Match(e, r) {
				got = append(got, fmt.Sprint(id))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\n got %v\nwant %s", config, got, want)
		}
	}
}

func TestRuntimeFilterWithoutAnIDIsRandom(t *testing.T) {
	for _, config := range []string{
		`{"runtime_filter":{"runtime_key":"none","percent_sampled":{"numerator":50}}}`,
		`{"runtime_filter":{"runtime_key":"none","percent_sampled":{"numerator":50},"use_independent_randomness":true}}`,
	} {
		f, e, n := filter(t, config), entry(), 0
		e.Info.StreamID = "not-a-number"
		if strings.Contains(config, "independent") {
			e.Info.StreamID = "00000000-0000"
		}
		for range 1000 {
			if f.Match(e, nil) {
				n++
			}
		}
		if n < 300 || n > 700 {
			t.Errorf("%s: %d of 1000", config, n)
		}
	}
}
