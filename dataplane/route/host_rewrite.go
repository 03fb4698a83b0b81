package route

import (
	"fmt"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// hostRewrite is a RouteAction's host_rewrite_specifier; auto_host_rewrite is the Action's.
type hostRewrite struct {
	literal string
	header  string // lower case
	regex   *matcher.Rewrite
	format  formatter.Formatter
}

func (o Options) hostRewrite(p *routepb.RouteAction) (w hostRewrite, auto bool, err error) {
	switch k := p.GetHostRewriteSpecifier().(type) {
	case *routepb.RouteAction_HostRewriteLiteral:
		w.literal = k.HostRewriteLiteral
	case *routepb.RouteAction_HostRewriteHeader:
		w.header = lowerString(k.HostRewriteHeader)
	case *routepb.RouteAction_HostRewritePathRegex:
		w.regex, err = matcher.CompileRewrite(k.HostRewritePathRegex, o.Matcher)
	case *routepb.RouteAction_HostRewrite:
		if k.HostRewrite == "" {
			break
		}
		// An absent value is "-" here, other than in path_rewrite.
		w.format, err = formatter.Compile(k.HostRewrite, o.Formatter)
		if err != nil {
			err = fmt.Errorf("Failed to create host rewrite formatter: INVALID_ARGUMENT: %w", err)
		}
	case *routepb.RouteAction_AutoHostRewrite:
		auto = k.AutoHostRewrite.GetValue()
	}
	return w, auto, err
}

// value is the new host; "" is no change. It may lie in h's arena.
func (w *hostRewrite) value(h *header.Map, i *streaminfo.Info) string {
	switch {
	case w.literal != "":
		return w.literal
	case w.header != "":
		v, _ := h.Get(w.header)
		return v
	case w.regex != nil:
		return w.regex.Replace(matcher.PathOnly(h.Path))
	case w.format != nil:
		return header.Borrow(w.format.Append(h.Grow(64)[:0], h, nil, i))
	}
	return ""
}

// RewriteHost rewrites the host as the route says; auto_host_rewrite is for SetHost to do, once a host
// is chosen.
func (r *Route) RewriteHost(h *header.Map, i *streaminfo.Info, suppress bool) {
	if r.Kind != Forward {
		return
	}
	if to := r.Action.host.value(h, i); to != "" {
		r.SetHost(h, to, suppress)
	}
}

// SetHost gives the request another host: the old one goes to x-envoy-original-host, unless suppress is
// set, and with append_x_forwarded_host to x-forwarded-host. host must outlive h's next Reset.
func (r *Route) SetHost(h *header.Map, host string, suppress bool) {
	old := h.Authority
	if r.Action.AppendXForwardedHost && old != "" {
		appendForwardedHost(h, old)
	}
	if !suppress {
		h.SetID(header.XEnvoyOriginalHost, old)
	}
	h.Authority, h.HasAuthority = host, true
}

// appendForwardedHost appends host unless it is what was appended last. Like Envoy it compares with all
// that follows the last comma, so ", host" is another one.
func appendForwardedHost(h *header.Map, host string) {
	have, ok := h.Joined("x-forwarded-host")
	if !ok || have == "" {
		h.SetID(header.XForwardedHost, host)
		return
	}
	last := strings.TrimRight(have, ",")
	last = last[strings.LastIndexByte(last, ',')+1:]
	if last == host {
		return
	}
	to := h.Grow(len(have) + 1 + len(host))[:0]
	h.SetID(header.XForwardedHost, header.Borrow(append(append(append(to, have...), ','), host...)))
}

// FinalizeRequest makes of a request what goes upstream, in Envoy's order: header mutations of all
// levels, then the host, then the path. suppress is the router's suppress_envoy_headers.
func (r *Route) FinalizeRequest(h *header.Map, i *streaminfo.Info, suppress bool) {
	r.RequestMutations.Apply(h, h, nil, i)
	r.RewriteHost(h, i, suppress)
	r.RewritePath(h, i, suppress)
}

// FinalizeResponse applies the header mutations of all levels to a response.
func (r *Route) FinalizeResponse(req, resp *header.Map, i *streaminfo.Info) {
	r.ResponseMutations.Apply(resp, req, resp, i)
}
