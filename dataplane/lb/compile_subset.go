package lb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	subsetpb "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
)

// compileLegacySubset puts lb_subset_config over c, if there is one with selectors.
func compileLegacySubset(p *clusterpb.Cluster, c *Config) (*Config, error) {
	s := p.GetLbSubsetConfig()
	if len(s.GetSubsetSelectors()) == 0 {
		return c, nil
	}
	if c.Kind == ClusterProvided {
		return nil, errors.New("cluster: LB policy CLUSTER_PROVIDED cannot be combined with lb_subset_config")
	}
	if s.GetLocalityWeightAware() && !c.Locality.Weighted {
		return nil, fmt.Errorf("Locality weight aware subset LB requires that a locality_weighted_lb_config be set in %s", p.GetName()) //nolint:staticcheck // Envoy's text.
	}
	out := &SubsetConfig{
		Fallback: policyFallback(int32(s.GetFallbackPolicy())), Default: s.GetDefaultSubset().GetFields(),
		WeightAware: s.GetLocalityWeightAware(), ScaleWeight: s.GetScaleLocalityWeight(), PanicAny: s.GetPanicModeAny(), ListAsAny: s.GetListAsAny(),
		FallbackList: s.GetMetadataFallbackPolicy() == clusterpb.Cluster_LbSubsetConfig_FALLBACK_LIST,
	}
	for _, x := range s.GetSubsetSelectors() {
		if err := out.add(x.GetKeys(), x.GetSingleHostPerSubset(), int32(x.GetFallbackPolicy()), x.GetFallbackKeysSubset()); err != nil {
			return nil, err
		}
	}
	return &Config{Kind: Subset, Subset: out, Child: c}, nil
}

func compileSubset(p *subsetpb.Subset) (*Config, error) {
	child, names, err := compileFirst(p.GetSubsetLbPolicy())
	if err != nil {
		return nil, err
	}
	if child == nil {
		return nil, fmt.Errorf("cluster: didn't find a registered load balancer factory implementation for subset lb with names from [%s]", strings.Join(names, ", "))
	}
	if err := checked(p); err != nil {
		return nil, err
	}
	out := &SubsetConfig{
		Fallback: policyFallback(int32(p.GetFallbackPolicy())), Default: p.GetDefaultSubset().GetFields(),
		WeightAware: p.GetLocalityWeightAware(), ScaleWeight: p.GetScaleLocalityWeight(), PanicAny: p.GetPanicModeAny(), ListAsAny: p.GetListAsAny(),
		RedundantKeys: p.GetAllowRedundantKeys(), FallbackList: p.GetMetadataFallbackPolicy() == subsetpb.Subset_FALLBACK_LIST,
	}
	for _, x := range p.GetSubsetSelectors() {
		if err := out.add(x.GetKeys(), x.GetSingleHostPerSubset(), int32(x.GetFallbackPolicy()), x.GetFallbackKeysSubset()); err != nil {
			return nil, err
		}
	}
	return &Config{Kind: Subset, Subset: out, Child: child}, nil
}

// policyFallback maps LbSubsetFallbackPolicy, whose numbers both messages share.
func policyFallback(n int32) SubsetFallback {
	return [...]SubsetFallback{FallbackNone, FallbackAny, FallbackDefault}[n]
}

// add adds a selector. fallback is an LbSubsetSelectorFallbackPolicy, whose numbers both messages share.
func (s *SubsetConfig) add(keys []string, single bool, fallback int32, fallbackKeys []string) error {
	sel := SubsetSelector{
		Keys: sortedKeys(keys), Single: single, FallbackKeys: sortedKeys(fallbackKeys),
		Fallback: [...]SubsetFallback{FallbackUndefined, FallbackNone, FallbackAny, FallbackDefault, FallbackKeys}[fallback],
	}
	if sel.Fallback != FallbackKeys {
		if len(fallbackKeys) > 0 {
			return errors.New("fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy")
		}
		s.Selectors = append(s.Selectors, sel)
		return nil
	}
	if len(fallbackKeys) == 0 {
		return errors.New("fallback_keys_subset cannot be empty")
	}
	for _, k := range sel.FallbackKeys {
		if !slices.Contains(sel.Keys, k) {
			return errors.New("fallback_keys_subset must be a subset of selector keys")
		}
	}
	if len(sel.FallbackKeys) == len(sel.Keys) {
		return errors.New("fallback_keys_subset cannot be equal to keys")
	}
	s.Selectors = append(s.Selectors, sel)
	return nil
}
