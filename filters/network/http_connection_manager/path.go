package hcm

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// pathVerdict is what normalising a path comes to.
type pathVerdict uint8

const (
	pathOK pathVerdict = iota
	pathReject
	pathRedirect
)

// escapedSlashes is path_with_escaped_slashes_action.
type escapedSlashes uint8

const (
	slashesKeep escapedSlashes = iota
	slashesReject
	slashesUnescapeAndRedirect
	slashesUnescapeAndForward
)

// pathOptions are the connection manager's fields that touch the path.
type pathOptions struct {
	normalize, mergeSlashes bool
	slashes                 escapedSlashes
}

// apply normalises the path of h before anything looks at it: the route and the upstream see one and
// the same string.
func (o *pathOptions) apply(h *header.Map, rt *runtime.Loader) pathVerdict {
	path := h.Path
	if i := strings.IndexByte(path, '#'); i >= 0 {
		if rt.Bool(runtime.RejectPathWithFragment, true) {
			return pathReject
		}
		path = path[:i]
		h.Path = path
	}
	if !o.normalize && !o.mergeSlashes && o.slashes == slashesKeep {
		return pathOK
	}
	verdict := pathOK
	path, query := cutQuery(path)
	if o.slashes != slashesKeep {
		if unescaped, found := unescapeSlashes(path); found {
			switch o.slashes {
			case slashesReject:
				return pathReject
			case slashesUnescapeAndRedirect:
				verdict = pathRedirect
			case slashesKeep, slashesUnescapeAndForward:
			}
			path = unescaped
		}
	}
	if o.normalize && !canonical(path) {
		var ok bool
		if path, ok = normalize(path); !ok {
			return pathReject
		}
	}
	if o.mergeSlashes && strings.Contains(path, "//") {
		path = mergeSlashes(path)
	}
	if len(path)+len(query) != len(h.Path) || h.Path[:len(path)] != path {
		h.Path = path + query
	}
	return verdict
}

func cutQuery(path string) (before, query string) {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// unescapeSlashes replaces %2F, %2f, %5C and %5c.
func unescapeSlashes(p string) (string, bool) {
	if !strings.Contains(p, "%2") && !strings.Contains(p, "%5") {
		return p, false
	}
	r := strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", "\\", "%5c", "\\").Replace(p)
	return r, r != p
}

// canonical tells at a glance that normalize would change nothing: most paths.
func canonical(p string) bool {
	for i := range len(p) {
		switch c := p[i]; {
		case c == '.':
			if i > 0 && p[i-1] == '/' {
				return false
			}
		case pathEscape[c] || c == '%' || c == '\\':
			return false
		}
	}
	return true
}

// pathEscape are the characters that URL canonicalisation escapes in a path, as Envoy's does.
var pathEscape = func() (t [256]bool) {
	for _, c := range []byte("\"<>^`{|}") {
		t[c] = true
	}
	return t
}()

// normalize does what RFC 3986 section 6 says, as Envoy's URL library has it: backslashes become
// slashes, escaped unreserved characters are unescaped, dot segments resolved, path parameters of dot
// segments dropped. It reports false for an escaped NUL.
func normalize(p string) (string, bool) {
	p = dropDotParameters(p)
	out := make([]byte, 0, len(p)+8)
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '\\':
			out = append(out, '/')
		case pathEscape[c]:
			const hex = "0123456789ABCDEF"
			out = append(out, '%', hex[c>>4], hex[c&15])
		case c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]):
			v := unhex(p[i+1])<<4 | unhex(p[i+2])
			if v == 0 {
				return "", false
			}
			if unreserved(v) {
				out = append(out, v)
			} else {
				out = append(out, p[i:i+3]...)
			}
			i += 2
		default:
			out = append(out, c)
		}
	}
	return removeDots(string(out)), true
}

// dropDotParameters makes "/..;x/" "/../": servers that cut path parameters off would resolve it.
func dropDotParameters(p string) string {
	if !strings.Contains(p, ".;") {
		return p
	}
	parts := strings.Split(p, "/")
	for i, s := range parts {
		if strings.HasPrefix(s, ".;") || strings.HasPrefix(s, "..;") {
			parts[i], _, _ = strings.Cut(s, ";")
		}
	}
	return strings.Join(parts, "/")
}

func removeDots(p string) string {
	if !strings.Contains(p, "/.") {
		return p
	}
	var kept []string
	parts := strings.Split(p[1:], "/")
	for i, s := range parts {
		last := i == len(parts)-1
		switch s {
		case ".":
			if last {
				kept = append(kept, "")
			}
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}

func mergeSlashes(p string) string {
	out := make([]byte, 0, len(p))
	for i := range len(p) {
		if p[i] == '/' && len(out) > 0 && out[len(out)-1] == '/' {
			continue
		}
		out = append(out, p[i])
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// unreserved is RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
