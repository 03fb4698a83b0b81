package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/xds"
)

const (
	defaultConnectTimeout = 5 * time.Second
	defaultBufferLimit    = 1 << 20
	defaultCleanup        = 5 * time.Second
)

// compile compiles p twice over: what is kept of it, and the whole.
func compile(p *clusterpb.Cluster, o *Options) (*Config, *Spec, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, endpoint.Constraint(err)
	}
	if err := unsupported(p); err != nil {
		return nil, nil, err
	}
	c := &Config{Name: p.GetName(), AltStatName: p.GetAltStatName(), options: o}
	s := &Spec{ConnectTimeout: defaultConnectTimeout, BufferLimit: defaultBufferLimit, Metadata: endpoint.Metadata(p.GetMetadata()), WaitForWarm: true}
	for _, step := range []func(*clusterpb.Cluster, *Config, *Spec) error{
		compileDiscovery, compileBalancing, compileBreakers, compileHTTP, compileTransports, compileConnections, compileHealth,
	} {
		if err := step(p, c, s); err != nil {
			return nil, nil, err
		}
	}
	c.meaning = meaning(p)
	c.outlier, c.timeouts, c.sizes = s.Outlier != nil, s.TrackTimeouts, s.TrackSizes
	return c, s, nil
}

// unsupported refuses by name what would change behaviour and is not done.
func unsupported(p *clusterpb.Cluster) error {
	refuse := func(field string) error { return fmt.Errorf("field Cluster.%s is not supported", field) }
	switch {
	case p.GetTransportSocketMatcher() != nil:
		return refuse("transport_socket_matcher")
	case p.GetStatsMatcher() != nil:
		return refuse("stats_matcher")
	case p.GetPerConnectionBufferHighWatermarkTimeout().AsDuration() > 0:
		return refuse("per_connection_buffer_high_watermark_timeout")
	case p.GetLrsServer() != nil:
		return refuse("lrs_server")
	case p.GetQueuingPolicies().GetPendingRqPolicy() != nil:
		return refuse("queuing_policies.pending_rq_policy")
	case p.GetPreconnectPolicy().GetPredictivePreconnectRatio().GetValue() > 1:
		return refuse("preconnect_policy.predictive_preconnect_ratio")
	case p.GetPreconnectPolicy().GetPreconnectEnabledMetadata() != nil:
		return refuse("preconnect_policy.preconnect_enabled_metadata")
	}
	// lrs_report_endpoint_metrics counts with lrs_server alone.
	if u := p.GetUpstreamConfig(); u != nil {
		switch u.GetTypedConfig().GetTypeUrl() {
		case "type.googleapis.com/envoy.extensions.upstreams.http.generic.v3.GenericConnectionPoolProto",
			"type.googleapis.com/envoy.extensions.upstreams.tcp.generic.v3.GenericConnectionPoolProto":
		default:
			return fmt.Errorf("field Cluster.upstream_config (%s) is not supported", u.GetName())
		}
	}
	return nil
}

func compileBalancing(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	common := p.GetCommonLbConfig()
	if common.GetConsistentHashingLbConfig().GetUseHostnameForHashing() && c.Discovery != StrictDNS {
		return fmt.Errorf("Cannot use hostname for consistent hashing loadbalancing for cluster of type: '%s'", c.Discovery) //nolint:staticcheck // Envoy's text.
	}
	if s.LB, err = lb.Compile(p); err != nil {
		return err
	}
	provided := c.Discovery == OriginalDst || c.Discovery == Aggregate
	switch {
	case provided && s.LB.Kind != lb.ClusterProvided:
		return fmt.Errorf("cluster manager: cluster provided LB not specified but cluster '%s' provided one. Check cluster documentation.", c.Name) //nolint:staticcheck,revive // Envoy's text.
	case !provided && s.LB.Kind == lb.ClusterProvided:
		return fmt.Errorf("cluster manager: cluster provided LB specified but cluster '%s' did not provide one. Check cluster documentation.", c.Name) //nolint:staticcheck,revive // Envoy's text.
	}
	// update_merge_window: health and weight updates are applied at once here, which is never later than
	// Envoy does.
	s.IgnoreNewHosts = common.GetIgnoreNewHostsUntilFirstHc()
	s.CloseOnHostChange = common.GetCloseConnectionsOnHostSetChange()
	s.OverrideStatuses = lb.DefaultStatuses
	if set := common.GetOverrideHostStatus(); set != nil {
		s.OverrideStatuses = 0
		for _, status := range set.GetStatuses() {
			s.OverrideStatuses |= 1 << status
		}
	}
	return nil
}

func compileHealth(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	if s.HealthChecks, err = health.CompileChecks(p.GetHealthChecks()); err != nil {
		return err
	}
	for _, h := range s.HealthChecks {
		if h.GRPC != nil && !s.HTTP.AllowHTTP2 {
			return fmt.Errorf("%s cluster must support HTTP/2 for gRPC healthchecking", c.Name)
		}
		if h.HTTP != nil && p.GetHealthChecks()[0].GetHttpHealthCheck().GetUseAlpnProtocol() && !s.secure() {
			return fmt.Errorf("use_alpn_protocol configured for the health check of cluster %s which has a non-ALPN transport socket", c.Name)
		}
	}
	if s.Outlier, err = health.CompileOutlier(p.GetOutlierDetection()); err != nil {
		return err
	}
	s.CloseOnHealthFailure, s.IgnoreHealthOnRemoval = p.GetCloseConnectionsOnHostHealthFailure(), p.GetIgnoreHealthOnHostRemoval()
	c.Eager = c.Eager || len(s.HealthChecks) > 0
	return nil
}

// secure tells whether all of the cluster's transport sockets are encrypted, and so know ALPN.
func (s *Spec) secure() bool {
	for i := range s.Matches {
		if !s.Matches[i].Transport.Secure() {
			return false
		}
	}
	return s.Transport.Secure()
}

// addRefs adds what a transport socket needs, each once.
func (c *Config) addRefs(refs []xds.Ref) {
	for _, r := range refs {
		if !slices.Contains(c.refs, r) {
			c.refs = append(c.refs, r)
		}
	}
}

// meaning digests what a connection depends on.
func meaning(p *clusterpb.Cluster) uint64 {
	part := &clusterpb.Cluster{
		TransportSocket: p.GetTransportSocket(), TransportSocketMatches: p.GetTransportSocketMatches(),
		ConnectTimeout: p.GetConnectTimeout(), PerConnectionBufferLimitBytes: p.GetPerConnectionBufferLimitBytes(),
		MaxRequestsPerConnection:    p.GetMaxRequestsPerConnection(),    //nolint:staticcheck // The deprecated fields still count.
		UpstreamHttpProtocolOptions: p.GetUpstreamHttpProtocolOptions(), //nolint:staticcheck // As above.
		CommonHttpProtocolOptions:   p.GetCommonHttpProtocolOptions(),   //nolint:staticcheck // As above.
		HttpProtocolOptions:         p.GetHttpProtocolOptions(),         //nolint:staticcheck // As above.
		Http2ProtocolOptions:        p.GetHttp2ProtocolOptions(),        //nolint:staticcheck // As above.
		ProtocolSelection:           p.GetProtocolSelection(),           //nolint:staticcheck // As above.
		UpstreamBindConfig:          p.GetUpstreamBindConfig(), UpstreamConnectionOptions: p.GetUpstreamConnectionOptions(),
		Filters: p.GetFilters(), PreconnectPolicy: p.GetPreconnectPolicy(),
		AltStatName: p.GetAltStatName(), ConnectionPoolPerDownstreamConnection: p.GetConnectionPoolPerDownstreamConnection(),
	}
	part.CircuitBreakers = &clusterpb.CircuitBreakers{PerHostThresholds: p.GetCircuitBreakers().GetPerHostThresholds()}
	for _, t := range p.GetCircuitBreakers().GetThresholds() {
		// Of the rest only the numbers matter, and those may change.
		if !t.GetTrackRemaining() && t.GetRetryBudget() == nil {
			continue
		}
		part.CircuitBreakers.Thresholds = append(part.CircuitBreakers.Thresholds, &clusterpb.CircuitBreakers_Thresholds{
			Priority: t.GetPriority(), TrackRemaining: t.GetTrackRemaining(), RetryBudget: t.GetRetryBudget(),
		})
	}
	part.ClusterDiscoveryType = p.GetClusterDiscoveryType()
	if _, custom := p.GetClusterDiscoveryType().(*clusterpb.Cluster_ClusterType); custom {
		part.ClusterDiscoveryType = nil // what connections see of a custom type is its hosts
	}
	h := xxhash.New()
	write := func(m proto.Message) {
		// The message has come off the wire, so that it can be written again.
		b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		_, _ = h.Write(b)
	}
	write(part)
	for _, k := range slices.Sorted(maps.Keys(p.GetTypedExtensionProtocolOptions())) {
		_, _ = h.WriteString(k)
		write(p.GetTypedExtensionProtocolOptions()[k])
	}
	return h.Sum64()
}

// unpack unpacks and checks an extension's configuration.
func unpack(a *anypb.Any, m interface {
	proto.Message
	Validate() error
}) error {
	if err := a.UnmarshalTo(m); err != nil {
		return fmt.Errorf("Unable to unpack as %s: %w", m.ProtoReflect().Descriptor().FullName(), err) //nolint:staticcheck // Envoy's text.
	}
	if err := m.Validate(); err != nil {
		return endpoint.Constraint(err)
	}
	return nil
}

// unregistered is Envoy's text for an extension that does not exist.
func unregistered(t *corepb.TypedExtensionConfig) error {
	return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", t.GetName(), typeName(t.GetTypedConfig())) //nolint:staticcheck // Envoy's text.
}

func duration(d *durationpb.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.AsDuration()
}
