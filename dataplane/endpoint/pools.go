package endpoint

import (
	"sync"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/pool"
)

// PoolMaker makes a host's pools.
type PoolMaker interface {
	// MakePool returns nil if there may be no more.
	MakePool(h *Host, o pool.Options) pool.Pool
	// PoolGone tells that a pool that MakePool made is not in use any more.
	PoolGone(o pool.Options)
}

// pools are a host's pools: few, so that a list is searched faster than a map. Those of one client's
// own may be many, and are behind the lock.
type pools struct {
	list atomic.Pointer[[]pooled]

	mu  sync.Mutex                 // held to change list
	own map[pool.Options]pool.Pool // guarded by mu
}

type pooled struct {
	options pool.Options
	pool    pool.Pool
}

// own tells whether the options are for one client alone.
func own(o *pool.Options) bool {
	return o.Downstream != 0 || o.OriginalSource != "" || o.Conn != nil
}

func (p *pools) get(o pool.Options) pool.Pool {
	if own(&o) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.own[o]
	}
	list := p.list.Load()
	if list == nil {
		return nil
	}
	for i := range *list {
		if (*list)[i].options == o {
			return (*list)[i].pool
		}
	}
	return nil
}

func (p *pools) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.own)
	if list := p.list.Load(); list != nil {
		n += len(*list)
	}
	return n
}

func (p *pools) add(h *Host, o pool.Options) pool.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own(&o) {
		made := p.own[o]
		if made == nil {
			if made = h.Maker.MakePool(h, o); made != nil {
				if p.own == nil {
					p.own = map[pool.Options]pool.Pool{}
				}
				p.own[o] = made
			}
		}
		return made
	}
	if made := p.get(o); made != nil {
		return made
	}
	made := h.Maker.MakePool(h, o)
	if made == nil {
		return nil
	}
	var list []pooled
	if old := p.list.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, pooled{o, made})
	p.list.Store(&list)
	return made
}

func (p *pools) drop(h *Host, o pool.Options) {
	if gone := p.take(o); gone != nil {
		gone.Drain()
		h.Maker.PoolGone(o)
	}
}

func (p *pools) take(o pool.Options) (gone pool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own(&o) {
		gone = p.own[o]
		delete(p.own, o)
		return gone
	}
	old := p.list.Load()
	if old == nil {
		return nil
	}
	list := make([]pooled, 0, len(*old))
	for _, e := range *old {
		if e.options == o {
			gone = e.pool
			continue
		}
		list = append(list, e)
	}
	p.list.Store(&list)
	return gone
}

// end takes all pools away and ends each.
func (p *pools) end(h *Host, how func(pool.Pool)) {
	p.mu.Lock()
	old := p.list.Swap(nil)
	mine := p.own
	p.own = nil
	p.mu.Unlock()
	if old != nil {
		for _, e := range *old {
			how(e.pool)
			h.Maker.PoolGone(e.options)
		}
	}
	for o, e := range mine {
		how(e)
		h.Maker.PoolGone(o)
	}
}
