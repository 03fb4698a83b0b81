package stats

import (
	"slices"
	"strings"
	"unique"
)

// identity is what Prometheus knows the stats of a group by. As a rule all fields of a struct have
// their prefix's tags; then one identity does for all of them, however many there are.
type identity struct {
	tagger *Tagger
	prefix string // of the names without tags
	labels string // `a="1",b="2"`
	odd    []odd  // fields that have other tags than the rest, by field
}

type odd struct {
	field        uint16
	name, labels string
}

// identify finds a group's identity, once for each tagger.
func (g *group) identify(t *Tagger) *identity {
	if id := g.identity.Load(); id != nil && id.tagger == t {
		return id
	}
	id := &identity{tagger: t}
	if g.tagged() != nil {
		// The labels of a stat made with tags are written from its name: kept, they would double it.
		id.prefix = unique.Make(g.taggedName()).Value()
	} else {
		id.extract(g, t)
	}
	g.identity.Store(id)
	return id
}

func (id *identity) extract(g *group, t *Tagger) {
	known := false
	var common []Tag
	for i := range g.key.desc.fields {
		f := &g.key.desc.fields[i]
		if g.excludes(i) {
			continue
		}
		name, tags := t.Extract(g.key.prefix + f.name)
		prefix, regular := strings.CutSuffix(name, f.name)
		switch {
		case regular && !known:
			known, common = true, tags
			id.prefix, id.labels = unique.Make(prefix).Value(), unique.Make(labels(tags)).Value()
		case regular && prefix == id.prefix && slices.Equal(tags, common):
		default:
			id.odd = append(id.odd, odd{uint16(i), unique.Make(name).Value(), unique.Make(labels(tags)).Value()})
		}
	}
}

func labels(tags []Tag) string {
	var b []byte
	for _, t := range tags {
		b = appendLabel(b, t)
	}
	return string(b)
}

// appendLabel appends a label, with a comma before it if it is not the first.
func appendLabel(dst []byte, t Tag) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = appendSanitized(dst, t.Name)
	dst = append(dst, `="`...)
	dst = appendLabelValue(dst, t.Value)
	return append(dst, '"')
}

// appendSanitized appends a name with all but letters, digits and underscores replaced.
func appendSanitized(dst []byte, name string) []byte {
	for _, c := range []byte(name) {
		if !isWord(c) {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendLabelValue(dst []byte, value string) []byte {
	if !strings.ContainsAny(value, "\\\"\n") {
		return append(dst, value...)
	}
	for _, c := range []byte(value) {
		switch c {
		case '\\', '"':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// metricName is a family's name in Prometheus; "" is a family that has none.
func metricName(name string, namespaces []string) string {
	for _, ns := range namespaces {
		if own, ok := strings.CutPrefix(name, ns); ok {
			if own == "" || '0' <= own[0] && own[0] <= '9' {
				return ""
			}
			return string(appendSanitized(nil, own))
		}
	}
	return string(appendSanitized([]byte("envoy_"), name))
}
