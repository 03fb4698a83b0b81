package route

import (
	"errors"
	"fmt"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rewritepb "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// pathRewrite is one of prefix_rewrite, regex_rewrite, path_rewrite_policy and path_rewrite; the zero
// pathRewrite is none.
type pathRewrite struct {
	prefix   string
	regex    *matcher.Rewrite
	template *matcher.TemplateRewrite
	format   formatter.Formatter
}

func (w *pathRewrite) none() bool {
	return w.prefix == "" && w.regex == nil && w.template == nil && w.format == nil
}

// rewriteConfig is what RouteAction and RedirectAction have in common here.
type rewriteConfig struct {
	prefix, format string
	regex          *matcherpb.RegexMatchAndSubstitute
	policy         *corepb.TypedExtensionConfig
	what           string // how Envoy's error calls the format
}

func (o Options) pathRewrite(c rewriteConfig, m *pathMatch) (pathRewrite, error) {
	w := pathRewrite{prefix: c.prefix}
	set := 0
	for _, is := range [...]bool{c.prefix != "", c.regex != nil, c.policy != nil, c.format != ""} {
		if is {
			set++
		}
	}
	if set > 1 {
		return w, errors.New("Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy")
	}
	var err error
	switch {
	case c.regex != nil:
		w.regex, err = matcher.CompileRewrite(c.regex, o.Matcher)
	case c.policy != nil:
		w.template, err = compileTemplateRewrite(c.policy, m)
	case c.format != "":
		w.format, err = formatter.CompileHeader(c.format, o.Formatter)
		if err != nil {
			err = fmt.Errorf("Failed to create %s formatter: INVALID_ARGUMENT: %w", c.what, err)
		}
	}
	return w, err
}

func compileTemplateRewrite(p *corepb.TypedExtensionConfig, m *pathMatch) (*matcher.TemplateRewrite, error) {
	t := &rewritepb.UriTemplateRewriteConfig{}
	if p.GetTypedConfig().GetTypeUrl() != "type.googleapis.com/"+string(t.ProtoReflect().Descriptor().FullName()) {
		return nil, matcher.Unregistered(p)
	}
	if err := p.GetTypedConfig().UnmarshalTo(t); err != nil {
		return nil, fmt.Errorf("path_rewrite_policy: %w", err)
	}
	if m.kind != pathTemplate {
		return nil, fmt.Errorf("unable to use %s extension without envoy.path.match.uri_template.uri_template_matcher extension", p.GetName())
	}
	return matcher.CompileTemplateRewrite(t.GetPathTemplateRewrite(), m.template)
}

// apply returns the new path, with the request's query, in h's arena; "" is no change.
func (w *pathRewrite) apply(m *pathMatch, h *header.Map, i *streaminfo.Info) string {
	path := matcher.PathOnly(h.Path)
	rest := h.Path[len(path):]
	switch {
	case w.prefix != "":
		n, ok := m.rewritten(path)
		if !ok {
			return ""
		}
		to := h.Grow(len(w.prefix) + len(h.Path) - n)[:0]
		return header.Borrow(append(append(to, w.prefix...), h.Path[n:]...))
	case w.regex != nil:
		out := w.regex.Replace(path)
		if out == "" {
			return ""
		}
		to := h.Grow(len(out) + len(rest))[:0]
		return header.Borrow(append(append(to, out...), rest...))
	case w.template != nil:
		to, ok := w.template.Append(h.Grow(2 * len(h.Path))[:0], path)
		if !ok {
			return ""
		}
		return header.Borrow(append(to, rest...))
	case w.format != nil:
		to := w.format.Append(h.Grow(len(h.Path) + 64)[:0], h, nil, i)
		if len(to) == 0 {
			return ""
		}
		if at := strings.IndexByte(h.Path, '?'); at >= 0 {
			to = append(to, h.Path[at:]...)
		}
		return header.Borrow(to)
	}
	return ""
}

// rewritten is how much of path prefix_rewrite replaces: the prefix that was matched, or all where that
// is no text. It may be that the match went over parameters that are in the way now.
func (m *pathMatch) rewritten(path string) (int, bool) {
	switch m.kind {
	case pathPrefix, pathSeparated, pathExact:
		if !hasFoldPrefix(path, m.text) || !m.anyCase && !strings.HasPrefix(path, m.text) {
			return 0, false
		}
		return len(m.text), true
	}
	return len(path), true
}

// RewritePath rewrites the path as the route says, keeping the old one in x-envoy-original-path unless
// suppress is set. Of a redirect path_rewrite is not meant here: it makes the location alone.
func (r *Route) RewritePath(h *header.Map, i *streaminfo.Info, suppress bool) {
	w := r.pathRewrite()
	if h.Path == "" || w == nil || w.none() || r.Kind == Redirect && w.format != nil {
		return
	}
	to := w.apply(&r.match, h, i)
	if to == "" {
		return
	}
	if !suppress {
		h.SetID(header.XEnvoyOriginalPath, h.Path)
	}
	h.Path = to
}

func (r *Route) pathRewrite() *pathRewrite {
	switch r.Kind {
	case Forward:
		return &r.Action.path
	case Redirect:
		return &r.Redirect.path
	}
	return nil
}
