package router

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// retryState is what is left of a request's retries.
type retryState struct {
	policy     *route.RetryPolicy
	on         route.RetryOn
	left       uint32
	codes      []uint32
	headers_   []string // of x-envoy-retriable-header-names
	attempts   int
	next       time.Duration // the upper bound of the next back-off
	most       time.Duration
	delay      time.Duration // before the next attempt
	armed      bool          // a retry is under way: the breaker counts it
	exhausted  bool          // none was left when one was wanted
	hosts      []*endpoint.Host
	priorities *priorities // nil: all alike
}

// begin finds what the route and a trusted client say of retries
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#x-envoy-retry-on).
func (t *retryState) begin(r *router) {
	h := &r.s.Request.Map
	hosts := t.hosts[:0]
	*t = retryState{policy: r.route.Action.Retry, hosts: hosts}
	p := t.policy
	if p == nil {
		p = &noPolicy
	}
	t.on, t.left, t.codes = p.On, p.NumRetries, p.StatusCodes
	if v, ok := h.Lookup(header.XEnvoyRetryOn); ok {
		on, _ := route.ParseRetryOn(v)
		t.on |= on
	}
	if v, ok := h.Lookup(header.XEnvoyRetryGrpcOn); ok {
		on, _ := route.ParseRetryGRPCOn(v)
		t.on |= on
	}
	t.requestCodes(h)
	if len(p.RequestHeaders) > 0 && !anyHeader(p, h) {
		t.on = 0
	}
	if v, ok := h.Lookup(header.XEnvoyMaxRetries); ok {
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			t.left = uint32(n)
		}
	}
	for _, id := range [...]header.ID{header.XEnvoyRetryOn, header.XEnvoyRetryGrpcOn, header.XEnvoyMaxRetries, header.XEnvoyRetriableStatusCodes,
		header.XEnvoyRetriableHeaderNames, header.XEnvoyHedgeOnPerTryTimeout} {
		h.DelID(id)
	}
	base := p.BaseInterval
	if base == 0 {
		base = time.Duration(r.ctx.Runtime.Uint(runtime.BaseRetryBackoff, 25)) * time.Millisecond
	}
	t.next, t.most = base, p.MaxInterval
	if t.most == 0 {
		t.most = 10 * base
	}
}

// noPolicy is what counts where the route has no policy, but a client asks.
var noPolicy = route.RetryPolicy{NumRetries: 1, HostSelectionAttempts: 1}

func anyHeader(p *route.RetryPolicy, h *header.Map) bool {
	for i := range p.RequestHeaders {
		if p.RequestHeaders[i].Match(h) {
			return true
		}
	}
	return false
}

func (t *retryState) requestCodes(h *header.Map) {
	if v, ok := h.Lookup(header.XEnvoyRetriableStatusCodes); ok {
		codes := append([]uint32(nil), t.codes...)
		for part := range splitList(v) {
			if n, err := strconv.ParseUint(part, 10, 32); err == nil {
				codes = append(codes, uint32(n))
			}
		}
		t.codes = codes
	}
	if v, ok := h.Lookup(header.XEnvoyRetriableHeaderNames); ok {
		for part := range splitList(v) {
			t.headers_ = append(t.headers_, lower(part))
		}
	}
}

// possible tells whether there may be a retry at all.
func (t *retryState) possible() bool { return t.on != 0 }

// headers decides whether a response asks for a retry, and arms one.
func (t *retryState) headers(r *router) bool {
	if t.on == 0 {
		return false
	}
	want := t.wantsResponse(r)
	t.finished(r, !want)
	if !want {
		return false
	}
	return t.arm(r)
}

func (t *retryState) wantsResponse(r *router) bool {
	resp := &r.s.Response.Map
	status := resp.Status
	if resp.Has(header.XEnvoyRatelimited) {
		return t.on&route.RetryEnvoyRatelimited != 0
	}
	switch {
	case t.on&route.Retry5xx != 0 && status >= 500 && status < 600,
		t.on&route.RetryGatewayError != 0 && status >= 502 && status <= 504,
		t.on&route.RetryRetriable4xx != 0 && status == 409:
		return true
	}
	if t.on&route.RetryRetriableStatusCodes != 0 {
		for _, c := range t.codes {
			if int(c) == status {
				return true
			}
		}
	}
	if t.on&route.RetryRetriableHeaders != 0 && t.policy != nil {
		for i := range t.policy.Headers {
			if t.policy.Headers[i].Match(resp) {
				return true
			}
		}
	}
	if t.on&route.RetryRetriableHeaders != 0 {
		for _, name := range t.headers_ {
			if _, ok := resp.Get(name); ok {
				return true
			}
		}
	}
	return t.wantsGRPC(resp)
}

func (t *retryState) wantsGRPC(resp *header.Map) bool {
	const grpc = route.RetryGRPCCancelled | route.RetryGRPCDeadlineExceeded | route.RetryGRPCResourceExhausted | route.RetryGRPCUnavailable | route.RetryGRPCInternal
	if t.on&grpc == 0 {
		return false
	}
	switch resp.Value(header.GrpcStatus) {
	case "1":
		return t.on&route.RetryGRPCCancelled != 0
	case "4":
		return t.on&route.RetryGRPCDeadlineExceeded != 0
	case "8":
		return t.on&route.RetryGRPCResourceExhausted != 0
	case "13":
		return t.on&route.RetryGRPCInternal != 0
	case "14":
		return t.on&route.RetryGRPCUnavailable != 0
	}
	return false
}

// reset decides whether a failure asks for a retry, and arms one.
func (t *retryState) reset(r *router, why pool.Reason) bool {
	if t.on == 0 || why == pool.Overflow {
		return false
	}
	want := t.on&(route.RetryReset|route.Retry5xx|route.RetryGatewayError) != 0 ||
		t.on&route.RetryConnectFailure != 0 && why.Connect() ||
		t.on&route.RetryRefusedStream != 0 && why == pool.RemoteRefusedStreamReset ||
		t.on&route.RetryResetBeforeRequest != 0 && why.Connect()
	t.finished(r, !want)
	return want && t.arm(r)
}

// retryTimeout decides whether a per-try timeout asks for a retry.
func (r *router) retryTimeout() bool {
	r.timedOut = true
	return r.retry.reset(r, pool.LocalReset)
}

// finished takes the retry that was under way out of the breaker; it was a success if none is wanted
// any more.
func (t *retryState) finished(r *router, success bool) {
	if !t.armed {
		return
	}
	t.armed = false
	r.cluster.Breakers(r.route.HighPriority).Retries.Dec()
	if success {
		r.cluster.Stats().RqRetrySuccess.Inc(r.s.Worker)
		for _, v := range r.virtual {
			v.Success.Inc(r.s.Worker)
		}
	}
}

// arm takes one of the retries that are left.
func (t *retryState) arm(r *router) bool {
	st, w := r.cluster.Stats(), r.s.Worker
	if t.left == 0 {
		st.RqRetryLimitExceeded.Inc(w)
		for _, v := range r.virtual {
			v.LimitExceeded.Inc(w)
		}
		t.exhausted = true
		r.s.Info.Set(flagRetries)
		return false
	}
	if !r.send.repeatable() {
		st.RetryOrShadowAbandoned.Inc(w)
		return false
	}
	t.left--
	high := r.route.HighPriority
	if !r.cluster.CanRetry(high) {
		st.RqRetryOverflow.Inc(w)
		for _, v := range r.virtual {
			v.Overflow.Inc(w)
		}
		r.s.Info.Set(flagOverflow)
		return false
	}
	if n := r.ctx.Runtime.Uint(runtime.UseHTTPRetry, 100); n < 100 && rand.Uint64N(100) >= n {
		return false
	}
	r.cluster.Breakers(high).Retries.Inc()
	t.armed = true
	st.RqRetry.Inc(w)
	for _, v := range r.virtual {
		v.Retry.Inc(w)
	}
	t.backOff(r)
	if r.host != nil {
		t.hosts = append(t.hosts, r.host)
		t.choose(r)
	}
	return true
}

// backOff chooses the pause before the next attempt: what the upstream asked for, else a random part of
// an interval that doubles.
func (t *retryState) backOff(r *router) {
	st, w := r.cluster.Stats(), r.s.Worker
	if d, ok := t.resetInterval(&r.s.Response.Map); ok {
		st.RqRetryBackoffRatelimited.Inc(w)
		t.delay = d
		return
	}
	st.RqRetryBackoffExponential.Inc(w)
	t.delay = time.Duration(rand.Int64N(max(int64(t.next/time.Millisecond), 1))) * time.Millisecond
	t.next = min(2*t.next, t.most)
}

// resetInterval is rate_limited_retry_back_off: the header that tells when to come back.
func (t *retryState) resetInterval(resp *header.Map) (time.Duration, bool) {
	if t.policy == nil || len(t.policy.ResetHeaders) == 0 || resp.Status == 0 {
		return 0, false
	}
	for _, rh := range t.policy.ResetHeaders {
		v, ok := resp.Get(rh.Name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			continue
		}
		d := time.Duration(n) * time.Second
		if rh.Unix {
			d = time.Until(time.Unix(n, 0))
		}
		if d > 0 && d <= t.policy.ResetMaxInterval {
			// Up to half as much again, so that not all come back at once.
			return d + time.Duration(rand.Int64N(int64(d/2)+1)), true
		}
	}
	return 0, false
}

// wait pauses before the next attempt. It reports false if the stream is over meanwhile, with an answer
// if somebody wants one.
func (t *retryState) wait(r *router) bool {
	s := r.s
	if t.delay <= 0 {
		return s.Aborted() == filter.NotAborted
	}
	d := t.delay
	t.delay = 0
	timer := time.NewTimer(d)
	defer timer.Stop()
	var over <-chan time.Time
	if end := r.globalEnd(); !end.IsZero() && time.Until(end) < d {
		timeout := time.NewTimer(time.Until(end))
		defer timeout.Stop()
		over = timeout.C
	}
	select {
	case <-timer.C:
		return true
	case <-over:
		r.timeout(globalExpired)
		return false
	case <-s.Context().Done():
		if s.Aborted() == filter.NotAborted {
			r.timeout(durationExpired)
		}
		return false
	}
}

// globalEnd is when the route's timeout passes; zero: never, or not yet known.
func (r *router) globalEnd() time.Time {
	c := r.send.completeAt()
	if r.times.global <= 0 || c.IsZero() {
		return time.Time{}
	}
	return c.Add(r.times.global)
}

func validRetryOn(v string, grpc bool) bool {
	parse := route.ParseRetryOn
	if grpc {
		parse = route.ParseRetryGRPCOn
	}
	_, ok := parse(v)
	return ok
}
