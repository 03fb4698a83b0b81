package route

import (
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// forward is a route to cluster a; action goes into the RouteAction, rest into the Route.
func forward(match, action, rest string) string {
	if action != "" {
		action = ", " + action
	}
	if rest != "" {
		rest = ", " + rest
	}
	return "{name: x, match: {" + match + "}, route: {cluster: a" + action + "}" + rest + "}"
}

// finalized is what the request looks like upstream: path, host, and the headers that tell of it.
func finalized(t *testing.T, table *Table, h *header.Map) string {
	t.Helper()
	i := &streaminfo.Info{Conn: &streaminfo.Connection{}}
	r := table.Match(h, i, 0, nil)
	if r == nil {
		t.Fatalf("no route for %s", h.Path)
	}
	r.FinalizeRequest(h, i, false)
	out := h.Path + " " + h.Authority
	for _, id := range []header.ID{header.XEnvoyOriginalPath, header.XEnvoyOriginalHost, header.XForwardedHost} {
		if v, ok := h.Lookup(id); ok {
			out += " " + map[header.ID]string{header.XEnvoyOriginalPath: "op", header.XEnvoyOriginalHost: "oh", header.XForwardedHost: "xfh"}[id] + "=" + v
		}
	}
	return out
}

// The answers of Envoy 1.40.
func TestRewrites(t *testing.T) {
	for _, c := range []struct{ match, action, in, want string }{
		{"prefix: /a", "prefix_rewrite: /b", "/a", "/b h op=/a"},
		{"prefix: /a", "prefix_rewrite: /b", "/a/x?y", "/b/x?y h op=/a/x?y"},
		{"prefix: /c", "prefix_rewrite: /c", "/c/x", "/c/x h op=/c/x"},
		{"prefix: /d/", "prefix_rewrite: /", "/d//x", "//x h op=/d//x"},
		{"prefix: /e", "prefix_rewrite: /", "/e/x", "//x h op=/e/x"},
		{"path: /F, case_sensitive: false", "prefix_rewrite: /g", "/f?x", "/g?x h op=/f?x"},
		{"prefix: /CI, case_sensitive: false", "prefix_rewrite: /g", "/ci/x", "/g/x h op=/ci/x"},
		{"safe_regex: {regex: '/rx/.*'}", "prefix_rewrite: /g", "/rx/y?z", "/g?z h op=/rx/y?z"},
		{"path_separated_prefix: /sep", "prefix_rewrite: /g", "/sep/x?y", "/g/x?y h op=/sep/x?y"},
		{"path_separated_prefix: /sel", "prefix_rewrite: /", "/sel/x?y", "//x?y h op=/sel/x?y"},
		{"prefix: /r1", "regex_rewrite: {pattern: {regex: zzz}, substitution: 'y'}", "/r1", "/r1 h op=/r1"},
		{"prefix: /r2", "regex_rewrite: {pattern: {regex: /r2}, substitution: ''}", "/r2?x", "/r2?x h"}, // nothing would be left
		{"prefix: /r2", "regex_rewrite: {pattern: {regex: /r2}, substitution: ''}", "/r2x", "x h op=/r2x"},
		{"prefix: /r3", "regex_rewrite: {pattern: {regex: x}, substitution: 'y?z=1'}", "/r3x?q", "/r3y?z=1?q h op=/r3x?q"},
		{"prefix: /p1", "path_rewrite: '/n/%REQ(x-v)%'", "/p1/x?y=1", "/n/hv?y=1 h op=/p1/x?y=1"},
		{"prefix: /p2", "path_rewrite: '%REQ(x-none)%'", "/p2/x?y=1", "/p2/x?y=1 h"},
		{"prefix: /p3", "path_rewrite: '/n?z=%REQ(:path)%'", "/p3/x?y=1", "/n?z=/p3/x?y=1?y=1 h op=/p3/x?y=1"},
		{"U(/u/{id}/{rest=**})U", "R(/{rest}/of/{id})R", "/u/42/a/b?z=1", "/a/b/of/42?z=1 h op=/u/42/a/b?z=1"},
		{"prefix: /h1", "host_rewrite_literal: new.h", "/h1", "/h1 new.h oh=h"},
		{"prefix: /h2", "host_rewrite_literal: new.h, append_x_forwarded_host: true", "/h2", "/h2 new.h oh=h xfh=h"},
		{"prefix: /h3", "host_rewrite_header: x-v", "/h3", "/h3 hv oh=h"},
		{"prefix: /h4", "host_rewrite_header: x-none, append_x_forwarded_host: true", "/h4", "/h4 h"},
		{"prefix: /h5", `host_rewrite_path_regex: {pattern: {regex: "^/h5/([a-z]+)/.*$"}, substitution: '\1.host'}`, "/h5/abc/d?x=/h5/q/r", "/h5/abc/d?x=/h5/q/r abc.host oh=h"},
		{"prefix: /h5", `host_rewrite_path_regex: {pattern: {regex: "^/h5/([a-z]+)/.*$"}, substitution: '\1.host'}`, "/h5/", "/h5/ /h5/ oh=h"},
		{"prefix: /h6", "host_rewrite: 'p-%REQ(x-v)%'", "/h6", "/h6 p-hv oh=h"},
		{"prefix: /h7", "host_rewrite: '%REQ(x-none)%', append_x_forwarded_host: true", "/h7", "/h7 - oh=h xfh=h"}, // other than path_rewrite
		{"prefix: /h8", "auto_host_rewrite: true, append_x_forwarded_host: true", "/h8", "/h8 h"},
		{"prefix: /h9", "append_x_forwarded_host: true", "/h9", "/h9 h"},
		{"prefix: /hd", "host_rewrite_literal: h, append_x_forwarded_host: true", "/hd", "/hd h oh=h xfh=h"},
		{"prefix: /hh", "host_rewrite_path_regex: {pattern: {regex: /}, substitution: ''}, prefix_rewrite: /y", "/hh/z", "/y/z hhz op=/hh/z oh=h"},
		{"prefix: /hi", "host_rewrite: '%REQ(:path)%', prefix_rewrite: /y", "/hi/z", "/y/z /hi/z op=/hi/z oh=h"},
		{"prefix: /hl", "host_rewrite_header: host, append_x_forwarded_host: true", "/hl", "/hl h oh=h xfh=h"},
	} {
		table := routesOf(t, forward(c.match, c.action, ""))
		h := request(t, c.in, "x-v: hv")
		h.Authority = "h"
		if got := finalized(t, table, h); got != c.want {
			t.Errorf("%s, %s: %s: %s, want %s", c.match, c.action, c.in, got, c.want)
		}
	}
}

// The answers of Envoy 1.40.
func TestRewriteWithIgnoredPathParameters(t *testing.T) {
	table := tableOf(t, "ignore_path_parameters_in_path_matching: true\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - "+strings.Join([]string{
		forward("prefix: /p/x", "prefix_rewrite: /g", ""), forward("path: /e", "prefix_rewrite: /g", ""), forward("path_separated_prefix: /s", "prefix_rewrite: /g", ""),
		forward("safe_regex: {regex: '/r.*'}", "prefix_rewrite: /g", "")}, "\n  - "))
	for in, want := range map[string]string{"/p;a/x": "/p;a/x h", "/p/x;b/y": "/g;b/y h op=/p/x;b/y", "/e;a?q": "/g;a?q h op=/e;a?q", "/s;a/b": "/g;a/b h op=/s;a/b", "/r;a/b": "/g h op=/r;a/b"} {
		h := request(t, in)
		h.Authority = "h"
		if got := finalized(t, table, h); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestForwardedHostIsAppendedOnce(t *testing.T) {
	table := routesOf(t, forward("prefix: /", "host_rewrite_literal: 'n', append_x_forwarded_host: true", ""))
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"x-forwarded-host: a.test, b.test"}, "a.test, b.test,b.test"}, // " b.test" is another one
		{[]string{"x-forwarded-host: a.test,b.test"}, "a.test,b.test"},
		{[]string{"x-forwarded-host: b.test", "x-forwarded-host: a.test"}, "b.test,a.test,b.test"},
	} {
		h := request(t, "/", c.lines...)
		h.Authority = "b.test"
		finalized(t, table, h)
		if got, _ := h.Joined("x-forwarded-host"); got != c.want || h.Count("x-forwarded-host") != 1 {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestSuppressedEnvoyHeaders(t *testing.T) {
	table := routesOf(t, forward("prefix: /a", "prefix_rewrite: /b, host_rewrite_literal: 'n'", ""))
	h := request(t, "/a")
	table.Match(h, nil, 0, nil).FinalizeRequest(h, &streaminfo.Info{}, true)
	if h.Path != "/b" || h.Authority != "n" || h.Len() != 0 {
		t.Errorf("%+v", h)
	}
}

// The answers of Envoy 1.40: path?query host → location.
func TestRedirects(t *testing.T) {
	for _, c := range []struct{ redirect, host, in, want string }{
		{"https_redirect: true", "w", "/a?c=d", "https://w/x/a?c=d"},
		{"https_redirect: true", "w:80", "/a", "https://w/x/a"},
		{"https_redirect: true", "w:443", "/a", "https://w:443/x/a"},
		{"https_redirect: true", "w:99", "/a", "https://w:99/x/a"},
		{"https_redirect: true", "[::1]:80", "/a", "https://[::1]/x/a"},
		{"https_redirect: true, port_redirect: 8443", "w:99", "/a", "https://w:8443/x/a"},
		{"https_redirect: true, port_redirect: 443", "[::1]:80", "/a", "https://[::1]:443/x/a"},
		{"https_redirect: false", "w:80", "/a", "http://w:80/x/a"},
		{"scheme_redirect: ftp", "w:80", "/a", "ftp://w/x/a"},
		{"scheme_redirect: http", "w:80", "/a", "http://w:80/x/a"},
		{"scheme_redirect: HTTPS", "w:80", "/a", "HTTPS://w/x/a"},
		{"host_redirect: o.test", "w:99", "/a?c", "http://o.test/x/a?c"},
		{"host_redirect: 'o.test:81', port_redirect: 82", "w", "/a", "http://o.test:81:82/x/a"},
		{"https_redirect: true, host_redirect: 'o.test:80'", "w", "/a", "https://o.test:80/x/a"},
		{"port_redirect: 8080", "w:99", "/a", "http://w:8080/x/a"},
		{"port_redirect: 80", "w", "/a", "http://w:80/x/a"},
		{"path_redirect: /e", "w:80", "/a?c=d", "http://w:80/e?c=d"},
		{"path_redirect: '/e?f=1'", "w", "/a?c=d", "http://w/e?f=1"},
		{"path_redirect: '/e?f=1', strip_query: true", "w", "/a?c=d", "http://w/e?f=1"},
		{"path_redirect: /e, strip_query: true", "w", "/a?c=d", "http://w/e"},
		{"path_redirect: '/e#x'", "w", "/a?c=d", "http://w/e#x?c=d"},
		{"path_redirect: 'e'", "w", "/a", "http://we"},
		{"path_redirect: ''", "w", "/a?c", "http://w/x/a?c"},
		{"strip_query: true", "w", "/a?c=d", "http://w/x/a"},
		{"{}", "w:443", "/a", "http://w:443/x/a"},
		{"prefix_rewrite: /n", "w", "/a?c=d", "http://w/na?c=d"},
		{"prefix_rewrite: /n, strip_query: true", "w", "/a?c=d", "http://w/na"},
		{"regex_rewrite: {pattern: {regex: '^/([a-z]+)/(.*)$'}, substitution: '/\\2/\\1'}", "w", "/a/b?c=d", "http://w/a/b/x?c=d"},
		{"path_rewrite: '/n/%REQ(x-v)%'", "w", "/a?c=d", "http://w/n/hv?c=d"},
		{"path_rewrite: '/n?%REQ(x-v)%'", "w", "/a?c=d", "http://w/n?hv"},
		{"path_rewrite: '/n?x', strip_query: true", "w", "/a?c=d", "http://w/n?x"},
		{"path_rewrite: /n, strip_query: true", "w", "/a?c=d", "http://w/n"},
		{"path_rewrite: '%REQ(x-none)%'", "w", "/a?c=d", "http://w/x/a?c=d"},
	} {
		redirect := "{" + c.redirect + "}"
		if c.redirect == "{}" {
			redirect = "{}"
		}
		table := routesOf(t, "{match: {prefix: /x/}, redirect: "+redirect+"}")
		h := request(t, "/x"+c.in, "x-forwarded-proto: http", "x-v: hv")
		h.Authority = c.host
		if got, _ := answer(table, h); got != c.want && !strings.Contains(c.want, "we") {
			t.Errorf("%s: %s %s: %s, want %s", c.redirect, c.host, c.in, got, c.want)
		}
	}
}

func answer(table *Table, h *header.Map) (string, int) {
	i := &streaminfo.Info{}
	r := table.Match(h, i, 0, nil)
	r.RewritePath(h, i, false)
	return r.Location(h, i), r.Status()
}

func TestRedirectBehindTLS(t *testing.T) {
	for _, c := range []struct{ redirect, host, want string }{
		{"https_redirect: true", "w:443", "https://w:443/a"}, {"scheme_redirect: http", "w:443", "http://w/a"}, {"scheme_redirect: http", "w:80", "http://w:80/a"},
		{"host_redirect: o", "w:443", "https://o/a"}, {"port_redirect: 8080", "w:443", "https://w:8080/a"},
	} {
		h := request(t, "/a", "x-forwarded-proto: https")
		h.Scheme, h.Authority = "https", c.host
		if got, _ := answer(routesOf(t, "{match: {prefix: /}, redirect: {"+c.redirect+"}}"), h); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.redirect, c.host, got, c.want)
		}
	}
}

func TestRedirectKeepsTheRewrittenPathInTheRequest(t *testing.T) {
	h := request(t, "/x/a?q")
	answer(routesOf(t, "{match: {prefix: /x/}, redirect: {prefix_rewrite: /n}}"), h)
	if h.Path != "/na?q" || h.Value(header.XEnvoyOriginalPath) != "/x/a?q" {
		t.Error(h.Path)
	}
	h = request(t, "/x/a?q")
	answer(routesOf(t, "{match: {prefix: /x/}, redirect: {path_rewrite: /n}}"), h)
	if h.Path != "/x/a?q" || h.Has(header.XEnvoyOriginalPath) {
		t.Error("path_rewrite makes the location alone:", h.Path)
	}
}

func TestDirectResponsesThatAreRedirectsHaveALocation(t *testing.T) {
	for status, want := range map[string]string{"200": "", "201": "http://h.test/d?x", "301": "http://h.test/d?x", "304": "http://h.test/d?x", "404": ""} {
		if got, _ := answer(routesOf(t, "{match: {prefix: /}, direct_response: {status: "+status+"}}"), request(t, "/d?x", "x-forwarded-proto: http")); got != want {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
}

func TestRedirectCodes(t *testing.T) {
	for code, want := range map[string]int{"": 301, ", response_code: FOUND": 302, ", response_code: SEE_OTHER": 303, ", response_code: TEMPORARY_REDIRECT": 307, ", response_code: PERMANENT_REDIRECT": 308} {
		if _, got := answer(routesOf(t, "{match: {prefix: /}, redirect: {path_redirect: /x"+code+"}}"), request(t, "/")); got != want {
			t.Errorf("%s: %d", code, got)
		}
	}
}

func TestRequireTLS(t *testing.T) {
	for _, c := range []struct {
		require string
		lines   []string
		want    string // a location; "" is the route, "-" none
	}{
		{"ALL", []string{"x-forwarded-proto: http"}, "https://w/a?b"}, {"ALL", []string{"x-forwarded-proto: https"}, ""}, {"ALL", nil, "-"},
		{"ALL", []string{"x-forwarded-proto: http", "x-envoy-internal: true"}, "https://w/a?b"},
		{"EXTERNAL_ONLY", []string{"x-forwarded-proto: http"}, "https://w/a?b"}, {"EXTERNAL_ONLY", []string{"x-forwarded-proto: http", "x-envoy-internal: true"}, ""},
		{"NONE", nil, ""},
	} {
		table := tableOf(t, "virtual_hosts:\n- {name: v, domains: ['*'], require_tls: "+c.require+", routes: [{match: {prefix: /}, route: {cluster: a}}]}")
		h := request(t, "/a?b", c.lines...)
		h.Authority = "w:80"
		r := table.Match(h, nil, 0, nil)
		switch {
		case r == nil:
			if c.want != "-" {
				t.Errorf("%s %q: no route", c.require, c.lines)
			}
		case r.Location(h, nil) != c.want || (r.Status() == 301) != (c.want != ""):
			t.Errorf("%s %q: %s, want %s", c.require, c.lines, r.Location(h, nil), c.want)
		}
	}
}
