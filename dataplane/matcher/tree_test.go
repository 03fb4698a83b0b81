package matcher

import (
	"net/netip"
	"strings"
	"testing"

	xdscorepb "github.com/cncf/xds/go/xds/core/v3"
	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"sigs.k8s.io/yaml"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// matcherPB reads a Matcher from YAML in which H(name) is the request header input and A<text> an action.
func matcherPB(t *testing.T, text string) *xdspb.Matcher {
	t.Helper()
	const url = "type.googleapis.com/"
	text = strings.NewReplacer(
		"A<", `{action: {name: a, typed_config: {"@type": `+url+"google.protobuf.StringValue, value: ",
		"H(", `{name: h, typed_config: {"@type": `+url+"envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: ",
		">", "}}}",
		")", "}}",
		"C(", `{name: c, typed_config: {"@type": `+url,
		"N(", `{name: net, typed_config: {"@type": `+url+"envoy.extensions.matching.common_inputs.network.v3.",
	).Replace(text)
	text = strings.ReplaceAll(text, "}}}.keep", "}}, keep_matching: true}")
	js, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p := &xdspb.Matcher{}
	if err := protojson.Unmarshal(js, p); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func textAction(x Extension) (string, error) {
	var s wrapperspb.StringValue
	if err := x.GetTypedConfig().UnmarshalTo(&s); err != nil {
		return "", Unregistered(x)
	}
	return s.Value, nil
}

func treeOf(t *testing.T, text string) *Tree[string] {
	t.Helper()
	tree, err := CompileTree(matcherPB(t, text), TreeOptions{Inputs: HTTPInputs, KeepMatching: true}, textAction)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// The answers of Envoy 1.40 for a virtual host's matcher.
func TestTreesAreEnvoys(t *testing.T) {
	const inner = "{matcher: {matcher_list: {matchers: [{predicate: {single_predicate: {input: H(b), value_match: {exact: '1'}}}, on_match: A<inner>}]}}}"
	single := func(match string) string { return "{single_predicate: {input: H(a), value_match: {" + match + "}}}" }
	for _, c := range []struct {
		name, tree string
		answers    map[string]string // header lines → action, "" is none
	}{
		{"list", "matcher_list: {matchers: [{predicate: " + single("exact: '1'") + ", on_match: A<one>}, {predicate: " + single("prefix: '1'") + ", on_match: A<pre>}]}\non_no_match: A<none>",
			map[string]string{"a: 1": "one", "a: 12": "pre", "a: 2": "none", "": "none"}},
		{"a nested list without a match goes on", "matcher_list: {matchers: [{predicate: " + single("exact: '1'") + ", on_match: " + inner + "}, {predicate: " + single("exact: '1'") + ", on_match: A<second>}]}\non_no_match: A<none>",
			map[string]string{"a: 1": "second", "a: 1, b: 1": "inner", "a: 2": "none"}},
		{"exact map", "matcher_tree: {input: H(a), exact_match_map: {map: {'1': A<one>, '2': " + inner + ", '': A<empty>}}}\non_no_match: A<none>",
			map[string]string{"a: 1": "one", "a: 2": "none", "a: 2, b: 1": "inner", "a: 3": "none", "": "none", "a: ": "empty", "a: 1, a: 2": "none"}},
		{"no on_no_match", "matcher_tree: {input: H(a), exact_match_map: {map: {'1': A<one>}}}", map[string]string{"a: 2": "", "": ""}},
		{"prefix map", "matcher_tree: {input: H(a), prefix_match_map: {map: {x: A<x>, xy: " + inner + ", xyz: A<xyz>}}}\non_no_match: A<none>",
			map[string]string{"a: x": "x", "a: xx": "x", "a: xy": "x", "a: xyq": "x", "a: xyz": "xyz", "a: xy, b: 1": "inner", "a: q": "none", "": "none"}},
		{"not", "matcher_list: {matchers: [{predicate: {not_matcher: " + single("exact: '1'") + "}, on_match: A<not>}]}\non_no_match: A<none>",
			map[string]string{"a: 1": "none", "a: 2": "not", "": "not"}},
		{"and", "matcher_list: {matchers: [{predicate: {and_matcher: {predicate: [" + single("exact: '1'") + ", {single_predicate: {input: H(b), value_match: {exact: '1'}}}]}}, on_match: A<both>}]}",
			map[string]string{"a: 1": "", "a: 1, b: 1": "both"}},
		{"or", "matcher_list: {matchers: [{predicate: {or_matcher: {predicate: [" + single("exact: '1'") + ", {single_predicate: {input: H(b), value_match: {exact: '1'}}}]}}, on_match: A<any>}]}",
			map[string]string{"a: 1": "any", "b: 1": "any", "": ""}},
		{"repeated headers are joined", "matcher_list: {matchers: [{predicate: " + single("exact: '1,2'") + ", on_match: A<joined>}]}", map[string]string{"a: 1, a: 2": "joined", "a: 1": ""}},
		{"on_no_match alone", "on_no_match: A<none>", map[string]string{"": "none"}},
		{"nothing", "{}", map[string]string{"": ""}},
		{"keep_matching goes on", "matcher_list: {matchers: [{predicate: " + single("exact: '1'") + ", on_match: A<kept>.keep}, {predicate: " + single("exact: '1'") + ", on_match: A<next>}]}",
			map[string]string{"a: 1": "next", "a: 2": ""}},
		{"domains", "matcher_tree: {input: H(a), custom_match: C(xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [{domains: [A.com], on_match: A<exact>}, {domains: ['*.A.com'], on_match: A<wild>}, " +
			"{domains: ['*.b.a.com'], on_match: " + inner + "}, {domains: ['*'], on_match: A<star>}])}\non_no_match: A<none>",
			map[string]string{"a: a.com": "star", "a: A.com": "exact", "a: x.a.com": "star", "a: x.y.A.com": "wild", "a: q.b.a.com": "star", "a: q.b.a.com, b: 1": "inner", "a: ": "none", "": "none", "a: com": "star"}},
		{"ranges", "matcher_tree: {input: H(a), custom_match: C(xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], on_match: A<ten>}, " +
			"{ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}], on_match: " + inner + "}, {ranges: [{address_prefix: 10.2.0.0, prefix_len: 16}], exclusive: true, on_match: " + inner + "}, " +
			"{ranges: [{address_prefix: 10.3.0.0, prefix_len: 16}], on_match: " + inner + "}, {ranges: [{address_prefix: 10.3.0.0, prefix_len: 16}], on_match: A<second>}, " +
			"{ranges: [{address_prefix: '::', prefix_len: 0}], on_match: A<six>}, {ranges: [{address_prefix: 192.168.1.7, prefix_len: 24}], on_match: A<host>}])}\non_no_match: A<none>",
			map[string]string{"a: 10.9.9.9": "ten", "a: 10.1.1.1": "ten", "a: 10.2.1.1": "ten", "a: 10.3.1.1": "second", "a: 1.1.1.1": "none", "a: ::1": "six", "a: ::ffff:10.1.1.1": "six",
				"a: x": "none", "a: 192.168.1.1": "host", "a: 10.9.9.9:80": "none", "": "none", "a: 10.1.1.1, b: 1": "inner", "a: 10.2.1.1, b: 1": "inner", "a: 10.3.1.1, b: 1": "inner"}},
	} {
		tree := treeOf(t, c.tree)
		for lines, want := range c.answers {
			var h header.Map
			for line := range strings.SplitSeq(lines, ", ") {
				if k, v, ok := strings.Cut(line, ": "); ok {
					h.Add(k, v)
				}
			}
			got, r := tree.Match(Data{Request: &h})
			if got != want || (r == Matched) != (want != "") {
				t.Errorf("%s: %q: %q %v, want %q", c.name, lines, got, r, want)
			}
		}
	}
}

// Which of a…p Envoy 1.40 lets through.
func TestHashingMatchersAreEnvoys(t *testing.T) {
	for config, want := range map[string]string{
		"consistent_hashing.v3.ConsistentHashing, threshold: 5, modulo: 10":                                "abchjklmop",
		"consistent_hashing.v3.ConsistentHashing, threshold: 5, modulo: 10, seed: 77":                      "acfklmnp",
		"runtime_fraction.v3.RuntimeFraction, runtime_fraction: {default_value: {numerator: 50}}":          "cfilp",
		"runtime_fraction.v3.RuntimeFraction, runtime_fraction: {default_value: {numerator: 50}}, seed: 9": "aeghimno",
		"ip.v3.Ip, stat_prefix: x, cidr_ranges: [{address_prefix: 1.2.3.0, prefix_len: 24}]":               "",
	} {
		tree := treeOf(t, "matcher_list: {matchers: [{predicate: {single_predicate: {input: H(a), custom_match: C(envoy.extensions.matching.input_matchers."+config+")}}, on_match: A<hit>}]}")
		got := ""
		for c := 'a'; c <= 'p'; c++ {
			var h header.Map
			h.Add("a", string(c))
			if _, r := tree.Match(Data{Request: &h}); r == Matched {
				got += string(c)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
}

func TestNetworkInputs(t *testing.T) {
	c := &streaminfo.Connection{Remote: netip.MustParseAddrPort("10.0.0.1:1234"), Local: netip.MustParseAddrPort("10.0.0.2:443"),
		DirectRemote: netip.MustParseAddrPort("[::ffff:10.0.0.9]:1"), RequestedServerName: "a.test", ApplicationProtocols: []string{"h2", "http/1.1"}, TransportProtocol: "tls"}
	c.FilterState.Set(streaminfo.StateObject{Name: "k", Value: streaminfo.Text("v")})
	for input, want := range map[string]string{
		"DestinationIPInput": "10.0.0.2", "DestinationPortInput": "443", "SourceIPInput": "10.0.0.1", "SourcePortInput": "1234",
		"DirectSourceIPInput": "10.0.0.9", "ServerNameInput": "a.test", "TransportProtocolInput": "tls", "ApplicationProtocolInput": "'h2','http/1.1'",
		"SourceTypeInput": "", "FilterStateInput, key: k": "v", "FilterStateInput, key: none": "",
	} {
		tree, err := CompileTree(matcherPB(t, "matcher_tree: {input: N("+input+"), exact_match_map: {map: {\""+want+"\": A<hit>}}}\non_no_match: A<miss>"), TreeOptions{Inputs: NetworkInputs}, textAction)
		if err != nil {
			t.Fatal(err)
		}
		expect := "hit"
		if want == "" {
			expect = "miss"
		}
		if got, _ := tree.Match(Data{Conn: c}); got != expect {
			t.Errorf("%s is not %q", input, want)
		}
	}
	_, err := CompileTree(matcherPB(t, "matcher_tree: {input: H(a), exact_match_map: {map: {x: A<hit>}}}"), TreeOptions{Inputs: NetworkInputs}, textAction)
	if err == nil || err.Error() != "Didn't find a registered implementation for 'h' with type URL: 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput'" {
		t.Error(err)
	}
}

func TestWhatIsNotThereYetIsInsufficient(t *testing.T) {
	const status = "C(envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput)"
	tree := treeOf(t, "matcher_tree: {input: "+status+", exact_match_map: {map: {5xx: A<bad>}}}\non_no_match: A<good>")
	if _, r := tree.Match(Data{Request: &header.Map{}}); r != Insufficient {
		t.Error(r)
	}
	if a, r := tree.Match(Data{Response: &header.Map{Status: 503}}); a != "bad" || r != Matched {
		t.Error(a, r)
	}
	or := treeOf(t, "matcher_list: {matchers: [{predicate: {or_matcher: {predicate: [{single_predicate: {input: "+status+", value_match: {exact: 5xx}}}, {single_predicate: {input: H(a), value_match: {exact: '1'}}}]}}, on_match: A<hit>}]}")
	var h header.Map
	if _, r := or.Match(Data{Request: &h}); r != Insufficient {
		t.Error("the other one might still match:", r)
	}
	h.Add("a", "1")
	if _, r := or.Match(Data{Request: &h}); r != Matched {
		t.Error("one is enough:", r)
	}
}

func TestDynamicMetadataInput(t *testing.T) {
	tree := treeOf(t, "matcher_list: {matchers: [{predicate: {single_predicate: {input: N(DynamicMetadataInput, filter: ns, path: [{key: k}]), "+
		"custom_match: C(envoy.extensions.matching.input_matchers.metadata.v3.Metadata, value: {string_match: {exact: v}})}}, on_match: A<hit>}]}")
	i := &streaminfo.Info{}
	if _, r := tree.Match(Data{Info: i}); r != NoMatch {
		t.Error(r)
	}
	i.SetMetadata("ns", "k", structpb.NewStringValue("v"))
	if _, r := tree.Match(Data{Info: i}); r != Matched {
		t.Error(r)
	}
}

func TestTreeErrorsAreEnvoys(t *testing.T) {
	for text, want := range map[string]string{
		"matcher_tree: {input: H(a), custom_match: C(xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [{domains: ['a.*'], on_match: A<x>}])}": "Invalid wildcard domain format: a.*. Only '*' and '*.domain' patterns are supported",
		"matcher_tree: {input: H(a), custom_match: C(xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [{domains: ['*.*'], on_match: A<x>}])}": "Invalid wildcard domain format: *.*. Multiple wildcards are not supported",
		"matcher_tree: {input: H(a), custom_match: C(xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [{domains: [a, a], on_match: A<x>}])}":  "Duplicate domain in ServerNameMatcher: a",
		"matcher_tree: {input: H(a), custom_match: C(google.protobuf.Struct, value: {})}":                                                            "Didn't find a registered implementation for 'c' with type URL: 'google.protobuf.Struct'",
		"on_no_match: A<x>.keep": "keep_matching is not supported in this context",
		"matcher_list: {matchers: [{predicate: {single_predicate: {input: H(a), custom_match: C(envoy.extensions.matching.input_matchers.ip.v3.Ip, stat_prefix: x, cidr_ranges: [{address_prefix: 1.2.3}])}}, on_match: A<x>}]}": "malformed IP address: 1.2.3",
	} {
		if _, err := CompileTree(matcherPB(t, text), TreeOptions{Inputs: HTTPInputs}, textAction); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestTreeMatchingDoesNotAllocate(t *testing.T) {
	tree := treeOf(t, "matcher_tree: {input: H(a), prefix_match_map: {map: {x: {matcher: {matcher_tree: {input: H(ip), custom_match: "+
		"C(xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], on_match: A<ten>}])}}}}}}")
	d := Data{Request: &header.Map{}, Info: &streaminfo.Info{}}
	d.Request.Add("a", "xyz")
	d.Request.Add("ip", "10.1.1.1")
	if n := testing.AllocsPerRun(100, func() {
		if a, _ := tree.Match(d); a != "ten" {
			t.Fatal(a)
		}
	}); n != 0 {
		t.Error(n)
	}
}

var _ CIDRRange = (*xdscorepb.CidrRange)(nil)
