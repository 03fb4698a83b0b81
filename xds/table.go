package xds

import (
	"hash/maphash"
	"iter"
	"maps"
)

// table is the resources of one type by name. It is immutable but in a draft, which owns what it has
// cloned: a change of one among thousands clones one shard and not all.
type table struct {
	n      int
	shards []*shard // none, one, or shardCount
}

type shard struct{ m map[string]*Resource }

const (
	shardCount = 64
	// sharded is the number of resources from which a table has shards.
	sharded = 1024
)

// seed scatters names over shards; it is the same for all tables of the process, so that two of them can
// be compared shard by shard.
var seed = maphash.MakeSeed()

func (t table) index(name string) int {
	if len(t.shards) == 1 {
		return 0
	}
	return int(maphash.String(seed, name) % shardCount)
}

func (t table) get(name string) *Resource {
	if len(t.shards) == 0 {
		return nil
	}
	return t.shards[t.index(name)].m[name]
}

func (t table) all() iter.Seq2[string, *Resource] {
	return func(yield func(string, *Resource) bool) {
		for _, s := range t.shards {
			for name, r := range s.m {
				if !yield(name, r) {
					return
				}
			}
		}
	}
}

// editor changes a copy of a table.
type editor struct {
	table
	owned uint64 // shards that are the copy's own
}

// own makes the shard of a name the editor's own.
func (e *editor) own(name string) map[string]*Resource {
	if len(e.shards) == 0 {
		e.shards, e.owned = []*shard{{m: map[string]*Resource{}}}, 1
	}
	i := e.index(name)
	if e.owned&(1<<i) == 0 {
		if e.owned == 0 {
			e.shards = append([]*shard(nil), e.shards...)
		}
		e.owned |= 1 << i
		e.shards[i] = &shard{m: maps.Clone(e.shards[i].m)}
	}
	return e.shards[i].m
}

func (e *editor) put(r *Resource) {
	m := e.own(r.Name)
	if _, is := m[r.Name]; !is {
		e.n++
	}
	m[r.Name] = r
	if e.n > sharded && len(e.shards) == 1 {
		e.split()
	}
}

func (e *editor) remove(name string) {
	if e.get(name) == nil {
		return
	}
	delete(e.own(name), name)
	e.n--
}

// split spreads one shard over all.
func (e *editor) split() {
	one := e.shards[0].m
	e.shards, e.owned = make([]*shard, shardCount), 1<<shardCount-1
	for i := range e.shards {
		e.shards[i] = &shard{m: make(map[string]*Resource, len(one)/shardCount)}
	}
	for name, r := range one {
		e.shards[e.index(name)].m[name] = r
	}
}

// diff calls changed for each resource of t that is not the same in old, and removed for each name that
// only old has. Shards that both have are passed over.
func (t table) diff(old table, changed func(*Resource), removed func(string)) {
	same := len(t.shards) == len(old.shards)
	for i, s := range t.shards {
		if same && old.shards[i] == s {
			continue
		}
		for name, r := range s.m {
			if old.get(name) != r {
				changed(r)
			}
		}
	}
	for i, s := range old.shards {
		if same && t.shards[i] == s {
			continue
		}
		for name := range s.m {
			if t.get(name) == nil {
				removed(name)
			}
		}
	}
}
