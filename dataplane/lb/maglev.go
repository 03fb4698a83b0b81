package lb

import (
	"cmp"
	"math"
	"slices"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// maglev is the table of the paper (https://research.google/pubs/pub44824, listing 1), with weights. It
// is immutable.
type maglev struct {
	slots []uint16 // indexes of hosts
	wide  []uint32 // instead of slots, for more hosts than those can number
	hosts []*endpoint.Host
}

// entry is a host while the table is filled.
type entry struct {
	key          string
	host         *endpoint.Host
	weight       float64
	target       float64
	offset, skip uint64
	next, count  uint64
}

// newMaglev fills the table as Envoy does: hosts in the order of their keys; one with a fraction of the
// heaviest one's weight has its turn in that fraction of the rounds.
func newMaglev(c *HashConfig, hosts []weighed) (*maglev, tableStats) {
	size := c.Table
	entries := make([]entry, len(hosts))
	heaviest := 0.0
	for i, w := range hosts {
		key := hashKey(c, w.host)
		entries[i] = entry{
			key: key, host: w.host, weight: w.weight,
			offset: xx([]byte(key), 0) % size, skip: xx([]byte(key), 1)%(size-1) + 1,
		}
		heaviest = max(heaviest, w.weight)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	filled := fill(entries, size, heaviest)
	m := &maglev{hosts: make([]*endpoint.Host, len(entries))}
	st := tableStats{size: size, least: size}
	for i := range entries {
		m.hosts[i] = entries[i].host
		st.least, st.most = min(st.least, entries[i].count), max(st.most, entries[i].count)
	}
	if len(entries) > math.MaxUint16 {
		m.wide = filled
		return m, st
	}
	m.slots = make([]uint16, size)
	for i, at := range filled {
		m.slots[i] = uint16(at)
	}
	return m, st
}

// fill returns the index of each slot's entry.
func fill(entries []entry, size uint64, heaviest float64) []uint32 {
	slots := make([]uint32, size)
	taken := make([]bool, size)
	left := size
	for round := uint32(1); ; round++ {
		for i := range entries {
			e := &entries[i]
			if float64(round)*e.weight < e.target {
				continue
			}
			e.target += heaviest
			at := (e.offset + e.skip*e.next) % size
			for taken[at] {
				e.next++
				at = (e.offset + e.skip*e.next) % size
			}
			slots[at], taken[at] = uint32(i), true
			e.next++
			e.count++
			if left--; left == 0 {
				return slots
			}
		}
	}
}

// at finds the slot of a hash; a retry changes most of its bits.
func (m *maglev) at(hash uint64, attempt int) *endpoint.Host {
	if attempt > 0 {
		hash ^= -uint64(attempt)
	}
	if m.wide != nil {
		return m.hosts[m.wide[hash%uint64(len(m.wide))]]
	}
	return m.hosts[m.slots[hash%uint64(len(m.slots))]]
}
