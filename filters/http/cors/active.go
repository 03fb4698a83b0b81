package cors

import (
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/route"
)

// active is the filter of a stream with an origin and a policy.
type active struct {
	*cors
	origin   string
	policies []any // *route.CORS, the most specific first
	marks    bool  // the response is marked
}

// DecodeHeaders judges the origin, and answers a preflight.
func (a *active) DecodeHeaders(s *filter.Stream) filter.Status {
	first := a.policy(0)
	enabled := first.Enabled.Roll(a.runtime)
	if !enabled && !(first.HasShadow && first.Shadow.Roll(a.runtime)) {
		return filter.Continue
	}
	allowed := a.allowed()
	if allowed {
		a.stats.OriginValid.Inc(s.Worker)
	} else {
		a.stats.OriginInvalid.Inc(s.Worker)
	}
	if !enabled {
		return filter.Continue
	}
	a.marks = allowed
	method := s.Request.Value(header.AccessControlRequestMethod)
	if s.Request.Method != "OPTIONS" || method == "" || !allowed && a.forwards() {
		return filter.Continue
	}
	a.marks = false
	return a.preflight(s, method, allowed)
}

// preflight answers for the upstream. A header whose policy is "*" repeats what was asked for, because
// the wildcard means nothing to requests with credentials (Fetch, "CORS protocol and credentials").
func (a *active) preflight(s *filter.Stream, method string, allowed bool) filter.Status {
	st := s.LocalReply(filter.LocalReply{Code: 200, Details: "cors_response", GRPCStatus: -1})
	req, resp := &s.Request.Map, &s.Response.Map
	if allowed {
		a.setOrigin(resp)
	}
	if v := a.text(func(p *route.CORS) string { return p.AllowMethods }); v == "*" {
		resp.SetID(header.AccessControlAllowMethods, resp.KeepString(method))
	} else if v != "" {
		resp.SetID(header.AccessControlAllowMethods, v)
	}
	if v := a.text(func(p *route.CORS) string { return p.AllowHeaders }); v == "*" {
		resp.SetID(header.AccessControlAllowHeaders, resp.KeepString(req.Value(header.AccessControlRequestHeaders)))
	} else if v != "" {
		resp.SetID(header.AccessControlAllowHeaders, v)
	}
	if v := a.text(func(p *route.CORS) string { return p.MaxAge }); v != "" {
		resp.SetID(header.AccessControlMaxAge, v)
	}
	if allowed {
		a.setExpose(resp)
		if v, _ := req.Get("access-control-request-private-network"); v == "true" && a.flag(privateNetwork, false) {
			resp.Set("access-control-allow-private-network", "true")
		}
	}
	return st
}

// EncodeHeaders marks the response of a request whose origin is allowed.
func (a *active) EncodeHeaders(s *filter.Stream) filter.Status {
	if a.marks {
		a.setOrigin(&s.Response.Map)
		a.setExpose(&s.Response.Map)
	}
	return filter.Continue
}

// OnStreamComplete gives a back.
func (a *active) OnStreamComplete(*filter.Stream) { a.put(a) }

func (a *active) setOrigin(h *header.Map) {
	h.SetID(header.AccessControlAllowOrigin, h.KeepString(a.origin))
	if a.flag(credentials, false) {
		h.SetID(header.AccessControlAllowCredentials, "true")
	}
}

func (a *active) setExpose(h *header.Map) {
	if v := a.text(func(p *route.CORS) string { return p.ExposeHeaders }); v != "" {
		h.SetID(header.AccessControlExposeHeaders, v)
	}
}

func (a *active) policy(i int) *route.CORS { return a.policies[i].(*route.CORS) }

// allowed tells whether the origin matches. The list is that of the most specific policy that has one; a
// matcher that matches "*" allows every origin.
func (a *active) allowed() bool {
	for i := range a.policies {
		if list := a.policy(i).AllowOrigin; len(list) > 0 {
			return allows(list, a.origin)
		}
	}
	return false
}

func allows(list matcher.Strings, origin string) bool {
	for i := range list {
		if list[i].Match("*") || list[i].Match(origin) {
			return true
		}
	}
	return false
}

// text is the most specific setting that is not empty.
func (a *active) text(of func(*route.CORS) string) string {
	for i := range a.policies {
		if v := of(a.policy(i)); v != "" {
			return v
		}
	}
	return ""
}

func credentials(p *route.CORS) route.Bool    { return p.AllowCredentials }
func privateNetwork(p *route.CORS) route.Bool { return p.AllowPrivateNetworkAccess }
func forwardOthers(p *route.CORS) route.Bool  { return p.ForwardNotMatchingPreflights }

// flag is the most specific setting that is set.
func (a *active) flag(of func(*route.CORS) route.Bool, def bool) bool {
	for i := range a.policies {
		if v := of(a.policy(i)); v.Set {
			return v.Value
		}
	}
	return def
}

// forwards tells whether preflights of other origins go on to the upstream.
func (a *active) forwards() bool { return a.flag(forwardOthers, true) }

var _ filter.HTTP = (*active)(nil)
