package stats

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// list is a list of StringMatchers: is the name one that any of them matches?
type list struct {
	exact                    map[string]struct{}
	prefix, suffix, contains []string
	regex                    []*regexp.Regexp
	folded                   *list // with ignore_case: in lower case
}

// listMatcher is inclusion_list or exclusion_list.
type listMatcher struct {
	list
	inclusive bool
}

// Excluded implements Matcher.
func (m *listMatcher) Excluded(name string) bool { return m.match(name) != m.inclusive }

type rejectAll struct{}

func (rejectAll) Excluded(string) bool { return true }

func compileMatcher(m *metricspb.StatsMatcher) (Matcher, error) {
	var patterns []*matcherpb.StringMatcher
	inclusive := false
	switch m := m.GetStatsMatcher().(type) {
	case *metricspb.StatsMatcher_RejectAll:
		if m.RejectAll {
			return rejectAll{}, nil
		}
		return nil, nil
	case *metricspb.StatsMatcher_ExclusionList:
		patterns = m.ExclusionList.GetPatterns()
	case *metricspb.StatsMatcher_InclusionList:
		patterns, inclusive = m.InclusionList.GetPatterns(), true
	default:
		return nil, nil
	}
	l, err := compileList(patterns)
	if err != nil {
		return nil, err
	}
	return &listMatcher{list: *l, inclusive: inclusive}, nil
}

func compileList(patterns []*matcherpb.StringMatcher) (*list, error) {
	l := &list{}
	for _, p := range patterns {
		if err := l.add(p); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *list) add(p *matcherpb.StringMatcher) error {
	fold := func(s string) string { return s }
	if p.GetIgnoreCase() {
		if p.GetSafeRegex() != nil {
			return errors.New("ignore_case has no effect for safe_regex.") //nolint:revive,staticcheck // Envoy's text
		}
		if l.folded == nil {
			l.folded = &list{}
		}
		l, fold = l.folded, lower
	}
	switch m := p.GetMatchPattern().(type) {
	case *matcherpb.StringMatcher_Exact:
		if l.exact == nil {
			l.exact = map[string]struct{}{}
		}
		l.exact[fold(m.Exact)] = struct{}{}
	case *matcherpb.StringMatcher_Prefix:
		l.prefix = append(l.prefix, fold(m.Prefix))
	case *matcherpb.StringMatcher_Suffix:
		l.suffix = append(l.suffix, fold(m.Suffix))
	case *matcherpb.StringMatcher_Contains:
		l.contains = append(l.contains, fold(m.Contains))
	case *matcherpb.StringMatcher_SafeRegex:
		expr, err := compileWhole(m.SafeRegex.GetRegex())
		if err != nil {
			return err
		}
		l.regex = append(l.regex, expr)
	case *matcherpb.StringMatcher_Custom:
		return errors.New("stats_config: field StringMatcher.custom is not supported")
	}
	return nil
}

// compileWhole compiles a RegexMatcher, which has to match the whole of a name. Its engine field,
// google_re2, is deprecated and changes nothing.
func compileWhole(expr string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(expr); err != nil {
		return nil, errors.New(re2Error(err))
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

func (l *list) match(name string) bool {
	if _, ok := l.exact[name]; ok {
		return true
	}
	return slices.ContainsFunc(l.prefix, func(p string) bool { return strings.HasPrefix(name, p) }) ||
		slices.ContainsFunc(l.suffix, func(p string) bool { return strings.HasSuffix(name, p) }) ||
		slices.ContainsFunc(l.contains, func(p string) bool { return strings.Contains(name, p) }) ||
		slices.ContainsFunc(l.regex, func(r *regexp.Regexp) bool { return r.MatchString(name) }) ||
		l.folded != nil && l.folded.match(lower(name))
}

// lower is about ASCII, as ignore_case is.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
