package matcher

import (
	"errors"
	"strconv"
	"strings"

	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

type stringKind uint8

const (
	stringExact stringKind = iota
	stringPrefix
	stringSuffix
	stringContains
	stringRegex
)

// String is a compiled StringMatcher.
type String struct {
	kind       stringKind
	ignoreCase bool // text is lower case then
	text       string
	regex      *Regex
}

// Exact is a String that matches s alone.
func Exact(s string) String { return String{text: s} }

// CompileString compiles a StringMatcher.
func CompileString(p *matcherpb.StringMatcher, o Options) (String, error) {
	m := String{ignoreCase: p.GetIgnoreCase()}
	switch k := p.GetMatchPattern().(type) {
	case *matcherpb.StringMatcher_Exact:
		m.kind, m.text = stringExact, k.Exact
	case *matcherpb.StringMatcher_Prefix:
		m.kind, m.text = stringPrefix, k.Prefix
	case *matcherpb.StringMatcher_Suffix:
		m.kind, m.text = stringSuffix, k.Suffix
	case *matcherpb.StringMatcher_Contains:
		m.kind, m.text = stringContains, k.Contains
	case *matcherpb.StringMatcher_SafeRegex:
		if m.ignoreCase {
			return m, errors.New("ignore_case has no effect for safe_regex.")
		}
		re, err := CompileRegex(k.SafeRegex, o)
		if err != nil {
			return m, err
		}
		m.kind, m.regex = stringRegex, re
	case *matcherpb.StringMatcher_Custom:
		return m, Unregistered(k.Custom)
	default:
		return m, errors.New("StringMatcher: match_pattern is required")
	}
	if m.ignoreCase {
		m.text = asciiLower(m.text)
	}
	return m, nil
}

// CompileXDSString compiles the StringMatcher of the xds package, which has the same fields.
func CompileXDSString(p *xdspb.StringMatcher, o Options) (String, error) {
	to := &matcherpb.StringMatcher{IgnoreCase: p.GetIgnoreCase()}
	switch k := p.GetMatchPattern().(type) {
	case *xdspb.StringMatcher_Exact:
		to.MatchPattern = &matcherpb.StringMatcher_Exact{Exact: k.Exact}
	case *xdspb.StringMatcher_Prefix:
		to.MatchPattern = &matcherpb.StringMatcher_Prefix{Prefix: k.Prefix}
	case *xdspb.StringMatcher_Suffix:
		to.MatchPattern = &matcherpb.StringMatcher_Suffix{Suffix: k.Suffix}
	case *xdspb.StringMatcher_Contains:
		to.MatchPattern = &matcherpb.StringMatcher_Contains{Contains: k.Contains}
	case *xdspb.StringMatcher_SafeRegex:
		to.MatchPattern = &matcherpb.StringMatcher_SafeRegex{SafeRegex: &matcherpb.RegexMatcher{Regex: k.SafeRegex.GetRegex()}}
	case *xdspb.StringMatcher_Custom:
		return String{}, Unregistered(k.Custom)
	}
	return CompileString(to, o)
}

// Match tells whether s matches.
func (m *String) Match(s string) bool {
	switch m.kind {
	case stringExact:
		if m.ignoreCase {
			return len(s) == len(m.text) && hasFoldPrefix(s, m.text)
		}
		return s == m.text
	case stringPrefix:
		if m.ignoreCase {
			return hasFoldPrefix(s, m.text)
		}
		return strings.HasPrefix(s, m.text)
	case stringSuffix:
		if m.ignoreCase {
			return len(s) >= len(m.text) && hasFoldPrefix(s[len(s)-len(m.text):], m.text)
		}
		return strings.HasSuffix(s, m.text)
	case stringContains:
		if m.ignoreCase {
			return containsFold(s, m.text)
		}
		return strings.Contains(s, m.text)
	default:
		return m.regex.Match(s)
	}
}

// Literal returns the text of a case-sensitive exact matcher, for who wants to index it.
func (m *String) Literal() (string, bool) {
	return m.text, m.kind == stringExact && !m.ignoreCase
}

// Strings is a compiled ListStringMatcher: any of them.
type Strings []String

// CompileStrings compiles a list of StringMatchers.
func CompileStrings(ps []*matcherpb.StringMatcher, o Options) (Strings, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	ms := make(Strings, len(ps))
	for i, p := range ps {
		var err error
		if ms[i], err = CompileString(p, o); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// Match tells whether any of the matchers matches s.
func (ms Strings) Match(s string) bool {
	for i := range ms {
		if ms[i].Match(s) {
			return true
		}
	}
	return false
}

// String tells what the matcher wants, for people.
func (m *String) String() string {
	how := [...]string{"exactly", "prefix", "suffix", "contains", "regex"}[m.kind]
	text := m.text
	if m.kind == stringRegex {
		text = m.regex.source
	}
	if m.ignoreCase {
		how += " (ignoring case)"
	}
	return how + " " + strconv.Quote(text)
}
