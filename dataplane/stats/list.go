package stats

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// listing is the groups of a store in the order of their prefixes. It is put right when it is asked
// for: what was added since is sorted and merged in, so that a steady store pays nothing.
type listing struct {
	sorted  []*group // never written to again
	added   []*group
	removed bool
	version uint64 // counts the changes of sorted
}

// list is all listed groups by prefix.
func (s *Store) list() (groups []*group, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.listing
	if len(l.added) == 0 && !l.removed {
		return l.sorted, l.version
	}
	slices.SortFunc(l.added, byPrefix)
	merged := make([]*group, 0, len(s.groups))
	for i, j := 0, 0; i < len(l.sorted) || j < len(l.added); {
		var g *group
		if j == len(l.added) || i < len(l.sorted) && byPrefix(l.sorted[i], l.added[j]) <= 0 {
			g = l.sorted[i]
			i++
		} else {
			g = l.added[j]
			j++
		}
		if g.refs > 0 {
			merged = append(merged, g)
		}
	}
	*l = listing{sorted: merged, version: l.version + 1}
	return l.sorted, l.version
}

func byPrefix(a, b *group) int { return strings.Compare(a.key.prefix, b.key.prefix) }

// Tag is a dimension of a stat.
type Tag struct{ Name, Value string }

// Stat is one stat of an enumeration. It is valid until the enumeration goes on.
type Stat struct {
	member
	name   []byte   // made by Name
	labels *string  // in Prometheus, if they are not the group's
	same   []member // other groups' stats of this name and kind: they are one
}

type member struct {
	g     *group
	field *field
}

// Name is the full name, borrowed.
func (s *Stat) Name() []byte {
	if len(s.name) == 0 {
		s.name = append(append(s.name, s.g.key.prefix...), s.field.name...)
	}
	return s.name
}

// Kind tells what it is.
func (s *Stat) Kind() Kind { return s.field.kind }

// Used tells whether it has been counted in, set or recorded in since the start.
func (s *Stat) Used() bool {
	return s.g.isUsed(s.field) || slices.ContainsFunc(s.same, func(m member) bool { return m.g.isUsed(m.field) })
}

// Value is a counter's or a gauge's.
func (s *Stat) Value() uint64 {
	n := s.g.value(s.field)
	for _, m := range s.same {
		n += m.g.value(m.field)
	}
	return n
}

// Text is a text readout's.
func (s *Stat) Text() string { return (&TextReadout{s.g, s.field.at}).Value() }

// Histogram shows what a histogram recorded in the last interval and in all, as of the last Flush.
// The bins are borrowed for the call; it must not block.
func (s *Stat) Histogram(read func(interval, cumulative *Bins)) {
	if len(s.same) == 0 {
		s.g.readHistogram(s.field.at, read)
		return
	}
	var interval, cumulative Bins
	add := func(i, c *Bins) {
		interval.add(i)
		cumulative.add(c)
	}
	s.g.readHistogram(s.field.at, add)
	for _, m := range s.same {
		m.g.readHistogram(m.field.at, add)
	}
	read(&interval, &cumulative)
}

// Tagged is the name without tags, and the tags in Envoy's order. It is worked out on each call.
func (s *Stat) Tagged() (name string, tags []Tag) {
	if s.g.tagged() != nil {
		return s.g.taggedName(), s.g.explicitTags()
	}
	return s.g.store.tagger.Load().Extract(string(s.Name()))
}

// All enumerates the stats of these kinds in the order of their names, without a copy of them. Stats
// made while it runs may be missing.
func (s *Store) All(kinds ...Kind) iter.Seq[*Stat] {
	mask := kindMask(0)
	for _, k := range kinds {
		mask |= 1 << k
	}
	return func(yield func(*Stat) bool) { s.walk(mask, yield) }
}

type kindMask uint8

func (m kindMask) has(k Kind) bool { return m&(1<<k) != 0 }

// cursor walks the fields of one group by name.
type cursor struct {
	g    *group
	pos  int // in the desc's order
	name []byte
}

func (c *cursor) field() *field {
	d := c.g.key.desc
	return &d.fields[d.order[c.pos]]
}

func (c *cursor) member() member { return member{c.g, c.field()} }

// next moves to the next field of a wanted kind.
func (c *cursor) next(mask kindMask) bool {
	d := c.g.key.desc
	for c.pos++; c.pos < len(d.order); c.pos++ {
		if at := d.order[c.pos]; mask.has(d.fields[at].kind) && !c.g.excludes(int(at)) {
			c.name = append(append(c.name[:0], c.g.key.prefix...), d.fields[at].name...)
			return true
		}
	}
	return false
}

// walk merges the groups' stats. A group's names all begin with its prefix, and groups come by
// prefix, so only those whose names interleave are open at a time: two or three.
func (s *Store) walk(mask kindMask, yield func(*Stat) bool) {
	groups, _ := s.list()
	var open []cursor
	var st Stat
	least := -1 // the first of the open cursors, by name
	for len(groups) > 0 || len(open) > 0 {
		if len(groups) > 0 && (least < 0 || groups[0].key.prefix <= string(open[least].name)) {
			open = start(open, groups[0], mask)
			groups = groups[1:]
			least = first(open)
			continue
		}
		st.member, st.name, st.same = open[least].member(), open[least].name, st.same[:0]
		for i := range open {
			if i != least && open[i].field().kind == st.field.kind && bytes.Equal(open[i].name, st.name) {
				st.same = append(st.same, open[i].member())
			}
		}
		if !yield(&st) {
			return
		}
		// Those of the same name come first one after the other.
		for range 1 + len(st.same) {
			open = advance(open, least, mask)
			least = first(open)
		}
	}
}

func start(open []cursor, g *group, mask kindMask) []cursor {
	if len(open) < cap(open) {
		open = open[:len(open)+1]
	} else {
		open = append(open, cursor{})
	}
	c := &open[len(open)-1]
	c.g, c.pos = g, -1
	if !c.next(mask) {
		return open[:len(open)-1]
	}
	return open
}

// advance moves the i-th cursor on, or closes it by putting the last in its place; its memory is
// kept for the next to open.
func advance(open []cursor, i int, mask kindMask) []cursor {
	if open[i].next(mask) {
		return open
	}
	last := len(open) - 1
	open[i], open[last] = open[last], open[i]
	return open[:last]
}

func first(open []cursor) int {
	least := -1
	for i := range open {
		if least < 0 || before(&open[i], &open[least]) {
			least = i
		}
	}
	return least
}

// before orders equal names by kind, so that a counter and a gauge of one name stay apart.
func before(a, b *cursor) bool {
	if c := bytes.Compare(a.name, b.name); c != 0 {
		return c < 0
	}
	return cmp.Less(a.field().kind, b.field().kind)
}
