package stats

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Histogram records whole numbers: milliseconds, microseconds or bytes, as its name says. Its bins
// are log-linear as circllhist's, base 10 with two digits: 1.0, 1.1 … 9.9 for each power of ten.
// The zero Histogram records nowhere.
type Histogram struct {
	g  *group
	at uint16
}

// Record counts one value.
func (h *Histogram) Record(w Worker, v uint64) {
	if h.g != nil {
		h.g.histogram(h.at).record(h.g.store.shards, w, v)
	}
}

const (
	decades = 20 // 10^0 to 10^19 hold every uint64
	perPage = 90
)

// page is one power of ten's bins: page[i] counts values from (10+i)/10 × 10^decade.
type page [perPage]atomic.Uint32

type shard struct {
	zero  atomic.Uint32
	dirty atomic.Bool // something was recorded since the last flush
	pages [decades]atomic.Pointer[page]
}

// histogram is the bins of one histogram, by worker, made on the first record.
type histogram struct {
	shards atomic.Pointer[[]atomic.Pointer[shard]]

	mu                   sync.Mutex
	cumulative, interval Bins // guarded by mu: what the last flush saw
}

func (g *group) histogram(at uint16) *histogram {
	hists := g.hists.Load()
	if hists == nil {
		made := make([]histogram, g.key.desc.hists)
		if !g.hists.CompareAndSwap(nil, &made) {
			return g.histogram(at)
		}
		hists = &made
	}
	return &(*hists)[at]
}

func (h *histogram) record(shards int, w Worker, v uint64) {
	all := h.shards.Load()
	if all == nil {
		made := make([]atomic.Pointer[shard], shards)
		h.shards.CompareAndSwap(nil, &made)
		all = h.shards.Load()
	}
	s := (*all)[w].Load()
	if s == nil {
		(*all)[w].CompareAndSwap(nil, new(shard))
		s = (*all)[w].Load()
	}
	if v == 0 {
		s.zero.Add(1)
	} else {
		d, i := bin(v)
		p := s.pages[d].Load()
		if p == nil {
			s.pages[d].CompareAndSwap(nil, new(page))
			p = s.pages[d].Load()
		}
		p[i].Add(1)
	}
	// After the count: a flush that clears the mark before this load finds the count.
	if !s.dirty.Load() {
		s.dirty.Store(true)
	}
}

// merge moves what the workers have recorded since the last flush into interval and adds it to
// cumulative.
func (h *histogram) merge(d *dense) {
	shards := h.shards.Load()
	if shards == nil {
		return
	}
	for i := range *shards {
		if s := (*shards)[i].Load(); s != nil && s.dirty.Swap(false) {
			s.drain(d)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interval.reset()
	d.moveTo(&h.interval)
	if h.interval.count > 0 {
		h.cumulative.add(&h.interval)
	}
}

// pending tells whether something waits for the next flush.
func (h *histogram) pending() bool {
	shards := h.shards.Load()
	if shards == nil {
		return false
	}
	for i := range *shards {
		if s := (*shards)[i].Load(); s != nil && s.dirty.Load() {
			return true
		}
	}
	return false
}

func (s *shard) drain(d *dense) {
	if n := s.zero.Swap(0); n != 0 {
		d.add(0, uint64(n))
	}
	for decade := range s.pages {
		p := s.pages[decade].Load()
		if p == nil {
			continue
		}
		for i := range p {
			if p[i].Load() != 0 {
				d.add(1+decade*perPage+i, uint64(p[i].Swap(0)))
			}
		}
	}
}

// bin finds the decade and the place in its page of v > 0.
func bin(v uint64) (decade, index int) {
	d := bits.Len64(v) * 1233 >> 12 // log10, or one too many
	if d < decades && v < pow10[d] || d == decades {
		d--
	}
	if d == 0 {
		return 0, int(v*10) - 10
	}
	return d, int(v/pow10[d-1]) - 10
}

var pow10 = func() (p [decades]uint64) {
	p[0] = 1
	for i := 1; i < decades; i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()
