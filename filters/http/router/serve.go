package router

import (
	"strconv"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// answered answers a route that needs no upstream: a redirect or a direct response.
func (r *router) answered() bool {
	s, rt := r.s, r.route
	switch rt.Kind {
	case route.Forward:
		return false
	case route.Redirect, route.TLSRedirect:
		r.stats.RqRedirect.Inc(s.Worker)
	case route.Direct:
		r.stats.RqDirectResponse.Inc(s.Worker)
	case route.NonForwarding:
		s.Stage, s.Because = "route", "the route is for non-forwarding proxies (non_forwarding_action)"
		s.SendLocalReply(500, "", streaminfo.DetailDirectResponse, 0)
		return true
	}
	rt.RewritePath(&s.Request.Map, &s.Info, r.c.suppress)
	location := rt.Location(&s.Request.Map, &s.Info)
	body, contentType := "", ""
	if rt.Direct != nil {
		var b []byte
		s.Entry.Request, s.Entry.Info = &s.Request.Map, &s.Info
		b, contentType = rt.Direct.AppendBody(nil, &s.Entry)
		body = header.Borrow(b)
	}
	s.LocalReply(filter.LocalReply{Code: rt.Status(), Body: body, ContentType: contentType, Details: streaminfo.DetailDirectResponse, GRPCStatus: -1, Modify: func(h *header.Map) {
		if location != "" {
			h.SetID(header.Location, h.KeepString(location))
		}
		rt.FinalizeResponse(&s.Request.Map, h, &s.Info)
	}})
	return true
}

// findCluster finds the route's cluster, or answers that there is none.
func (r *router) findCluster() bool {
	s := r.s
	name := r.route.ClusterName(&s.Request.Map, &s.Info)
	r.cluster = r.ctx.Clusters.Get(name)
	if r.cluster == nil {
		r.stats.NoCluster.Inc(s.Worker)
		s.Stage, s.Because = "cluster", "cluster "+strconv.Quote(name)+" is not known"
		s.SendLocalReply(r.route.Action.ClusterNotFoundCode, "", streaminfo.DetailClusterNotFound, flagNoCluster)
		return false
	}
	r.belongs()
	c := r.cluster.Config()
	r.spec = r.cluster.Spec()
	s.Info.ClusterName, s.Info.ClusterStatName, s.Info.ClusterMetadata = c.Name, c.StatName(), r.spec.Metadata
	return true
}

// prepare brings the request into the form that goes upstream. It reports false if it has answered.
func (r *router) prepare() bool {
	s, h := r.s, &r.s.Request.Map
	if !r.strict() || !r.available() {
		return false
	}
	r.compute()
	if r.route.VirtualHost.IncludeRequestAttemptCount {
		h.SetID(header.XEnvoyAttemptCount, "1")
	}
	r.route.FinalizeRequest(h, &s.Info, r.c.suppress)
	r.retry.begin(r)
	r.pick()
	r.shadows.begin(r)
	return true
}

// strict refuses values of x-envoy-* headers that are none (strict_check_headers).
func (r *router) strict() bool {
	for _, name := range r.c.strict {
		v, ok := r.s.Request.Get(name)
		if !ok || validEnvoyHeader(name, v) {
			continue
		}
		r.s.Stage, r.s.Because = "router", "header "+name+" has no valid value"
		r.s.SendLocalReply(400, "invalid header '"+name+"' with value '"+v+"'", "request_headers_failed_strict_check{"+name+"}", streaminfo.InvalidEnvoyRequestHeaders)
		return false
	}
	return true
}

// available answers for a cluster that is under maintenance, or whose endpoints ask for load to be
// dropped.
func (r *router) available() bool {
	s, name := r.s, r.cluster.Config().Name
	if n := r.ctx.Runtime.Uint(runtime.MaintenanceMode+name, 0); n > 0 && s.Random%100 < n {
		r.cluster.Stats().RqMaintenanceMode.Inc(s.Worker)
		r.chargeCode(503)
		s.Stage, s.Because = "cluster", "runtime key "+runtime.MaintenanceMode+name+" is set"
		r.reply(503, "maintenance mode", streaminfo.DetailMaintenanceMode, flagOverflow, true)
		return false
	}
	if category, drop, all := r.cluster.Drop(s.Random); drop {
		r.chargeCode(503)
		s.Stage, s.Because = "cluster", "the endpoints' policy asks for load to be dropped (drop_overloads, category "+strconv.Quote(category)+")"
		r.dropped(all)
		return false
	}
	return true
}

// dropped answers a request that drop_overloads has chosen; all tells that it chooses every one.
func (r *router) dropped(all bool) {
	name, body, details, flag := "x-envoy-drop-overload", "drop overload", streaminfo.DetailDropOverload, streaminfo.DropOverload
	if all {
		name, body, details, flag = "x-envoy-unconditional-drop-overload", "unconditional drop overload", streaminfo.DetailUnconditionalDropOverload, streaminfo.UnconditionalDropOverload
	}
	r.s.LocalReply(filter.LocalReply{Code: 503, Body: body, Details: details, Flag: flag, GRPCStatus: -1, Modify: func(h *header.Map) {
		if !r.c.suppress {
			h.AddField(header.Field{Name: name, Value: "true"})
		}
	}})
}

// reply is a local reply of the router's, with what it adds to one.
func (r *router) reply(code int, body, details string, f streaminfo.Flag, overloaded bool) {
	s := r.s
	if r.retry.attempts > 1 && r.retry.exhausted {
		f |= flagRetries
	}
	s.LocalReply(filter.LocalReply{Code: code, Body: body, Details: details, Flag: f, GRPCStatus: -1, Modify: func(h *header.Map) {
		if overloaded && !r.c.suppress {
			h.SetID(header.XEnvoyOverloaded, "true")
		}
		if r.route.VirtualHost.IncludeAttemptCountInResponse && s.Info.Attempts > 0 {
			h.SetID(header.XEnvoyAttemptCount, h.Keep(strconv.AppendInt(nil, int64(s.Info.Attempts), 10)))
		}
	}})
}

// run makes attempts until one is answered, or none is left.
func (r *router) run() {
	for {
		if !r.attempt() {
			return
		}
		if !r.retry.wait(r) {
			return
		}
	}
}

// complete tells when the request had been received to its end.
func (r *router) complete(now time.Time) { r.send.markComplete(now) }
