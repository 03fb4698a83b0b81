package route

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// index finds the routes of a virtual host that a path can match without looking at all of them. It
// only proposes: a route that it proposes is matched as any other, and what it leaves out cannot match.
type index struct {
	exact, exactFold   map[string][]int32 // path → routes, ascending
	prefix, prefixFold prefixTable        // prefix and path_separated_prefix
	others             []int32            // regexes, templates, connect
}

// fewRoutes is up to where trying one after the other is as good.
const fewRoutes = 8

func newIndex(routes []*Route, _ bool) *index {
	if len(routes) <= fewRoutes {
		return nil
	}
	x := &index{exact: map[string][]int32{}, exactFold: map[string][]int32{}}
	prefix, prefixFold := map[string][]int32{}, map[string][]int32{}
	for i, r := range routes {
		n, m := int32(i), &r.match
		switch {
		case m.kind == pathExact && m.anyCase:
			key := lowerString(m.text)
			x.exactFold[key] = append(x.exactFold[key], n)
		case m.kind == pathExact:
			x.exact[m.text] = append(x.exact[m.text], n)
		case m.kind > pathSeparated:
			x.others = append(x.others, n)
		case m.anyCase:
			key := lowerString(m.text)
			prefixFold[key] = append(prefixFold[key], n)
		default:
			prefix[m.text] = append(prefix[m.text], n)
		}
	}
	x.prefix, x.prefixFold = newPrefixTable(prefix), newPrefixTable(prefixFold)
	return x
}

// prefixTable is a set of prefixes in order, each with the longest other one that it begins with: that
// makes a trie of them without nodes.
type prefixTable []prefixEntry

type prefixEntry struct {
	text   string
	parent int32 // -1: none
	routes []int32
}

func newPrefixTable(m map[string][]int32) prefixTable {
	if len(m) == 0 {
		return nil
	}
	t := make(prefixTable, 0, len(m))
	for text, routes := range m {
		t = append(t, prefixEntry{text: text, routes: routes})
	}
	slices.SortFunc(t, func(a, b prefixEntry) int { return cmp.Compare(a.text, b.text) })
	for i := range t {
		at := int32(i) - 1
		for at >= 0 && !strings.HasPrefix(t[i].text, t[at].text) {
			at = t[at].parent
		}
		t[i].parent = at
	}
	return t
}

// longest is the longest entry that path begins with, or -1. Its ancestors are all the others.
func (t prefixTable) longest(path string) int32 {
	lo, hi := 0, len(t)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); t[mid].text <= path {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	at := int32(lo) - 1
	for at >= 0 && !strings.HasPrefix(path, t[at].text) {
		at = t[at].parent
	}
	return at
}

// candidates walks the routes that a path can match, in their order: it merges some ascending lists.
type candidates struct {
	lists [maxLists][]int32
	n     int
	all   int32 // not negative: there were too many lists, and this is the next route of all
}

const maxLists = 24

func (x *index) candidates(path string, c *candidates) {
	c.n, c.all = 0, -1
	c.add(x.exact[path])
	c.addPrefixes(x.prefix, path)
	if len(x.exactFold)+len(x.prefixFold) > 0 {
		var space [256]byte
		folded := foldInto(space[:0], path)
		c.add(x.exactFold[string(folded)])
		c.addFolded(x.prefixFold, folded)
	}
	c.add(x.others)
}

func (c *candidates) add(list []int32) {
	switch {
	case len(list) == 0:
	case c.n == maxLists:
		c.all = 0
	default:
		c.lists[c.n] = list
		c.n++
	}
}

func (c *candidates) addPrefixes(t prefixTable, path string) {
	if len(t) == 0 {
		return
	}
	for at := t.longest(path); at >= 0; at = t[at].parent {
		c.add(t[at].routes)
	}
}

func (c *candidates) addFolded(t prefixTable, path []byte) {
	if len(t) == 0 {
		return
	}
	for at := t.longest(header.Borrow(path)); at >= 0; at = t[at].parent {
		c.add(t[at].routes)
	}
}

// next is the next route to try, or -1. total is how many there are.
func (c *candidates) next(total int) int32 {
	if c.all >= 0 {
		if int(c.all) >= total {
			return -1
		}
		c.all++
		return c.all - 1
	}
	best := -1
	for i := range c.n {
		if len(c.lists[i]) > 0 && (best < 0 || c.lists[i][0] < c.lists[best][0]) {
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	at := c.lists[best][0]
	c.lists[best] = c.lists[best][1:]
	return at
}
