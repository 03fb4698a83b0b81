package cluster

import (
	"strings"
	"testing"
	"time"

	_ "github.com/cncf/xds/go/xds/type/v3" // a type that no extension has
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

func clusterProto(t testing.TB, json string) *clusterpb.Cluster {
	t.Helper()
	p := &clusterpb.Cluster{}
	if err := protojson.Unmarshal([]byte(json), p); err != nil {
		t.Fatalf("%v in %s", err, json)
	}
	return p
}

// with is a STATIC cluster called c with one host, and more fields.
func with(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"name":"c","load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"127.0.0.1","port_value":80}}}}]}]}` + fields + `}`
}

// bare is a cluster called c without hosts.
func bare(fields string) string { return `{"name":"c",` + fields + `}` }

func dnsHost(name string) string {
	return `"load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"` + name + `","port_value":80}}}}]}]}`
}

func httpOpts(fields string) string {
	return `"typed_extension_protocol_options":{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"` + fields + `}}`
}

// The texts are what envoy-1.40 --mode validate prints, without what it prints around them.
func TestCompileRefusesInEnvoysWords(t *testing.T) {
	const pgv = "Proto constraint validation failed ("
	const unknown = `"typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}`
	for json, want := range map[string]string{
		`{}`:                          pgv + "ClusterValidationError.Name: value length must be at least 1 characters)",
		bare(`"type":"EDS"`):          "cannot create an EDS cluster without an EDS config",
		bare(`"type":"ORIGINAL_DST"`): "cluster: LB policy ROUND_ROBIN is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'",
		with(`"type":"ORIGINAL_DST","lb_policy":"CLUSTER_PROVIDED"`):                                                   "ORIGINAL_DST clusters must have no load assignment configured",
		bare(`"type":"ORIGINAL_DST","lb_policy":"CLUSTER_PROVIDED","original_dst_lb_config":{"http_header_name":"x"}`): "ORIGINAL_DST cluster: invalid config http_header_name=x and use_http_header is false. Set use_http_header to true if http_header_name is desired.",
		with(`"lb_policy":"CLUSTER_PROVIDED"`):                                                                         "cluster manager: cluster provided LB specified but cluster 'c' did not provide one. Check cluster documentation.",
		bare(`"cluster_type":{"name":"envoy.clusters.aggregate","typed_config":{"@type":"type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig","clusters":["a"]}}`): "cluster manager: cluster provided LB not specified but cluster 'c' provided one. Check cluster documentation.",
		with(`"connect_timeout":"0s"`): pgv + "ClusterValidationError.ConnectTimeout: value must be greater than 0s)",
		bare(`"type":"LOGICAL_DNS"`):   "LOGICAL_DNS clusters must have a single host",
		bare(`"type":"LOGICAL_DNS","load_assignment":{"cluster_name":"c","endpoints":[{},{}]}`):                                                                                                             "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint",
		bare(`"type":"STRICT_DNS","load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"a","port_value":80,"resolver_name":"x"}}}}]}]}`): "STRICT_DNS clusters must NOT have a custom resolver name set",
		bare(`"load_assignment":{"cluster_name":"c","endpoints":[{"leds_cluster_locality_config":{"leds_config":{"ads":{}},"leds_collection_name":"x"}}]}`):                                                 "LEDS is only supported when EDS is used. Static cluster c cannot use LEDS.",
		with(`"common_lb_config":{"consistent_hashing_lb_config":{"use_hostname_for_hashing":true}}`):                                                                                                       "Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.static'",
		bare(`"cluster_type":{"name":"foo"}`):                                                                                                                                  "Didn't find a registered cluster factory implementation for name: 'foo'",
		with(httpOpts(`,"auto_config":{}`)):                                                                                                                                    "ALPN configured for cluster c which has a non-ALPN transport socket",
		with(httpOpts(`,"auto_config":{"http3_protocol_options":{}}`)):                                                                                                         "alternate protocols cache must be configured when HTTP/3 is enabled with auto_config",
		with(`"typed_extension_protocol_options":{"x":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}`):                                                               "Didn't find a registered network or http filter or protocol options implementation for name: 'x'",
		with(`"http2_protocol_options":{"initial_stream_window_size":10}`):                                                                                                     pgv + "ClusterValidationError.Http2ProtocolOptions: embedded message failed validation | caused by Http2ProtocolOptionsValidationError.InitialStreamWindowSize: value must be inside range [65535, 2147483647])",
		with(`"http2_protocol_options":{"custom_settings_parameters":[{"identifier":2,"value":1}]}`):                                                                           "server push is not supported by Envoy and can not be enabled via a SETTINGS parameter.",
		with(`"circuit_breakers":{"per_host_thresholds":[{"max_requests":1}]}`):                                                                                                "Unsupported field in per_host_thresholds",
		with(`"upstream_bind_config":{"source_address":{"address":"foo","port_value":0}}`):                                                                                     "malformed IP address: foo",
		with(`"upstream_bind_config":{"extra_source_addresses":[{"address":{"address":"127.0.0.1","port_value":0}}]}`):                                                         "Cluster c's upstream binding config has extra/additional source addresses but no source_address. Extra/additional addresses cannot be specified if source_address is not set.",
		with(`"upstream_bind_config":{"source_address":{"address":"127.0.0.1","port_value":0},"extra_source_addresses":[{"address":{"address":"127.0.0.2","port_value":0}}]}`): "Cluster c's upstream binding config has two same IP version source addresses. Only two different IP version source addresses can be supported in BindConfig's source_address and extra_source_addresses/additional_source_addresses fields",
		with(`"upstream_bind_config":{"source_address":{"address":"127.0.0.1","port_value":0},"extra_source_addresses":[{"address":{"address":"::1","port_value":0}},{"address":{"address":"::2","port_value":0}}]}`):                     "Cluster c's upstream binding config has more than one extra/additional source addresses. Only one extra/additional source can be supported in BindConfig's extra_source_addresses/additional_source_addresses field",
		with(`"upstream_bind_config":{"source_address":{"address":"127.0.0.1","port_value":0},"extra_source_addresses":[{"address":{"address":"::1","port_value":0}}],"additional_source_addresses":[{"address":"::1","port_value":0}]}`): "Can't specify both `extra_source_addresses` and `additional_source_addresses` in the Cluster c's upstream binding config",
		bare(`"type":"STRICT_DNS","dns_failure_refresh_rate":{"base_interval":"5s","max_interval":"1s"},` + dnsHost("a")):                                                                                                                 "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval",
		bare(`"type":"STRICT_DNS","dns_resolvers":[{"pipe":{"path":"/x"}}],` + dnsHost("a")):                                                                                                                                              "DNS resolver '/x' is not an IP address",
		bare(`"type":"STRICT_DNS","typed_dns_resolver_config":{"name":"x",` + unknown + `},` + dnsHost("a")):                                                                                                                              "Didn't find a registered implementation for 'x' with type URL: 'xds.type.v3.TypedStruct'",
		with(`"transport_socket_matches":[{"name":"x","match":{}}]`):                                                                                                                                                                      "Didn't find a registered implementation for '' with type URL: ''",
		with(`"filters":[{"name":"x",` + unknown + `}]`):                                                                                                                                                                                  "Didn't find a registered implementation for 'x' with type URL: 'xds.type.v3.TypedStruct'",
		with(`"outlier_detection":{"max_ejection_time":"1s"}`):                                                                                                                                                                            "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
		with(`"health_checks":[{"timeout":"1s","interval":"1s","unhealthy_threshold":1,"healthy_threshold":1,"grpc_health_check":{}}]`):                                                                                                   "c cluster must support HTTP/2 for gRPC healthchecking",
		with(`"health_checks":[{"timeout":"1s","interval":"1s","unhealthy_threshold":1,"healthy_threshold":1,"http_health_check":{"path":"/","use_alpn_protocol":true}}]`):                                                                "use_alpn_protocol configured for the health check of cluster c which has a non-ALPN transport socket",
		with(`"health_checks":[{"timeout":"1s","interval":"1s","unhealthy_threshold":1,"healthy_threshold":1}]`):                                                                                                                          pgv + `ClusterValidationError.HealthChecks[0]: embedded message failed validation | caused by field: "health_checker", reason: is required)`,
		with(httpOpts(``)):                           pgv + `field: "upstream_protocol_options", reason: is required)`,
		with(httpOpts(`,"explicit_http_config":{}`)): pgv + `HttpProtocolOptionsValidationError.ExplicitHttpConfig: embedded message failed validation | caused by field: "protocol_config", reason: is required)`,
	} {
		if _, err := Compile(clusterProto(t, json), Options{}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", json, err, want)
		}
	}
}

func TestCompileNamesTheFieldsThatItDoesNotSupport(t *testing.T) {
	for json, field := range map[string]string{
		with(`"transport_socket_matcher":{}`):                                                                                      "Cluster.transport_socket_matcher",
		with(`"stats_matcher":{"reject_all":true}`):                                                                                "Cluster.stats_matcher",
		with(`"per_connection_buffer_high_watermark_timeout":"1s"`):                                                                "Cluster.per_connection_buffer_high_watermark_timeout",
		with(`"lrs_server":{"self":{}}`):                                                                                           "Cluster.lrs_server",
		with(`"preconnect_policy":{"predictive_preconnect_ratio":2}`):                                                              "preconnect_policy.predictive_preconnect_ratio",
		with(`"upstream_config":{"name":"x","typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}`):              "Cluster.upstream_config",
		bare(`"cluster_type":{"name":"envoy.clusters.dynamic_forward_proxy"}`):                                                     "envoy.clusters.dynamic_forward_proxy",
		with(httpOpts(`,"explicit_http_config":{"http3_protocol_options":{}}`)):                                                    "http3_protocol_options",
		with(httpOpts(`,"explicit_http_config":{"http_protocol_options":{}},"http_filters":[{"name":"x"}]`)):                       "http_filters",
		with(httpOpts(`,"explicit_http_config":{"http_protocol_options":{}},"retry_policy":{}`)):                                   "retry_policy",
		with(`"http2_protocol_options":{"custom_settings_parameters":[{"identifier":99,"value":1}]}`):                              "custom_settings_parameters",
		with(`"http2_protocol_options":{"disallow_obs_text":true}`):                                                                "disallow_obs_text",
		with(`"upstream_bind_config":{"source_address":{"address":"127.0.0.1","port_value":0,"network_namespace_filepath":"/x"}}`): "network_namespace_filepath",
	} {
		_, err := Compile(clusterProto(t, json), Options{})
		if err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("%s\ngot %v, want one that names %s", json, err, field)
		}
	}
}

func spec(t *testing.T, json string) *Spec {
	t.Helper()
	c, err := Compile(clusterProto(t, json), Options{})
	if err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	return c.Spec()
}

func TestProtocolOfTheClient(t *testing.T) {
	for _, c := range []struct {
		options      string
		http1, http2 pool.Protocol
	}{
		{`"connect_timeout":"1s"`, pool.HTTP1, pool.HTTP1},
		{`"http2_protocol_options":{}`, pool.HTTP2, pool.HTTP2},
		{`"protocol_selection":"USE_DOWNSTREAM_PROTOCOL"`, pool.HTTP1, pool.HTTP2},
		{httpOpts(`,"explicit_http_config":{"http_protocol_options":{}}`), pool.HTTP1, pool.HTTP1},
		{httpOpts(`,"explicit_http_config":{"http2_protocol_options":{}}`), pool.HTTP2, pool.HTTP2},
		{httpOpts(`,"use_downstream_protocol_config":{"http2_protocol_options":{}}`), pool.HTTP1, pool.HTTP2},
		{httpOpts(`,"use_downstream_protocol_config":{}`), pool.HTTP1, pool.HTTP1},
	} {
		s := spec(t, with(c.options))
		if a, b := s.HTTP.Choose(streaminfo.HTTP11), s.HTTP.Choose(streaminfo.HTTP2); a != c.http1 || b != c.http2 {
			t.Errorf("%s: %v %v", c.options, a, b)
		}
	}
}

func TestCompileDefaultsAndFields(t *testing.T) {
	s := spec(t, with(``))
	if s.ConnectTimeout != 5*time.Second || s.BufferLimit != 1<<20 || s.HTTP.IdleTimeout != time.Hour || s.HTTP.MaxHeadersBytes != 60<<10 || s.HTTP.MaxHeaders != 100 ||
		s.Breakers[0] != (Thresholds{1024, 1024, 1024, 3, 4294967295, nil, false}) || s.OverrideStatuses != lb.DefaultStatuses || s.Preconnect != 1 || s.HTTP.HTTP2.InitialStreamWindow != 16<<20 {
		t.Errorf("%+v", s)
	}
	s = spec(t, with(`"circuit_breakers":{"thresholds":[{"max_requests":7,"track_remaining":true,"retry_budget":{"budget_interval":"1s"}},{"max_requests":8},{"priority":"HIGH","max_retries":9}],"per_host_thresholds":[{"max_connections":5}]},
		"max_requests_per_connection":3,"common_http_protocol_options":{"idle_timeout":"0s","max_connection_duration":"9s","max_stream_duration":"2s"},
		"upstream_http_protocol_options":{"auto_sni":true,"override_auto_sni_header":"X-Sni"},
		"http_protocol_options":{"header_key_format":{"stateful_formatter":{"name":"p","typed_config":{"@type":"type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"}}}},
		"upstream_connection_options":{"tcp_keepalive":{"keepalive_time":7},"happy_eyeballs_config":{"first_address_family_version":"V4","first_address_family_count":2}},
		"track_cluster_stats":{"timeout_budgets":true},"connection_pool_per_downstream_connection":true,"common_lb_config":{"override_host_status":{"statuses":["DRAINING"]}}`))
	if s.Breakers[0].Requests != 7 || !s.Breakers[0].Track || s.Breakers[0].Budget.Percent != 20 || s.Breakers[0].Budget.Interval != time.Second || s.Breakers[1].Retries != 9 || s.HostConnections[0] != 5 ||
		s.HTTP.MaxRequests != 3 || s.HTTP.IdleTimeout != 0 || s.HTTP.MaxDuration != 9*time.Second || s.HTTP.MaxStreamDuration != 2*time.Second || !s.HTTP.AutoSNI || s.HTTP.SNIHeader != "x-sni" || !s.HTTP.HTTP1.KeepCase ||
		*s.Keepalive != (Keepalive{7 * time.Second, -1, -1}) || s.Eyeballs != (Eyeballs{V4Family, 2}) || !s.TrackTimeouts || !s.PerDownstream || s.OverrideStatuses != 1<<3 {
		t.Errorf("%+v", s)
	}
	s = spec(t, bare(`"cluster_type":{"name":"envoy.cluster.dns","typed_config":{"@type":"type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster","dns_refresh_rate":"3s","respect_dns_ttl":true,"dns_lookup_family":"V4_ONLY","dns_min_refresh_rate":"2s","dns_failure_refresh_rate":{"base_interval":"1s"},
		"typed_dns_resolver_config":{"name":"c","typed_config":{"@type":"type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig","resolvers":[{"socket_address":{"address":"1.2.3.4","port_value":53}}],"udp_max_queries":100}}}},`+dnsHost("a")))
	if s.DNS.Refresh != 3*time.Second || !s.DNS.RespectTTL || s.DNS.Family != dns.V4Only || s.DNS.MinTTL != 2*time.Second || s.DNS.FailureMax != 10*time.Second || s.DNS.Resolver.Servers[0].String() != "1.2.3.4:53" {
		t.Errorf("%+v", s.DNS)
	}
}

func TestRefsNameAssignmentAndSecrets(t *testing.T) {
	tls := `"transport_socket":{"name":"tls","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext","common_tls_context":{"tls_certificate_sds_secret_configs":[{"name":"default","sds_config":{"ads":{}}}]}}}`
	c, err := Compile(clusterProto(t, bare(`"type":"EDS","eds_cluster_config":{"service_name":"s","eds_config":{"ads":{},"initial_fetch_timeout":"0s"}},"transport_socket_matches":[{"name":"a","match":{},`+tls+`},{"name":"b","match":{},`+tls+`}]`)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	refs := c.Refs()
	if len(refs) != 2 || refs[0] != (xds.Ref{TypeURL: xds.EndpointURL, Name: "s"}) || refs[1].TypeURL != xds.SecretURL || refs[1].Name != "default" {
		t.Errorf("%+v", refs)
	}
}

func TestDecodedResourceKeepsItsBytesAlone(t *testing.T) {
	a, err := anypb.New(clusterProto(t, with(`"alt_stat_name":"alt;"`)))
	if err != nil {
		t.Fatal(err)
	}
	name, c, err := Type(Options{}).Decode(a)
	if err != nil || name != "c" || c.StatName() != "alt;" || c.Count.Total != 1 {
		t.Fatal(name, err)
	}
	if c.spec.Load() != nil {
		t.Error("the cluster was kept decoded")
	}
	if s := c.Spec(); s != c.Spec() || s.ConnectTimeout != 5*time.Second {
		t.Error("spec")
	}
}

func TestMeaningIsWhatConnectionsDependOn(t *testing.T) {
	of := func(json string) uint64 {
		c, err := Compile(clusterProto(t, json), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c.meaning
	}
	base := of(with(``))
	for _, same := range []string{`"lb_policy":"RANDOM"`, `"circuit_breakers":{"thresholds":[{"max_requests":1}]}`, `"outlier_detection":{}`, `"metadata":{"filter_metadata":{"a":{}}}`} {
		if of(with(same)) != base {
			t.Error(same)
		}
	}
	for _, other := range []string{`"connect_timeout":"1s"`, `"http2_protocol_options":{}`, httpOpts(`,"explicit_http_config":{"http_protocol_options":{}}`), `"upstream_connection_options":{"tcp_keepalive":{}}`, `"transport_socket_matches":[{"name":"a","match":{},"transport_socket":{"name":"r","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}]`} {
		if of(with(other)) == base {
			t.Error(other)
		}
	}
}
