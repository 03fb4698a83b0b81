package route

import (
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func add(key, value, action string) string {
	if action != "" {
		action = ", append_action: " + action
	}
	return "{header: {key: '" + key + "', value: '" + value + "'}" + action + "}"
}

const overwrite = "OVERWRITE_IF_EXISTS_OR_ADD"

// lines writes the headers called by one of the names, in order.
func lines(h *header.Map, names ...string) string {
	var out []string
	for _, f := range h.Fields() {
		for _, n := range names {
			if f.Name == n {
				out = append(out, f.Name+"="+f.Value)
			}
		}
	}
	return strings.Join(out, " ")
}

// The answers of Envoy 1.40, with and without most_specific_header_mutations_wins.
func TestMutationLevels(t *testing.T) {
	const config = `
request_headers_to_add: [` + "%C" + `]
most_specific_header_mutations_wins: %MS
virtual_hosts:
- name: v
  domains: ['*']
  request_headers_to_add: [%V]
  routes:
  - match: {prefix: /}
    request_headers_to_add: [%R]
    route:
      host_rewrite_literal: lit
      weighted_clusters:
        clusters: [{name: a, weight: 1, host_rewrite_literal: wlit, request_headers_to_remove: [x-del], request_headers_to_add: [%W]}]
`
	r := strings.NewReplacer(
		"%C", add("x-l", "c", "")+", "+add("x-c", "%REQ(x-v)%", "")+", "+add("x-o", "c", overwrite),
		"%V", add("x-l", "v", "")+", "+add("x-v", "%REQ(x-r)%", "")+", "+add("x-o", "v", overwrite),
		"%R", add("x-l", "r", "")+", "+add("x-r", "%REQ(:authority)%|%REQ(x-w)%", "")+", "+add("x-o", "r", overwrite),
		"%W", add("x-l", "w", "")+", "+add("x-w", "%REQ(:authority)%|%REQ(x-r)%|%REQ(x-v)%", "")+", "+add("x-o", "w", overwrite))
	for ms, want := range map[string]string{
		"false": "x-l=w x-w=h.test|| x-l=r x-r=wlit|h.test|| x-l=v x-v=wlit|h.test|| x-o=c x-l=c x-c=wlit|h.test||",
		"true":  "x-l=w x-w=h.test|| x-l=c x-l=v x-o=r x-l=r x-r=wlit|h.test||",
	} {
		table := tableOf(t, strings.ReplaceAll(r.Replace(config), "%MS", ms))
		h := request(t, "/", "x-del: 1")
		table.Match(h, nil, 0, nil).FinalizeRequest(h, &streaminfo.Info{}, false)
		if got := lines(h, "x-l", "x-w", "x-r", "x-v", "x-o", "x-c", "x-del"); got != want {
			t.Errorf("%s:\n%s, want\n%s", ms, got, want)
		}
		if h.Authority != "lit" || h.Value(header.XEnvoyOriginalHost) != "wlit" {
			t.Error("the weighted cluster's host is there first:", h.Authority, h.Value(header.XEnvoyOriginalHost))
		}
	}
}

// The answer of Envoy 1.40.
func TestOneLevelRemovesFormatsOverwritesAdds(t *testing.T) {
	table := routesOf(t, forward("prefix: /", "", "request_headers_to_remove: [x-a], request_headers_to_add: ["+strings.Join([]string{
		add("x-a", "n", ""), add("x-b", "%REQ(x-a)%", ""), add("x-c", "%REQ(x-b)%", ""), add("x-o1", "1", overwrite), add("x-o1", "2", overwrite), add("x-p", "1", ""), add("x-p", "2", overwrite),
		add("x-q", "1", "ADD_IF_ABSENT"), add("x-q", "2", "ADD_IF_ABSENT"), add("x-e", "1", "OVERWRITE_IF_EXISTS"), add("X-Up", "1", ""),
		"{header: {key: x-ap, value: '1'}, append: false}", "{header: {key: x-ap2, value: '1'}, append: true}",
	}, ", ")+"]"))
	names := []string{"x-a", "x-b", "x-c", "x-o1", "x-p", "x-q", "x-e", "x-up", "x-ap", "x-ap2"}
	h := request(t, "/", "x-a: old", "x-a: old2", "x-ap: z", "x-ap2: z", "x-e: 1a", "x-e: 1b")
	table.Match(h, nil, 0, nil).FinalizeRequest(h, &streaminfo.Info{}, false)
	if got, want := lines(h, names...), "x-ap2=z x-o1=2 x-p=2 x-e=1 x-ap=1 x-a=n x-p=1 x-q=1 x-q=2 x-up=1 x-ap2=1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h = request(t, "/")
	table.Match(h, nil, 0, nil).FinalizeRequest(h, &streaminfo.Info{}, false)
	if got, want := lines(h, names...), "x-o1=2 x-p=2 x-ap=1 x-a=n x-p=1 x-q=1 x-q=2 x-up=1 x-ap2=1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestHeadersOfOneValueAreJoined(t *testing.T) {
	both := ", response_headers_to_add: [" + add("vary", "new", "") + ", " + add("set-cookie", "new", "") + "]"
	table := routesOf(t, forward("prefix: /", "", "request_headers_to_add: ["+add("user-agent", "new", "")+", "+add("cookie", "new", "")+", "+add("x-own", "new", "")+"]"+both))
	h := request(t, "/", "user-agent: old", "cookie: old", "x-own: old")
	resp := request(t, "", "vary: old", "set-cookie: old")
	r := table.Match(h, nil, 0, nil)
	r.FinalizeRequest(h, &streaminfo.Info{}, false)
	r.FinalizeResponse(h, resp, &streaminfo.Info{})
	if got := lines(h, "user-agent", "cookie", "x-own"); got != "user-agent=old,new cookie=old x-own=old cookie=new x-own=new" {
		t.Error(got)
	}
	if got := lines(resp, "vary", "set-cookie"); got != "vary=old,new set-cookie=old set-cookie=new" {
		t.Error(got)
	}
}

func TestEmptyValuesAreDroppedUnlessKept(t *testing.T) {
	table := routesOf(t, forward("prefix: /", "", "request_headers_to_add: ["+add("x-e", "%REQ(x-none)%", "")+", {header: {key: x-k, value: '%REQ(x-none)%'}, keep_empty_value: true}]"))
	h := request(t, "/")
	table.Match(h, nil, 0, nil).FinalizeRequest(h, &streaminfo.Info{}, false)
	if got := lines(h, "x-e", "x-k"); got != "x-k=" {
		t.Error(got)
	}
}

func TestResponseMutationsSeeTheRequestAndTheWeightedClusterGoesFirst(t *testing.T) {
	for ms, want := range map[string]string{"false": "x-l=w x-l=r/p x-l=v x-l=c", "true": "x-l=w x-l=c x-l=v x-l=r/p"} {
		table := tableOf(t, "most_specific_header_mutations_wins: "+ms+"\nresponse_headers_to_add: ["+add("x-l", "c", "")+"]\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  response_headers_to_add: ["+add("x-l", "v", "")+
			"]\n  routes:\n  - match: {prefix: /}\n    response_headers_to_add: ["+add("x-l", "r%REQ(:path)%", "")+"]\n    route: {weighted_clusters: {clusters: [{name: a, weight: 1, response_headers_to_add: ["+add("x-l", "w", "")+"]}]}}")
		h, resp := request(t, "/p"), &header.Map{}
		table.Match(h, nil, 0, nil).FinalizeResponse(h, resp, &streaminfo.Info{})
		if got := lines(resp, "x-l"); got != want {
			t.Errorf("%s: %s, want %s", ms, got, want)
		}
	}
}

func TestMutatingDoesNotAllocate(t *testing.T) {
	table := routesOf(t, forward("prefix: /a", "prefix_rewrite: /b, host_rewrite_literal: new", "request_headers_to_remove: [x-del], request_headers_to_add: ["+
		add("x-fixed", "1", "")+", "+add("x-path", "%REQ(:path)%", overwrite)+", "+add("user-agent", "more", "")+"]"))
	h, i := request(t, "/a"), &streaminfo.Info{}
	r := table.Match(h, i, 0, nil)
	if n := testing.AllocsPerRun(200, func() {
		h.Reset()
		h.Method, h.Path, h.Authority = "GET", "/a/x?y", "h.test"
		h.Add("x-del", "1")
		h.AddID(header.UserAgent, "u")
		r.FinalizeRequest(h, i, false)
	}); n != 0 || h.Path != "/b/x?y" || h.Value(header.UserAgent) != "u,more" {
		t.Errorf("%v allocations, %s", n, h.Path)
	}
}
