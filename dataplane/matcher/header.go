package matcher

import (
	"errors"
	"fmt"
	"strconv"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

type headerKind uint8

const (
	headerPresent headerKind = iota
	headerAbsent
	headerAny // the deprecated exact_match of "": any value, but there has to be one
	headerString
	headerRange
)

// Header is a compiled route.v3.HeaderMatcher.
type Header struct {
	name   string // lower case
	id     header.ID
	kind   headerKind
	invert bool
	// missingEmpty takes a missing header for an empty one.
	missingEmpty bool
	value        String
	start, end   int64
}

// CompileHeader compiles a HeaderMatcher.
func CompileHeader(p *routepb.HeaderMatcher, o Options) (Header, error) {
	m := Header{name: asciiLower(p.GetName()), invert: p.GetInvertMatch(), missingEmpty: p.GetTreatMissingHeaderAsEmpty(), kind: headerString}
	if m.name == "" {
		return m, errors.New("HeaderMatcher.name: value length must be at least 1 characters")
	}
	m.id = header.IDOf(m.name)
	var err error
	switch k := p.GetHeaderMatchSpecifier().(type) {
	case *routepb.HeaderMatcher_ExactMatch:
		m.value = String{kind: stringExact, text: k.ExactMatch}
		if k.ExactMatch == "" {
			m.kind = headerAny
		}
	case *routepb.HeaderMatcher_PrefixMatch:
		m.value = String{kind: stringPrefix, text: k.PrefixMatch}
	case *routepb.HeaderMatcher_SuffixMatch:
		m.value = String{kind: stringSuffix, text: k.SuffixMatch}
	case *routepb.HeaderMatcher_ContainsMatch:
		m.value = String{kind: stringContains, text: k.ContainsMatch}
	case *routepb.HeaderMatcher_SafeRegexMatch:
		m.value.kind = stringRegex
		m.value.regex, err = CompileRegex(k.SafeRegexMatch, o)
	case *routepb.HeaderMatcher_StringMatch:
		m.value, err = CompileString(k.StringMatch, o)
	case *routepb.HeaderMatcher_RangeMatch:
		m.kind, m.start, m.end = headerRange, k.RangeMatch.GetStart(), k.RangeMatch.GetEnd()
	case *routepb.HeaderMatcher_PresentMatch:
		m.kind = headerAbsent
		if k.PresentMatch {
			m.kind = headerPresent
		}
	default:
		m.kind = headerPresent
	}
	return m, err
}

// Name is the lower-case name of the header that is looked at.
func (m *Header) Name() string { return m.name }

// Match tells whether h matches. Of a repeated header one value that matches is enough; with
// invert_match none may. A missing header does not match either way, unless it counts as empty or is
// what is asked for.
func (m *Header) Match(h *header.Map) bool {
	if m.kind <= headerAbsent {
		_, has := h.Get(m.name)
		return ((has || m.missingEmpty) == (m.kind == headerPresent)) != m.invert
	}
	if m.id != 0 && m.id <= header.Host {
		v, has := h.Get(m.name)
		return m.matchOne(v, has)
	}
	if m.id != 0 && !h.Has(m.id) {
		return m.matchOne("", false)
	}
	fields := h.Fields()
	has := false
	for i := range fields {
		if f := &fields[i]; f.ID == m.id && (m.id != 0 || f.Name == m.name) {
			has = true
			if m.matchValue(f.Value) {
				return !m.invert
			}
		}
	}
	if !has {
		return m.matchOne("", false)
	}
	return m.invert
}

func (m *Header) matchOne(value string, has bool) bool {
	if !has && !m.missingEmpty {
		return false
	}
	return m.matchValue(value) != m.invert
}

func (m *Header) matchValue(v string) bool {
	switch m.kind {
	case headerAny:
		return true
	case headerRange:
		n, ok := parseInt(v)
		return ok && n >= m.start && n < m.end
	default:
		return m.value.Match(v)
	}
}

// parseInt is strconv.ParseInt without making an error of most headers.
func parseInt(s string) (int64, bool) {
	if s == "" || len(s) > 20 || (s[len(s)-1]-'0') > 9 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// String tells what the matcher wants, for people.
func (m *Header) String() string {
	not := ""
	if m.invert {
		not = "not "
	}
	switch m.kind {
	case headerPresent, headerAny:
		return fmt.Sprintf("header %s: %spresent", m.name, not)
	case headerAbsent:
		return fmt.Sprintf("header %s: %sabsent", m.name, not)
	case headerRange:
		return fmt.Sprintf("header %s: %sin [%d, %d)", m.name, not, m.start, m.end)
	}
	return fmt.Sprintf("header %s: %s%s", m.name, not, m.value.String())
}

// Headers are matchers of which all have to match.
type Headers []Header

// CompileHeaders compiles a list of HeaderMatchers.
func CompileHeaders(ps []*routepb.HeaderMatcher, o Options) (Headers, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	ms := make(Headers, len(ps))
	for i, p := range ps {
		var err error
		if ms[i], err = CompileHeader(p, o); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// Match tells whether all matchers match h.
func (ms Headers) Match(h *header.Map) bool { return ms.Mismatch(h) < 0 }

// Mismatch is the index of the first matcher that does not match, or -1.
func (ms Headers) Mismatch(h *header.Map) int {
	for i := range ms {
		if !ms[i].Match(h) {
			return i
		}
	}
	return -1
}
