package router

import (
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
)

// charged tells whether responses are counted by status at all: dynamic_stats, and no health check.
func (r *router) charged() bool { return r.c.dynamicStats && !r.s.Info.HealthCheck }

func (r *router) response(code int, host *endpoint.Host) cluster.Response {
	return cluster.Response{Status: code, Canary: r.canary(), Internal: r.s.Request.Has(header.XEnvoyInternal), Host: host}
}

// chargeCode counts an answer of the proxy's own for an upstream.
func (r *router) chargeCode(code int) { r.chargeFor(code, nil) }

func (r *router) chargeFor(code int, host *endpoint.Host) {
	if !r.charged() {
		return
	}
	r.cluster.CountResponse(r.s.Worker, r.response(code, host))
	for _, v := range r.virtual {
		v.codes.Inc(r.s.Worker, code)
		v.completed.Inc(r.s.Worker)
	}
}

// chargeAbort counts the answer for an upstream that failed.
func (r *router) chargeAbort(code int) {
	r.chargeFor(code, r.host)
	if r.host != nil {
		r.host.Stats.RqError.Inc()
	}
}

// chargeResponse counts an upstream's answer.
func (r *router) chargeResponse() {
	status := r.s.Response.Status
	r.chargeFor(status, r.host)
	switch {
	case r.s.GRPC && status < 500 && !r.s.Response.Has(header.GrpcStatus):
		r.pending = true // the trailers will tell
	case is5xx(r.effective(status)):
		r.host.Stats.RqError.Inc()
	default:
		r.host.Stats.RqSuccess.Inc()
	}
}

// chargeTrailers counts a gRPC answer by the status in its trailers.
func (r *router) chargeTrailers() {
	if !r.pending {
		return
	}
	r.pending = false
	if t := r.up.Trailers(); t != nil {
		if code, ok := filter.GRPCCode(t.Value(header.GrpcStatus)); ok && !is5xx(code.HTTP()) {
			r.host.Stats.RqSuccess.Inc()
			return
		}
	}
	r.host.Stats.RqError.Inc()
}

func is5xx(code int) bool { return code >= 500 && code < 600 }

// effective is the status that an upstream is judged by: that of a gRPC answer without body is in its
// head.
func (r *router) effective(status int) int {
	if r.s.GRPC {
		if code, ok := filter.GRPCCode(r.s.Response.Value(header.GrpcStatus)); ok {
			return code.HTTP()
		}
	}
	return status
}

// judge tells whoever watches the host's health of its response.
func (r *router) judge(status int) {
	resp := &r.s.Response.Map
	r.host.PutCode(r.effective(status))
	if resp.Value(header.XEnvoyDegraded) != "" {
		r.host.PutDegraded()
	}
	if resp.Has(header.XEnvoyImmediateHealthCheckFail) {
		r.owner.ImmediateFail(r.host)
	}
	r.load(resp)
}

// load takes what a response says of the host's load (ORCA), where the load balancer goes by it.
func (r *router) load(h *header.Map) {
	reports := r.spec.LB.Reports()
	if reports == nil {
		return
	}
	if report, err := lb.LoadReport(h); err == nil && report != nil {
		if weight, ok := reports.Weight(report); ok {
			r.host.Load().Set(weight, r.s.Info.Start.Add(r.s.Info.Now()))
		}
	}
}

// blame tells outlier detection of a host that failed.
func (r *router) blame(why pool.Reason) {
	if r.host == nil {
		return
	}
	if why.Connect() {
		r.host.PutResult(endpoint.ConnectFailed)
		return
	}
	r.host.PutResult(endpoint.RequestFailed)
}

// chargeTime records how long the upstream took, once the response is over.
func (r *router) chargeTime() {
	i := &r.s.Info
	if i.FirstUpstreamRx == 0 || !r.charged() {
		return
	}
	ms := uint64((i.Now() - i.FirstUpstreamTx).Milliseconds())
	r.cluster.CountTime(r.s.Worker, r.response(0, r.host), ms)
	for _, v := range r.virtual {
		v.time.Record(r.s.Worker, ms)
	}
}

func (r *router) canary() bool {
	return r.s.Response.Value(header.XEnvoyUpstreamCanary) == "true" || r.host != nil && r.host.Endpoint().Canary
}
