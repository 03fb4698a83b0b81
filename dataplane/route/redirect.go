package route

import (
	"strconv"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// RedirectAction is a compiled RedirectAction.
type RedirectAction struct {
	// Code is the response's status.
	Code   int
	scheme string // "": the request's
	host   string // "": the request's
	port   string // ":8080", or ""
	// target is path_redirect; hasQuery tells that it brings a query of its own.
	target     string
	hasQuery   bool
	stripQuery bool
	path       pathRewrite
}

var redirectCodes = [...]int{301, 302, 303, 307, 308}

func (o Options) redirect(p *routepb.RedirectAction, m *pathMatch) (*RedirectAction, error) {
	a := &RedirectAction{host: p.GetHostRedirect(), target: p.GetPathRedirect(), stripQuery: p.GetStripQuery(), Code: 301}
	if n := int(p.GetResponseCode()); n >= 0 && n < len(redirectCodes) {
		a.Code = redirectCodes[n]
	}
	a.hasQuery = strings.Contains(a.target, "?")
	switch k := p.GetSchemeRewriteSpecifier().(type) {
	case *routepb.RedirectAction_HttpsRedirect:
		if k.HttpsRedirect {
			a.scheme = "https"
		}
	case *routepb.RedirectAction_SchemeRedirect:
		a.scheme = k.SchemeRedirect
	}
	if n := p.GetPortRedirect(); n != 0 {
		a.port = ":" + strconv.FormatUint(uint64(n), 10)
	}
	var err error
	a.path, err = o.pathRewrite(rewriteConfig{prefix: p.GetPrefixRewrite(), regex: p.GetRegexRewrite(), format: p.GetPathRewrite(), what: "path_rewrite"}, m)
	return a, err
}

// Status is the status of the response that the route makes itself; 0 for a Forward.
func (r *Route) Status() int {
	switch r.Kind {
	case Redirect:
		return r.Redirect.Code
	case Direct:
		return r.Direct.Status
	case TLSRedirect:
		return 301
	}
	return 0
}

// Location is the location header of the response that the route makes itself, in h's arena, or "" for
// none. Like Envoy it gives one to a direct response of status 201 or 3xx, too. RewritePath comes first.
func (r *Route) Location(h *header.Map, i *streaminfo.Info) string {
	status := r.Status()
	if h.Path == "" || status != 201 && status/100 != 3 {
		return ""
	}
	if r.Kind == TLSRedirect {
		return location(h, "https", tlsHost(h.Authority), "", h.Path)
	}
	a := &noRedirect
	if r.Kind == Redirect {
		a = r.Redirect
	}
	scheme := a.scheme
	if scheme == "" {
		scheme = h.Scheme
	}
	host := a.host
	if host == "" {
		host = redirectHost(h, scheme, a.port)
	}
	return location(h, scheme, host, a.port, a.locationPath(h, i))
}

// noRedirect changes nothing.
var noRedirect RedirectAction

// locationPath is the path and query of the location. The query of path_redirect replaces that of the
// request, and is not stripped.
func (a *RedirectAction) locationPath(h *header.Map, i *streaminfo.Info) string {
	path := h.Path
	switch {
	case a.target != "" && a.hasQuery:
		return a.target
	case a.target != "":
		path = withQuery(h, a.target)
	case a.path.format != nil:
		if to := header.Borrow(a.path.format.Append(h.Grow(len(h.Path) + 64)[:0], h, nil, i)); to != "" {
			if strings.Contains(to, "?") {
				return to
			}
			path = withQuery(h, to)
		}
	}
	if a.stripQuery {
		path, _, _ = strings.Cut(path, "?")
	}
	return path
}

// withQuery puts the request's query behind path.
func withQuery(h *header.Map, path string) string {
	at := strings.IndexByte(h.Path, '?')
	if at < 0 {
		return path
	}
	to := h.Grow(len(path) + len(h.Path) - at)[:0]
	return header.Borrow(append(append(to, path...), h.Path[at:]...))
}

// redirectHost is the request's host. Its port goes where another one comes, and where it is the
// default one of the scheme that is left. Whether it is that is told by x-forwarded-proto.
func redirectHost(h *header.Map, scheme, port string) string {
	host := h.Authority
	end := strings.LastIndexByte(host, ':')
	if strings.HasPrefix(host, "[") {
		if end = strings.LastIndex(host, "]:"); end >= 0 {
			end++
		}
	}
	if end < 0 {
		return host
	}
	was := h.Value(header.XForwardedProto)
	if port != "" || scheme != was && (was == "https" && host[end:] == ":443" || was == "http" && host[end:] == ":80") {
		return host[:end]
	}
	return host
}

// tlsHost leaves the default ports out, but for IPv6 addresses, as Envoy does.
func tlsHost(host string) string {
	for _, port := range [...]string{":80", ":443"} {
		if name, ok := strings.CutSuffix(host, port); ok && !strings.HasPrefix(host, "[") {
			return name
		}
	}
	return host
}

func location(h *header.Map, scheme, host, port, path string) string {
	to := h.Grow(len(scheme) + len("://") + len(host) + len(port) + len(path))[:0]
	to = append(append(append(to, scheme...), "://"...), host...)
	return header.Borrow(append(append(to, port...), path...))
}
