package matcher

import (
	"errors"

	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
)

// Result is what became of matching.
type Result uint8

// Insufficient is the result where what has to be looked at does not exist yet.
const (
	NoMatch Result = iota
	Matched
	Insufficient
)

func resultOf(ok bool) Result {
	if ok {
		return Matched
	}
	return NoMatch
}

type predicateKind uint8

const (
	predicateSingle predicateKind = iota
	predicateOr
	predicateAnd
	predicateNot
)

// Predicate is a compiled Matcher.MatcherList.Predicate.
type Predicate struct {
	kind   predicateKind
	sub    []Predicate
	input  Input
	value  String
	custom Custom // instead of value
}

// TreeOptions say what a matching tree may look at.
type TreeOptions struct {
	Options
	// Inputs compiles inputs: HTTPInputs or NetworkInputs, or what calls them after its own.
	Inputs InputFunc
	// Custom compiles a custom_match that this package does not know (CEL); nil: none.
	Custom CustomFunc
	// KeepMatching allows keep_matching.
	KeepMatching bool
}

// CompilePredicate compiles a predicate.
func CompilePredicate(p *xdspb.Matcher_MatcherList_Predicate, o TreeOptions) (Predicate, error) {
	switch k := p.GetMatchType().(type) {
	case *xdspb.Matcher_MatcherList_Predicate_SinglePredicate_:
		return compileSingle(k.SinglePredicate, o)
	case *xdspb.Matcher_MatcherList_Predicate_OrMatcher:
		return compilePredicates(predicateOr, k.OrMatcher.GetPredicate(), o)
	case *xdspb.Matcher_MatcherList_Predicate_AndMatcher:
		return compilePredicates(predicateAnd, k.AndMatcher.GetPredicate(), o)
	case *xdspb.Matcher_MatcherList_Predicate_NotMatcher:
		return compilePredicates(predicateNot, []*xdspb.Matcher_MatcherList_Predicate{k.NotMatcher}, o)
	}
	return Predicate{}, errors.New("Predicate: match_type is required")
}

func compilePredicates(kind predicateKind, ps []*xdspb.Matcher_MatcherList_Predicate, o TreeOptions) (Predicate, error) {
	m := Predicate{kind: kind, sub: make([]Predicate, len(ps))}
	if len(ps) < 2 && kind != predicateNot {
		return m, errors.New("PredicateList.predicate: value must contain at least 2 item(s)")
	}
	for i, p := range ps {
		var err error
		if m.sub[i], err = CompilePredicate(p, o); err != nil {
			return m, err
		}
	}
	return m, nil
}

func compileSingle(p *xdspb.Matcher_MatcherList_Predicate_SinglePredicate, o TreeOptions) (Predicate, error) {
	var m Predicate
	var err error
	if m.input, err = compileInput(p.GetInput(), o); err != nil {
		return m, err
	}
	switch k := p.GetMatcher().(type) {
	case *xdspb.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch:
		m.value, err = CompileXDSString(k.ValueMatch, o.Options)
		return m, err
	case *xdspb.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch:
		if m.custom, err = compileCustom(k.CustomMatch, o.Options); err != nil || m.custom != nil {
			return m, err
		}
		if o.Custom != nil {
			if m.custom, err = o.Custom(k.CustomMatch); err != nil || m.custom != nil {
				return m, err
			}
		}
		return m, Unregistered(k.CustomMatch)
	}
	return m, errors.New("SinglePredicate: matcher is required")
}

func compileInput(x Extension, o TreeOptions) (Input, error) {
	in, err := o.Inputs(x)
	if err == nil && in == nil {
		err = Unregistered(x)
	}
	return in, err
}

// Match evaluates the predicate.
func (m *Predicate) Match(d Data) Result {
	switch m.kind {
	case predicateSingle:
		v := m.input.Get(d)
		if v.state == inputPending {
			return Insufficient
		}
		if m.custom != nil {
			return resultOf(m.custom.MatchInput(d, v))
		}
		s, ok := v.Text()
		return resultOf(ok && m.value.Match(s))
	case predicateNot:
		switch r := m.sub[0].Match(d); r {
		case Insufficient:
			return r
		default:
			return resultOf(r == NoMatch)
		}
	}
	// One that decides is enough, whatever is not known of the others.
	decides := Matched
	if m.kind == predicateAnd {
		decides = NoMatch
	}
	pending := false
	for i := range m.sub {
		switch m.sub[i].Match(d) {
		case decides:
			return decides
		case Insufficient:
			pending = true
		}
	}
	if pending {
		return Insufficient
	}
	return resultOf(decides == NoMatch)
}
