package router

import (
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// pick fills what the load balancer goes by.
func (r *router) pick() {
	s, p := r.s, &r.s.Pick
	p.Headers, p.Info, p.Worker, p.Conn, p.Random = &s.Request.Map, &s.Info, s.Worker, &s.Conn.Info, s.Random
	p.OriginalDst = s.Conn.Info.Local
	p.Criteria = r.criteria()
	p.Hash, p.HasHash = r.route.Hash(&s.Request.Map, &s.Info, r.setCookie)
}

// setCookie sends a cookie that a hash policy made.
func (r *router) setCookie(cookie string) { r.cookies = append(r.cookies, cookie) }

// choose tells the load balancer which hosts a retry should not take.
func (t *retryState) choose(r *router) {
	p := &r.s.Pick
	if t.policy == nil {
		return
	}
	if t.policy.PreviousHosts || t.policy.OmitCanary || len(t.policy.OmitMetadata) > 0 {
		p.Predicate, p.HostSelectionAttempts = r, t.policy.HostSelectionAttempts
	}
	if t.policy.PreviousPriorities > 0 {
		p.Priorities = r.cluster.PreviousPriorities(t.hosts, t.policy.PreviousPriorities)
	}
}

// ShouldSelectAnother turns down the hosts that retry_host_predicate names.
func (r *router) ShouldSelectAnother(h *endpoint.Host) bool {
	p := r.retry.policy
	if p.PreviousHosts {
		for _, tried := range r.retry.hosts {
			if tried == h {
				return true
			}
		}
	}
	if p.OmitCanary && h.Endpoint().Canary {
		return true
	}
	for _, m := range p.OmitMetadata {
		if lb.CriteriaOf(m).Matches(h) {
			return true
		}
	}
	return false
}

// poolOptions are what the connection has to differ in from the others of the host.
func (r *router) poolOptions() pool.Options {
	o := pool.Options{High: r.route.Action.HighPriority, Protocol: r.cluster.Protocol(r.s.Info.Protocol == streaminfo.HTTP2)}
	return r.cluster.PoolOptions(o, &r.s.Request.Map, &r.s.Info)
}

// bufferLimit is how much of the request may be kept for another attempt.
func (r *router) bufferLimit() int {
	limit := r.s.Conn.BufferLimit
	if b := r.route.BufferLimit; b.Set {
		if !b.Capped || int(b.Bytes) < limit {
			limit = int(b.Bytes)
		}
	}
	return limit
}

var _ lb.HostPredicate = (*router)(nil)
