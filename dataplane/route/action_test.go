package route

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// routeOf compiles one route of a virtual host; host goes into the virtual host, config before it.
func routeOf(t *testing.T, action, host, config string) *Route {
	t.Helper()
	table := tableOf(t, config+"\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  "+host+"\n  routes:\n  - {match: {prefix: /}, route: {cluster: a, "+action+"}}")
	return table.VirtualHosts[0].Routes()[0]
}

func TestTimeouts(t *testing.T) {
	r := routeOf(t, "", "", "")
	if r.Timeout != 15*time.Second || r.IdleTimeout.Set || r.FlushTimeout.Set || r.MaxGRPCTimeout.Set || r.GRPCTimeoutOffset.Set || r.MaxStreamDuration != (MaxStreamDuration{}) || r.ClusterNotFoundCode != 503 {
		t.Errorf("defaults: %+v", r.Action)
	}
	r = routeOf(t, "timeout: 0s, idle_timeout: 0s, flush_timeout: 3s, max_grpc_timeout: 0s, grpc_timeout_offset: 1s, cluster_not_found_response_code: NOT_FOUND, priority: HIGH, "+
		"max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 2s, grpc_timeout_header_offset: 0.5s}", "", "")
	if r.Timeout != 0 || r.IdleTimeout != (Duration{0, true}) || r.FlushTimeout != (Duration{3 * time.Second, true}) || r.MaxGRPCTimeout != (Duration{0, true}) || r.GRPCTimeoutOffset.D != time.Second ||
		r.MaxStreamDuration != (MaxStreamDuration{0, true, 2 * time.Second, true, 500 * time.Millisecond}) || r.ClusterNotFoundCode != 404 || !r.HighPriority {
		t.Errorf("%+v", r.Action)
	}
}

func TestRetryPolicy(t *testing.T) {
	const url = `typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.`
	r := routeOf(t, `retry_policy: {retry_on: " 5xx ,reset,bogus,unavailable", num_retries: 0, per_try_timeout: 1s, per_try_idle_timeout: 2s, retriable_status_codes: [503], host_selection_retry_max_attempts: 5,
      retriable_headers: [{name: X-R}], retriable_request_headers: [{name: x-q}],
      retry_host_predicate: [{name: p, `+url+`host.previous_hosts.v3.PreviousHostsPredicate}}, {name: c, `+url+`host.omit_canary_hosts.v3.OmitCanaryHostsPredicate}},
                             {name: m, `+url+`host.omit_host_metadata.v3.OmitHostMetadataConfig, metadata_match: {filter_metadata: {envoy.lb: {k: v}}}}}],
      retry_priority: {name: p, `+url+`priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 2}},
      retry_back_off: {base_interval: 0.0001s, max_interval: 3s},
      rate_limited_retry_back_off: {reset_headers: [{name: Retry-After}, {name: X-Reset, format: UNIX_TIMESTAMP}]}}`, "retry_policy: {retry_on: reset, num_retries: 9}", "").Retry
	if r.On != Retry5xx|RetryReset|RetryGRPCUnavailable || r.NumRetries != 0 || r.PerTryTimeout != time.Second || r.PerTryIdleTimeout != 2*time.Second || r.HostSelectionAttempts != 5 ||
		!r.PreviousHosts || !r.OmitCanary || len(r.OmitMetadata) != 1 || r.PreviousPriorities != 2 || r.BaseInterval != time.Millisecond || r.MaxInterval != 3*time.Second || r.ResetMaxInterval != 300*time.Second ||
		!reflect.DeepEqual(r.ResetHeaders, []ResetHeader{{"retry-after", false}, {"x-reset", true}}) || len(r.Headers) != 1 || len(r.RequestHeaders) != 1 || len(r.StatusCodes) != 1 {
		t.Errorf("%+v", r)
	}
	if r := routeOf(t, "", "retry_policy: {retry_on: reset}", "").Retry; r == nil || r.NumRetries != 1 || r.HostSelectionAttempts != 1 {
		t.Errorf("a route has the virtual host's: %+v", r)
	}
	if _, ok := ParseRetryOn("5xx,nonsense"); ok {
		t.Error("unknown conditions are told of")
	}
}

func TestWhatRoutesInherit(t *testing.T) {
	const config = "request_mirror_policies: [{cluster: config}]"
	for _, c := range []struct{ action, host, want string }{
		{"", "", "config"}, {"", "request_mirror_policies: [{cluster: host}]", "host"}, {"request_mirror_policies: [{cluster: route}, {cluster: more}]", "request_mirror_policies: [{cluster: host}]", "route"},
	} {
		if r := routeOf(t, c.action, c.host, config); r.Mirrors[0].Cluster != c.want {
			t.Errorf("%s %s: %s", c.action, c.host, r.Mirrors[0].Cluster)
		}
	}
	r := routeOf(t, "", "hedge_policy: {hedge_on_per_try_timeout: true}\n  cors: {allow_methods: GET}\n  include_request_attempt_count: true\n  per_request_buffer_limit_bytes: 7", "")
	if !r.Hedge.OnPerTryTimeout || r.CORS.AllowMethods != "GET" || r.CORS != r.VirtualHost.CORS || !r.VirtualHost.IncludeRequestAttemptCount || r.BufferLimit != (BufferLimit{7, true, true}) {
		t.Errorf("%+v %+v", r.Action, r.BufferLimit)
	}
	table := tableOf(t, "virtual_hosts:\n- {name: v, domains: ['*'], per_request_buffer_limit_bytes: 7, routes: [{match: {prefix: /}, request_body_buffer_limit: 9, route: {cluster: a}}]}")
	if l := table.VirtualHosts[0].Routes()[0].BufferLimit; l != (BufferLimit{9, true, false}) {
		t.Errorf("%+v", l)
	}
}

func TestEqualActionsAreShared(t *testing.T) {
	table := routesOf(t, "{match: {path: /a}, route: {cluster: a, timeout: 1s}}", "{match: {path: /b}, route: {cluster: b, timeout: 1s}}", "{match: {path: /c}, route: {cluster: c, timeout: 2s}}")
	r := table.VirtualHosts[0].Routes()
	if r[0].Action != r[1].Action || r[0].Action == r[2].Action || r[0].Cluster != "a" || r[1].Cluster != "b" {
		t.Error("sharing")
	}
}

func TestMirrorHosts(t *testing.T) {
	for _, c := range []struct{ policy, host, want string }{
		{"cluster: b", "site.test", "site.test-shadow"}, {"cluster: b", "site.test:81", "site.test-shadow:81"},
		{"cluster: b, disable_shadow_host_suffix_append: true", "site.test", "site.test"}, {"cluster: b, host_rewrite_literal: other", "site.test", "other"},
	} {
		m := routeOf(t, "request_mirror_policies: [{"+c.policy+", request_headers_mutations: [{append: {header: {key: x-m, value: '%REQ(:path)%'}}}, {remove: x-gone}, {remove_on_match: {key_matcher: {prefix: x-pre}}}]}]", "", "").Mirrors[0]
		h := request(t, "/p", "x-gone: 1", "x-pre-1: 1", "x-stay: 1")
		h.Authority = c.host
		m.Finalize(h, &streaminfo.Info{})
		if h.Authority != c.want || lines(h, "x-m", "x-gone", "x-pre-1", "x-stay") != "x-stay=1 x-m=/p" {
			t.Errorf("%s: %s, want %s; %s", c.policy, h.Authority, c.want, lines(h, "x-m", "x-gone", "x-pre-1", "x-stay"))
		}
	}
	m := routeOf(t, "request_mirror_policies: [{cluster_header: X-To, trace_sampled: false, runtime_fraction: {default_value: {numerator: 0}}}]", "", "").Mirrors[0]
	if m.ClusterName(request(t, "/", "x-to: c")) != "c" || m.TraceSampled || !m.HasTraceSampled || m.Fraction.Enabled(nil, 0) {
		t.Errorf("%+v", m)
	}
}

func TestUpgradesAndInternalRedirects(t *testing.T) {
	r := routeOf(t, "upgrade_configs: [{upgrade_type: WebSocket, enabled: false}, {upgrade_type: CONNECT, connect_config: {allow_post: true, proxy_protocol_config: {version: V2}}}]", "", "")
	on, ok := r.UpgradeEnabled("websocket")
	if on || !ok {
		t.Error("websocket")
	}
	if on, ok = r.UpgradeEnabled("connect"); !on || !ok || *r.UpgradeOf("connect").Connect != (ConnectConfig{2, true}) {
		t.Error("connect")
	}
	if _, ok = r.UpgradeEnabled("other"); ok || r.InternalRedirect.Follows(302) {
		t.Error("nothing said")
	}
	ir := routeOf(t, "internal_redirect_policy: {}", "", "").InternalRedirect
	if !ir.Follows(302) || ir.Follows(301) || ir.Max != 1 {
		t.Errorf("%+v", ir)
	}
	const url = `typed_config: {"@type": type.googleapis.com/envoy.extensions.internal_redirect.`
	ir = routeOf(t, "internal_redirect_policy: {max_internal_redirects: 3, redirect_response_codes: [301, 200], allow_cross_scheme_redirect: true, response_headers_to_copy: [X-A], predicates: ["+
		"{name: a, "+url+"allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [r]}}, {name: p, "+url+"previous_routes.v3.PreviousRoutesConfig}}, {name: s, "+url+"safe_cross_scheme.v3.SafeCrossSchemeConfig}}]}", "", "").InternalRedirect
	if ir.Follows(302) || ir.Follows(200) || !ir.Follows(301) || ir.Max != 3 || !ir.CrossScheme || !ir.PreviousRoutes || !ir.SafeCrossScheme || len(ir.AllowListedRoutes) != 1 || ir.CopyHeaders[0] != "x-a" {
		t.Errorf("%+v", ir)
	}
	if ir := routeOf(t, "internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 2", "", "").InternalRedirect; ir == nil || ir.Max != 2 {
		t.Errorf("the deprecated fields: %+v", ir)
	}
}

func TestRateLimits(t *testing.T) {
	r := routeOf(t, `include_vh_rate_limits: true, rate_limits: [{stage: 2, disable_key: k, limit: {dynamic_metadata: {metadata_key: {key: ns, path: [{key: limit}]}}}, actions: [
      {source_cluster: {}}, {destination_cluster: {}}, {request_headers: {header_name: X-A, descriptor_key: ha}}, {request_headers: {header_name: x-none, descriptor_key: hn, skip_if_absent: true}},
      {query_parameters: {query_parameter_name: q, descriptor_key: qa}}, {remote_address: {}}, {masked_remote_address: {v4_prefix_mask_len: 24}}, {generic_key: {descriptor_value: g}}, {generic_key: {descriptor_key: gk, descriptor_value: g}},
      {header_value_match: {descriptor_value: hv, headers: [{name: x-a}]}}, {header_value_match: {descriptor_value: nope, expect_match: false, headers: [{name: x-none}]}},
      {query_parameter_value_match: {descriptor_value: qv, query_parameters: [{name: q}]}}, {metadata: {descriptor_key: m, metadata_key: {key: ns, path: [{key: list}, {index: 1}]}}},
      {metadata: {descriptor_key: md, default_value: d, metadata_key: {key: none, path: [{key: x}]}}}, {dynamic_metadata: {descriptor_key: dm, metadata_key: {key: ns, path: [{key: s}]}}}]}]`, "rate_limits: [{actions: [{remote_address: {}}]}]", "")
	h, i := request(t, "/?q=v", "x-a: 1"), &streaminfo.Info{Remote: netip.MustParseAddrPort("10.1.2.3:1")}
	ns, _ := structpb.NewStruct(map[string]any{"s": "str", "list": []any{"zero", "one"}, "limit": map[string]any{"requests_per_unit": 42, "unit": "HOUR"}})
	i.Metadata = streaminfo.Metadata{"ns": ns}
	limit := r.RateLimits[0]
	got, ok := limit.AppendDescriptor(nil, &DescriptorContext{Request: h, Info: i, Route: r, ServiceCluster: "us"})
	want := []DescriptorEntry{{"source_cluster", "us"}, {"destination_cluster", "a"}, {"ha", "1"}, {"qa", "v"}, {"remote_address", "10.1.2.3"}, {"masked_remote_address", "10.1.2.0/24"}, {"generic_key", "g"}, {"gk", "g"},
		{"header_match", "hv"}, {"header_match", "nope"}, {"query_match", "qv"}, {"m", "one"}, {"md", "d"}, {"dm", "str"}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", ok, got)
	}
	if o, ok := limit.Override(i); !ok || o.Requests != 42 || o.Unit.String() != "HOUR" {
		t.Errorf("%+v %v", o, ok)
	}
	if limit.Stage != 2 || limit.DisableKey != "k" || !r.IncludeVHRateLimits || len(r.VirtualHost.RateLimits) != 1 {
		t.Errorf("%+v", limit)
	}
	if _, ok := limit.AppendDescriptor(nil, &DescriptorContext{Request: request(t, "/"), Info: i, Route: r}); ok {
		t.Error("without its header there is no descriptor")
	}
}

func TestTracingDecoratorMetadata(t *testing.T) {
	t.Setenv("PILLION_TAG", "from env")
	table := routesOf(t, `{match: {prefix: /}, stat_prefix: sp, metadata: {filter_metadata: {ns: {k: v}}}, decorator: {operation: op, propagate: false},
      tracing: {random_sampling: {numerator: 5, denominator: TEN_THOUSAND}, operation: "%REQ(:path)%", custom_tags: [{tag: a, literal: {value: l}}, {tag: b, environment: {name: PILLION_TAG}}, {tag: c, request_header: {name: X-H, default_value: d}},
      {tag: d, metadata: {kind: {route: {}}, metadata_key: {key: ns, path: [{key: k}]}}}]}, route: {cluster: a}}`)
	r := table.Match(request(t, "/"), nil, 0, nil)
	if r.StatPrefix != "sp" || *r.Decorator != (Decorator{"op", false}) || r.Metadata()["ns"].GetFields()["k"].GetStringValue() != "v" || r.Metadata() == nil {
		t.Errorf("%+v", r)
	}
	tr := r.Tracing
	if tr.Client.String() != "100%" || tr.Random.String() != "5/10000" || tr.Overall.String() != "100%" || tr.UpstreamOperation != nil || string(tr.Operation.Append(nil, request(t, "/p"), nil, nil)) != "/p" {
		t.Errorf("%+v", tr)
	}
	tags := tr.CustomTags
	if tags[0].Value != "l" || tags[1].Value != "from env" || tags[2].Header != "x-h" || tags[2].Default != "d" || tags[3].Key.Value(r.Metadata()).GetStringValue() != "v" {
		t.Errorf("%+v", tags)
	}
	if routesOf(t, forward("prefix: /", "", "")).Match(request(t, "/"), nil, 0, nil).Metadata() != nil {
		t.Error("no metadata")
	}
}

func TestVirtualClusters(t *testing.T) {
	table := tableOf(t, "virtual_hosts:\n- {name: v, domains: ['*'], virtual_clusters: [{name: one, headers: [{name: ':path', prefix_match: /one}]}]}\n- {name: w, domains: [w]}")
	for path, want := range map[string]string{"/one/x": "one", "/two": "other"} {
		if got := table.VirtualHosts[0].VirtualCluster(request(t, path)); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if table.VirtualHosts[1].VirtualCluster(request(t, "/")) != "" {
		t.Error("no virtual clusters")
	}
}

func TestDirectResponseBody(t *testing.T) {
	table := routesOf(t, "{match: {path: /plain}, direct_response: {status: 200, body: {inline_string: bd}}}",
		"{match: {path: /format}, direct_response: {status: 418, body: {inline_string: bd}, body_format: {text_format_source: {inline_string: '[%LOCAL_REPLY_BODY%] %REQ(:path)% %REQ(x-none)%'}, content_type: text/html}}}")
	for path, want := range map[string]string{"/plain": "bd|", "/format": "[bd] /format -|text/html"} {
		h := request(t, path)
		body, contentType := table.Match(h, nil, 0, nil).Direct.AppendBody(nil, &formatter.Context{Request: h, Info: &streaminfo.Info{}})
		if got := string(body) + "|" + contentType; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
