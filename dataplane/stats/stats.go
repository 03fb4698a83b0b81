// Package stats holds counters, gauges, histograms and text readouts under Envoy's dotted names:
// cells sharded by worker, made at configuration time and counted without a lock.
package stats

import (
	"sync"
	"sync/atomic"
)

// Worker is the shard that a connection counts in for life; 0 is the main goroutine's, 1 to
// --concurrency are the workers'.
type Worker uint16

// Store is the set of all stats of one proxy.
type Store struct {
	shards int // immutable: workers + 1

	mu     sync.Mutex
	groups map[groupKey]*group // guarded by mu
	flush  []func()            // guarded by mu

	matcher atomic.Pointer[Matcher]
}

// Matcher tells whether a stat may exist: Envoy's stats_config.stats_matcher.
type Matcher interface{ Excluded(name string) bool }

type groupKey struct {
	prefix string
	desc   *desc
}

// NewStore makes the stats of a proxy with this many workers.
func NewStore(workers int) *Store {
	return &Store{shards: max(workers, 1) + 1, groups: map[groupKey]*group{}}
}

// Workers is the number of workers, the main goroutine not counted.
func (s *Store) Workers() int { return s.shards - 1 }

// SetMatcher sets stats_matcher; it holds for stats bound from now on.
func (s *Store) SetMatcher(m Matcher) { s.matcher.Store(&m) }

// OnFlush has f called at the start of every flush, for gauges that are read from elsewhere.
func (s *Store) OnFlush(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush = append(s.flush, f)
}

// Scope is a prefix of stat names with a lifetime: what was bound in it is listed until Close.
// A Scope may be used by many goroutines.
type Scope struct {
	store  *Store
	prefix string // "" or ends with a dot

	mu     sync.Mutex
	groups []*group // guarded by mu
	single map[singleKey]any
	closed bool
}

type singleKey struct {
	kind Kind
	name string
}

// Scope opens a scope at the root; prefix has no final dot.
func (s *Store) Scope(prefix string) *Scope {
	if prefix != "" {
		prefix += "."
	}
	return &Scope{store: s, prefix: prefix}
}

// Scope opens a scope below this one, with its own lifetime.
func (s *Scope) Scope(name string) *Scope { return s.store.Scope(s.prefix + name) }

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
	for _, g := range s.groups {
		if g.refs--; g.refs == 0 {
			delete(s.store.groups, g.key)
		}
	}
	s.groups, s.single = nil, nil
}

// Counter returns the counter called name below s, made on first use. For configuration time.
func (s *Scope) Counter(name string) *Counter {
	return single(s, KindCounter, name, func(g *group) *Counter { return &Counter{g: g} })
}

// Gauge is Counter for a gauge.
func (s *Scope) Gauge(name string) *Gauge {
	return single(s, KindGauge, name, func(g *group) *Gauge { return &Gauge{g: g} })
}

// Histogram is Counter for a histogram.
func (s *Scope) Histogram(name string) *Histogram {
	return single(s, KindHistogram, name, func(g *group) *Histogram { return &Histogram{g: g} })
}

// TextReadout is Counter for a text readout.
func (s *Scope) TextReadout(name string) *TextReadout {
	return single(s, KindTextReadout, name, func(g *group) *TextReadout { return &TextReadout{g: g} })
}

func single[T any](s *Scope, kind Kind, name string, make func(*group) *T) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := singleKey{kind, name}
	if v, ok := s.single[key]; ok {
		return v.(*T)
	}
	g := s.acquire(groupKey{s.prefix + name, singleDesc[kind]})
	v := make(g)
	if s.single == nil {
		s.single = map[singleKey]any{}
	}
	s.single[key] = v
	return v
}

// acquire finds or makes a group; s.mu is held. Nil is a group whose every stat is excluded.
func (s *Scope) acquire(key groupKey) *group {
	if m := s.store.matcher.Load(); m != nil && excludesAll(*m, key) {
		return nil
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	g := s.store.groups[key]
	if g == nil {
		g = &group{key: key, store: s.store}
		if !s.closed {
			s.store.groups[key] = g
		}
	}
	if !s.closed {
		g.refs++
		s.groups = append(s.groups, g)
	}
	return g
}

func excludesAll(m Matcher, key groupKey) bool {
	for _, f := range key.desc.fields {
		if !m.Excluded(key.prefix + f.name) {
			return false
		}
	}
	return true
}

// group is the cells of the stats of one struct under one prefix. The cells are made on the first
// increment, so that a stat that nothing has touched costs its group alone.
type group struct {
	key   groupKey
	store *Store
	refs  int // guarded by store.mu

	cells atomic.Pointer[[]atomic.Uint64]          // shards × desc.cells, shard-major
	hists atomic.Pointer[[]histogram]              // desc.hists
	texts atomic.Pointer[[]atomic.Pointer[string]] // desc.texts
}

// pad keeps two workers' cells off one cache line.
const pad = 8

func (g *group) stride() int { return g.key.desc.cells + pad }

func (g *group) cell(w Worker, i uint16) *atomic.Uint64 {
	cells := g.cells.Load()
	if cells == nil {
		made := make([]atomic.Uint64, g.store.shards*g.stride())
		if !g.cells.CompareAndSwap(nil, &made) {
			return g.cell(w, i)
		}
		cells = &made
	}
	return &(*cells)[int(w)*g.stride()+int(i)]
}

// sum adds up a cell over the shards; 0 if there are none yet.
func (g *group) sum(i uint16) (n uint64) {
	cells := g.cells.Load()
	if cells == nil {
		return 0
	}
	for at := int(i); at < len(*cells); at += g.stride() {
		n += (*cells)[at].Load()
	}
	return n
}

func (g *group) reset(i uint16) {
	if cells := g.cells.Load(); cells != nil {
		for at := int(i); at < len(*cells); at += g.stride() {
			(*cells)[at].Store(0)
		}
	}
}
