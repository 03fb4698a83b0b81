package lb

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	defaultPanic       = 50
	defaultMinCluster  = 6
	defaultMinRing     = 1024
	defaultMaxRing     = 8 << 20
	defaultTable       = 65537
	defaultChoices     = 2
	defaultMinWeight   = 10
	defaultBias        = 1
	defaultAggression  = 1
	maxMaglevTableSize = 5000011
)

// Compile compiles a cluster's load balancing: lb_policy with the messages beside it, or
// load_balancing_policy. The cluster has been validated. Error texts are Envoy's.
func Compile(p *clusterpb.Cluster) (*Config, error) {
	common := p.GetCommonLbConfig()
	var c *Config
	var err error
	if p.GetLoadBalancingPolicy() != nil || p.GetLbPolicy() == clusterpb.Cluster_LOAD_BALANCING_POLICY_CONFIG {
		c, err = compilePolicies(p)
	} else {
		c, err = compileLegacy(p)
	}
	if err != nil {
		return nil, err
	}
	c.setPanic(percent(common.GetHealthyPanicThreshold(), defaultPanic))
	return c, nil
}

// setPanic gives the threshold, which is the cluster's and not the policy's, to all levels.
func (c *Config) setPanic(threshold uint64) {
	for ; c != nil; c = c.Child {
		c.PanicThreshold = threshold
	}
}

func compilePolicies(p *clusterpb.Cluster) (*Config, error) {
	common := p.GetCommonLbConfig()
	switch {
	case p.GetLoadBalancingPolicy() == nil:
		return nil, errors.New("cluster: field load_balancing_policy need to be set")
	case p.GetLbSubsetConfig() != nil:
		return nil, errors.New("cluster: load_balancing_policy cannot be combined with lb_subset_config")
	case common.GetLocalityConfigSpecifier() != nil || common.GetConsistentHashingLbConfig() != nil:
		return nil, errors.New("cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config")
	}
	c, names, err := compileFirst(p.GetLoadBalancingPolicy())
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fmt.Errorf("cluster: didn't find a registered load balancer factory implementation for cluster: '%s' with names from [%s]", p.GetName(), strings.Join(names, ", "))
	}
	return c, nil
}

func compileLegacy(p *clusterpb.Cluster) (*Config, error) {
	common := p.GetCommonLbConfig()
	c := &Config{Locality: legacyLocality(common)}
	switch p.GetLbPolicy() {
	case clusterpb.Cluster_ROUND_ROBIN:
		c.SlowStart = compileSlowStart(p.GetRoundRobinLbConfig().GetSlowStartConfig())
	case clusterpb.Cluster_LEAST_REQUEST:
		l := p.GetLeastRequestLbConfig()
		c.Kind, c.SlowStart = LeastRequest, compileSlowStart(l.GetSlowStartConfig())
		c.LeastRequest = LeastRequestConfig{Choices: defaultChoices, Bias: double(l.GetActiveRequestBias(), defaultBias)}
		if n := l.GetChoiceCount(); n != nil {
			c.LeastRequest.Choices = int(n.GetValue())
		}
	case clusterpb.Cluster_RANDOM:
		c.Kind = Random
	case clusterpb.Cluster_RING_HASH:
		r := p.GetRingHashLbConfig()
		c.Kind = RingHash
		c.Hash = HashConfig{MinRing: defaultMinRing, MaxRing: defaultMaxRing, Murmur: r.GetHashFunction() == clusterpb.Cluster_RingHashLbConfig_MURMUR_HASH_2}
		if n := r.GetMinimumRingSize(); n != nil {
			c.Hash.MinRing = n.GetValue()
		}
		if n := r.GetMaximumRingSize(); n != nil {
			c.Hash.MaxRing = n.GetValue()
		}
	case clusterpb.Cluster_MAGLEV:
		c.Kind, c.Hash.Table = Maglev, defaultTable
		if n := p.GetMaglevLbConfig().GetTableSize(); n != nil {
			c.Hash.Table = n.GetValue()
		}
	case clusterpb.Cluster_CLUSTER_PROVIDED:
		c.Kind = ClusterProvided
	default:
		return nil, fmt.Errorf("field Cluster.lb_policy %v is not supported", p.GetLbPolicy())
	}
	if h := common.GetConsistentHashingLbConfig(); h != nil {
		c.Hash.UseHostname, c.Hash.BalanceFactor = h.GetUseHostnameForHashing(), h.GetHashBalanceFactor().GetValue()
	}
	if err := c.checkHash(); err != nil {
		return nil, err
	}
	return compileLegacySubset(p, c)
}

func legacyLocality(p *clusterpb.Cluster_CommonLbConfig) LocalityConfig {
	l := LocalityConfig{RoutingEnabled: 100, MinClusterSize: defaultMinCluster, Weighted: p.GetLocalityWeightedLbConfig() != nil}
	z := p.GetZoneAwareLbConfig()
	l.FailTrafficOnPanic = z.GetFailTrafficOnPanic()
	l.RoutingEnabled = percent(z.GetRoutingEnabled(), 100)
	if n := z.GetMinClusterSize(); n != nil {
		l.MinClusterSize = n.GetValue()
	}
	return l
}

// checkHash makes the checks that Envoy makes when it builds ring and table.
func (c *Config) checkHash() error {
	if c.Kind == RingHash && c.Hash.MinRing > c.Hash.MaxRing {
		return fmt.Errorf("ring hash: minimum_ring_size (%d) > maximum_ring_size (%d)", c.Hash.MinRing, c.Hash.MaxRing)
	}
	if c.Kind == Maglev && !prime(c.Hash.Table) {
		return errors.New("The table size of maglev must be prime number") //nolint:staticcheck // Envoy's text.
	}
	return nil
}

func prime(n uint64) bool {
	if n < 2 || n > maxMaglevTableSize {
		return false
	}
	for d := uint64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

// slowStart is both messages of that name.
type slowStart interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corepb.RuntimeDouble
	GetMinWeightPercent() *typepb.Percent
}

// compileSlowStart returns nil where there is no window.
func compileSlowStart(p slowStart) *SlowStart {
	window := p.GetSlowStartWindow().AsDuration()
	if window <= 0 {
		return nil
	}
	s := &SlowStart{Window: window, Aggression: double(p.GetAggression(), defaultAggression), MinWeight: defaultMinWeight / 100.0}
	if m := p.GetMinWeightPercent(); m != nil {
		s.MinWeight = m.GetValue() / 100
	}
	return s
}

func double(p *corepb.RuntimeDouble, def float64) Double {
	if p == nil {
		return Double{Default: def}
	}
	return Double{Default: p.GetDefaultValue(), Key: p.GetRuntimeKey()}
}

// percent is a Percent in whole percents.
func percent(p *typepb.Percent, def uint64) uint64 {
	if p == nil {
		return def
	}
	return uint64(math.Round(p.GetValue()))
}

func metadataKey(p *metadatapb.MetadataKey) *MetadataKey {
	if p == nil {
		return nil
	}
	return CompileMetadataKey(p)
}

// CompileMetadataKey compiles a path into metadata; Envoy's paths have keys alone.
func CompileMetadataKey(p *metadatapb.MetadataKey) *MetadataKey {
	k := &MetadataKey{Namespace: p.GetKey()}
	for _, s := range p.GetPath() {
		k.Path = append(k.Path, s.GetKey())
	}
	return k
}

func sortedKeys(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}
