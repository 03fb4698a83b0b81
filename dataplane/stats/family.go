package stats

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// index is the stats as Prometheus sees them: families of one name and kind. It is made of blocks:
// a thousand clusters whose structs differ in nothing but the tags of their prefixes are one, with a
// thousand groups, so the index grows with the number of groups and not with that of stats.
type index struct {
	version  uint64
	tagger   *Tagger
	families []family // by kind, then by name
}

type family struct {
	kind  Kind
	name  string // without tags
	prom  string
	parts []part
}

// part is the same field of several groups.
type part struct {
	field  uint16
	nested bool     // one group's prefix begins another's, so their order is not the names'
	groups []*group // by name
	labels *string  // of a field that has its own
}

type block struct {
	prefix string
	desc   *desc
	skip   []uint16 // fields that are odd or excluded
	groups []*group
}

type blockKey struct {
	prefix string
	desc   *desc
	skip   string
}

type familyKey struct {
	kind Kind
	name string
}

// families is the index as of now.
func (s *Store) families() *index {
	groups, version := s.list()
	t := s.tagger.Load()
	if x := s.index.Load(); x != nil && x.version == version && x.tagger == t {
		return x
	}
	s.mu.Lock()
	namespaces := s.namespaces
	s.mu.Unlock()
	m := familyMaker{at: map[familyKey]int{}, namespaces: namespaces}
	for _, b := range m.blocks(groups, t) {
		m.addBlock(b)
	}
	slices.SortFunc(m.families, func(a, b family) int {
		return cmp.Or(cmp.Compare(order[a.kind], order[b.kind]), compareNames(a.name, b.name))
	})
	x := &index{version, t, m.families}
	s.index.Store(x)
	return x
}

// order is the kinds' order in Prometheus.
var order = [...]int{KindCounter: 0, KindGauge: 1, KindTextReadout: 2, KindHistogram: 3}

type familyMaker struct {
	families   []family
	at         map[familyKey]int
	namespaces []string
}

// blocks sorts the groups into blocks, and makes parts of fields that are in none.
func (m *familyMaker) blocks(groups []*group, t *Tagger) []*block {
	var all []*block
	at := map[blockKey]*block{}
	var skip []byte
	for _, g := range groups {
		id := g.identify(t)
		skip = skip[:0]
		for i := range id.odd {
			o := &id.odd[i]
			skip = append(skip, byte(o.field), byte(o.field>>8))
			m.add(familyKey{g.key.desc.fields[o.field].kind, o.name}, part{field: o.field, groups: []*group{g}, labels: &o.labels})
		}
		for _, e := range g.excluded() {
			skip = append(skip, byte(e), byte(e>>8))
		}
		key := blockKey{id.prefix, g.key.desc, string(skip)}
		b := at[key]
		if b == nil {
			b = &block{prefix: id.prefix, desc: g.key.desc}
			for i := 0; i < len(skip); i += 2 {
				b.skip = append(b.skip, uint16(skip[i])|uint16(skip[i+1])<<8)
			}
			at[key] = b
			all = append(all, b)
		}
		b.groups = append(b.groups, g)
	}
	return all
}

func (m *familyMaker) addBlock(b *block) {
	if !slices.IsSortedFunc(b.groups, compareGroups) {
		slices.SortFunc(b.groups, compareGroups)
	}
	nested := false
	for i := 1; i < len(b.groups) && b.groups[i].tagged() == nil; i++ {
		nested = nested || strings.HasPrefix(b.groups[i].key.prefix, b.groups[i-1].key.prefix)
	}
	for i := range b.desc.fields {
		if !slices.Contains(b.skip, uint16(i)) {
			key := familyKey{b.desc.fields[i].kind, b.prefix + b.desc.fields[i].name}
			m.add(key, part{field: uint16(i), nested: nested, groups: b.groups})
		}
	}
}

func (m *familyMaker) add(key familyKey, p part) {
	i, ok := m.at[key]
	if !ok {
		i = len(m.families)
		m.at[key] = i
		m.families = append(m.families, family{kind: key.kind, name: key.name, prom: metricName(key.name, m.namespaces)})
	}
	m.families[i].parts = append(m.families[i].parts, p)
}

// each yields the family's members in the order of their full names.
func (f *family) each(scratch *[]Stat, st *Stat) iter.Seq[*Stat] {
	return func(yield func(*Stat) bool) {
		if len(f.parts) == 1 && !f.parts[0].nested {
			p := &f.parts[0]
			for _, g := range p.groups {
				st.member, st.name, st.labels = member{g, &g.key.desc.fields[p.field]}, st.name[:0], p.labels
				if !yield(st) {
					return
				}
			}
			return
		}
		all := f.sorted((*scratch)[:0])
		*scratch = all
		for i := range all {
			if !yield(&all[i]) {
				return
			}
		}
	}
}

// sorted is the members of all parts, those of one name made one.
func (f *family) sorted(all []Stat) []Stat {
	for i := range f.parts {
		p := &f.parts[i]
		for _, g := range p.groups {
			all = append(all, Stat{member: member{g, &g.key.desc.fields[p.field]}, labels: p.labels})
		}
	}
	slices.SortStableFunc(all, func(a, b Stat) int { return compareMembers(a.member, b.member) })
	out := all[:0]
	for _, st := range all {
		if n := len(out); n > 0 && compareMembers(out[n-1].member, st.member) == 0 {
			out[n-1].same = append(out[n-1].same, st.member)
		} else {
			out = append(out, st)
		}
	}
	return out
}

func compareMembers(a, b member) int {
	if a.g.tagged() != nil && b.g.tagged() != nil {
		return compareGroups(a.g, b.g)
	}
	return compareNames(a.g.key.prefix+a.field.name, b.g.key.prefix+b.field.name)
}

// compareGroups orders groups of one block. Names are compared token by token as in Envoy, and a tag
// that a stat was made with is one token, dots and all.
func compareGroups(a, b *group) int {
	if a.tagged() == nil || b.tagged() == nil {
		return compareNames(a.key.prefix, b.key.prefix)
	}
	if c := compareNames(a.taggedName(), b.taggedName()); c != 0 {
		return c
	}
	for i := range min(len(a.tagged()), len(b.tagged())) / 2 {
		x, y := a.explicitTag(i), b.explicitTag(i)
		if c := cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Value, y.Value)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.tagged()), len(b.tagged()))
}

// compareNames compares dotted names token by token: a dot is less than any other byte.
func compareNames(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			switch {
			case a[i] == '.':
				return -1
			case b[i] == '.':
				return 1
			}
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}
