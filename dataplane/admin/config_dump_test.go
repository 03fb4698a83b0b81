package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/xds"
)

var at = time.Date(2026, 11, 25, 22, 0, 48, 983654321, time.UTC)

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func resource(t *testing.T, name string, m proto.Message, static bool) *xds.Resource {
	t.Helper()
	r := &xds.Resource{Name: name, Any: pack(t, m), Updated: at, Static: static}
	if !static {
		r.Version = "7"
	}
	return r
}

func socketListener(name string, inline ...string) *listenerpb.Listener {
	l := &listenerpb.Listener{Name: name, Address: socketAddress("127.0.0.1", 1)}
	for _, route := range inline {
		config, err := anypb.New(&hcmpb.HttpConnectionManager{StatPrefix: "x", RouteSpecifier: &hcmpb.HttpConnectionManager_RouteConfig{RouteConfig: &routepb.RouteConfiguration{Name: route}}})
		if err != nil {
			panic(err)
		}
		l.FilterChains = append(l.FilterChains, &listenerpb.FilterChain{Filters: []*listenerpb.Filter{{Name: "hcm", ConfigType: &listenerpb.Filter_TypedConfig{TypedConfig: config}}}})
	}
	return l
}

// clusters is a cluster manager that says what a test wants.
type clusters struct {
	resources []cluster.Resources
	statuses  []cluster.Status
	endpoints []cluster.Endpoints
}

func (c *clusters) Resources() []cluster.Resources { return c.resources }
func (c *clusters) Statuses() []cluster.Status     { return c.statuses }
func (c *clusters) Endpoints() []cluster.Endpoints { return c.endpoints }

// dumping is an interface with one resource of every state.
func dumping(t *testing.T) *fixture {
	static, active, warming := resource(t, "st", socketListener("st", "inline", "inline"), true), resource(t, "dynl", socketListener("dynl"), false), resource(t, "dynl", socketListener("dynl", "next"), false)
	warming.Version = "8"
	bad := socketListener("badl")
	secret := &tlspb.Secret{Name: "default", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: &tlspb.TlsCertificate{
		PrivateKey: &corepb.DataSource{Specifier: &corepb.DataSource_InlineString{InlineString: "hunter2"}},
	}}}
	waits := resource(t, "waits", socketListener("waits"), false)
	waits.Refs = []xds.Ref{{TypeURL: xds.SecretURL, Name: "ROOTCA"}, {TypeURL: xds.SecretURL, Name: "default"}}
	s := (&xds.Snapshot{}).
		With(xds.ListenerURL, xds.Change{Version: "v8", Put: []*xds.Resource{static, warming, waits}, Fail: []*xds.Failure{{Name: "badl", Details: "why", Any: pack(t, bad), At: at}}}).
		With(xds.RouteURL, xds.Change{Put: []*xds.Resource{resource(t, "rd", &routepb.RouteConfiguration{Name: "rd"}, false)}}).
		With(xds.SecretURL, xds.Change{Put: []*xds.Resource{resource(t, "default", secret, false), resource(t, "gen", secret, true)}}).
		With(xds.ExtensionURL, xds.Change{Put: []*xds.Resource{resource(t, "ex", &corepb.TypedExtensionConfig{Name: "ex"}, false)}}).
		With(xds.ClusterURL, xds.Change{Version: "c2"})
	one := &clusterpb.Cluster{Name: "one", AltStatName: "one;", ConnectTimeout: durationpb.New(250 * time.Millisecond)}
	cs := &clusters{resources: []cluster.Resources{
		{Name: "agent", Active: resource(t, "agent", &clusterpb.Cluster{Name: "agent"}, true)},
		{Name: "one", Active: resource(t, "one", one, false), Warming: resource(t, "one", &clusterpb.Cluster{Name: "one"}, false)},
		{Name: "two", Warming: resource(t, "two", &clusterpb.Cluster{Name: "two"}, false)},
	}, endpoints: []cluster.Endpoints{
		{Static: true, Assignment: &endpointpb.ClusterLoadAssignment{ClusterName: "agent"}},
		{Assignment: &endpointpb.ClusterLoadAssignment{ClusterName: "svc", Endpoints: []*endpointpb.LocalityLbEndpoints{{Locality: &corepb.Locality{}, LoadBalancingWeight: wrapperspb.UInt32(0)}}}},
	}}
	b := &bootstrappb.Bootstrap{Node: &corepb.Node{Id: "me", Cluster: "mine"}, Admin: &bootstrappb.Admin{ProfilePath: "/p"}}
	f := start(t, func(o *Options) {
		o.Started = at
		o.Snapshot = func() *xds.Snapshot { return s }
		o.Bootstrap = func() (*bootstrappb.Bootstrap, error) { return b, nil }
		o.Clusters = cs
		o.Listeners = func() []Listener {
			return []Listener{{Name: "st", Active: static, Shown: true}, {Name: "dynl", Active: active, Warming: warming, Shown: true}, {Name: "waits", Warming: waits},
				{Name: "gone", Draining: resource(t, "gone", socketListener("gone"), false)}}
		}
	})
	t.Cleanup(func() {
		if b.GetNode().GetCluster() != "mine" || b.GetAdmin() == nil {
			t.Error("a mask has changed the bootstrap")
		}
	})
	return f
}

// query dumps and reads the answer back, without the types' prefixes.
func (f *fixture) query(query string) (types []string, configs []map[string]any, text string) {
	f.t.Helper()
	code, kind, text := f.call("GET", "/config_dump"+query)
	var d struct{ Configs []map[string]any }
	if err := json.Unmarshal([]byte(text), &d); err != nil || code != 200 || kind != jsonType {
		f.t.Fatalf("%s: %d %s %v\n%s", query, code, kind, err, text)
	}
	for _, c := range d.Configs {
		name, _ := c["@type"].(string)
		types = append(types, strings.TrimPrefix(name, "type.googleapis.com/envoy.admin.v3."))
	}
	return types, d.Configs, text
}

func TestConfigDumpHasItsSectionsInOrder(t *testing.T) {
	f := dumping(t)
	types, _, _ := f.query("")
	if got, want := strings.Join(types, " "), "BootstrapConfigDump ClustersConfigDump EcdsConfigDump ListenersConfigDump ScopedRoutesConfigDump RoutesConfigDump SecretsConfigDump"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	types, _, text := f.query("?include_eds=false") // it counts by being there
	if got := strings.Join(types, " "); !strings.Contains(got, "EcdsConfigDump EndpointsConfigDump ListenersConfigDump") {
		t.Errorf("got %s", got)
	}
	if strings.Contains(text, "hunter2") || !strings.Contains(text, `"last_updated": "2026-11-25T22:00:48.983Z"`) {
		t.Errorf("got %s", text)
	}
}

func TestConfigDumpSections(t *testing.T) {
	f := dumping(t)
	const l = "envoy.config.listener.v3.Listener"
	for query, want := range map[string]string{
		"?mask=dynamic_active_clusters,dynamic_warming_clusters,static_clusters,version_info": `{"@type":"ClustersConfigDump","version_info":"c2","static_clusters":[{"cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"agent"},"last_updated":"T"}],` +
			`"dynamic_active_clusters":[{"version_info":"7","cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"one","connect_timeout":"0.250s","alt_stat_name":"one;"},"last_updated":"T"}],` +
			`"dynamic_warming_clusters":[{"version_info":"7","cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"one"},"last_updated":"T"},{"version_info":"7","cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"two"},"last_updated":"T"}]}`,
		"?include_eds&mask=static_endpoint_configs,dynamic_endpoint_configs": `{"@type":"EndpointsConfigDump","static_endpoint_configs":[{"endpoint_config":{"@type":"envoy.config.endpoint.v3.ClusterLoadAssignment","cluster_name":"agent"}}],` +
			`"dynamic_endpoint_configs":[{"endpoint_config":{"@type":"envoy.config.endpoint.v3.ClusterLoadAssignment","cluster_name":"svc","endpoints":[{"locality":{},"load_balancing_weight":0}]}}]}`,
		"?mask=static_secrets,dynamic_active_secrets,dynamic_warming_secrets": `{"@type":"SecretsConfigDump","static_secrets":[{"name":"gen","secret":SECRET}],` +
			`"dynamic_active_secrets":[{"name":"default","version_info":"7","last_updated":"T","secret":SECRET}],` +
			`"dynamic_warming_secrets":[{"name":"ROOTCA","version_info":"uninitialized","secret":{"@type":"envoy.extensions.transport_sockets.tls.v3.Secret","name":"ROOTCA"}}]}`,
		"?mask=static_route_configs,dynamic_route_configs": `{"@type":"RoutesConfigDump","static_route_configs":[RC(inline),RC(inline),RC(next)],` +
			`"dynamic_route_configs":[{"version_info":"7","route_config":{"@type":"envoy.config.route.v3.RouteConfiguration","name":"rd"},"last_updated":"T"}]}`,
		"?mask=ecds_filters":                                   `{"@type":"EcdsConfigDump","ecds_filters":[{"version_info":"7","ecds_filter":{"@type":"envoy.config.core.v3.TypedExtensionConfig","name":"ex"},"last_updated":"T"}]}`,
		"?mask=bootstrap.node.id,bootstrap.admin":              `{"@type":"BootstrapConfigDump","bootstrap":{"node":{"id":"me"},"admin":{"profile_path":"/p"}}}`,
		"?mask=last_updated":                                   `{"@type":"BootstrapConfigDump","last_updated":"T"}`,
		"?resource=dynamic_active_clusters&mask=cluster.name":  `{"@type":"ClustersConfigDump.DynamicCluster","cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"one"}}`,
		"?resource=dynamic_warming_clusters&name_regex=tw.":    `{"@type":"ClustersConfigDump.DynamicCluster","version_info":"7","cluster":{"@type":"envoy.config.cluster.v3.Cluster","name":"two"},"last_updated":"T"}`,
		"?resource=dynamic_warming_clusters&name_regex=tw":     ``,
		"?resource=static_route_configs&name_regex=nex.":       `RC(next)`,
		"?resource=dynamic_listeners&mask=name&name_regex=zz":  `{"@type":"ListenersConfigDump.DynamicListener","name":"badl"}{"@type":"ListenersConfigDump.DynamicListener"}`,
		"?resource=dynamic_listeners&mask=active_state,name":   `{"@type":"ListenersConfigDump.DynamicListener","name":"dynl","active_state":STATE(7,dynl)}` + named("waits", "gone", "badl") + `{"@type":"ListenersConfigDump.DynamicListener"}`,
		"?resource=dynamic_listeners&mask=draining_state":      empty(2) + `{"@type":"ListenersConfigDump.DynamicListener","draining_state":STATE(7,gone)}` + empty(2),
		"?resource=dynamic_listeners&mask=error_state.details": empty(3) + strings.Repeat(`{"@type":"ListenersConfigDump.DynamicListener","error_state":{"details":"why"}}`, 2),
	} {
		_, _, text := f.query(query)
		got := compact(t, text)
		want = strings.NewReplacer("SECRET", `{"@type":"envoy.extensions.transport_sockets.tls.v3.Secret","name":"default","tls_certificate":{"private_key":{"inline_string":"[redacted]"}}}`,
			"STATE(7,dynl)", `{"version_info":"7","listener":{"@type":"`+l+`","name":"dynl","address":{"socket_address":{"address":"127.0.0.1","port_value":1}}},"last_updated":"T"}`,
			"STATE(7,gone)", `{"version_info":"7","listener":{"@type":"`+l+`","name":"gone","address":{"socket_address":{"address":"127.0.0.1","port_value":1}}},"last_updated":"T"}`,
			"RC(inline)", staticRoute("inline", strings.HasPrefix(query, "?resource")), "RC(next)", staticRoute("next", strings.HasPrefix(query, "?resource"))).Replace(want)
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
		}
	}
}

func staticRoute(name string, typed bool) string {
	s := `{`
	if typed {
		s += `"@type":"RoutesConfigDump.StaticRouteConfig",`
	}
	return s + `"route_config":{"@type":"envoy.config.route.v3.RouteConfiguration","name":"` + name + `"},"last_updated":"T"}`
}

func named(names ...string) (s string) {
	for _, n := range names {
		s += `{"@type":"ListenersConfigDump.DynamicListener","name":"` + n + `"}`
	}
	return s
}

func empty(n int) string {
	return strings.Repeat(`{"@type":"ListenersConfigDump.DynamicListener"}`, n)
}

// compact is the elements of configs on one line, without prefixes and times.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		line = strings.Replace(line, `": `, `":`, 1)
		b.WriteString(line)
	}
	s := strings.NewReplacer("type.googleapis.com/envoy.admin.v3.", "", "type.googleapis.com/", "", "2026-11-25T22:00:48.983Z", "T").Replace(b.String())
	s = strings.TrimSuffix(strings.TrimPrefix(s, `{"configs":[`), "]}")
	if s == "{}" {
		return ""
	}
	return strings.ReplaceAll(s, `},{"@type":"ListenersConfigDump.`, `}{"@type":"ListenersConfigDump.`)
}

// The texts are those of Envoy 1.40.
func TestConfigDumpRefusesWhatItDoesNotHave(t *testing.T) {
	f := dumping(t)
	for query, want := range map[string]string{
		"mask=dynamic_listeners,static_clusters":               "400 FieldMask dynamic_listeners,static_clusters could not be successfully applied to any configs.",
		"mask=dynamic_active_clusters.version_info":            "400 FieldMask dynamic_active_clusters.version_info could not be successfully applied to any configs.",
		"mask=bootstrap.static_resources.clusters.name":        "400 FieldMask bootstrap.static_resources.clusters.name could not be successfully applied to any configs.",
		"mask=dynamicListeners":                                "400 FieldMask dynamicListeners could not be successfully applied to any configs.",
		"resource=bootstrap":                                   "400 bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field",
		"resource=dynamic_endpoint_configs":                    "404 dynamic_endpoint_configs not found in config dump",
		"resource=dynamic_active_clusters&mask=nosuch":         "400 FieldMask nosuch could not be successfully used.",
		"resource=dynamic_active_clusters&mask=cluster":        "400 FieldMask cluster could not be successfully used.",
		"resource=dynamic_active_clusters&mask=cluster.nosuch": "400 FieldMask cluster.nosuch could not be successfully used.",
	} {
		code, kind, text := f.call("GET", "/config_dump?"+query)
		if got := map[int]string{400: "400 ", 404: "404 "}[code] + text; got != want || kind != textError {
			t.Errorf("%s: got %s, %s", query, got, kind)
		}
	}
	for _, query := range []string{"?mask=", "?mask=,", "?resource=", "?name_regex="} {
		if types, _, _ := f.query(query); len(types) != 7 {
			t.Errorf("%s: got %v", query, types)
		}
	}
}

func TestClustersAreShown(t *testing.T) {
	cs := &clusters{statuses: []cluster.Status{{Name: "one", ObservabilityName: "one;", ServiceName: "svc", AddedViaAPI: true}, {Name: "two", ObservabilityName: "two"}}}
	f := start(t, func(o *Options) { o.Clusters = cs })
	_, _, text := f.call("GET", "/clusters?filter=^o")
	if !strings.HasPrefix(text, "one::observability_name::one;\none::default_priority::max_connections::0\n") || strings.Contains(text, "two") {
		t.Errorf("got %s", text)
	}
	_, kind, text := f.call("GET", "/clusters?format=json&filter=tw")
	if !strings.HasPrefix(text, "{\n \"cluster_statuses\": [\n  {\n   \"name\": \"two\",\n") || kind != jsonType || strings.Contains(text, "one") {
		t.Errorf("got %s", text)
	}
}
