package control

import (
	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	alpnpb "istio.io/api/envoy/config/filter/http/alpn/v2alpha1"
	statspb "istio.io/api/envoy/extensions/stats"
)

// Istio's own filters, which stock Envoy does not know: made if the mesh file says istio_filters.

type istioHTTPFilters struct{ first, alpn, stats []*hcmpb.HttpFilter }

func (m *mesh) istioHTTP(inbound bool) istioHTTPFilters {
	if !m.Settings.IstioFilters {
		return istioHTTPFilters{}
	}
	f := istioHTTPFilters{stats: []*hcmpb.HttpFilter{httpFilter("istio.stats", &statspb.PluginConfig{DisableHostHeaderFallback: inbound})}}
	directions := []string{"upstream_discovery", "upstream_propagation"}
	if inbound {
		directions = []string{"downstream_discovery", "downstream_propagation"}
	} else {
		f.alpn = []*hcmpb.HttpFilter{httpFilter("istio.alpn", alpnOverrides())}
	}
	headers, workloads := object("istio_headers", object("", nil)), object("workload_discovery", object("", nil))
	f.first = []*hcmpb.HttpFilter{httpFilter("istio.metadata_exchange", &udpapb.TypedStruct{
		TypeUrl: typePrefix + "io.istio.http.peer_metadata.Config",
		Value: &structpb.Struct{Fields: map[string]*structpb.Value{
			directions[0]: list(headers, workloads),
			directions[1]: list(headers),
		}},
	})}
	return f
}

func object(key string, value *structpb.Value) *structpb.Value {
	fields := map[string]*structpb.Value{}
	if key != "" {
		fields[key] = value
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

func list(values ...*structpb.Value) *structpb.Value {
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

// alpnOverrides make a request's protocol known to the other sidecar before it is sent.
func alpnOverrides() *alpnpb.FilterConfig {
	override := func(p alpnpb.FilterConfig_Protocol, names ...string) *alpnpb.FilterConfig_AlpnOverride {
		return &alpnpb.FilterConfig_AlpnOverride{UpstreamProtocol: p, AlpnOverride: names}
	}
	return &alpnpb.FilterConfig{AlpnOverride: []*alpnpb.FilterConfig_AlpnOverride{
		override(alpnpb.FilterConfig_HTTP10, "istio-http/1.0", "istio", "http/1.0"),
		override(alpnpb.FilterConfig_HTTP11, "istio-http/1.1", "istio", "http/1.1"),
		override(alpnpb.FilterConfig_HTTP2, "istio-h2", "istio", "h2"),
	}}
}

func exchange() *udpapb.TypedStruct {
	return &udpapb.TypedStruct{
		TypeUrl: typePrefix + "envoy.tcp.metadataexchange.config.MetadataExchange",
		Value: &structpb.Struct{Fields: map[string]*structpb.Value{
			"enable_discovery": structpb.NewBoolValue(true),
			"protocol":         structpb.NewStringValue("istio-peer-exchange"),
		}},
	}
}

func (m *mesh) metadataExchange() []*listenerpb.Filter {
	if !m.Settings.IstioFilters {
		return nil
	}
	return []*listenerpb.Filter{networkFilter("istio.metadata_exchange", exchange())}
}

func (m *mesh) istioTCPStats(inbound bool) []*listenerpb.Filter {
	if !m.Settings.IstioFilters {
		return nil
	}
	return []*listenerpb.Filter{networkFilter("istio.stats", &statspb.PluginConfig{DisableHostHeaderFallback: inbound})}
}

func (m *mesh) upstreamFilters() []*clusterpb.Filter {
	if !m.Settings.IstioFilters {
		return nil
	}
	return []*clusterpb.Filter{{Name: "istio.metadata_exchange", TypedConfig: packed(exchange())}}
}
