package bootstrap

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	_ "github.com/cncf/xds/go/udpa/type/v1"

	"github.com/pillion-proxy/pillion/xds"
)

// load loads a document given as a file of some extension.
func load(t *testing.T, ext, src string, o Options) (*Bootstrap, error) {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "bootstrap"+ext)
	if err := os.WriteFile(o.Path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(o)
}

// names are those of the static resources, in order.
func names(t *testing.T, b *Bootstrap) (out []string) {
	t.Helper()
	for _, a := range b.Static {
		var m interface {
			proto.Message
			GetName() string
		}
		switch a.TypeUrl {
		case xds.ClusterURL:
			m = new(clusterpb.Cluster)
		case xds.ListenerURL:
			m = new(listenerpb.Listener)
		case xds.SecretURL:
			m = new(tlspb.Secret)
		}
		if err := proto.Unmarshal(a.Value, m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m.GetName())
	}
	return out
}

func TestIstioBootstrap(t *testing.T) {
	b, err := Load(Options{Path: "testdata/istio-sidecar.json", AllowUnknown: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"prometheus_stats", "agent", "sds-grpc", "xds-grpc", "0.0.0.0_15090", "0.0.0.0_15021"}; !slices.Equal(names(t, b), want) {
		t.Errorf("static resources %q, want %q", names(t, b), want)
	}
	if b.Node.Id != "sidecar~127.10.0.6~productpage-v1-0.default~default.svc.cluster.local" || b.Node.Metadata.Fields["ENVOY_PROMETHEUS_PORT"].GetNumberValue() != 15090 {
		t.Errorf("node %v", b.Node)
	}
	if want := (xds.Ref{TypeURL: xds.ListenerURL}); *b.Listeners != want {
		t.Errorf("listeners %v: for ever, by ADS", b.Listeners)
	}
	if want := (xds.Ref{TypeURL: xds.ClusterURL}); *b.Clusters != want {
		t.Errorf("clusters %v", b.Clusters)
	}
	if b.ADS.ApiType != corepb.ApiConfigSource_DELTA_GRPC || !b.ADS.SetNodeOnFirstMessageOnly {
		t.Errorf("ADS %v", b.ADS)
	}
	if got := b.Admin.GetAddress().GetSocketAddress().GetPortValue(); got != 15000 {
		t.Errorf("admin port %d", got)
	}
	if len(b.Layers) != 2 || b.Layers[0].Name != "global config" || b.Layers[0].Values["re2.max_program_size.error_level"] != "32768" ||
		b.Layers[0].Values["envoy.reloadable_features.http_reject_path_with_fragment"] != "false" || !b.Layers[1].Admin {
		t.Errorf("layers %v", b.Layers)
	}
	if b.Stats.FlushInterval != 5*time.Second || !b.Stats.Deferred || len(b.Stats.Config.StatsTags) != 16 {
		t.Errorf("stats %v", b.Stats)
	}
	if b.LogFormat == nil || b.Overload == nil || len(b.Extensions) != 1 {
		t.Errorf("log format %v, overload %v, extensions %v", b.LogFormat, b.Overload, b.Extensions)
	}
	if !slices.Contains(b.Types, "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor") {
		t.Errorf("types that are not linked in: %q", b.Types)
	}
}

func TestKitchenSinkWithItsTrailingComma(t *testing.T) {
	b, err := Load(Options{Path: "testdata/istio-kitchen-sink.json", AllowUnknown: true})
	if err != nil {
		t.Fatal(err)
	}
	if b.Tracing == nil || len(b.Stats.Sinks) == 0 || b.Stats.FlushInterval != 10*time.Second || b.Stats.EvictionInterval != 300*time.Second {
		t.Errorf("got %v, %v", b.Tracing, b.Stats)
	}
	if !slices.Contains(names(t, b), "0.0.0.0_15092") {
		t.Errorf("static resources %q", names(t, b))
	}
}

// What /config_dump shows is what was loaded.
func TestProtoIsWhatWasLoaded(t *testing.T) {
	src := `{"node":{"id":"a"},"static_resources":{"listeners":[{"name":"l"}],"clusters":[{"name":"a","lb_policy":"MAGLEV"},{"name":"b"}],"secrets":[{"name":"s"}]},"stats_flush_interval":"3s"}`
	b, err := load(t, ".json", src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := new(bootstrappb.Bootstrap)
	if err := protojson.Unmarshal([]byte(src), want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := b.Proto()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFormats(t *testing.T) {
	m := &bootstrappb.Bootstrap{
		Node:            &corepb.Node{Id: "m"},
		StaticResources: &bootstrappb.Bootstrap_StaticResources{Clusters: []*clusterpb.Cluster{{Name: "c"}}},
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for ext, src := range map[string]string{
		".json": `{node: {id: "m"}, static_resources: {clusters: [{name: "c"}]}}`, "": `{node: {id: "m"}, static_resources: {clusters: [{name: "c"}]}}`,
		".yaml": "node: {id: m}\nstatic_resources: {clusters: [{name: c}]}\n", ".yml": "node: {id: m}\nstatic_resources: {clusters: [{name: c}]}\n",
		".pb": string(wire), ".pb_text": `node { id: "m" } static_resources { clusters { name: "c" } }`,
	} {
		b, err := load(t, ext, src, Options{})
		if err != nil || b.Node.Id != "m" || !slices.Equal(names(t, b), []string{"c"}) {
			t.Errorf("%s: %v", ext, err)
		}
	}
}

// --config-yaml is merged as protobuf merges: scalars are replaced, messages merged, lists appended to.
func TestConfigYAMLIsMerged(t *testing.T) {
	b, err := load(t, ".json", `{"node":{"id":"a","cluster":"b"},"static_resources":{"clusters":[{"name":"a"}]},"stats_flush_interval":"3s"}`,
		Options{YAML: "node: {id: z, cluster: ''}\nstatic_resources: {clusters: [{name: q}], listeners: [{name: l}]}\nadmin: {profile_path: /p}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Node.Id != "z" || b.Node.Cluster != "b" || b.Admin.ProfilePath != "/p" || b.Stats.FlushInterval != 3*time.Second {
		t.Errorf("got %v %v", b.Node, b.Admin)
	}
	if want := []string{"a", "q", "l"}; !slices.Equal(names(t, b), want) {
		t.Errorf("got %q, want %q", names(t, b), want)
	}
	if b, err := Load(Options{YAML: "node: {id: w}"}); err != nil || b.Node.Id != "w" {
		t.Errorf("alone: %v", err)
	}
}

func TestCommandLineStandsOverTheNode(t *testing.T) {
	b, err := load(t, ".json", `{"node":{"id":"a","cluster":"b","locality":{"region":"r"}}}`, Options{ServiceNode: "m", ServiceZone: "z"})
	if err != nil || b.Node.Id != "m" || b.Node.Cluster != "b" || b.Node.Locality.Region != "r" || b.Node.Locality.Zone != "z" {
		t.Errorf("got %v, %v", b.Node, err)
	}
}

// The texts that do not say "is not supported" are Envoy's own, seen on 1.40.
func TestWhatIsRefused(t *testing.T) {
	const grpc = `{"api_type":"GRPC","transport_api_version":"V3","grpc_services":[{"envoy_grpc":{"cluster_name":"x"}}]}`
	for name, tc := range map[string]struct{ src, want string }{
		"unknown field":        {`{"foo":1}`, "no such field: 'foo') has unknown fields"},
		"load stats":           {`{"cluster_manager":{"load_stats_config":` + grpc + `}}`, "field ClusterManager.load_stats_config is not supported"},
		"event service":        {`{"cluster_manager":{"outlier_detection":{"event_service":{"grpc_service":{"envoy_grpc":{"cluster_name":"x"}}}}}}`, "field ClusterManager.OutlierDetection.event_service is not supported"},
		"HDS":                  {`{"hds_config":` + grpc + `}`, "field Bootstrap.hds_config is not supported"},
		"flags path":           {`{"flags_path":"/x"}`, "field Bootstrap.flags_path is not supported"},
		"header prefix":        {`{"header_prefix":"x-foo"}`, "field Bootstrap.header_prefix is not supported"},
		"config sources":       {`{"config_sources":[{"ads":{}}]}`, "field Bootstrap.config_sources is not supported"},
		"default source":       {`{"default_config_source":{"ads":{}}}`, "field Bootstrap.default_config_source is not supported"},
		"fatal actions":        {`{"fatal_actions":[{"config":{"name":"x","typed_config":{}}}]}`, "field Bootstrap.fatal_actions is not supported"},
		"socket interface":     {`{"default_socket_interface":"x"}`, "field Bootstrap.default_socket_interface is not supported"},
		"regex engine":         {`{"default_regex_engine":{"name":"hyperscan","typed_config":{}}}`, "field Bootstrap.default_regex_engine is not supported"},
		"LDS locator":          {`{"dynamic_resources":{"lds_resources_locator":"xdstp://a/b"}}`, "field DynamicResources.lds_resources_locator is not supported"},
		"CDS locator":          {`{"dynamic_resources":{"cds_resources_locator":"xdstp://a/b"}}`, "field DynamicResources.cds_resources_locator is not supported"},
		"REST ADS":             {`{"dynamic_resources":{"ads_config":{"api_type":"REST","cluster_names":["x"]}}}`, "envoy.config.core.v3.ApiConfigSource type must be of non-aggregated gRPC"},
		"two ADS services":     {`{"dynamic_resources":{"ads_config":{"api_type":"GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":"x"}},{"envoy_grpc":{"cluster_name":"y"}}]}}}`, "must have no more than 1 gRPC services specified"},
		"REST CDS":             {`{"dynamic_resources":{"cds_config":{"api_config_source":{"api_type":"REST","cluster_names":["x"]}}}}`, "ApiConfigSource.api_type REST is not supported"},
		"no node":              {`{"dynamic_resources":{"ads_config":` + grpc + `,"cds_config":{"ads":{}}}}`, "type.googleapis.com/envoy.config.cluster.v3.Cluster: node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node and --service-cluster options."},
		"ADS cluster":          {`{"node":{"id":"a","cluster":"b"},"dynamic_resources":{"ads_config":` + grpc + `}}`, "Unknown gRPC client cluster 'x'"},
		"CDS cluster":          {`{"node":{"id":"a","cluster":"b"},"dynamic_resources":{"cds_config":{"api_config_source":` + grpc + `}}}`, "must have a statically defined non-EDS cluster: 'x' does not exist, was added via api, or is an EDS cluster"},
		"CDS path":             {`{"dynamic_resources":{"cds_config":{"path":"/nosuch"}}}`, "paths must refer to an existing path in the system: '/nosuch' does not exist"},
		"two flushes":          {`{"stats_flush_interval":"5s","stats_flush_on_admin":true}`, "Only one of stats_flush_interval or stats_flush_on_admin should be set!"},
		"odd eviction":         {`{"stats_eviction_interval":"7s"}`, "stats_eviction_interval must be a multiple of stats_flush_interval"},
		"flush out of range":   {`{"stats_flush_interval":"301s"}`, "Proto constraint validation failed (invalid Bootstrap.StatsFlushInterval"},
		"layer without name":   {`{"layered_runtime":{"layers":[{"static_layer":{}}]}}`, "Proto constraint validation failed"},
		"layer without kind":   {`{"layered_runtime":{"layers":[{"name":"a"}]}}`, "Proto constraint validation failed"},
		"layer twice":          {`{"layered_runtime":{"layers":[{"name":"a","static_layer":{}},{"name":"a","static_layer":{}}]}}`, "Duplicate layer name: a"},
		"two admin layers":     {`{"layered_runtime":{"layers":[{"name":"a","admin_layer":{}},{"name":"b","admin_layer":{}}]}}`, "Too many admin layers specified in LayeredRuntime, at most one may be specified"},
		"null in a layer":      {`{"layered_runtime":{"layers":[{"name":"a","static_layer":{"x":{"y":null}}}]}}`, "Invalid runtime entry value for x.y"},
		"list in a layer":      {`{"layered_runtime":{"layers":[{"name":"a","static_layer":{"x":[1]}}]}}`, "Invalid runtime entry value for x"},
		"disk layer":           {`{"layered_runtime":{"layers":[{"name":"a","disk_layer":{"symlink_root":"/x"}}]}}`, "field RuntimeLayer.disk_layer is not supported"},
		"certificate provider": {`{"certificate_provider_instances":{"a":{"name":"x","typed_config":{}}}}`, "field Bootstrap.certificate_provider_instances is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, ".json", tc.src, Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	for o, want := range map[Options]string{
		{}:                     "At least one of --config-path or --config-yaml or Options::configProto() should be non-empty",
		{Path: "/nosuch.yaml"}: "Invalid path: /nosuch.yaml",
		{YAML: "[1]"}:          "unexpected character: '['; expected '{'",
	} {
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", o, err)
		}
	}
	for ext, src := range map[string]string{".pb": "\xff\xff", ".pb_text": "zork: 1"} {
		if _, err := load(t, ext, src, Options{}); err == nil {
			t.Errorf("%s was loaded", ext)
		}
	}
}

// What Envoy accepts and what has no effect here is accepted.
func TestWhatIsPassedOver(t *testing.T) {
	b, err := load(t, ".json", `{"node":{"id":"a","cluster":"b"},"watchdog":{"miss_timeout":"1s"},"watchdogs":{},"enable_dispatcher_stats":true,"hds_config":{},
		"inline_headers":[{"inline_header_name":"x"}],"perf_tracing_file_path":"/x","memory_allocator_manager":{},"node_context_params":["id"],
		"cluster_manager":{"load_stats_config":{},"enable_deferred_cluster_creation":true,"local_cluster_name":"me","outlier_detection":{"event_log_path":"/log"}},
		"dynamic_resources":{"lds_config":{"ads":{}},"cds_config":{"path":"/etc/hosts"}}, "default_regex_engine":{"name":"envoy.regex_engines.google_re2","typed_config":{}}}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b.LocalCluster != "me" || b.OutlierLog != "/log" {
		t.Errorf("got %q, %q", b.LocalCluster, b.OutlierLog)
	}
	if b.Listeners != nil || b.Clusters == nil || b.Clusters.Source != "path:/etc/hosts" || b.Clusters.Timeout != 15*time.Second {
		t.Errorf("listeners %v, clusters %v: there is no ADS to ask for listeners", b.Listeners, b.Clusters)
	}
}

func TestRuntimeLayersAreFlattened(t *testing.T) {
	b, err := load(t, ".json", `{"layered_runtime":{"layers":[{"name":"a","static_layer":{"x":{"y":1,"z":{"numerator":5,"denominator":"TEN_THOUSAND"},"n":{"numerator":7}},"t":true,"f":1.5,"big":2147483647,"s":"str","dotted.key":-3}},
		{"name":"r","rtds_layer":{"name":"rt","rtds_config":{"path":"/x","initial_fetch_timeout":"1s"}}}]}}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"x.y": "1", "x.z": "numerator: 5, denominator: TEN_THOUSAND", "x.n": "numerator: 7, denominator: HUNDRED",
		"t": "true", "f": "1.5", "big": "2147483647", "s": "str", "dotted.key": "-3",
	}
	if got := b.Layers[0].Values; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := *b.Layers[1].RTDS, (xds.Ref{TypeURL: xds.RuntimeURL, Name: "rt", Source: "path:/x", Timeout: time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUnknownFieldsArePassedOverIfAllowed(t *testing.T) {
	b, err := load(t, ".json", `{"foo":1,"node":{"id":"a"}}`, Options{AllowUnknown: true})
	if err != nil || b.Node.Id != "a" || len(b.Unknown) != 1 || !strings.Contains(b.Unknown[0], "no such field: 'foo'") {
		t.Errorf("got %v, %v", b, err)
	}
}
