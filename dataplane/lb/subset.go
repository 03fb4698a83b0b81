package lb

import (
	"math"
	"slices"
	"sync"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// SubsetFallback is what serves a request that has no subset.
type SubsetFallback uint8

// The fallbacks. FallbackUndefined leaves it to the policy, FallbackKeys tries fewer keys.
const (
	FallbackUndefined SubsetFallback = iota
	FallbackNone
	FallbackAny
	FallbackDefault
	FallbackKeys
)

// SubsetConfig is lb_subset_config. It is immutable.
type SubsetConfig struct {
	Fallback      SubsetFallback // of the policy
	Default       map[string]*structpb.Value
	Selectors     []SubsetSelector
	WeightAware   bool // locality_weight_aware
	ScaleWeight   bool // scale_locality_weight
	PanicAny      bool
	ListAsAny     bool
	RedundantKeys bool // allow_redundant_keys
	FallbackList  bool // metadata_fallback_policy
}

// SubsetSelector makes a subset of each combination of its keys' values.
type SubsetSelector struct {
	Keys         []string // sorted
	Single       bool     // single_host_per_subset
	Fallback     SubsetFallback
	FallbackKeys []string // sorted
}

// subset picks from the hosts whose metadata is as a request wants it.
type subset struct {
	config *SubsetConfig
	child  *Config
	env    *Env
	set    *endpoint.HostSet
	// root is the first level of keys of subsets.
	root node
	// named are the subsets by their keys and values, for the stats.
	named map[string]struct{}
	// byAny and byDefault are made on first use.
	byAny, byDefault *members
}

// node is a level of the tree of subsets: one key after the other, sorted. It is immutable once built.
type node struct {
	keys map[string]map[string]*node // key → value → next level
	// hosts are the subset's that ends here; nil: none does.
	hosts *members
}

// members are the hosts of one subset; its load balancer is made on first use.
type members struct {
	hosts map[*endpoint.Host]struct{} // nil: all
	once  sync.Once
	lb    LoadBalancer // guarded by once
}

func newSubset(c *Config, e *Env, set *endpoint.HostSet, old LoadBalancer) *subset {
	s := &subset{config: c.Subset, child: c.Child, env: e, set: set, named: map[string]struct{}{}}
	s.byAny = &members{}
	s.byDefault = &members{hosts: map[*endpoint.Host]struct{}{}}
	duplicates := uint64(0)
	for _, h := range set.Hosts {
		fields := h.Endpoint().Metadata[endpoint.LBMetadata].GetFields()
		if s.isDefault(fields) {
			s.byDefault.hosts[h] = struct{}{}
		}
		for i := range c.Subset.Selectors {
			duplicates += s.place(h, fields, &c.Subset.Selectors[i])
		}
	}
	s.count(old, duplicates)
	return s
}

func (s *subset) isDefault(fields map[string]*structpb.Value) bool {
	for k, want := range s.config.Default {
		if !slices.Contains(s.values(fields[k]), ValueKey(want)) {
			return false
		}
	}
	return true
}

// values are the texts of a host's value for one key: a list is all of its elements under list_as_any.
func (s *subset) values(v *structpb.Value) []string {
	if v == nil {
		return nil
	}
	if l, ok := v.GetKind().(*structpb.Value_ListValue); ok && s.config.ListAsAny {
		out := make([]string, 0, len(l.ListValue.GetValues()))
		for _, e := range l.ListValue.GetValues() {
			out = append(out, ValueKey(e))
		}
		return out
	}
	return []string{ValueKey(v)}
}

// place puts h into the subsets that a selector makes of its metadata, and returns how many of them,
// which may have but one host, had one already.
func (s *subset) place(h *endpoint.Host, fields map[string]*structpb.Value, by *SubsetSelector) (duplicates uint64) {
	values := make([][]string, len(by.Keys))
	for i, k := range by.Keys {
		if values[i] = s.values(fields[k]); len(values[i]) == 0 {
			return 0
		}
	}
	var walk func(n *node, i int, name string)
	walk = func(n *node, i int, name string) {
		if i < len(by.Keys) {
			for _, v := range values[i] {
				walk(n.next(by.Keys[i], v), i+1, name+by.Keys[i]+"="+v+";")
			}
			return
		}
		if n.hosts == nil {
			n.hosts = &members{hosts: map[*endpoint.Host]struct{}{}}
		}
		if by.Single && len(n.hosts.hosts) > 0 {
			duplicates++
			return
		}
		n.hosts.hosts[h] = struct{}{}
		s.named[name] = struct{}{}
	}
	if len(by.Keys) > 0 {
		walk(&s.root, 0, "")
	}
	return duplicates
}

func (n *node) next(key, value string) *node {
	if n.keys == nil {
		n.keys = map[string]map[string]*node{}
	}
	if n.keys[key] == nil {
		n.keys[key] = map[string]*node{}
	}
	if n.keys[key][value] == nil {
		n.keys[key][value] = &node{}
	}
	return n.keys[key][value]
}

// count brings the stats up to date with the subsets that came and went.
func (s *subset) count(old LoadBalancer, duplicates uint64) {
	var before map[string]struct{}
	if o, ok := old.(*subset); ok {
		before = o.named
	}
	for name := range s.named {
		if _, ok := before[name]; !ok {
			s.env.Stats.SubsetsCreated.Inc(0)
		}
	}
	for name := range before {
		if _, ok := s.named[name]; !ok {
			s.env.Stats.SubsetsRemoved.Inc(0)
		}
	}
	s.env.Stats.SubsetsActive.Set(uint64(len(s.named)))
	if s.env.Scope != nil {
		s.env.Scope.Gauge("lb_subsets_single_host_per_subset_duplicate").Set(duplicates)
	}
}

// balancer makes the subset's load balancer.
func (s *subset) balancer(m *members) LoadBalancer {
	m.once.Do(func() {
		set := s.set.Filter(func(h *endpoint.Host) bool {
			_, ok := m.hosts[h]
			return ok || m.hosts == nil
		}, s.localityWeight)
		env := *s.env
		env.Scope = nil // a ring of its own for each subset has no place in the cluster's stats
		m.lb = s.child.New(&env, set, nil)
	})
	return m.lb
}

// localityWeight is a locality's weight within a subset.
func (s *subset) localityWeight(l *endpoint.LocalityHosts, hosts int) uint32 {
	if !s.config.WeightAware {
		return 0
	}
	if !s.config.ScaleWeight || len(l.Hosts) == 0 {
		return l.Weight
	}
	return uint32(math.Round(float64(l.Weight) * float64(hosts) / float64(len(l.Hosts))))
}
