package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// What Envoy 1.40 chose of a hundred weighted clusters by use_hash_policy: the hash modulo 100.
func TestHashesAreEnvoys(t *testing.T) {
	const header, cookie = "{header: {header_name: x-k}}", "{cookie: {name: sid}}"
	for _, c := range []struct {
		policies, path string
		lines          []string
		want           int // -1: no hash
	}{
		{header, "/", []string{"x-k: alpha"}, 0}, {header, "/", []string{"x-j: beta"}, -1}, {header, "/", []string{"x-k: b", "x-k: a"}, 58}, {header, "/", []string{"x-k: a", "x-k: b"}, 58},
		{header, "/", []string{"x-k: "}, 21}, {header, "/", []string{"x-k: a1", "x-k: a2"}, 35},
		{header + ", {header: {header_name: x-j}}", "/", []string{"x-k: alpha", "x-j: beta"}, 69}, {header + ", {header: {header_name: x-j}}", "/", []string{"x-j: beta"}, 20},
		{"{header: {header_name: x-k}, terminal: true}, {header: {header_name: x-j}}", "/", []string{"x-k: alpha", "x-j: beta"}, 0},
		{header + ", {header: {header_name: x-j}, terminal: true}, {query_parameter: {name: k}}", "/?k=qq", []string{"x-k: alpha", "x-j: beta"}, 69},
		{header + ", {header: {header_name: x-j}, terminal: true}, {query_parameter: {name: k}}", "/?k=qq", []string{"x-k: alpha"}, 0}, // a terminal one ends it, whoever made the hash
		{`{header: {header_name: x-k, regex_rewrite: {pattern: {regex: "^(a).*"}, substitution: '\1'}}}`, "/", []string{"x-k: alpha"}, 55},
		{`{header: {header_name: x-k, regex_rewrite: {pattern: {regex: "^(a).*"}, substitution: '\1'}}}`, "/", []string{"x-k: a1", "x-k: a2"}, 36},
		{"{header: {header_name: ':authority'}}", "/", nil, 53}, {"{header: {header_name: host}}", "/", nil, 53}, {"{header: {header_name: ':path'}}", "/path/", nil, 33},
		{cookie, "/", []string{"cookie: sid=a"}, 55}, {cookie, "/", []string{`cookie: x=1; sid="a"`}, 55}, {cookie, "/", []string{"cookie: sid="}, -1},
		{"{query_parameter: {name: k}}", "/?k=a&k=b", nil, 55}, {"{query_parameter: {name: k}}", "/?k", nil, 21}, {"{query_parameter: {name: k}}", "/?k=%61", nil, 98}, {"{query_parameter: {name: k}}", "/?x", nil, -1},
		{"{connection_properties: {source_ip: true}}", "/", nil, 71}, {"{connection_properties: {}}", "/", nil, -1}, {"{filter_state: {key: x}}", "/", nil, -1},
		{"{filter_state: {key: k}}", "/", nil, 0},
	} {
		table := routesOf(t, forward("prefix: /", "hash_policy: ["+c.policies+"]", ""))
		h := request(t, c.path, c.lines...)
		i := &streaminfo.Info{Conn: &streaminfo.Connection{Remote: netip.MustParseAddrPort("[::ffff:127.0.0.1]:1")}}
		i.FilterState.Set(streaminfo.StateObject{Name: "k", Value: streaminfo.HashableText("alpha")})
		i.FilterState.Set(streaminfo.StateObject{Name: "x", Value: streaminfo.Text("not hashable")})
		got := -1
		if n, ok := table.Match(h, i, 0, nil).Hash(h, i, nil); ok {
			got = int(n % 100)
		}
		if got != c.want {
			t.Errorf("%s %s %q: %d, want %d", c.policies, c.path, c.lines, got, c.want)
		}
	}
}

// The cookies of Envoy 1.40; the value is of the connection 127.0.0.1:58340 → 127.0.0.1:48795.
func TestNewCookies(t *testing.T) {
	i := &streaminfo.Info{Conn: &streaminfo.Connection{Remote: netip.MustParseAddrPort("127.0.0.1:58340"), Local: netip.MustParseAddrPort("127.0.0.1:48795")}}
	const value = `="f138012b3dcf91ef"`
	for policy, want := range map[string]string{
		"name: sid, ttl: 60s, path: /p": "sid" + value + "; Max-Age=60; Path=/p; HttpOnly",
		"name: sid, ttl: 0s":            "sid" + value + "; HttpOnly",
		"name: sid, ttl: 1.9s, attributes: [{name: SameSite, value: Lax}, {name: Secure}]": "sid" + value + "; Max-Age=1; SameSite=Lax; Secure; HttpOnly",
		"name: sid, ttl: 0s, path: /x, attributes: [{name: HttpOnly, value: x}]":           "sid" + value + "; Path=/x; HttpOnly=x; HttpOnly",
		"name: sid": "",
	} {
		for _, lines := range [][]string{nil, {"cookie: sid="}} {
			table := routesOf(t, forward("prefix: /", "hash_policy: [{cookie: {"+policy+"}}]", ""))
			h := request(t, "/", lines...)
			got := ""
			n, ok := table.Match(h, i, 0, nil).Hash(h, i, func(c string) { got = c })
			if got != want || ok != (want != "") || ok && n == 0 {
				t.Errorf("%s %q: %q, want %q", policy, lines, got, want)
			}
		}
	}
}

func clusterOf(table *Table, random uint64, rt *runtime.Loader, lines ...string) string {
	h := request(nil, "/", lines...)
	i := &streaminfo.Info{}
	r := table.Match(h, i, random, rt)
	if r == nil {
		return "-"
	}
	return r.ClusterName(h, i)
}

func TestWeightedClusters(t *testing.T) {
	weights := func(more string) *Table {
		return routesOf(t, "{match: {prefix: /}, route: {weighted_clusters: {"+more+"clusters: [{name: a, weight: 10}, {name: b, weight: 30}, {name: z, weight: 0}, {cluster_header: x-to, weight: 60}]}}}")
	}
	random := weights("")
	for n, want := range map[uint64]string{0: "a", 9: "a", 10: "b", 39: "b", 40: "c", 99: "c", 100: "a", 139: "b"} {
		if got := clusterOf(random, n, nil, "x-to: c"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	byHeader := weights("header_name: X-Value, ")
	for _, c := range []struct{ line, want string }{{"x-value: 10", "b"}, {"x-value: 18446744073709551615", "b"}, {"x-value: -1", "a"}, {"x-value: 1x", "a"}, {"x-value: ", "a"}, {"x-value: 18446744073709551616", "a"}, {"x-value: 50|x-value: 50", "a"}} {
		if got := clusterOf(byHeader, 0, nil, strings.Split(c.line, "|")...); got != c.want {
			t.Errorf("%s: %s, want %s", c.line, got, c.want)
		}
	}
	byRuntime := weights("runtime_key_prefix: w, ")
	rt := runtime.New(runtime.Layer{Name: "admin", Admin: true})
	rt.Modify(map[string]string{"w.a": "0", "w.b": "5"})
	for n, want := range map[uint64]string{0: "b", 4: "b", 5: "c", 64: "c", 65: "b"} {
		if got := clusterOf(byRuntime, n, rt, "x-to: c"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	rt.Modify(map[string]string{"w.b": "0", "w.": "0"})
	if got := clusterOf(byRuntime, 3, rt, "x-to: c"); got != "-" {
		t.Error("no weight, no route:", got)
	}
}

func TestClusterHeaderAndMatcherSpecifier(t *testing.T) {
	table := routesOf(t, "{match: {prefix: /}, route: {cluster_header: X-To}}")
	if clusterOf(table, 0, nil, "x-to: c", "x-to: d") != "c" || clusterOf(table, 0, nil) != "" {
		t.Error("the header's first value")
	}
	const url = "type.googleapis.com/"
	plugin := `{extension: {name: m, typed_config: {"@type": ` + url + `envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier, cluster_matcher: {matcher_tree: {input: {name: h, typed_config:
        {"@type": ` + url + `envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: env}}, exact_match_map: {map: {staging: {action: {name: c, typed_config:
        {"@type": ` + url + `envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction, cluster: s}}}}}}}}}}`
	for _, text := range []string{
		"virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {inline_cluster_specifier_plugin: " + plugin + "}}]}]",
		"cluster_specifier_plugins: [" + plugin + "]\nvirtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster_specifier_plugin: m}}]}]",
	} {
		table := tableOf(t, text)
		if clusterOf(table, 0, nil, "env: staging") != "s" || clusterOf(table, 0, nil) != "" {
			t.Error("matcher cluster specifier")
		}
	}
	optional := "cluster_specifier_plugins: [{is_optional: true, extension: {name: o, typed_config: {\"@type\": " + url + "google.protobuf.Struct, value: {}}}}]\n" +
		"virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster_specifier_plugin: o}}]}]"
	if clusterOf(tableOf(t, optional), 0, nil) != "-" {
		t.Error("a route with an optional plugin that is unknown is no route")
	}
}

func TestWeightedVariantsMergeTheirMetadata(t *testing.T) {
	table := routesOf(t, "{match: {prefix: /}, route: {metadata_match: {filter_metadata: {envoy.lb: {z: '1', b: '1'}, other: {q: '1'}}}, weighted_clusters: {clusters: [{name: a, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {a: '2', b: '2'}}}}]}}}")
	got := ""
	for _, p := range table.Match(request(t, "/"), nil, 0, nil).MetadataMatch {
		got += fmt.Sprintf("%s=%s ", p.Key, p.Value.GetStringValue())
	}
	if got != "a=2 b=2 z=1 " {
		t.Error(got)
	}
}
