package control

import (
	"math"
	"net/netip"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	carespb "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	httppb "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The clusters that every sidecar has.
const (
	passthrough        = "PassthroughCluster"
	inboundPassthrough = "InboundPassthroughCluster"
	blackHole          = "BlackHoleCluster"

	// inboundSource is the address from which a sidecar calls its application: the iptables rules let it
	// pass, and so a call is not led back to the sidecar.
	inboundSource = "127.0.0.6"
)

const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// outboundClusters makes the clusters and endpoints of a port of a service, its subsets' included.
func (m *mesh) outboundClusters(s *service, p *port) ([]resource, error) {
	var all []resource
	for i := -1; i < len(s.Subsets); i++ {
		var sub *subset
		if i >= 0 {
			sub = &s.Subsets[i]
		}
		c, err := m.outboundCluster(s, p, sub)
		if err != nil {
			return nil, err
		}
		add, err := m.generated(s.At, c)
		if err != nil {
			return nil, err
		}
		all = append(all, add...)
		if c.GetType() == clusterpb.Cluster_EDS {
			add, err = m.generated(s.At, m.assignment(s, p, sub, edsName(c)))
			if err != nil {
				return nil, err
			}
			all = append(all, add...)
		}
	}
	return all, nil
}

func (m *mesh) outboundCluster(s *service, p *port, sub *subset) (*clusterpb.Cluster, error) {
	name := outboundName(p.Port, sub.name(), s.Host)
	c := baseCluster(name)
	c.LbPolicy = clusterpb.Cluster_LEAST_REQUEST
	c.CommonLbConfig = &clusterpb.Cluster_CommonLbConfig{HealthyPanicThreshold: &typepb.Percent{}}
	c.Metadata = m.clusterMetadata(s, sub)
	if s.Discovery != "EDS" || s.inMesh(m.Settings.Domain) {
		c.TransportSocketMatches = m.upstreamTLS(s, p, sub)
	}
	c.Filters = m.upstreamFilters()
	m.discover(c, s, p, sub)
	options, err := m.httpOptions(p, s.HTTP, sub.http())
	if err != nil {
		return nil, err
	}
	c.TypedExtensionProtocolOptions = options
	for _, words := range []*node{s.Cluster, sub.cluster()} {
		if err := m.dec.lay(words, c, "name", "eds_cluster_config", "load_assignment", "type", "cluster_type"); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// baseCluster has what all clusters with traffic have.
func baseCluster(name string) *clusterpb.Cluster {
	unlimited := wrapperspb.UInt32(math.MaxUint32)
	return &clusterpb.Cluster{
		Name:           name,
		AltStatName:    name + ";",
		ConnectTimeout: durationpb.New(10 * time.Second),
		CircuitBreakers: &clusterpb.CircuitBreakers{Thresholds: []*clusterpb.CircuitBreakers_Thresholds{{
			MaxConnections: unlimited, MaxPendingRequests: unlimited, MaxRequests: unlimited, MaxRetries: unlimited,
		}}},
	}
}

// discover says where a cluster's hosts come from.
func (m *mesh) discover(c *clusterpb.Cluster, s *service, p *port, sub *subset) {
	kind := clusterpb.Cluster_DiscoveryType(clusterpb.Cluster_DiscoveryType_value[s.Discovery])
	c.ClusterDiscoveryType = &clusterpb.Cluster_Type{Type: kind}
	switch kind {
	case clusterpb.Cluster_EDS:
		c.EdsClusterConfig = &clusterpb.Cluster_EdsClusterConfig{EdsConfig: adsSource(), ServiceName: c.GetName()}
	case clusterpb.Cluster_ORIGINAL_DST:
		c.LbPolicy = clusterpb.Cluster_CLUSTER_PROVIDED
	case clusterpb.Cluster_STRICT_DNS, clusterpb.Cluster_LOGICAL_DNS:
		c.LoadAssignment = m.assignment(s, p, sub, c.GetName())
		c.DnsRefreshRate = durationpb.New(60 * time.Second)
		c.DnsJitter = durationpb.New(100 * time.Millisecond)
		c.RespectDnsTtl = true //nolint:staticcheck // what istiod sends.
		c.DnsLookupFamily = clusterpb.Cluster_V4_ONLY
		c.TypedDnsResolverConfig = &corepb.TypedExtensionConfig{
			Name:        "envoy.network.dns_resolver.cares",
			TypedConfig: packed(&carespb.CaresDnsResolverConfig{UdpMaxQueries: wrapperspb.UInt32(100)}),
		}
	case clusterpb.Cluster_STATIC:
		c.LoadAssignment = m.assignment(s, p, sub, c.GetName())
	}
}

// httpOptions are HttpProtocolOptions by a port's protocol, with the words of a service and a subset laid
// over them. istiod leaves them out where they would say just HTTP/1.1.
func (m *mesh) httpOptions(p *port, words ...*node) (map[string]*anypb.Any, error) {
	o, given := &httppb.HttpProtocolOptions{}, false
	for _, w := range words {
		if w == nil {
			continue
		}
		given = true
		if err := m.dec.lay(w, o); err != nil {
			return nil, err
		}
	}
	if o.GetUpstreamProtocolOptions() == nil {
		switch {
		case p.Protocol == protoHTTP2 || p.Protocol == protoGRPC:
			o.UpstreamProtocolOptions, given = explicitHTTP2(), true
		case p.Protocol == protoAuto:
			o.UpstreamProtocolOptions, given = useDownstream(), true
		default:
			o.UpstreamProtocolOptions = &httppb.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &httppb.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &httppb.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
						HttpProtocolOptions: &corepb.Http1ProtocolOptions{},
					},
				},
			}
		}
	}
	if !given || p.Protocol == protoTCP || p.Protocol == protoTLS {
		return nil, nil
	}
	for _, w := range words {
		if err := validate(o); err != nil {
			return nil, w.at(err)
		}
	}
	return map[string]*anypb.Any{httpOptionsName: packed(o)}, nil
}

func explicitHTTP2() *httppb.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &httppb.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httppb.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httppb.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
				Http2ProtocolOptions: &corepb.Http2ProtocolOptions{},
			},
		},
	}
}

func useDownstream() *httppb.HttpProtocolOptions_UseDownstreamProtocolConfig {
	return &httppb.HttpProtocolOptions_UseDownstreamProtocolConfig{
		UseDownstreamProtocolConfig: &httppb.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions:  &corepb.Http1ProtocolOptions{},
			Http2ProtocolOptions: &corepb.Http2ProtocolOptions{},
		},
	}
}

// commonClusters are the three that have no service.
func (m *mesh) commonClusters() []*clusterpb.Cluster {
	black := &clusterpb.Cluster{
		Name: blackHole, AltStatName: blackHole + ";", ConnectTimeout: durationpb.New(10 * time.Second),
		ClusterDiscoveryType: &clusterpb.Cluster_Type{Type: clusterpb.Cluster_STATIC},
	}
	out, in := originalDst(passthrough), originalDst(inboundPassthrough)
	out.Filters = m.upstreamFilters()
	in.UpstreamBindConfig = bindTo(inboundSource)
	for _, c := range []*clusterpb.Cluster{out, in} {
		c.AltStatName = passthrough + ";"
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: packed(&httppb.HttpProtocolOptions{
			CommonHttpProtocolOptions: &corepb.HttpProtocolOptions{IdleTimeout: durationpb.New(300 * time.Second)},
			UpstreamProtocolOptions:   useDownstream(),
		})}
	}
	return []*clusterpb.Cluster{black, in, out}
}

func originalDst(name string) *clusterpb.Cluster {
	c := baseCluster(name)
	c.ClusterDiscoveryType = &clusterpb.Cluster_Type{Type: clusterpb.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterpb.Cluster_CLUSTER_PROVIDED
	return c
}

func bindTo(address string) *corepb.BindConfig {
	return &corepb.BindConfig{SourceAddress: socketAddress(address, 0).GetSocketAddress()}
}

// inboundCluster leads from a sidecar to its application.
func (m *mesh) inboundCluster(w *workload, mode string, in inboundPort) (*clusterpb.Cluster, error) {
	name := inboundName(in.target)
	c := originalDst(name)
	c.CommonLbConfig = &clusterpb.Cluster_CommonLbConfig{}
	c.Metadata = m.clusterMetadata(in.service, nil)
	if mode == interceptNone {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(in.target))
		if app, ok := w.App[in.target]; ok {
			to = netip.MustParseAddrPort(app)
		}
		c.ClusterDiscoveryType = &clusterpb.Cluster_Type{Type: clusterpb.Cluster_STATIC}
		c.LbPolicy = clusterpb.Cluster_ROUND_ROBIN
		c.LoadAssignment = &endpointpb.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointpb.LocalityLbEndpoints{{
			LbEndpoints: []*endpointpb.LbEndpoint{lbEndpoint(to.Addr().String(), uint32(to.Port()))},
		}}}
	} else {
		// The hosts of an original destination are the application's own addresses: they never go stale.
		c.CleanupInterval = durationpb.New(9223372035 * time.Second)
		c.UpstreamBindConfig = bindTo(inboundSource)
	}
	options, err := m.httpOptions(in.port)
	c.TypedExtensionProtocolOptions = options
	return c, err
}

// clusterMetadata says which services a cluster stands for, as Istio's telemetry reads it.
func (m *mesh) clusterMetadata(s *service, sub *subset) *corepb.Metadata {
	fields := map[string]*structpb.Value{
		"services": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
			structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
				"host":      structpb.NewStringValue(s.Host),
				"name":      structpb.NewStringValue(s.Name),
				"namespace": structpb.NewStringValue(s.Namespace),
			}}),
		}}),
	}
	if sub != nil {
		fields["subset"] = structpb.NewStringValue(sub.Name)
	}
	if !s.inMesh(m.Settings.Domain) {
		fields["external"] = structpb.NewBoolValue(true)
	}
	return &corepb.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": {Fields: fields}}}
}

// A nil subset is the whole service.
func (s *subset) name() string {
	if s == nil {
		return ""
	}
	return s.Name
}

func (s *subset) cluster() *node {
	if s == nil {
		return nil
	}
	return s.Cluster
}

func (s *subset) http() *node {
	if s == nil {
		return nil
	}
	return s.HTTP
}
