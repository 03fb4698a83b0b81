package matcher

import (
	"errors"
	"net/netip"
	"strings"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// PathOnly is path without query and fragment.
func PathOnly(path string) string {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	return path
}

// Path is a compiled PathMatcher.
type Path struct{ text String }

// CompilePath compiles a PathMatcher.
func CompilePath(p *matcherpb.PathMatcher, o Options) (Path, error) {
	if p.GetPath() == nil {
		return Path{}, errors.New("PathMatcher: rule is required")
	}
	s, err := CompileString(p.GetPath(), o)
	return Path{text: s}, err
}

// Match tells whether path matches, whose query and fragment do not count.
func (m *Path) Match(path string) bool { return m.text.Match(PathOnly(path)) }

// FilterState is a compiled FilterStateMatcher.
type FilterState struct {
	key     string
	text    *String
	address *Address // instead of text
}

// CompileFilterState compiles a FilterStateMatcher.
func CompileFilterState(p *matcherpb.FilterStateMatcher, o Options) (FilterState, error) {
	m := FilterState{key: p.GetKey()}
	if m.key == "" {
		return m, errors.New("FilterStateMatcher.key: value length must be at least 1 characters")
	}
	switch k := p.GetMatcher().(type) {
	case *matcherpb.FilterStateMatcher_StringMatch:
		s, err := CompileString(k.StringMatch, o)
		m.text = &s
		return m, err
	case *matcherpb.FilterStateMatcher_AddressMatch:
		a, err := CompileAddress(k.AddressMatch)
		m.address = &a
		return m, err
	}
	return m, errors.New("FilterStateMatcher: matcher is required")
}

// Addresser is a filter state object that is an address.
type Addresser interface{ FilterStateAddr() netip.Addr }

// Match tells whether the object matches, of the stream's filter state or its connection's.
func (m *FilterState) Match(i *streaminfo.Info) bool {
	if i == nil {
		return false
	}
	return m.matchObject(i.Find(m.key))
}

// MatchConn is Match before there is a stream.
func (m *FilterState) MatchConn(c *streaminfo.Connection) bool {
	return m.matchObject(c.FilterState.Get(m.key))
}

func (m *FilterState) matchObject(v any) bool {
	if m.address != nil {
		a, ok := v.(Addresser)
		return ok && m.address.Match(a.FilterStateAddr())
	}
	s, ok := v.(streaminfo.Serializer)
	return ok && m.text.Match(s.FilterStateString())
}

// Key is the name of the object that is looked at.
func (m *FilterState) Key() string { return m.key }
