package matcher

import (
	"errors"
	"fmt"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// Query is a compiled QueryParameterMatcher. Values are matched as they were sent, not decoded.
type Query struct {
	name   string
	value  *String // nil: presence is asked for
	absent bool
}

// CompileQuery compiles a QueryParameterMatcher.
func CompileQuery(p *routepb.QueryParameterMatcher, o Options) (Query, error) {
	m := Query{name: p.GetName()}
	if m.name == "" {
		return m, errors.New("QueryParameterMatcher.name: value length must be at least 1 characters")
	}
	switch k := p.GetQueryParameterMatchSpecifier().(type) {
	case *routepb.QueryParameterMatcher_StringMatch:
		s, err := CompileString(k.StringMatch, o)
		m.value = &s
		return m, err
	case *routepb.QueryParameterMatcher_PresentMatch:
		m.absent = !k.PresentMatch
	}
	return m, nil
}

// Match tells whether the query of path matches.
func (m *Query) Match(path string) bool {
	v, has := QueryParam(path, m.name)
	if m.value != nil {
		return has && m.value.Match(v)
	}
	return has != m.absent
}

// String tells what the matcher wants, for people.
func (m *Query) String() string {
	switch {
	case m.value != nil:
		return fmt.Sprintf("query parameter %s: %s", m.name, m.value.String())
	case m.absent:
		return fmt.Sprintf("query parameter %s: absent", m.name)
	}
	return fmt.Sprintf("query parameter %s: present", m.name)
}

// QueryParam returns the first value of a parameter in path's query, as it was sent.
func QueryParam(path, name string) (string, bool) {
	_, query, ok := strings.Cut(path, "?")
	for ok && query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(part, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// Cookie is a compiled CookieMatcher.
type Cookie struct {
	name   string
	value  String
	invert bool
}

// CompileCookie compiles a CookieMatcher.
func CompileCookie(p *routepb.CookieMatcher, o Options) (Cookie, error) {
	m := Cookie{name: p.GetName(), invert: p.GetInvertMatch()}
	if m.name == "" {
		return m, errors.New("CookieMatcher.name: value length must be at least 1 characters")
	}
	if p.GetStringMatch() == nil {
		return m, errors.New("CookieMatcher.string_match: value is required")
	}
	var err error
	m.value, err = CompileString(p.GetStringMatch(), o)
	return m, err
}

// Match tells whether h's cookies match. A missing cookie matches only where invert_match is set.
func (m *Cookie) Match(h *header.Map) bool {
	v, has := CookieValue(h, m.name)
	return (has && m.value.Match(v)) != m.invert
}

// String tells what the matcher wants, for people.
func (m *Cookie) String() string {
	if m.invert {
		return fmt.Sprintf("cookie %s: not %s", m.name, m.value.String())
	}
	return fmt.Sprintf("cookie %s: %s", m.name, m.value.String())
}

// CookieValue returns the value of the first cookie called name, without quotes around it.
func CookieValue(h *header.Map, name string) (string, bool) {
	if !h.Has(header.Cookie) {
		return "", false
	}
	fields := h.Fields()
	for i := range fields {
		if fields[i].ID != header.Cookie {
			continue
		}
		for rest := fields[i].Value; rest != ""; {
			var part string
			part, rest, _ = strings.Cut(rest, ";")
			key, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
			if !ok || key != name {
				continue
			}
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value, true
		}
	}
	return "", false
}
