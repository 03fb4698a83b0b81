package router

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// redirectState is what a stream remembers of internal redirects.
type redirectState struct {
	followed int
	routes   []*route.Route // that were redirected to
}

// redirect follows a redirect response of the upstream itself, where the route says so: the stream is
// matched again. It reports whether the request is to be made anew.
func (r *router) redirect() bool {
	s := r.s
	policy := r.route.Action.InternalRedirect
	if policy == nil || s.Response.Local || !policy.Follows(s.Response.Status) {
		return false
	}
	to, ok := r.target(policy)
	if !ok {
		r.cluster.Stats().InternalRedirectFailedTotal.Inc(s.Worker)
		return false
	}
	r.cluster.Stats().InternalRedirectSucceededTotal.Inc(s.Worker)
	r.body.drain()
	r.finish()
	s.Response.Reset()
	s.Response.Body = nil
	s.Info.ResponseCode, s.Info.Details = 0, streaminfo.DetailInternalRedirect
	s.Info.Upstream = streaminfo.Upstream{}
	s.Route = to
	r.retry = retryState{hosts: r.retry.hosts[:0]}
	return true
}

// target finds the route that the location leads to, with the request changed for it; else the request
// is as it was.
func (r *router) target(policy *route.InternalRedirect) (*route.Route, bool) {
	s, h, w := r.s, &r.s.Request.Map, r.s.Worker
	if !r.send.done() || s.Request.Body != nil && !r.send.repeatable() {
		return nil, false
	}
	location := s.Response.Value(header.Location)
	scheme, host, path, ok := splitURL(location)
	if !ok {
		r.stats.PassthroughInternalRedirectBadLocation.Inc(w)
		return nil, false
	}
	if r.followed.followed >= policy.Max {
		r.stats.PassthroughInternalRedirectTooManyRedirects.Inc(w)
		return nil, false
	}
	if scheme == "https" { // a constant: the location goes with the response
		scheme = "https"
	} else {
		scheme = "http"
	}
	ours := "http"
	if s.Conn.Info.TLS != nil {
		ours = "https"
	}
	if scheme != ours && !policy.CrossScheme || policy.SafeCrossScheme && scheme == "https" && ours == "http" {
		r.stats.PassthroughInternalRedirectUnsafeScheme.Inc(w)
		return nil, false
	}
	old := *h // the fields that change; what they point to lives in the arena
	oldHost, oldPath, oldScheme, oldMethod := old.Authority, old.Path, old.Scheme, old.Method
	h.Authority, h.Path, h.Scheme = h.KeepString(host), h.KeepString(path), scheme
	if s.Response.Status == 303 && h.Method != "GET" && h.Method != "HEAD" {
		h.Method = "GET"
	}
	restore := func() { h.Authority, h.Path, h.Scheme, h.Method = oldHost, oldPath, oldScheme, oldMethod }
	to := s.Manager.Match(s)
	if to == nil {
		r.stats.PassthroughInternalRedirectNoRoute.Inc(w)
		restore()
		return nil, false
	}
	if !r.allowed(policy, to) {
		r.stats.PassthroughInternalRedirectPredicate.Inc(w)
		restore()
		return nil, false
	}
	for _, name := range policy.CopyHeaders {
		h.Del(name)
		s.Response.Each(name, func(v string) bool {
			h.Add(name, h.KeepString(v))
			return true
		})
	}
	if h.Method != oldMethod {
		r.send.drop(h)
	}
	h.Set("x-envoy-original-url", h.KeepString(oldScheme+"://"+oldHost+oldPath))
	r.followed.followed++
	r.followed.routes = append(r.followed.routes, to)
	return to, true
}

// allowed asks the policy's predicates.
func (r *router) allowed(policy *route.InternalRedirect, to *route.Route) bool {
	if policy.AllowListedRoutes != nil {
		found := false
		for _, name := range policy.AllowListedRoutes {
			found = found || name == to.Name
		}
		if !found {
			return false
		}
	}
	if policy.PreviousRoutes {
		for _, seen := range r.followed.routes {
			if seen == to {
				return false
			}
		}
	}
	if policy.StateKey != "" {
		v := r.s.Info.Find(policy.StateKey)
		if v == nil {
			return policy.StateAbsent
		}
		t, ok := v.(streaminfo.Serializer)
		return ok && t.FilterStateString() == "true"
	}
	return true
}

// splitURL takes an absolute http or https URL apart. A relative location is not followed, as in Envoy.
func splitURL(u string) (scheme, host, path string, ok bool) {
	scheme, rest, found := strings.Cut(u, "://")
	if !found || scheme != "http" && scheme != "https" {
		return "", "", "", false
	}
	host, path = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
		if path[0] != '/' {
			path = "/" + path
		}
	}
	path, _, _ = strings.Cut(path, "#")
	return scheme, host, path, host != ""
}

// drain reads what is left of a response that nobody wants, so that its connection can be used again.
func (b *responseBody) drain() {
	for !b.ended {
		if _, err := b.Next(); err != nil {
			return
		}
	}
}
