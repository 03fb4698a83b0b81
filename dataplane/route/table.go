package route

import (
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Host finds the virtual host of a request; nil if there is none.
func (t *Table) Host(h *header.Map) *VirtualHost {
	name, ok := t.hostName(h)
	if !ok {
		return nil
	}
	return t.domains.find(name)
}

// hostName is what domains are matched with. Without the vhost_header there is no virtual host at all.
func (t *Table) hostName(h *header.Map) (string, bool) {
	name, ok := h.Authority, true
	if t.hostHeader != "" {
		name, ok = h.Get(t.hostHeader)
	}
	if t.ignorePort {
		name = withoutPort(name)
	}
	return name, ok
}

// Match finds the route of a request; nil if there is none. random stands for all chance: fractions and
// weights; equal values make equal choices. It changes nothing, and allocates nothing.
func (t *Table) Match(h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) *Route {
	v := t.Host(h)
	if v == nil {
		return nil
	}
	return v.Match(h, i, random, rt)
}

// Match finds the route of a request within the virtual host.
func (v *VirtualHost) Match(h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) *Route {
	if v.tls != tlsNone {
		if !h.Has(header.XForwardedProto) {
			return nil // as Envoy: the request is being refused already
		}
		if v.wantsTLS(h) {
			return v.tlsRedirect
		}
	}
	path := v.pathOf(h)
	r := v.first(path, h, i, random, rt)
	if r == nil || r.nowhere {
		return nil
	}
	if r.weighted != nil {
		return r.weighted.pick(r, h, i, random, rt)
	}
	return r
}

func (v *VirtualHost) wantsTLS(h *header.Map) bool {
	if h.Value(header.XForwardedProto) == "https" {
		return false
	}
	return v.tls == tlsAll || h.Value(header.XEnvoyInternal) != "true"
}

// pathOf is the path that is matched: without query, and without parameters if those do not count.
func (v *VirtualHost) pathOf(h *header.Map) string {
	path := matcher.PathOnly(h.Path)
	if v.Table.ignoreSemi {
		path = withoutParameters(h, path)
	}
	return path
}

// first is the first route that matches.
func (v *VirtualHost) first(path string, h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) *Route {
	routes := v.routes
	if v.tree != nil {
		list, result := v.tree.Match(matcher.Data{Request: h, Info: i, Runtime: rt})
		if result != matcher.Matched {
			return nil
		}
		routes = list
	}
	if v.index == nil || h.Path == "" {
		for _, r := range routes {
			if r.Matches(path, h, i, random, rt) {
				return r
			}
		}
		return nil
	}
	var c candidates
	v.index.candidates(path, &c)
	for {
		at := c.next(len(routes))
		if at < 0 {
			return nil
		}
		if r := routes[at]; r.Matches(path, h, i, random, rt) {
			return r
		}
	}
}

// Matches tells whether a request matches the route, whatever routes there are before it. path is the
// request's without query.
func (r *Route) Matches(path string, h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) bool {
	if h.Path == "" && r.match.kind != pathConnect {
		return false
	}
	if !r.match.matches(path, h) {
		return false
	}
	if r.matchers == nil {
		return true
	}
	failed, _ := r.matchers.fails(h, i, random, rt)
	return failed == conditionsHold
}
