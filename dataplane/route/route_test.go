package route

import (
	"strings"
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
)

// configPB reads a RouteConfiguration. U(path) is a path_match_policy, R(path) a path_rewrite_policy.
func configPB(t testing.TB, text string) *routepb.RouteConfiguration {
	t.Helper()
	const ext = `typed_config: {"@type": type.googleapis.com/envoy.extensions.path.`
	text = strings.NewReplacer(
		"U(", "path_match_policy: {name: envoy.path.match.uri_template.uri_template_matcher, "+ext+"match.uri_template.v3.UriTemplateMatchConfig, path_template: '",
		"R(", "path_rewrite_policy: {name: envoy.path.rewrite.uri_template.uri_template_rewriter, "+ext+"rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: '",
		")U", "'}}", ")R", "'}}",
	).Replace(text)
	js, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	rc := &routepb.RouteConfiguration{}
	if err := protojson.Unmarshal(js, rc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return rc
}

func tableOf(t testing.TB, text string) *Table {
	t.Helper()
	table, err := Compile(configPB(t, text), Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return table
}

// routesOf makes a table of one virtual host for all domains; each line is a route.
func routesOf(t testing.TB, lines ...string) *Table {
	t.Helper()
	return tableOf(t, "name: r\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - "+strings.Join(lines, "\n  - "))
}

// direct is a route with a name and nothing to do.
func direct(name, match string) string {
	return "{name: " + name + ", match: {" + match + "}, direct_response: {status: 200}}"
}

// request makes a request of "METHOD path" or a path, and header lines. The first Host is :authority.
func request(_ testing.TB, start string, lines ...string) *header.Map {
	h := &header.Map{}
	h.Reset()
	h.Method, h.Path = "GET", start
	if method, path, ok := strings.Cut(start, " "); ok {
		h.Method, h.Path = method, path
	}
	h.Scheme, h.Authority, h.HasAuthority = "http", "h.test", true
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func matchName(t *Table, h *header.Map) string {
	r := t.Match(h, &streaminfo.Info{}, 0, nil)
	if r == nil {
		return "-"
	}
	return r.Name
}

// The answers of Envoy 1.40.
func TestPathMatching(t *testing.T) {
	for _, c := range []struct {
		name    string
		options string
		routes  []string
		want    map[string]string
	}{
		{"what a prefix is matched with has no query", "", []string{direct("aq", "prefix: '/a?b'"), direct("pq", "path: '/p?q'"), direct("a", "prefix: /a"), direct("any", "prefix: ''")},
			map[string]string{"/a?b": "a", "/a?bc": "a", "/p?q": "any", "/p": "any", "/z": "any", "/": "any"}},
		{"case", "", []string{direct("p", "prefix: /AbC, case_sensitive: false"), direct("x", "path: /X, case_sensitive: false"),
			direct("s", "path_separated_prefix: /Sep/a, case_sensitive: false"), direct("re", "safe_regex: {regex: /re}, case_sensitive: false"), direct("none", "prefix: /")},
			map[string]string{"/abc": "p", "/ABCD?e": "p", "/x": "x", "/X?y": "x", "/sEp/A": "s", "/SEP/a/x": "s", "/sep/ab": "none", "/RE": "none", "/re": "re"}},
		{"separated", "", []string{direct("a", "path_separated_prefix: /a"), direct("none", "prefix: /")},
			map[string]string{"/a": "a", "/a/": "a", "/ab": "none", "/a?x": "a", "/a;b": "none", "/a/b?c": "a", "/a//": "a", "/A": "none"}},
		{"path parameters ignored", "ignore_path_parameters_in_path_matching: true", []string{direct("path", "path: /a"), direct("sep", "path_separated_prefix: /s"),
			direct("re", "safe_regex: {regex: /re}"), direct("pre", "prefix: /p/x"), direct("t", "U(/t/*)U"), direct("none", "prefix: /")},
			map[string]string{"/t;a/b": "none", "/t/b;a": "t", "/a;x=y": "path", "/a;x=y?q": "path", "/s;x": "sep", "/s;x/y": "sep", "/re;a": "re", "/p;a/x": "pre", "/p/x;b": "pre", "/p/;x/x": "none", "/a?x;y": "path", "/;a": "none"}},
		{"connect", "", []string{direct("c", "connect_matcher: {}"), direct("p", "prefix: ''")},
			map[string]string{"/": "p", "OPTIONS /": "p", "CONNECT ": "c", "GET ": "-"}},
		{"without a connect_matcher CONNECT has no route", "", []string{direct("p", "prefix: ''")}, map[string]string{"CONNECT ": "-"}},
		{"regex and template", "", []string{direct("re", "safe_regex: {regex: '/re/[0-9]+(/x)?'}"), direct("t", "U(/users/{id}/posts/*)U"), direct("m", "U(/media/{lang}/**.m3u8)U")},
			map[string]string{"/re/12": "re", "/re/12/x": "re", "/re/12?a=b": "re", "/re/12/y": "-", "/x/re/1": "-", "/re/1a": "-", "/users/7/posts/9": "t", "/users/7/posts": "-",
				"/users/7/posts/9/10": "-", "/users/7/posts/9?x=1": "t", "/users//posts/9": "-", "/media/a/b/c.m3u8": "m", "/media/c.m3u8": "-", "/media/a/c.mp4": "-"}},
		{"the first route wins", "", []string{direct("one", "prefix: /pre"), direct("two", "prefix: /pre/longer")}, map[string]string{"/pre/longer/x": "one", "/xpre": "-"}},
	} {
		table := tableOf(t, "name: r\n"+c.options+"\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - "+strings.Join(c.routes, "\n  - "))
		for start, want := range c.want {
			if got := matchName(table, request(t, start)); got != want {
				t.Errorf("%s: %q: %s, want %s", c.name, start, got, want)
			}
		}
	}
}

// The answers of Envoy 1.40.
func TestConditions(t *testing.T) {
	table := routesOf(t, direct("g", "prefix: /g, grpc: {}"), direct("notpresented", "prefix: /t1, tls_context: {presented: false}"),
		direct("notvalid", "prefix: /t2, tls_context: {validated: false}"), direct("any", "prefix: /t3, tls_context: {}"), direct("p", "prefix: /t4, tls_context: {presented: true}"),
		direct("fs", "prefix: /fs, filter_state: [{key: zz, string_match: {exact: ''}}]"),
		direct("md", "prefix: /md, dynamic_metadata: [{filter: a, path: [{key: x}], value: {present_match: true}, invert: true}]"),
		direct("both", "prefix: /two, headers: [{name: x-one, exact_match: '1'}, {name: x-two, exact_match: '2'}]"), direct("q", "prefix: /q, query_parameters: [{name: a, string_match: {exact: '1'}}, {name: b}]"),
		direct("c", "prefix: /c, cookies: [{name: a, string_match: {exact: '1'}}]"), direct("none", "prefix: /"))
	for _, c := range []struct{ start, lines, want string }{
		{"/g", "content-type: application/grpc", "g"}, {"/g", "content-type: application/grpc+proto", "g"}, {"/g", "content-type: application/grpc+", "g"},
		{"/g", "content-type: application/grpc-web", "none"}, {"/g", "content-type: application/grpc;x", "none"}, {"/g", "content-type: APPLICATION/GRPC", "none"}, {"/g", "", "none"},
		{"/t1", "", "notpresented"}, {"/t2", "", "notvalid"}, {"/t3", "", "any"}, {"/t4", "", "none"}, {"/fs", "", "none"}, {"/md", "", "md"},
		{"/two", "x-one: 1", "none"}, {"/two", "x-one: 1|x-two: 2", "both"}, {"/q?a=1", "", "none"}, {"/q?b&a=1", "", "q"}, {"/c", "cookie: a=1", "c"}, {"/c", "cookie: a=2", "none"},
	} {
		var lines []string
		if c.lines != "" {
			lines = strings.Split(c.lines, "|")
		}
		if got := matchName(table, request(t, c.start, lines...)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.start, c.lines, got, c.want)
		}
	}
}

// The answers of Envoy 1.40.
func TestDomains(t *testing.T) {
	const hosts = `
virtual_hosts:
- {name: exact, domains: [www.x.com, "port.x.com:8080", ip, "[::1]", 10.0.0.1, "[::1]:99"], routes: [{name: exact, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: suffix, domains: ["*.x.com", "*.p.com:80", "*-b.x.com"], routes: [{name: suffix, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: prefix, domains: ["www.*", "api.*", "a-*"], routes: [{name: prefix, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: mid, domains: ["q*r", "*s*"], routes: [{name: mid, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: star, domains: ["*"], routes: [{name: star, match: {prefix: /}, direct_response: {status: 200}}]}
`
	plain := map[string]string{"www.x.com": "exact", "WWW.X.COM": "exact", "www.x.com:80": "prefix", "port.x.com": "suffix", "port.x.com:8080": "exact",
		"port.x.com:81": "star", "a.x.com": "suffix", "a.x.com:80": "star", ".x.com": "star", "x.com": "star", "-b.x.com": "suffix", "z-b.x.com": "suffix",
		"a.p.com": "star", "a.p.com:80": "suffix", "a.p.com:81": "star", "www.": "star", "www.q": "prefix", "api.": "star", "a-": "star", "a-q": "prefix", "qr": "star",
		"qzr": "star", "q*r": "mid", "*s*": "mid", "*": "star", "": "star", "[::1]": "exact", "[::1]:80": "star", "[::1]:99": "exact", "10.0.0.1:8": "star",
		"www.x.com.": "prefix", ":80": "star", "www.x.com:": "prefix", strings.Repeat("A", 300) + ".x.com": "suffix"}
	ignoring := map[string]string{"www.x.com:80": "exact", "port.x.com:8080": "suffix", "a.x.com:80": "suffix", "a.p.com:80": "star", "[::1]:80": "exact", "[::1]:99": "exact",
		"10.0.0.1:8": "exact", "www.x.com:": "exact", "www.x.com:x": "exact", ":80": "star"}
	for options, want := range map[string]map[string]string{"name: r": plain, "name: r\nignore_port_in_host_matching: true": ignoring} {
		table := tableOf(t, options+hosts)
		for host, name := range want {
			h := request(t, "/")
			h.Authority = host
			if got := matchName(table, h); got != name {
				t.Errorf("%s: %q: %s, want %s", options, host, got, name)
			}
		}
	}
	table := tableOf(t, "name: r\nvhost_header: X-VH"+hosts)
	if got := matchName(table, request(t, "/")); got != "-" {
		t.Error("without its vhost_header a request has no virtual host, not even *:", got)
	}
	if got := matchName(table, request(t, "/", "x-vh: WWW.x.com", "x-vh: a.x.com")); got != "exact" {
		t.Error("the vhost_header's first value counts:", got)
	}
}

func TestLongerWildcardsGoFirst(t *testing.T) {
	table := tableOf(t, `
virtual_hosts:
- {name: s1, domains: ["*.a.com"], routes: [{name: s1, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: s2, domains: ["*.b.a.com"], routes: [{name: s2, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: p1, domains: ["x.*"], routes: [{name: p1, match: {prefix: /}, direct_response: {status: 200}}]}
- {name: p2, domains: ["x.b.*"], routes: [{name: p2, match: {prefix: /}, direct_response: {status: 200}}]}`)
	for host, want := range map[string]string{"x.b.a.com": "s2", "y.a.com": "s1", "x.b.z": "p2", "x.z": "p1", "z": "-"} {
		h := request(t, "/")
		h.Authority = host
		if got := matchName(table, h); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
