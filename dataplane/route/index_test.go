package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// naive is what matching means: the first route in order.
func naive(v *VirtualHost, h *header.Map, i *streaminfo.Info) *Route {
	path := v.pathOf(h)
	for _, r := range v.routes {
		if r.Matches(path, h, i, 0, nil) {
			return r
		}
	}
	return nil
}

// segments are few, so that routes and requests meet.
var segments = []string{"a", "b", "A", "aB", "ab", "abc", "x", "", "a;p=1", "é"}

func randomPath(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString("/" + segments[r.IntN(len(segments))])
	}
	if r.IntN(4) == 0 || b.Len() == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func randomRoute(r *rand.Rand, n int) string {
	path := "'" + randomPath(r) + "'"
	match := ""
	switch r.IntN(8) {
	case 0, 1:
		match = "path: " + path
	case 2, 3:
		match = "prefix: " + path
	case 4, 5:
		if match = "path_separated_prefix: '" + strings.TrimRight(randomPath(r), "/") + "/q'"; r.IntN(2) == 0 {
			match = "path_separated_prefix: '/" + segments[r.IntN(2)] + "/b'"
		}
	case 6:
		match = "safe_regex: {regex: '/" + segments[r.IntN(6)] + ".*'}"
	case 7:
		match = "connect_matcher: {}"
	}
	if r.IntN(3) == 0 {
		match += ", case_sensitive: false"
	}
	if r.IntN(3) == 0 {
		match += fmt.Sprintf(", headers: [{name: x-n, string_match: {exact: '%d'}}]", r.IntN(3))
	}
	return direct(fmt.Sprintf("r%d", n), match)
}

func TestIndexFindsWhatTryingAllRoutesFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tables := 150
	if testing.Short() {
		tables = 20
	}
	found := 0
	for n := range tables {
		var routes []string
		for len(routes) < 1+r.IntN(60) {
			routes = append(routes, randomRoute(r, len(routes)))
		}
		table := tableOf(t, fmt.Sprintf("ignore_path_parameters_in_path_matching: %v\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - ", n%2 == 0)+strings.Join(routes, "\n  - "))
		v := table.VirtualHosts[0]
		for range 100 {
			h := request(t, randomPath(r), fmt.Sprintf("x-n: %d", r.IntN(4)))
			switch r.IntN(12) {
			case 0:
				h.Method, h.Path = "CONNECT", ""
			case 1:
				h.Method = "CONNECT"
			case 2:
				h.Path += "?x=/a"
			}
			want, got := naive(v, h, nil), table.Match(h, nil, 0, nil)
			if got != want {
				t.Fatalf("%s %q: %v, want %v\n%s", h.Method, h.Path, got, want, strings.Join(routes, "\n"))
			}
			if trace := table.Explain(h, nil, 0, nil); trace.Route != want || want != nil && len(trace.Passed) != indexOf(v, want) {
				t.Fatalf("explain %s: %+v", h.Path, trace)
			}
			if want != nil {
				found++
			}
		}
	}
	if found < tables*20 {
		t.Errorf("only %d of %d requests had a route: the test looks away", found, tables*100)
	}
}

func indexOf(v *VirtualHost, r *Route) int {
	for i := range v.routes {
		if v.routes[i] == r {
			return i
		}
	}
	return -1
}

func TestDeepNestsOfPrefixes(t *testing.T) {
	var routes []string
	for n := 40; n > 0; n-- { // more lists than candidates holds
		routes = append(routes, direct(fmt.Sprintf("p%d", n), "prefix: /"+strings.Repeat("a", n)+", headers: [{name: x-n, string_match: {exact: '"+fmt.Sprint(n)+"'}}]"))
	}
	table := routesOf(t, routes...)
	for n := 1; n <= 40; n++ {
		if got := matchName(table, request(t, "/"+strings.Repeat("a", 40)+"/x", fmt.Sprintf("x-n: %d", n))); got != fmt.Sprintf("p%d", n) {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	var routes []string
	for n := range 2000 {
		routes = append(routes, direct(fmt.Sprintf("e%d", n), fmt.Sprintf("path: /exact/%d", n)), direct(fmt.Sprintf("p%d", n), fmt.Sprintf("path_separated_prefix: /pre/%d", n)),
			direct(fmt.Sprintf("c%d", n), fmt.Sprintf("prefix: /Fold/%d/, case_sensitive: false", n)))
	}
	routes = append(routes, direct("re", "safe_regex: {regex: '/re/[0-9]+'}, headers: [{name: x-n, present_match: true}], query_parameters: [{name: q, string_match: {exact: '1'}}]"))
	table := tableOf(t, "ignore_port_in_host_matching: true\nvirtual_hosts:\n- name: v\n  domains: [h.test, '*.x.test', 'a.*']\n  routes:\n  - "+strings.Join(routes, "\n  - "))
	h, i := request(t, "/", "x-n: 1"), &streaminfo.Info{}
	for path, want := range map[string]string{"/exact/1234": "e1234", "/pre/77/more": "p77", "/fold/1999/X": "c1999", "/re/12?q=1": "re", "/none": "-"} {
		h.Path, h.Authority = path, "A.x.TEST:8080"
		got := "-"
		if n := testing.AllocsPerRun(100, func() {
			if r := table.Match(h, i, 7, nil); r != nil {
				got = r.Name
			}
		}); n != 0 || got != want {
			t.Errorf("%s: %v allocations, %s", path, n, got)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, kind := range []struct{ name, match, path string }{
		{"exact", "path: /svc/%d/list", "/svc/%d/list?x=1"}, {"prefix", "prefix: /svc/%d/", "/svc/%d/list"}, {"separated", "path_separated_prefix: /svc/%d", "/svc/%d/list"},
		{"foldedprefix", "prefix: /SVC/%d/, case_sensitive: false", "/svc/%d/list"}, {"regex", "safe_regex: {regex: '/svc/%d/[a-z]+'}", "/svc/%d/list"},
		{"headers", "prefix: /, headers: [{name: x-n, string_match: {exact: 'v%d'}}]", "/"},
	} {
		for _, n := range []int{1, 100, 10_000} {
			if n > 100 && kind.name == "regex" {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				var routes []string
				for i := range n {
					routes = append(routes, direct("r", fmt.Sprintf(kind.match, i)))
				}
				table := routesOf(b, routes...)
				path := kind.path
				if strings.Contains(path, "%d") {
					path = fmt.Sprintf(path, n/2)
				}
				h, i := request(b, path, fmt.Sprintf("x-n: v%d", n/2)), &streaminfo.Info{}
				b.ReportAllocs()
				for b.Loop() {
					if table.Match(h, i, 0, nil) == nil {
						b.Fatal("no route")
					}
				}
			})
		}
	}
}
