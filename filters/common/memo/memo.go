// Package memo keeps what is expensive to work out and asked for again and again: a map that is read
// without a lock, of bounded size.
package memo

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Map is a map for many readers. Keys that are asked for often are found without a lock or an allocation.
// It forgets all it holds when it is full: for values that can be worked out again.
type Map[K comparable, V any] struct {
	limit int
	read  atomic.Pointer[map[K]V] // never written to again

	mu     sync.Mutex
	fresh  map[K]V // guarded by mu: what read has, and what has come since; nil: nothing has
	misses int     // guarded by mu: of read since fresh was made
}

// NewMap makes a map that holds up to limit values.
func NewMap[K comparable, V any](limit int) *Map[K, V] {
	m := &Map[K, V]{limit: limit}
	m.read.Store(&map[K]V{})
	return m
}

// Get returns the value for k.
func (m *Map[K, V]) Get(k K) (V, bool) {
	if v, ok := (*m.read.Load())[k]; ok {
		return v, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.fresh[k]
	if ok {
		m.miss()
		return v, true
	}
	v, ok = (*m.read.Load())[k] // another one may have made it readable meanwhile
	return v, ok
}

// Put has v be the value for k, unless there is one already: the value that counts is returned. k is kept.
func (m *Map[K, V]) Put(k K, v V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	read := *m.read.Load()
	if m.fresh == nil {
		if have, ok := read[k]; ok {
			return have
		}
		if len(read) < m.limit {
			m.fresh = maps.Clone(read)
		}
		m.misses = 0
	}
	if have, ok := m.fresh[k]; ok {
		return have
	}
	if m.fresh == nil || len(m.fresh) >= m.limit {
		m.fresh = map[K]V{}
		m.read.Store(&map[K]V{})
	}
	m.fresh[k] = v
	return v
}

// miss makes fresh what is read, once it has been needed as often as it has values: what copying it has
// cost is earned back by then.
func (m *Map[K, V]) miss() {
	if m.misses++; m.misses < len(m.fresh) {
		return
	}
	fresh := m.fresh
	m.read.Store(&fresh)
	m.fresh, m.misses = nil, 0
}

// Len is how many values there are.
func (m *Map[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh != nil {
		return len(m.fresh)
	}
	return len(*m.read.Load())
}
