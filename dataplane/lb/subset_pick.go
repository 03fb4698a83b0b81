package lb

import (
	"slices"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// Pick implements LoadBalancer.
func (s *subset) Pick(c *Context) *endpoint.Host {
	if !s.config.FallbackList || c.Criteria == nil || !c.Criteria.hasList {
		return s.pick(c, c.Criteria)
	}
	if len(c.Criteria.fallbacks) == 0 {
		return s.pick(c, c.Criteria.rest)
	}
	for _, criteria := range c.Criteria.fallbacks {
		if h := s.pick(c, criteria); h != nil {
			return h
		}
	}
	return nil
}

func (s *subset) pick(c *Context, criteria *Criteria) *endpoint.Host {
	var list []criterion
	if criteria != nil {
		list = criteria.list
	}
	var only []string // nil: all keys count
	if s.config.RedundantKeys {
		only = s.covered(list)
	}
	return s.pickKeys(c, list, only)
}

// covered returns the keys of the first selector whose keys the criteria all have.
func (s *subset) covered(list []criterion) []string {
	for i := range s.config.Selectors {
		keys := s.config.Selectors[i].Keys
		n := 0
		for j := range list {
			if _, ok := slices.BinarySearch(keys, list[j].key); ok {
				n++
			}
		}
		if n == len(keys) && n > 0 {
			return keys
		}
	}
	return nil
}

// pickKeys goes by those criteria whose keys are in only.
func (s *subset) pickKeys(c *Context, list []criterion, only []string) *endpoint.Host {
	for depth := 0; len(list) > 0 && depth <= len(s.config.Selectors); depth++ {
		if m := s.find(list, only); m != nil {
			s.env.Stats.SubsetsSelected.Inc(c.Worker)
			return s.balancer(m).Pick(c)
		}
		by := s.selector(list, only)
		if by == nil || by.Fallback == FallbackUndefined {
			break
		}
		switch by.Fallback {
		case FallbackAny:
			return s.balancer(s.byAny).Pick(c)
		case FallbackDefault:
			return s.balancer(s.byDefault).Pick(c)
		case FallbackKeys:
			only = by.FallbackKeys
			continue
		default:
			return nil
		}
	}
	return s.fallback(c)
}

// fallback is the policy's own.
func (s *subset) fallback(c *Context) *endpoint.Host {
	var m *members
	switch s.config.Fallback {
	case FallbackAny:
		m = s.byAny
	case FallbackDefault:
		m = s.byDefault
	default:
		return nil
	}
	if h := s.balancer(m).Pick(c); h != nil {
		s.env.Stats.SubsetsFallback.Inc(c.Worker)
		return h
	}
	if s.config.PanicAny {
		if h := s.balancer(s.byAny).Pick(c); h != nil {
			s.env.Stats.SubsetsFallbackPanic.Inc(c.Worker)
			return h
		}
	}
	return nil
}

func within(only []string, key string) bool {
	if only == nil {
		return true
	}
	_, ok := slices.BinarySearch(only, key)
	return ok
}

// find walks the tree by the criteria, all of which must be used up; nil: there is no such subset.
func (s *subset) find(list []criterion, only []string) *members {
	n := &s.root
	for i := range list {
		if !within(only, list[i].key) {
			continue
		}
		if n = n.keys[list[i].key][list[i].value]; n == nil {
			return nil
		}
	}
	return n.hosts
}

// selector finds the one whose keys are exactly those of the criteria.
func (s *subset) selector(list []criterion, only []string) *SubsetSelector {
next:
	for i := range s.config.Selectors {
		by := &s.config.Selectors[i]
		n := 0
		for j := range list {
			if !within(only, list[j].key) {
				continue
			}
			if n == len(by.Keys) || by.Keys[n] != list[j].key {
				continue next
			}
			n++
		}
		if n == len(by.Keys) && n > 0 {
			return by
		}
	}
	return nil
}
