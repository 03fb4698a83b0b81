// Package stats holds counters, gauges, histograms and text readouts under Envoy's dotted names:
// cells sharded by worker, made at configuration time and counted without a lock.
package stats

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Worker is the shard that a connection counts in for life; 0 is the main goroutine's, 1 to
// --concurrency are the workers'.
type Worker uint16

// Store is the set of all stats of one proxy.
type Store struct {
	shards int // immutable: workers + 1

	mu         sync.Mutex
	groups     map[groupKey]*group // guarded by mu
	flush      []func()            // guarded by mu
	sweep      map[*Scope]struct{} // guarded by mu: the evictable scopes
	listing    listing             // guarded by mu
	namespaces []string            // guarded by mu: with their final dot; never written to again

	flushing sync.Mutex
	dense    dense // guarded by flushing

	matcher atomic.Pointer[Matcher]
	tagger  atomic.Pointer[Tagger]
	buckets atomic.Pointer[Buckets]
	index   atomic.Pointer[index]
}

// Matcher tells whether a stat may exist: Envoy's stats_config.stats_matcher.
type Matcher interface{ Excluded(name string) bool }

// NewStore makes the stats of a proxy with this many workers.
func NewStore(workers int) *Store {
	s := &Store{shards: max(workers, 1) + 1, groups: map[groupKey]*group{}, sweep: map[*Scope]struct{}{}}
	s.tagger.Store(DefaultTagger())
	s.buckets.Store(&Buckets{})
	return s
}

// Workers is the number of workers, the main goroutine not counted.
func (s *Store) Workers() int { return s.shards - 1 }

// SetMatcher sets stats_matcher; it holds for stats bound from now on.
func (s *Store) SetMatcher(m Matcher) { s.matcher.Store(&m) }

// SetTagger sets how tags are found in names; without it they are Envoy's default tags.
func (s *Store) SetTagger(t *Tagger) { s.tagger.Store(t) }

// SetBuckets sets histogram_bucket_settings.
func (s *Store) SetBuckets(b *Buckets) { s.buckets.Store(b) }

// CustomNamespace makes stats under name + "." appear in Prometheus without it and without "envoy_",
// as "istiocustom" of istio.stats and "wasmcustom" do once there is such a filter.
func (s *Store) CustomNamespace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.namespaces, name+".") {
		s.namespaces = append(slices.Clip(s.namespaces), name+".")
		s.listing.version++
	}
}

// OnFlush has f called at the start of every flush, for gauges that are read from elsewhere.
func (s *Store) OnFlush(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush = append(s.flush, f)
}

// Flush calls the hooks and makes what histograms have recorded visible: it becomes their last
// interval, and part of their totals. The owner calls it every stats_flush_interval.
func (s *Store) Flush() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	hooks := s.flush
	s.mu.Unlock()
	for _, f := range hooks {
		f()
	}
	groups, _ := s.list()
	for _, g := range groups {
		hists := g.hists.Load()
		if hists == nil {
			continue
		}
		for i := range *hists {
			(*hists)[i].merge(&s.dense)
		}
	}
}

// ResetCounters sets all counters to zero, as POST /reset_counters asks. They stay in use.
func (s *Store) ResetCounters() {
	groups, _ := s.list()
	for _, g := range groups {
		for _, f := range g.key.desc.fields {
			if f.kind == KindCounter && g.sum(f.at) != 0 {
				g.markUsed(f.at)
				g.reset(f.at)
			}
		}
	}
}

// Scope is a prefix of stat names with a lifetime: what was bound in it is listed until Close.
// A Scope may be used by many goroutines.
type Scope struct {
	store  *Store
	prefix string // "" or ends with a dot

	mu     sync.Mutex
	groups []*group          // guarded by mu
	single map[singleKey]any // guarded by mu
	closed bool              // guarded by mu
	slab   slab
}

type singleKey struct {
	kind Kind
	name string // in full
}

// Scope opens a scope at the root; prefix has no final dot. As in Envoy, colons in it become
// underscores, for many a prefix is made from an address.
func (s *Store) Scope(prefix string) *Scope {
	if prefix = sanitize(prefix); prefix != "" {
		prefix += "."
	}
	return &Scope{store: s, prefix: prefix}
}

// Scope opens a scope below this one, with its own lifetime.
func (s *Scope) Scope(name string) *Scope { return s.store.Scope(s.prefix + name) }

var colons = strings.NewReplacer("://", "_", ":/", "_", ":", "_", "\x00", "_")

func sanitize(prefix string) string {
	prefix = strings.TrimSuffix(prefix, ".")
	if strings.ContainsAny(prefix, ":\x00") {
		return colons.Replace(prefix)
	}
	return prefix
}

// Store is the store that s belongs to.
func (s *Scope) Store() *Store { return s.store }

// Prefix is the scope's name with its final dot.
func (s *Scope) Prefix() string { return s.prefix }

// Close takes the scope's stats off the list, unless another open scope has bound them too.
// Counting into them goes on to be safe.
func (s *Scope) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	delete(s.store.sweep, s)
	for _, g := range s.groups {
		s.store.release(g)
	}
	s.groups, s.single = nil, nil
}

// Counter returns the counter called name below s, made on first use. For configuration time.
func (s *Scope) Counter(name string) *Counter {
	return single(s, KindCounter, s.prefix+name, nil, func(g *group) *Counter { return &Counter{g: g} })
}

// Gauge is Counter for a gauge.
func (s *Scope) Gauge(name string) *Gauge {
	return single(s, KindGauge, s.prefix+name, nil, func(g *group) *Gauge { return &Gauge{g: g} })
}

// Histogram is Counter for a histogram.
func (s *Scope) Histogram(name string) *Histogram {
	return single(s, KindHistogram, s.prefix+name, nil, func(g *group) *Histogram { return &Histogram{g: g} })
}

// TextReadout is Counter for a text readout.
func (s *Scope) TextReadout(name string) *TextReadout {
	return single(s, KindTextReadout, s.prefix+name, nil, func(g *group) *TextReadout { return &TextReadout{g: g} })
}

func single[T any](s *Scope, kind Kind, full string, tagged []uint32, make func(*group) *T) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := singleKey{kind, full}
	if v, ok := s.single[key]; ok {
		return v.(*T)
	}
	g := s.acquire(groupKey{full, singleDesc[kind]}, tagged)
	v := make(g)
	if g != nil {
		key.name = g.key.prefix // one copy of the name is enough
	}
	if s.single == nil {
		s.single = map[singleKey]any{}
	}
	s.single[key] = v
	return v
}

// acquire finds or makes a group; s.mu is held. Nil is a group whose every stat is excluded.
func (s *Scope) acquire(key groupKey, tagged []uint32) *group {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	g := s.store.groups[key]
	if g == nil {
		excluded, all := s.store.excluded(key)
		if all {
			return nil
		}
		g = &group{key: key, store: s.store, slab: &s.slab}
		if _, evictable := s.store.sweep[s]; evictable || excluded != nil || tagged != nil {
			g.rare = &rare{excluded, tagged, unswept}
		}
		if !s.closed {
			s.store.groups[key] = g
			s.store.listing.added = append(s.store.listing.added, g)
		}
	}
	if !s.closed {
		g.refs++
		s.groups = append(s.groups, g)
	}
	return g
}

// release takes one reference off g; s.mu is held.
func (s *Store) release(g *group) {
	if g.refs--; g.refs == 0 {
		delete(s.groups, g.key)
		s.listing.removed = true
	}
}

// excluded lists the fields of a group that may not exist.
func (s *Store) excluded(key groupKey) (fields []uint16, all bool) {
	m := s.matcher.Load()
	if m == nil {
		return nil, false
	}
	for i, f := range key.desc.fields {
		if (*m).Excluded(key.prefix + f.name) {
			fields = append(fields, uint16(i))
		}
	}
	return fields, len(fields) == len(key.desc.fields)
}
