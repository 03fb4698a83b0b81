package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"
)

// Envoy 1.40's texts, seen by --mode validate.
func TestErrorsAreEnvoys(t *testing.T) {
	const pgv = "Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed validation | caused by VirtualHostValidationError.Routes[0]: embedded message failed validation | caused by "
	const url = `"@type": type.googleapis.com/`
	routes := func(r string) string {
		return "{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [" + r + "]}]}"
	}
	match := func(m string) string { return routes("{match: {" + m + "}, direct_response: {status: 200}}") }
	action := func(a string) string { return routes("{match: {prefix: /}, route: {" + a + "}}") }
	rest := func(r string) string { return routes("{match: {prefix: /}, route: {cluster: a}, " + r + "}") }
	host := func(v string) string { return "{name: r, virtual_hosts: [{name: v, domains: ['*'], " + v + "}]}" }
	domains := func(a, b string) string {
		return "{name: r, virtual_hosts: [{name: a, domains: ['" + a + "']}, {name: b, domains: ['" + b + "']}]}"
	}
	for _, c := range []struct{ config, want string }{
		{domains("x", "X"), "Only unique values for domains are permitted. Duplicate entry of domain x in route r"},
		{domains("*", "*"), "Only a single wildcard domain is permitted in route r"},
		{domains("*.x", "*.x"), "Only unique values for domains are permitted. Duplicate entry of domain *.x in route r"},
		{domains("x.*", "x.*"), "Only unique values for domains are permitted. Duplicate entry of domain x.* in route r"},
		{"{virtual_hosts: [{name: v}]}", "Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed validation | caused by VirtualHostValidationError.Domains: value must contain at least 1 item(s))"},
		{match(""), pgv + `RouteValidationError.Match: embedded message failed validation | caused by field: "path_specifier", reason: is required)`},
		{routes("{direct_response: {status: 200}}"), pgv + "RouteValidationError.Match: value is required)"},
		{routes("{match: {prefix: /}}"), pgv + `field: "action", reason: is required)`},
		{match("prefix: /, headers: [{name: x, string_match: {}}]"), pgv + `RouteValidationError.Match: embedded message failed validation | caused by RouteMatchValidationError.Headers[0]: embedded message failed validation | caused by HeaderMatcherValidationError.StringMatch: embedded message failed validation | caused by field: "match_pattern", reason: is required)`},
		{match("path_separated_prefix: /a/"), pgv + `RouteValidationError.Match: embedded message failed validation | caused by RouteMatchValidationError.PathSeparatedPrefix: value does not match regex pattern "^[^?#]+[^?#/]$")`},
		{match("prefix: /, headers: [{name: ''}]"), pgv + "RouteValidationError.Match: embedded message failed validation | caused by RouteMatchValidationError.Headers[0]: embedded message failed validation | caused by HeaderMatcherValidationError.Name: value length must be at least 1 characters)"},
		{match("safe_regex: {regex: 'a('}"), "missing ): a("},
		{match("U(/{a=})U"), "path_match_policy.path_template /{a=} is invalid: Empty variable match"},
		{action("cluster: zz"), "route: unknown cluster 'zz'"},
		{action("weighted_clusters: {clusters: [{name: zz, weight: 1}]}"), "route: unknown weighted cluster 'zz'"},
		{action("cluster: a, request_mirror_policies: [{cluster: zz}]"), "route: unknown shadow cluster 'zz'"},
		{action("cluster: a, request_mirror_policies: [{}]"), "Exactly one of cluster or cluster_header in request mirror policy need to be specified"},
		{action("cluster: a, request_mirror_policies: [{cluster: a, cluster_header: x}]"), "Only one of cluster 'a' or cluster_header 'x' in request mirror policy can be specified"},
		{action(""), pgv + `RouteValidationError.Route: embedded message failed validation | caused by field: "cluster_specifier", reason: is required)`},
		{action("weighted_clusters: {clusters: [{name: a, weight: 0}]}"), "Sum of weights in the weighted_cluster must be greater than 0."},
		{action("weighted_clusters: {clusters: [{name: a, weight: 4294967295}, {name: a, weight: 1}]}"), "The sum of weights of all weighted clusters of route  exceeds 4294967295"},
		{action("weighted_clusters: {clusters: [{weight: 1}]}"), "At least one of name or cluster_header need to be specified"},
		{action("weighted_clusters: {clusters: [{name: a, cluster_header: x, weight: 1}]}"), "Only one of name or cluster_header can be specified"},
		{action("weighted_clusters: {clusters: [{name: a}]}"), `Field 'weight' is missing in: name: "a"`},
		{action("cluster_specifier_plugin: x"), "Unknown cluster specifier plugin name: x is used in the route"},
		{action("inline_cluster_specifier_plugin: {extension: {name: x, typed_config: {" + url + "google.protobuf.Struct, value: {}}}}"), "Didn't find a registered implementation for 'x' with type URL: 'google.protobuf.Struct'"},
		{action("cluster: a, prefix_rewrite: /x, path_rewrite: /y"), "Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy"},
		{action("cluster: a, path_rewrite: '%ZZ%'"), "Failed to create path rewrite formatter: INVALID_ARGUMENT: Not supported field in StreamInfo: ZZ"},
		{action("cluster: a, host_rewrite: '%ZZ%'"), "Failed to create host rewrite formatter: INVALID_ARGUMENT: Not supported field in StreamInfo: ZZ"},
		{action("cluster: a, R(/a)R"), "unable to use envoy.path.rewrite.uri_template.uri_template_rewriter extension without envoy.path.match.uri_template.uri_template_matcher extension"},
		{action("cluster: a, upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: WebSocket}]"), "Duplicate upgrade WebSocket"},
		{action("cluster: a, upgrade_configs: [{upgrade_type: websocket, connect_config: {}}]"), "Non-CONNECT upgrade type websocket has ConnectConfig"},
		{action("cluster: a, timeout: -1s"), "Invalid duration: Expected positive duration: seconds: -1 nanos: 0"},
		{action("cluster: a, retry_policy: {retry_back_off: {base_interval: 1s, max_interval: 0.5s}}"), "retry_policy.max_interval must greater than or equal to the base_interval"},
		{action("cluster: a, retry_policy: {retry_host_predicate: [{name: bogus}]}"), "Didn't find a registered implementation for 'bogus' with type URL: ''"},
		{action("cluster: a, internal_redirect_policy: {response_headers_to_copy: [host]}"), ":-prefixed headers or Hosts may not be specified here."},
		{action("cluster: a, retry_policy_typed_config: {" + url + "google.protobuf.Struct, value: {}}"), "field RouteAction.retry_policy_typed_config is not supported"},
		{rest("request_headers_to_add: [{header: {key: Host, value: x}}]"), ":-prefixed or host headers may not be modified"},
		{rest("response_headers_to_remove: [':status']"), ":-prefixed or host headers may not be removed"},
		{rest("request_headers_to_add: [{header: {key: x, value: '%ZZ%'}}]"), "Not supported field in StreamInfo: ZZ"},
		{rest("request_headers_to_add: [{header: {key: x}, append: true, append_action: ADD_IF_ABSENT}]"), "Both append and append_action are set and it's not allowed"},
		{rest("typed_per_filter_config: {foo: {" + url + "google.protobuf.Struct, value: {}}}"), "Didn't find a registered implementation for 'foo' with type URL: 'google.protobuf.Struct'"},
		{rest("typed_per_filter_config: {foo: {" + url + "envoy.config.route.v3.FilterConfig}}"), "Empty route/virtual host per filter configuration for foo filter"},
		{rest("route_specifiers: [{name: x, typed_config: {" + url + "google.protobuf.Struct, value: {}}}]"), "Didn't find a registered route specifier implementation for 'x' with type URL: 'google.protobuf.Struct'"},
		{routes("{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: " + strings.Repeat("x", 5000) + "}}}"), "response body size is 5000 bytes; maximum is 4096"},
		{routes("{match: {prefix: /}, filter_action: {}}"), "field Route.filter_action is not supported"},
		{host("virtual_clusters: [{name: x}]"), "virtual clusters must define 'headers'"},
		{"{vhds: {config_source: {ads: {}}}}", "field RouteConfiguration.vhds is not supported"},
	} {
		_, err := Compile(configPB(t, c.config), Options{ValidateClusters: true, HasCluster: func(name string) bool { return name == "a" }})
		if err == nil || err.Error() != c.want {
			t.Errorf("%.120s:\n%v, want\n%s", c.config, err, c.want)
		}
	}
}

func TestValidateClustersIsOffForRDS(t *testing.T) {
	none := func(string) bool { return false }
	for _, c := range []struct {
		field string
		byDef bool
		ok    bool
	}{{"", false, true}, {"", true, false}, {"validate_clusters: true, ", false, false}, {"validate_clusters: false, ", true, true}} {
		_, err := Compile(configPB(t, "{"+c.field+"virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}"), Options{ValidateClusters: c.byDef, HasCluster: none})
		if (err == nil) != c.ok {
			t.Errorf("%s by default %v: %v", c.field, c.byDef, err)
		}
	}
}

func TestPerFilterLevels(t *testing.T) {
	const url = `"@type": type.googleapis.com/google.protobuf.StringValue, value: `
	cfg := func(name, v string) string { return "{" + name + ": {" + url + v + "}}" }
	wrapped := func(name, more string) string {
		return "{" + name + `: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, ` + more + "}}"
	}
	parses := 0
	o := Options{PerFilter: func(name string, a *anypb.Any) (any, error) {
		if a.GetTypeUrl() != "type.googleapis.com/google.protobuf.StringValue" {
			return nil, fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: 'x'", name)
		}
		parses++
		m, err := a.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		v := m.(interface{ GetValue() string }).GetValue()
		if v == "bad" {
			return nil, errors.New("bad value")
		}
		return v, nil
	}}
	rc := configPB(t, `
typed_per_filter_config: `+cfg("f", "config")+`
virtual_hosts:
- name: v
  domains: ['*']
  typed_per_filter_config: {f: {`+url+`host}, g: {`+url+`host}}
  routes:
  - {match: {path: /w}, typed_per_filter_config: `+cfg("f", "route")+`, route: {weighted_clusters: {clusters: [{name: a, weight: 1, typed_per_filter_config: `+cfg("f", "weighted")+`}]}}}
  - {match: {path: /off}, typed_per_filter_config: `+wrapped("f", "disabled: true")+`, route: {cluster: a}}
  - {match: {path: /on}, typed_per_filter_config: `+wrapped("h", "config: {}")+`, route: {cluster: a}}
  - {match: {path: /optional}, typed_per_filter_config: `+wrapped("h", `is_optional: true, config: {"@type": type.googleapis.com/google.protobuf.Struct, value: {}}`)+`, route: {cluster: a}}
  - {match: {path: /wrapped}, typed_per_filter_config: `+wrapped("g", "config: {"+url+"route}")+`, route: {cluster: a}}
  - {match: {path: /plain}, route: {cluster: a}}`)
	table, err := Compile(rc, o)
	if err != nil {
		t.Fatal(err)
	}
	if parses != 6 {
		t.Errorf("%d parses: what is the same is parsed once", parses)
	}
	for _, c := range []struct{ path, filter, want, all, state string }{
		{"/w", "f", "weighted", "[config host route weighted]", "on"}, {"/off", "f", "host", "[config host]", "off"}, {"/on", "h", "<nil>", "[]", "on"},
		{"/optional", "h", "<nil>", "[]", "on"}, {"/wrapped", "g", "route", "[host route]", "on"}, {"/plain", "f", "host", "[config host]", "on"}, {"/plain", "h", "<nil>", "[]", ""},
	} {
		r := table.Match(request(t, c.path), nil, 0, nil)
		state := ""
		if disabled, ok := r.FilterDisabled(c.filter); ok {
			state = map[bool]string{true: "off", false: "on"}[disabled]
		}
		if got := fmt.Sprint(r.PerFilter(c.filter)); got != c.want || fmt.Sprint(r.PerFilterAll(nil, c.filter)) != c.all || state != c.state || !r.HasPerFilter {
			t.Errorf("%s %s: %s %v %s", c.path, c.filter, got, r.PerFilterAll(nil, c.filter), state)
		}
	}
	r := table.Match(request(t, "/w"), nil, 0, nil)
	if n := testing.AllocsPerRun(100, func() { r.PerFilter("f"); r.FilterDisabled("g") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if _, err := Compile(configPB(t, "typed_per_filter_config: "+wrapped("f", "is_optional: true, config: {"+url+"bad}")), o); err == nil || err.Error() != "bad value" {
		t.Error("an optional one that is known and bad is refused:", err)
	}
}
