package route

import (
	"errors"
	"fmt"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	templatepb "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

type pathKind uint8

const (
	pathPrefix pathKind = iota
	pathExact
	pathSeparated // path_separated_prefix
	pathRegex
	pathTemplate
	pathConnect
)

// pathMatch is a RouteMatch's path_specifier.
type pathMatch struct {
	kind     pathKind
	anyCase  bool
	text     string // as it was configured
	regex    *matcher.Regex
	template *matcher.Template
}

func compilePathMatch(p *routepb.RouteMatch, o Options) (pathMatch, error) {
	// case_sensitive is ignored for safe_regex, as its comment says, and for what has no text.
	m := pathMatch{anyCase: p.GetCaseSensitive() != nil && !p.GetCaseSensitive().GetValue()}
	var err error
	switch k := p.GetPathSpecifier().(type) {
	case *routepb.RouteMatch_Prefix:
		m.kind, m.text = pathPrefix, k.Prefix
	case *routepb.RouteMatch_Path:
		m.kind, m.text = pathExact, k.Path
	case *routepb.RouteMatch_PathSeparatedPrefix:
		m.kind, m.text = pathSeparated, k.PathSeparatedPrefix
	case *routepb.RouteMatch_SafeRegex:
		m.kind, m.anyCase = pathRegex, false
		m.regex, err = matcher.CompileRegex(k.SafeRegex, o.Matcher)
	case *routepb.RouteMatch_ConnectMatcher_:
		m.kind = pathConnect
	case *routepb.RouteMatch_PathMatchPolicy:
		m.kind, m.anyCase = pathTemplate, false
		t := &templatepb.UriTemplateMatchConfig{}
		if k.PathMatchPolicy.GetTypedConfig().GetTypeUrl() != "type.googleapis.com/"+string(t.ProtoReflect().Descriptor().FullName()) {
			return m, matcher.Unregistered(k.PathMatchPolicy)
		}
		if err = k.PathMatchPolicy.GetTypedConfig().UnmarshalTo(t); err != nil {
			return m, fmt.Errorf("path_match_policy: %w", err)
		}
		m.template, err = matcher.CompileTemplate(t.GetPathTemplate())
	default:
		err = errors.New(`RouteMatch: field: "path_specifier", reason: is required`)
	}
	return m, err
}

// matches tells whether path, which has no query, matches; pathless requests match a connect_matcher
// alone.
func (m *pathMatch) matches(path string, h *header.Map) bool {
	switch m.kind {
	case pathConnect:
		return isConnect(h)
	case pathPrefix:
		if m.anyCase {
			return hasFoldPrefix(path, m.text)
		}
		return strings.HasPrefix(path, m.text)
	case pathExact:
		return len(path) == len(m.text) && (path == m.text || m.anyCase && hasFoldPrefix(path, m.text))
	case pathSeparated:
		n := len(m.text)
		if len(path) < n || len(path) > n && path[n] != '/' {
			return false
		}
		return path[:n] == m.text || m.anyCase && hasFoldPrefix(path, m.text)
	case pathRegex:
		return m.regex.Match(path)
	default:
		// Templates see path parameters even where those are ignored.
		return m.template.Match(matcher.PathOnly(h.Path))
	}
}

// isConnect tells CONNECT and CONNECT-UDP from all else; other extended CONNECTs are upgrades.
func isConnect(h *header.Map) bool {
	if h.Method == "CONNECT" && h.Protocol == "" {
		return true
	}
	const udp = "connect-udp"
	return strings.EqualFold(h.Protocol, udp) || h.Has(header.Upgrade) && strings.EqualFold(h.Value(header.Upgrade), udp)
}

// hasFoldPrefix tells whether s begins with prefix but for the case of ASCII letters.
func hasFoldPrefix(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if s[i] != prefix[i] && lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c + ('a' - 'A')
	}
	return c
}

// lowerString is strings.ToLower for ASCII letters alone.
func lowerString(s string) string {
	for i := range len(s) {
		if s[i]-'A' < 26 {
			b := []byte(s)
			for j := range b {
				b[j] = lower(b[j])
			}
			return string(b)
		}
	}
	return s
}

// String tells what the match wants, for people.
func (m *pathMatch) String() string {
	text := m.text
	switch m.kind {
	case pathRegex:
		text = m.regex.String()
	case pathTemplate:
		text = m.template.String()
	case pathConnect:
		return "connect_matcher"
	}
	how := [...]string{"prefix", "path", "path_separated_prefix", "safe_regex", "path template"}[m.kind]
	if m.anyCase {
		how += " (ignoring case)"
	}
	return fmt.Sprintf("%s %q", how, text)
}

// withoutParameters removes the parameters of every segment: from each ';' to the next '/'. The result
// may lie in h's arena.
func withoutParameters(h *header.Map, path string) string {
	at := strings.IndexByte(path, ';')
	if at < 0 {
		return path
	}
	buf := append(h.Grow(len(path))[:0], path[:at]...)
	skip := false
	for i := at; i < len(path); i++ {
		switch path[i] {
		case '/':
			skip = false
		case ';':
			skip = true
		}
		if !skip {
			buf = append(buf, path[i])
		}
	}
	return header.Borrow(buf)
}
