package router

import (
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// chargeCode counts an answer of the proxy's own for an upstream.
func (r *router) chargeCode(code int) {
	r.cluster.Charge(r.s.Worker, code, r.canary(), r.s.Request.Has(header.XEnvoyInternal))
}

// chargeAbort counts the answer for an upstream that failed.
func (r *router) chargeAbort(code int, dropped bool) {
	r.chargeCode(code)
	if r.host != nil && !dropped {
		r.host.Stats.RqError.Inc()
	}
}

// chargeResponse counts an upstream's answer.
func (r *router) chargeResponse() {
	status := r.s.Response.Status
	r.chargeCode(status)
	if status >= 500 && status < 600 {
		r.host.Stats.RqError.Inc()
	} else {
		r.host.Stats.RqSuccess.Inc()
	}
}

// chargeTime records how long the upstream took, once the response is over.
func (r *router) chargeTime() {
	i := &r.s.Info
	if i.FirstUpstreamRx == 0 {
		return
	}
	ms := uint64((i.Now() - i.FirstUpstreamTx).Milliseconds())
	r.cluster.ChargeTime(r.s.Worker, ms, r.canary(), r.s.Request.Has(header.XEnvoyInternal))
}

func (r *router) canary() bool {
	return r.s.Response.Value(header.XEnvoyUpstreamCanary) == "true" || r.host != nil && r.host.Endpoint().Canary
}
