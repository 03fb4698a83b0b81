package stats

import (
	"math"
	"slices"
	"strings"
)

// Evictable opens a scope whose single stats go when they are not used: for stats made while
// traffic flows, one for each combination of tags that occurs. Stats of bound structs stay.
func (s *Store) Evictable(prefix string) *Scope {
	scope := s.Scope(prefix)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep[scope] = struct{}{}
	return scope
}

// CounterWithTags returns the counter of this name and these tags below s, made on first use. Its
// full name has the tags at its end, as ".name.value"; in Prometheus they are its only labels. The
// caller keeps it, and asks again once it is evicted: this look-up is not for every request.
func (s *Scope) CounterWithTags(name string, tags []Tag) *Counter {
	full, tagged := s.withTags(name, tags)
	return single(s, KindCounter, full, tagged, func(g *group) *Counter { return &Counter{g: g} })
}

// GaugeWithTags is CounterWithTags for a gauge.
func (s *Scope) GaugeWithTags(name string, tags []Tag) *Gauge {
	full, tagged := s.withTags(name, tags)
	return single(s, KindGauge, full, tagged, func(g *group) *Gauge { return &Gauge{g: g} })
}

// HistogramWithTags is CounterWithTags for a histogram.
func (s *Scope) HistogramWithTags(name string, tags []Tag) *Histogram {
	full, tagged := s.withTags(name, tags)
	return single(s, KindHistogram, full, tagged, func(g *group) *Histogram { return &Histogram{g: g} })
}

// withTags makes the full name, and remembers where its parts end: the name itself, then each tag's
// name and value.
func (s *Scope) withTags(name string, tags []Tag) (full string, ends []uint32) {
	size := len(s.prefix) + len(name)
	for _, t := range tags {
		size += len(t.Name) + len(t.Value) + 2
	}
	var b strings.Builder
	b.Grow(size)
	ends = make([]uint32, 0, 1+2*len(tags))
	end := func() { ends = append(ends, uint32(b.Len())) }
	b.WriteString(s.prefix)
	b.WriteString(name)
	end()
	for _, t := range tags {
		b.WriteByte('.')
		b.WriteString(t.Name)
		end()
		b.WriteByte('.')
		b.WriteString(t.Value)
		end()
	}
	return b.String(), ends
}

// taggedName is the name without the tags.
func (g *group) taggedName() string { return g.key.prefix[:g.rare.tagged[0]] }

func (g *group) explicitTags() []Tag {
	tags := make([]Tag, 0, len(g.tagged())/2)
	for i := range cap(tags) {
		tags = append(tags, g.explicitTag(i))
	}
	return tags
}

func (g *group) explicitTag(i int) Tag {
	start, middle, end := g.rare.tagged[2*i], g.rare.tagged[2*i+1], g.rare.tagged[2*i+2]
	return Tag{g.key.prefix[start+1 : middle], g.key.prefix[middle+1 : end]}
}

// Evicted tells that the counter is not listed any more, so that what it counts from now on is lost:
// ask for it again.
func (c *Counter) Evicted() bool { return c.g != nil && c.g.evicted.Load() }

// Evicted is that of Counter.
func (g *Gauge) Evicted() bool { return g.g != nil && g.g.evicted.Load() }

// Evicted is that of Counter.
func (h *Histogram) Evicted() bool { return h.g != nil && h.g.evicted.Load() }

// Evict takes stats of evictable scopes off the list that nothing has used since the Evict before.
// The owner calls it every stats_eviction_interval, after a Flush. A gauge that is not zero stays.
func (s *Store) Evict() {
	s.mu.Lock()
	scopes := make([]*Scope, 0, len(s.sweep))
	for scope := range s.sweep {
		scopes = append(scopes, scope)
	}
	s.mu.Unlock()
	for _, scope := range scopes {
		scope.evict()
	}
}

func (s *Scope) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = slices.DeleteFunc(s.groups, func(g *group) bool {
		f := &g.key.desc.fields[0]
		if len(g.key.desc.fields) > 1 || g.rare == nil || !g.idle(f) {
			return false
		}
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		if g.refs > 1 {
			return false
		}
		g.evicted.Store(true)
		if !g.idle(f) { // counted in since: who counts after this sees the mark
			g.evicted.Store(false)
			return false
		}
		delete(s.single, singleKey{f.kind, g.key.prefix})
		s.store.release(g)
		return true
	})
}

// unswept is what a group has until its first sweep.
const unswept = math.MaxUint64

// idle tells whether a single stat has not been used since it was last asked; under its scope's lock.
func (g *group) idle(f *field) bool {
	var n uint64
	switch f.kind {
	case KindCounter:
		n = g.sum(f.at)
	case KindGauge:
		if n = g.sum(f.at) + g.sum(f.at+1); g.gauge(f.at) != 0 {
			return false
		}
	case KindHistogram:
		g.readHistogram(f.at, func(_, cumulative *Bins) { n = cumulative.count })
		if hists := g.hists.Load(); hists != nil && (*hists)[f.at].pending() {
			return false
		}
	case KindTextReadout:
		return false
	}
	idle := n == g.rare.swept
	g.rare.swept = n
	return idle
}
