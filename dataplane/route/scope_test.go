package route

import (
	"strings"
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

func fromYAML(t *testing.T, text string, m proto.Message) {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(js, m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func builderOf(t *testing.T, fragments string) (*ScopeKeyBuilder, error) {
	t.Helper()
	p := &hcmpb.ScopedRoutes_ScopeKeyBuilder{}
	fromYAML(t, "fragments: ["+fragments+"]", p)
	return CompileScopeKeyBuilder(p)
}

// The answers of Envoy 1.40.
func TestScopes(t *testing.T) {
	for _, c := range []struct {
		fragments string
		keys      []string // name: fragment,fragment
		want      map[string]string
	}{
		{"{header_value_extractor: {name: X-A, element_separator: ';', index: 1}}", []string{"b:b", "empty:", "space: b"},
			map[string]string{"x-a: a;b": "b", "x-a: a;": "empty", "x-a: a": "-", "x-a: a; b": "space", "x-a: ;b;c": "b", "": "-", "x-a: a;b|x-a: a;c": "b"}},
		{"{header_value_extractor: {name: x-a, element_separator: ';', element: {separator: '=', key: k}}}", []string{"v:v", "empty:", "vw:v=w"},
			map[string]string{"x-a: k=v": "v", "x-a: a=b;k=v": "v", "x-a: k=": "empty", "x-a: k": "empty", "x-a: k=v=w": "vw", "x-a: k=zz;k=v": "-"}},
		{"{header_value_extractor: {name: x-a, index: 0}}, {header_value_extractor: {name: x-b, index: 0}}", []string{"ab:a,b", "a:a", "abempty:ab,"},
			map[string]string{"x-a: a|x-b: b": "ab", "x-a: a": "-", "x-a: ab|x-b: ": "abempty"}},
		{"{header_value_extractor: {name: x-a, index: 0}}", []string{"first:a", "second:a"}, map[string]string{"x-a: a": "second"}},
		{"{header_value_extractor: {name: x-a, index: 0}}", []string{"same:a", "same:b"}, map[string]string{"x-a: a": "-", "x-a: b": "same"}},
		{"{header_value_extractor: {name: ':authority', index: 0}}", []string{"h:h.test"}, map[string]string{"": "h"}},
	} {
		b, err := builderOf(t, c.fragments)
		if err != nil {
			t.Fatal(err)
		}
		var scopes []*Scope
		for _, k := range c.keys {
			name, key, _ := strings.Cut(k, ":")
			p := &routepb.ScopedRouteConfiguration{}
			fromYAML(t, "name: "+name+"\nkey: {fragments: [{string_key: '"+strings.ReplaceAll(key, ",", "'}, {string_key: '")+"'}]}\nroute_configuration: {name: "+name+"}", p)
			s, err := CompileScope(p, Options{})
			if err != nil {
				t.Fatal(err)
			}
			scopes = append(scopes, s)
		}
		table := NewScopes(b, scopes, NewHandles())
		for lines, want := range c.want {
			var headers []string
			if lines != "" {
				headers = strings.Split(lines, "|")
			}
			got := "-"
			if t := table.Load(request(nil, "/", headers...)); t != nil {
				got = t.Name
			}
			if got != want {
				t.Errorf("%s %v: %q: %s, want %s", c.fragments, c.keys, lines, got, want)
			}
		}
	}
}

func TestScopesByNameComeFromHandles(t *testing.T) {
	b, _ := builderOf(t, "{header_value_extractor: {name: x-a, index: 0}}")
	p := &routepb.ScopedRouteConfiguration{}
	fromYAML(t, "name: s\nkey: {fragments: [{string_key: a}]}\nroute_configuration_name: r", p)
	s, err := CompileScope(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	handles := NewHandles()
	scopes, h := NewScopes(b, []*Scope{s}, handles), request(t, "/", "x-a: a")
	if scopes.Load(h) != nil {
		t.Error("not there yet")
	}
	handles.Handle("r").Store(routesOf(t, direct("x", "prefix: /")))
	if scopes.Load(h) == nil {
		t.Error("there")
	}
	if n := testing.AllocsPerRun(100, func() { scopes.Load(h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestScopeErrorsAreEnvoys(t *testing.T) {
	for fragments, want := range map[string]string{
		"{header_value_extractor: {name: x, index: 1}}": "Proto constraint validation failed (Index > 0 for empty string element separator.)",
		"{header_value_extractor: {name: x}}":           "Proto constraint validation failed (HeaderValueExtractor extract_type not set.)",
	} {
		if _, err := builderOf(t, fragments); err == nil || err.Error() != want {
			t.Errorf("%s: %v", fragments, err)
		}
	}
	for text, want := range map[string]string{
		"{name: a, key: {fragments: [{string_key: a}]}, route_configuration: {}, route_configuration_name: q}": "Fetching routes via RDS (route_configuration_name) is not supported with inline scoped routes.",
		"{name: a, key: {fragments: [{string_key: a}]}, on_demand: true}":                                      "field ScopedRouteConfiguration.on_demand is not supported",
	} {
		p := &routepb.ScopedRouteConfiguration{}
		fromYAML(t, text, p)
		if _, err := CompileScope(p, Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
