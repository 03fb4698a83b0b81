package lb

import (
	"errors"
	"fmt"
	"strings"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	clientpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3"
	providedpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3"
	commonpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	overridepb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/override_host/v3"
	randompb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	subsetpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
	wrrpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// unsupported are policies that Envoy has and this proxy has not: they are refused, and not passed over
// for the next in the list, which would be another behaviour than the one that was asked for.
const unsupported = "envoy.extensions.load_balancing_policies."

// compileFirst compiles the first policy of a list that is known; nil if none is, with the names.
func compileFirst(p *clusterpb.LoadBalancingPolicy) (c *Config, names []string, err error) {
	for _, policy := range p.GetPolicies() {
		t := policy.GetTypedExtensionConfig()
		if t == nil {
			continue
		}
		c, err := compileTyped(t.GetTypedConfig())
		if c != nil || err != nil {
			return c, nil, err
		}
		if url := t.GetTypedConfig().GetTypeUrl(); strings.Contains(url, unsupported) {
			return nil, nil, fmt.Errorf("load balancing policy %s (%s) is not supported", t.GetName(), url)
		}
		names = append(names, t.GetName())
	}
	return nil, names, nil
}

// compileTyped returns nil, nil for a type that is not known.
func compileTyped(a *anypb.Any) (*Config, error) {
	switch a.GetTypeUrl() {
	case url(&roundpb.RoundRobin{}):
		return typed(a, &roundpb.RoundRobin{}, compileRoundRobin)
	case url(&leastpb.LeastRequest{}):
		return typed(a, &leastpb.LeastRequest{}, compileLeastRequest)
	case url(&randompb.Random{}):
		return typed(a, &randompb.Random{}, compileRandom)
	case url(&ringpb.RingHash{}):
		return typed(a, &ringpb.RingHash{}, compileRingHash)
	case url(&maglevpb.Maglev{}):
		return typed(a, &maglevpb.Maglev{}, compileMaglev)
	case url(&providedpb.ClusterProvided{}):
		return &Config{Kind: ClusterProvided}, nil
	case url(&subsetpb.Subset{}):
		return typed(a, &subsetpb.Subset{}, compileSubset)
	case url(&overridepb.OverrideHost{}):
		return typed(a, &overridepb.OverrideHost{}, compileOverride)
	case url(&wrrpb.WrrLocality{}):
		return typed(a, &wrrpb.WrrLocality{}, compileWRRLocality)
	case url(&clientpb.ClientSideWeightedRoundRobin{}):
		return typed(a, &clientpb.ClientSideWeightedRoundRobin{}, compileClientWeighted)
	}
	return nil, nil
}

func url(m proto.Message) string {
	return "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())
}

// typed unpacks a policy. Envoy checks the messages' constraints in few of them, and so do we: checked
// is called where a constraint keeps us from harm, or where Envoy does.
func typed[M proto.Message](a *anypb.Any, m M, compile func(M) (*Config, error)) (*Config, error) {
	if err := a.UnmarshalTo(m); err != nil {
		return nil, fmt.Errorf("Unable to unpack as %s: %w", m.ProtoReflect().Descriptor().FullName(), err) //nolint:staticcheck // Envoy's text.
	}
	return compile(m)
}

func checked(m interface{ Validate() error }) error {
	if err := m.Validate(); err != nil {
		return endpoint.Constraint(err)
	}
	return nil
}

func compileRoundRobin(p *roundpb.RoundRobin) (*Config, error) {
	return &Config{SlowStart: compileSlowStart(p.GetSlowStartConfig()), Locality: typedLocality(p.GetLocalityLbConfig())}, nil
}

func compileLeastRequest(p *leastpb.LeastRequest) (*Config, error) {
	c := &Config{Kind: LeastRequest, SlowStart: compileSlowStart(p.GetSlowStartConfig()), Locality: typedLocality(p.GetLocalityLbConfig())}
	c.LeastRequest = LeastRequestConfig{
		Choices: defaultChoices, Bias: double(p.GetActiveRequestBias(), defaultBias),
		FullScan: p.GetSelectionMethod() == leastpb.LeastRequest_FULL_SCAN,
	}
	if n := p.GetChoiceCount(); n != nil {
		c.LeastRequest.Choices = int(max(n.GetValue(), 1))
	}
	return c, nil
}

func compileRandom(p *randompb.Random) (*Config, error) {
	return &Config{Kind: Random, Locality: typedLocality(p.GetLocalityLbConfig())}, nil
}

func compileRingHash(p *ringpb.RingHash) (*Config, error) {
	if err := checked(p); err != nil {
		return nil, err
	}
	c := &Config{Kind: RingHash, Hash: HashConfig{
		MinRing: defaultMinRing, MaxRing: defaultMaxRing, Murmur: p.GetHashFunction() == ringpb.RingHash_MURMUR_HASH_2,
		UseHostname: p.GetUseHostnameForHashing(), BalanceFactor: p.GetHashBalanceFactor().GetValue(),
	}}
	if n := p.GetMinimumRingSize(); n != nil {
		c.Hash.MinRing = n.GetValue()
	}
	if n := p.GetMaximumRingSize(); n != nil {
		c.Hash.MaxRing = n.GetValue()
	}
	c.Locality.Weighted = p.GetLocalityWeightedLbConfig() != nil
	return c.consistent(p.GetConsistentHashingLbConfig())
}

func compileMaglev(p *maglevpb.Maglev) (*Config, error) {
	if err := checked(p); err != nil {
		return nil, err
	}
	c := &Config{Kind: Maglev, Hash: HashConfig{Table: defaultTable}}
	if n := p.GetTableSize(); n != nil {
		c.Hash.Table = n.GetValue()
	}
	c.Locality.Weighted = p.GetLocalityWeightedLbConfig() != nil
	return c.consistent(p.GetConsistentHashingLbConfig())
}

// consistent takes over ConsistentHashingLbConfig, which wins over the older fields.
func (c *Config) consistent(p *commonpb.ConsistentHashingLbConfig) (*Config, error) {
	if len(p.GetHashPolicy()) > 0 {
		return nil, errors.New("field ConsistentHashingLbConfig.hash_policy is not supported")
	}
	if p != nil {
		c.Hash.UseHostname, c.Hash.BalanceFactor = p.GetUseHostnameForHashing(), p.GetHashBalanceFactor().GetValue()
	}
	return c, c.checkHash()
}

func typedLocality(p *commonpb.LocalityLbConfig) LocalityConfig {
	l := LocalityConfig{RoutingEnabled: 100, MinClusterSize: defaultMinCluster, Weighted: p.GetLocalityWeightedLbConfig() != nil}
	z := p.GetZoneAwareLbConfig()
	l.FailTrafficOnPanic = z.GetFailTrafficOnPanic()
	l.RoutingEnabled = percent(z.GetRoutingEnabled(), 100)
	if n := z.GetMinClusterSize(); n != nil {
		l.MinClusterSize = n.GetValue()
	}
	if z.GetForceLocalityDirectRouting() { //nolint:staticcheck // The deprecated field still counts.
		l.ForceLocal = 1
	}
	if f := z.GetForceLocalZone(); f != nil {
		l.ForceLocal = 1
		if n := f.GetMinSize(); n != nil {
			l.ForceLocal = max(n.GetValue(), 1)
		}
	}
	l.ByWeight = z.GetLocalityBasis() == commonpb.LocalityLbConfig_ZoneAwareLbConfig_HEALTHY_HOSTS_WEIGHT
	return l
}

func compileWRRLocality(p *wrrpb.WrrLocality) (*Config, error) {
	c, _, err := compileFirst(p.GetEndpointPickingPolicy())
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, errors.New("No supported endpoint picking policy.") //nolint:staticcheck,revive // Envoy's text.
	case c.Kind != ClientWeighted:
		return nil, errors.New("Currently WrrLocalityLoadBalancer only supports ClientSideWeightedRoundRobinLoadBalancer as its endpoint picking policy.") //nolint:staticcheck,revive // Envoy's text.
	}
	c.Locality.Weighted = true
	return c, nil
}

func compileClientWeighted(p *clientpb.ClientSideWeightedRoundRobin) (*Config, error) {
	if p.GetEnableOobLoadReport().GetValue() {
		return nil, errors.New("field ClientSideWeightedRoundRobin.enable_oob_load_report is not supported")
	}
	// oob_reporting_period and oob_reporting_config count with enable_oob_load_report alone.
	c := &ClientConfig{
		Blackout:     duration(p.GetBlackoutPeriod(), 10*time.Second),
		Expiration:   duration(p.GetWeightExpirationPeriod(), 3*time.Minute),
		Update:       max(duration(p.GetWeightUpdatePeriod(), time.Second), 100*time.Millisecond),
		ErrorPenalty: 1, Metrics: p.GetMetricNamesForComputingUtilization(),
	}
	if e := p.GetErrorUtilizationPenalty(); e != nil {
		c.ErrorPenalty = float64(e.GetValue())
	}
	return &Config{Kind: ClientWeighted, Client: c, SlowStart: compileSlowStart(p.GetSlowStartConfig()), Locality: LocalityConfig{RoutingEnabled: 100, MinClusterSize: defaultMinCluster}}, nil
}

func compileOverride(p *overridepb.OverrideHost) (*Config, error) {
	if err := checked(p); err != nil {
		return nil, err
	}
	c := &Config{Kind: OverrideHost, SelectedKey: metadataKey(p.GetSelectedHostKey())}
	for _, s := range p.GetOverrideHostSources() {
		switch {
		case s.GetHeader() == "" && s.GetMetadata() == nil:
			return nil, errors.New("Empty override source") //nolint:staticcheck // Envoy's text.
		case s.GetHeader() != "" && s.GetMetadata() != nil:
			return nil, errors.New("Only one override source must be set") //nolint:staticcheck // Envoy's text.
		}
		c.Sources = append(c.Sources, Source{Header: strings.ToLower(s.GetHeader()), Metadata: metadataKey(s.GetMetadata())})
	}
	child, names, err := compileFirst(p.GetFallbackPolicy())
	if err != nil {
		return nil, err
	}
	if child == nil {
		return nil, fmt.Errorf("dynamic forwarding LB: didn't find a registered fallback load balancer factory with names from %s", strings.Join(names, ", "))
	}
	c.Child = child
	return c, nil
}

func duration(d *durationpb.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.AsDuration()
}
