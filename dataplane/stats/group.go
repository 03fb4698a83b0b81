package stats

import (
	"slices"
	"sync"
	"sync/atomic"
)

type groupKey struct {
	prefix string
	desc   *desc
}

// group is the cells of the stats of one struct under one prefix. The cells are made on the first
// increment, so that a stat that nothing has touched costs its group alone.
type group struct {
	key   groupKey
	store *Store
	slab  *slab
	rare  *rare // immutable: nil, or never nil
	refs  int   // guarded by store.mu

	evicted  atomic.Bool
	cells    atomic.Pointer[cells]
	hists    atomic.Pointer[[]histogram]              // desc.hists
	texts    atomic.Pointer[[]atomic.Pointer[string]] // desc.texts
	used     atomic.Pointer[[]atomic.Bool]            // by cell: in use although its value is zero
	identity atomic.Pointer[identity]
}

// rare is what few groups have.
type rare struct {
	excluded []uint16 // fields that stats_matcher has refused
	tagged   []uint32 // of a stat made with tags: where in its name they are
	swept    uint64   // guarded by the scope's mu: what the last Evict saw
}

// tagged is nil unless the stat was made with tags.
func (g *group) tagged() []uint32 {
	if g.rare == nil {
		return nil
	}
	return g.rare.tagged
}

func (g *group) excluded() []uint16 {
	if g.rare == nil {
		return nil
	}
	return g.rare.excluded
}

// cells are counters of all shards: shard w's i-th is mem[w*stride+at+i].
type cells struct {
	mem        []atomic.Uint64
	stride, at int
}

// pad keeps two workers' cells off one cache line.
const pad = 8

func (g *group) cell(w Worker, i uint16) *atomic.Uint64 {
	c := g.cells.Load()
	if c == nil {
		c = g.makeCells()
	}
	return &c.mem[int(w)*c.stride+c.at+int(i)]
}

func (g *group) makeCells() *cells {
	n, shards := g.key.desc.cells, g.store.shards
	c := &cells{stride: n + pad}
	if n <= gaugeCells && g.slab != nil {
		c.mem, c.stride, c.at = g.slab.take(shards, n)
	} else {
		c.mem = make([]atomic.Uint64, shards*c.stride)
	}
	g.cells.CompareAndSwap(nil, c)
	return g.cells.Load()
}

// slab gives the single stats of a scope their cells: those of one worker share cache lines, which
// costs a lone counter eight bytes a worker instead of seventy-two.
type slab struct {
	mu   sync.Mutex
	mem  []atomic.Uint64 // guarded by mu: shards lines
	next int             // guarded by mu
}

const slabCells = 8 // a cache line

func (s *slab) take(shards, n int) (mem []atomic.Uint64, stride, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil || s.next+n > slabCells {
		s.mem, s.next = make([]atomic.Uint64, shards*slabCells), 0
	}
	at = s.next
	s.next += n
	return s.mem, slabCells, at
}

// sum adds up a cell over the shards; 0 if there are none yet.
func (g *group) sum(i uint16) (n uint64) {
	c := g.cells.Load()
	if c == nil {
		return 0
	}
	for at := c.at + int(i); at < len(c.mem); at += c.stride {
		n += c.mem[at].Load()
	}
	return n
}

func (g *group) reset(i uint16) {
	if c := g.cells.Load(); c != nil {
		for at := c.at + int(i); at < len(c.mem); at += c.stride {
			c.mem[at].Store(0)
		}
	}
}

// markUsed makes a cell count as used whatever its value.
func (g *group) markUsed(i uint16) {
	used := g.used.Load()
	if used == nil {
		made := make([]atomic.Bool, g.key.desc.cells)
		g.used.CompareAndSwap(nil, &made)
		used = g.used.Load()
	}
	(*used)[i].Store(true)
}

func (g *group) marked(i uint16) bool {
	used := g.used.Load()
	return used != nil && (*used)[i].Load()
}

func (g *group) excludes(field int) bool {
	return g.rare != nil && slices.Contains(g.rare.excluded, uint16(field))
}

// isUsed is Envoy's "usedonly": a counter that was added to, even nothing; a gauge that was set; a
// histogram and a text readout with something in them.
func (g *group) isUsed(f *field) bool {
	switch f.kind {
	case KindCounter:
		return g.sum(f.at) != 0 || g.marked(f.at)
	case KindGauge:
		return g.sum(f.at) != 0 || g.sum(f.at+1) != 0 || g.marked(f.at)
	case KindHistogram:
		used := false
		g.readHistogram(f.at, func(_, cumulative *Bins) { used = cumulative.count != 0 })
		return used
	case KindTextReadout:
		texts := g.texts.Load()
		return texts != nil && (*texts)[f.at].Load() != nil
	}
	return false
}

// value is that of a counter or gauge.
func (g *group) value(f *field) uint64 {
	if f.kind == KindGauge {
		return g.gauge(f.at)
	}
	return g.sum(f.at)
}

var noBins Bins

// readHistogram shows a histogram's bins as the last flush left them; they are not kept.
func (g *group) readHistogram(at uint16, read func(interval, cumulative *Bins)) {
	hists := g.hists.Load()
	if hists == nil {
		read(&noBins, &noBins)
		return
	}
	h := &(*hists)[at]
	h.mu.Lock()
	defer h.mu.Unlock()
	read(&h.interval, &h.cumulative)
}
