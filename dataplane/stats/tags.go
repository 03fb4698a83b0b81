package stats

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Tagger finds tags in stat names. Extraction is asked for once a name; what it says is kept with
// the stat.
type Tagger struct {
	anywhere []extractor            // tried on every name
	below    map[string][]extractor // tried on names with this first token, after the others
}

// extractor finds one tag: by a pattern of tokens, or by a regular expression, or it is fixed.
type extractor struct {
	tag    string
	first  string // the token that names must begin with; "" is any
	needs  string // what names must contain, looked for before the regular expression is tried
	except string // the value that is none

	tokens []string // "$" is the value, "*" any token, "**" any number of them (at the end, not none)
	expr   *regexp.Regexp
	value  string // of a fixed tag, which has neither
}

// span is a part of a name.
type span struct{ start, end int }

func newTagger(extractors []extractor) *Tagger {
	t := &Tagger{below: map[string][]extractor{}}
	for _, e := range extractors {
		if e.first == "" {
			t.anywhere = append(t.anywhere, e)
		} else {
			t.below[e.first] = append(t.below[e.first], e)
		}
	}
	return t
}

// Extract finds the tags of a name and takes them out of it. What one tag takes out another still
// sees. Of two extractors of one tag the first that finds something wins.
func (t *Tagger) Extract(name string) (extracted string, tags []Tag) {
	var cut [8]span
	x := extraction{name: name, cut: cut[:0]}
	x.all(t.anywhere)
	if first, _, ok := strings.Cut(name, "."); ok {
		x.all(t.below[first])
	}
	return x.rest(), x.tags
}

type extraction struct {
	name   string
	tokens []span // made when the first pattern of tokens needs them
	tags   []Tag
	cut    []span
}

func (x *extraction) all(extractors []extractor) {
	for i := range extractors {
		e := &extractors[i]
		if slices.ContainsFunc(x.tags, func(t Tag) bool { return t.Name == e.tag }) {
			continue
		}
		switch {
		case e.tokens != nil:
			x.matchTokens(e)
		case e.expr != nil:
			x.matchRegex(e)
		default:
			x.tags = append(x.tags, Tag{e.tag, e.value})
		}
	}
}

// matchRegex takes out what group 1 matched; the value is group 2, or group 1 if there is no other.
func (x *extraction) matchRegex(e *extractor) {
	if e.needs != "" && !strings.Contains(x.name, e.needs) {
		return
	}
	m := e.expr.FindStringSubmatchIndex(x.name)
	if len(m) < 4 {
		return
	}
	remove, value := span{m[2], m[3]}, span{m[2], m[3]}
	if len(m) > 4 {
		value = span{m[4], m[5]}
	}
	tag := Tag{Name: e.tag}
	if value.start >= 0 { // a group that took no part is an empty value
		tag.Value = x.name[value.start:value.end]
	}
	if e.except != "" && tag.Value == e.except {
		return
	}
	x.tags = append(x.tags, tag)
	if remove.start >= 0 {
		x.cut = append(x.cut, remove)
	}
}

// matchTokens takes out the token that is the value, and the dot that held it.
func (x *extraction) matchTokens(e *extractor) {
	if x.tokens == nil {
		x.tokens = make([]span, 0, 16)
		for start := 0; ; {
			end := strings.IndexByte(x.name[start:], '.')
			if end < 0 {
				x.tokens = append(x.tokens, span{start, len(x.name)})
				break
			}
			x.tokens = append(x.tokens, span{start, start + end})
			start += end + 1
		}
	}
	at, ok := x.match(e.tokens, 0)
	if !ok {
		return
	}
	token := x.tokens[at]
	x.tags = append(x.tags, Tag{e.tag, x.name[token.start:token.end]})
	switch {
	case at < len(x.tokens)-1:
		token.end++
	case at > 0:
		token.start--
	}
	x.cut = append(x.cut, token)
}

// match matches the tokens from the i-th and tells which the value is.
func (x *extraction) match(pattern []string, i int) (value int, ok bool) {
	value = -1
	for at, p := range pattern {
		if p == "**" {
			if at == len(pattern)-1 {
				return value, i < len(x.tokens)
			}
			for skip := i; skip <= len(x.tokens); skip++ {
				if v, ok := x.match(pattern[at+1:], skip); ok {
					return max(value, v), true
				}
			}
			return 0, false
		}
		if i == len(x.tokens) {
			return 0, false
		}
		token := x.tokens[i]
		switch {
		case p == "$":
			value = i
		case p != "*" && p != x.name[token.start:token.end]:
			return 0, false
		}
		i++
	}
	return value, i == len(x.tokens)
}

// rest is the name without what was cut out.
func (x *extraction) rest() string {
	if len(x.cut) == 0 {
		return x.name
	}
	slices.SortFunc(x.cut, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	b.Grow(len(x.name))
	at := 0
	for _, c := range x.cut {
		if c.start > at {
			b.WriteString(x.name[at:c.start])
		}
		at = max(at, c.end)
	}
	b.WriteString(x.name[at:])
	return b.String()
}
