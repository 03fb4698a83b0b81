package route

import (
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// The answers of Envoy 1.40.
func TestVirtualHostMatcher(t *testing.T) {
	const url = "type.googleapis.com/"
	input := `{name: h, typed_config: {"@type": ` + url + `envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: a}}`
	action := func(what string) string { return `{action: {name: x, typed_config: {"@type": ` + url + what + `}}}` }
	matcher := "{matcher_tree: {input: " + input + ", exact_match_map: {map: {'1': " + action("envoy.config.route.v3.Route, name: one, match: {path: /x}, direct_response: {status: 200}") +
		", '2': " + action("envoy.config.route.v3.RouteList, routes: ["+direct("two", "path: /x")+", "+direct("three", "prefix: /")+"]") + "}}}, on_no_match: " +
		action("envoy.config.route.v3.Route, name: none, match: {prefix: /}, route: {cluster: a}") + "}"
	table := tableOf(t, "virtual_hosts:\n- name: v\n  domains: ['*']\n  matcher: "+matcher)
	for _, c := range []struct{ path, a, want string }{
		{"/x", "1", "one"}, {"/y", "1", "-"}, // the route's own match counts, and there is no way back into the tree
		{"/x", "2", "two"}, {"/y", "2", "three"}, {"/y", "3", "none"},
	} {
		h := request(t, c.path, "a: "+c.a)
		if got := matchName(table, h); got != c.want {
			t.Errorf("%s a=%s: %s, want %s", c.path, c.a, got, c.want)
		}
		if x := table.Explain(h, &streaminfo.Info{}, 0, nil); (x.Route == nil) != (c.want == "-") || c.path == "/y" && c.a == "2" && (len(x.Passed) != 1 || x.Passed[0].Want != `path "/x"`) {
			t.Errorf("%s a=%s: %+v", c.path, c.a, x)
		}
	}
	_, err := Compile(configPB(t, "virtual_hosts:\n- name: v\n  domains: ['*']\n  matcher: {matcher_tree: {input: {name: q, typed_config: {\"@type\": "+url+
		"envoy.type.matcher.v3.HttpRequestQueryParamMatchInput, query_param: x}}, exact_match_map: {map: {'1': "+action("envoy.config.route.v3.Route, match: {prefix: /}, route: {cluster: a}")+"}}}}"), Options{})
	if want := "requirement violation while creating route match tree: INVALID_ARGUMENT: Route table can only match on request headers, saw type.googleapis.com/envoy.type.matcher.v3.HttpRequestQueryParamMatchInput"; err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestExplainTellsWhyEachRouteWasPassed(t *testing.T) {
	table := tableOf(t, `
virtual_hosts:
- name: v
  domains: ["*.x.test"]
  routes:
  - {name: path, match: {path: /other}, route: {cluster: a}}
  - {name: header, match: {prefix: /, headers: [{name: x-a, string_match: {exact: "1"}}]}, route: {cluster: a}}
  - {name: query, match: {prefix: /, query_parameters: [{name: q}]}, route: {cluster: a}}
  - {name: fraction, match: {prefix: /, runtime_fraction: {runtime_key: k, default_value: {numerator: 0}}}, route: {cluster: a}}
  - {name: grpc, match: {prefix: /, grpc: {}}, route: {cluster: a}}
  - {name: weighted, match: {prefix: /p}, route: {weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 3}]}}}
  - {name: after, match: {prefix: /}, route: {cluster: a}}
`)
	h := request(t, "/p?x")
	h.Authority = "www.X.test"
	x := table.Explain(h, &streaminfo.Info{}, 6, nil)
	want := []string{`path "/other"`, `header x-a: exactly "1"`, "query parameter q: present", "runtime_fraction k 0%", "grpc: content-type application/grpc"}
	if len(x.Passed) != len(want) {
		t.Fatalf("%+v", x)
	}
	for i, p := range x.Passed {
		if p.Want != want[i] {
			t.Errorf("%s: %s, want %s", p.Route.Name, p.Want, want[i])
		}
	}
	if x.Host != "www.X.test" || x.Domain != "suffix" || x.VirtualHost.Name != "v" || x.Route.Cluster != "b" || x.Weight != "at random: 2 of 4" || len(table.VirtualHosts[0].Routes()[5].Variants()) != 2 {
		t.Errorf("%+v", x)
	}
	h.Authority = "elsewhere"
	if x := table.Explain(h, nil, 0, nil); x.VirtualHost != nil || x.Route != nil || x.Domain != "" {
		t.Errorf("%+v", x)
	}
}

func rdsResource(t *testing.T, rc *routepb.RouteConfiguration) *xds.Resource {
	t.Helper()
	raw, err := proto.Marshal(rc)
	if err != nil {
		t.Fatal(err)
	}
	a := &anypb.Any{TypeUrl: URL, Value: raw}
	name, table, err := Type(Options{}).Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &xds.Resource{Name: name, Any: a, Value: table}
}

func TestHandlesFollowTheSnapshot(t *testing.T) {
	s := NewHandles()
	h := s.Handle("r")
	if h.Load() != nil || s.Handle("r") != h {
		t.Error("a Handle is there before its Table, and stays")
	}
	one := rdsResource(t, configPB(t, "name: r"))
	snapshot := (&xds.Snapshot{}).With(URL, xds.Change{Put: []*xds.Resource{one, rdsResource(t, configPB(t, "name: other"))}})
	s.Apply(snapshot)
	if h.Load() == nil || h.Load() != one.Value.(*Table) {
		t.Error("applied")
	}
	s.Apply(snapshot.With(URL, xds.Change{Remove: []string{"r"}}))
	if h.Load() != nil {
		t.Error("removed")
	}
	s.Forget(func(string) bool { return false })
	if s.Handle("r") == h {
		t.Error("forgotten")
	}
	if fixed := NewHandle(one.Value.(*Table)); fixed.Load() == nil {
		t.Error("of a table")
	}
}

func TestDecodeTellsTheNameOfWhatItRefuses(t *testing.T) {
	raw, _ := proto.Marshal(configPB(t, "{name: bad, virtual_hosts: [{name: v}]}"))
	name, table, err := Type(Options{}).Decode(&anypb.Any{TypeUrl: URL, Value: raw})
	if name != "bad" || table != nil || err == nil {
		t.Errorf("%q %v %v", name, table, err)
	}
}

func FuzzCompileAndMatch(f *testing.F) {
	for _, text := range []string{"name: r", "virtual_hosts:\n- name: v\n  domains: ['*', a.*, '*.b']\n  routes:\n  - " + direct("x", "prefix: /, headers: [{name: a, range_match: {start: 1, end: 9}}]") + "\n  - " +
		forward("safe_regex: {regex: '/a.*'}", "regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}, hash_policy: [{cookie: {name: a, ttl: 1s}}]", "request_headers_to_add: ["+add("x", "%REQ(a)%", "")+"]") +
		"\n  - {match: {prefix: ''}, redirect: {https_redirect: true, port_redirect: 1, path_rewrite: '/%REQ(a)%'}}"} {
		raw, err := proto.Marshal(configPB(f, text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "/a?b=c", "h.b:80", "1")
	}
	f.Fuzz(func(t *testing.T, raw []byte, path, host, value string) {
		rc := &routepb.RouteConfiguration{}
		if proto.Unmarshal(raw, rc) != nil {
			return
		}
		table, err := Compile(rc, Options{})
		if err != nil {
			return
		}
		h, i := request(t, path, "a: "+value, "cookie: "+value, "x-forwarded-proto: http"), &streaminfo.Info{Conn: &streaminfo.Connection{}}
		h.Authority = host
		r := table.Match(h, i, 5, nil)
		if x := table.Explain(h, i, 5, nil); x.Route != r {
			t.Fatalf("explain: %v, match: %v", x.Route, r)
		}
		if r == nil {
			return
		}
		r.Hash(h, i, func(string) {})
		r.ClusterName(h, i)
		r.RewritePath(h, i, false)
		r.Location(h, i)
		r.FinalizeRequest(h, i, false)
		r.FinalizeResponse(h, request(t, ""), i)
		r.Metadata()
	})
}
