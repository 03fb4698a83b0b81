package matcher

import (
	"errors"
	"fmt"
	"strings"

	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
)

// Tree is a compiled unified matcher (xds.type.matcher.v3.Matcher) that leads to actions of type A.
type Tree[A any] struct{ root *node[A] }

// node is one Matcher. Of list and the two kinds of tree one is set, or none.
type node[A any] struct {
	list     []field[A]
	input    Input
	exact    map[string]*onMatch[A]
	prefixes []prefixMatch[A] // longest first
	ranges   *rangeMatch[A]
	domains  *domainMatch[A]
	noMatch  *onMatch[A]
}

type field[A any] struct {
	predicate Predicate
	on        *onMatch[A]
}

type prefixMatch[A any] struct {
	prefix string
	on     *onMatch[A]
}

// onMatch is a Matcher.OnMatch: a nested matcher, or an action.
type onMatch[A any] struct {
	nested *node[A]
	action A
	keep   bool // keep_matching: tell of the action and go on
}

// ActionFunc compiles an action.
type ActionFunc[A any] func(x Extension) (A, error)

// CompileTree compiles a Matcher.
func CompileTree[A any](p *xdspb.Matcher, o TreeOptions, action ActionFunc[A]) (*Tree[A], error) {
	c := treeCompiler[A]{o, action}
	root, err := c.node(p)
	if err != nil {
		return nil, err
	}
	return &Tree[A]{root}, nil
}

type treeCompiler[A any] struct {
	o      TreeOptions
	action ActionFunc[A]
}

func (c *treeCompiler[A]) node(p *xdspb.Matcher) (*node[A], error) {
	n := &node[A]{}
	var err error
	if p.GetOnNoMatch() != nil {
		if n.noMatch, err = c.on(p.GetOnNoMatch()); err != nil {
			return nil, err
		}
	}
	switch k := p.GetMatcherType().(type) {
	case *xdspb.Matcher_MatcherList_:
		if len(k.MatcherList.GetMatchers()) == 0 {
			return nil, errors.New("MatcherList.matchers: value must contain at least 1 item(s)")
		}
		for _, m := range k.MatcherList.GetMatchers() {
			var f field[A]
			if f.predicate, err = CompilePredicate(m.GetPredicate(), c.o); err != nil {
				return nil, err
			}
			if f.on, err = c.on(m.GetOnMatch()); err != nil {
				return nil, err
			}
			n.list = append(n.list, f)
		}
	case *xdspb.Matcher_MatcherTree_:
		if err = c.tree(n, k.MatcherTree); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (c *treeCompiler[A]) tree(n *node[A], p *xdspb.Matcher_MatcherTree) error {
	var err error
	if n.input, err = compileInput(p.GetInput(), c.o); err != nil {
		return err
	}
	switch k := p.GetTreeType().(type) {
	case *xdspb.Matcher_MatcherTree_ExactMatchMap:
		n.exact, err = c.onMap(k.ExactMatchMap)
		return err
	case *xdspb.Matcher_MatcherTree_PrefixMatchMap:
		m, err := c.onMap(k.PrefixMatchMap)
		for prefix, on := range m {
			n.prefixes = append(n.prefixes, prefixMatch[A]{prefix, on})
		}
		sortPrefixes(n.prefixes)
		return err
	case *xdspb.Matcher_MatcherTree_CustomMatch:
		return c.customTree(n, k.CustomMatch)
	}
	return errors.New("MatcherTree: tree_type is required")
}

func (c *treeCompiler[A]) onMap(p *xdspb.Matcher_MatcherTree_MatchMap) (map[string]*onMatch[A], error) {
	if len(p.GetMap()) == 0 {
		return nil, errors.New("MatchMap.map: value must contain at least 1 pair(s)")
	}
	m := make(map[string]*onMatch[A], len(p.GetMap()))
	for key, on := range p.GetMap() {
		var err error
		if m[key], err = c.on(on); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (c *treeCompiler[A]) on(p *xdspb.Matcher_OnMatch) (*onMatch[A], error) {
	on := &onMatch[A]{keep: p.GetKeepMatching()}
	if on.keep && !c.o.KeepMatching {
		return nil, errors.New("keep_matching is not supported in this context")
	}
	var err error
	switch k := p.GetOnMatch().(type) {
	case *xdspb.Matcher_OnMatch_Matcher:
		on.nested, err = c.node(k.Matcher)
	case *xdspb.Matcher_OnMatch_Action:
		on.action, err = c.action(k.Action)
	default:
		err = errors.New("OnMatch: on_match is required")
	}
	return on, err
}

// Match finds the action. A nested matcher that finds none is as if its predicate had not matched.
func (t *Tree[A]) Match(d Data) (A, Result) { return t.root.match(d, nil) }

// MatchKeeping is Match that also tells of the actions passed by keep_matching, in order.
func (t *Tree[A]) MatchKeeping(d Data, kept func(A)) (A, Result) { return t.root.match(d, kept) }

func (n *node[A]) match(d Data, kept func(A)) (a A, r Result) {
	switch {
	case n.list != nil:
		for i := range n.list {
			f := &n.list[i]
			switch f.predicate.Match(d) {
			case Insufficient:
				return a, Insufficient
			case Matched:
				if a, r = f.on.take(d, kept); r != NoMatch {
					return a, r
				}
			}
		}
	case n.input != nil:
		if a, r = n.lookup(d, kept); r != NoMatch {
			return a, r
		}
	}
	return n.noMatch.take(d, kept)
}

func (n *node[A]) lookup(d Data, kept func(A)) (a A, r Result) {
	v := n.input.Get(d)
	if v.state == inputPending {
		return a, Insufficient
	}
	if n.ranges != nil {
		return n.ranges.match(v, d, kept)
	}
	s, ok := v.Text()
	switch {
	case !ok:
		return a, NoMatch
	case n.domains != nil:
		return n.domains.match(s, d, kept)
	case n.exact != nil:
		return n.exact[s].take(d, kept)
	}
	for i := range n.prefixes {
		if strings.HasPrefix(s, n.prefixes[i].prefix) {
			if a, r = n.prefixes[i].on.take(d, kept); r != NoMatch {
				return a, r
			}
		}
	}
	return a, NoMatch
}

// take follows o; nil leads nowhere.
func (o *onMatch[A]) take(d Data, kept func(A)) (a A, r Result) {
	switch {
	case o == nil:
		return a, NoMatch
	case o.nested != nil:
		a, r = o.nested.match(d, kept)
	default:
		a, r = o.action, Matched
	}
	if o.keep && r == Matched {
		if kept != nil {
			kept(a)
		}
		var none A
		return none, NoMatch
	}
	return a, r
}

// String names the result.
func (r Result) String() string {
	switch r {
	case NoMatch, Matched, Insufficient:
		return [...]string{"no match", "matched", "insufficient data"}[r]
	}
	return fmt.Sprintf("Result(%d)", uint8(r))
}
