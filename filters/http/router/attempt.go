package router

import (
	"context"
	"strconv"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// attempt makes one upstream request. It reports whether another one is to be made; else there is a
// response, or nobody to answer.
func (r *router) attempt() (again bool) {
	s := r.s
	r.finish()
	s.Info.Attempts++
	r.retry.attempts++
	r.began = time.Now()
	if s.Info.Attempts > 1 {
		r.again()
	}
	err := r.open()
	if err == nil {
		err = r.exchange()
	}
	if err == nil {
		return r.accept()
	}
	return r.failed(err)
}

// again brings headers up to date that tell the attempt.
func (r *router) again() {
	h := &r.s.Request.Map
	if r.route.VirtualHost.IncludeRequestAttemptCount {
		h.SetID(header.XEnvoyAttemptCount, h.Keep(strconv.AppendInt(nil, int64(r.retry.attempts), 10)))
	}
	r.timeoutHeaders(time.Since(r.times.start(r)))
	if r.route.VirtualHost.IncludeIsTimeoutRetryHeader && r.timedOut {
		h.SetID(header.XEnvoyIsTimeoutRetry, "true")
	}
	if r.host != nil {
		r.s.Info.Attempted = append(r.s.Info.Attempted, r.s.Info.Upstream)
	}
}

// open picks a host and gets a stream to it.
func (r *router) open() *pool.Error {
	s, w := r.s, r.s.Worker
	s.Info.Upstream = streaminfo.Upstream{}
	r.host = r.cluster.Pick(&s.Pick)
	if r.host == nil {
		return errNoHost
	}
	r.owner = r.cluster.Owner(r.host)
	r.host.Fill(&s.Info.Upstream)
	if r.route.AutoHostRewrite {
		r.rewriteHost()
	}
	b, st := r.owner.Breakers(r.route.HighPriority), r.owner.Stats()
	if !b.Requests.CanCreate() {
		st.RqActiveOverflow.Inc(w)
		st.RqPendingOverflow.Inc(w)
		return &pool.Error{Reason: pool.Overflow, Why: "circuit breaker max_requests (" + strconv.FormatUint(uint64(b.Requests.Max()), 10) + ") is open"}
	}
	if r.tunnels() {
		return r.tunnel()
	}
	p := r.owner.Pool(r.host, r.poolOptions())
	if p == nil {
		return &pool.Error{Reason: pool.Overflow, Why: "circuit breaker max_connection_pools is open"}
	}
	r.up = p.Ready(w)
	if r.up == nil {
		return r.wait(p)
	}
	r.opened()
	return nil
}

// wait gets a stream from a pool that has none at once.
func (r *router) wait(p pool.Pool) *pool.Error {
	ctx, done := r.dialContext()
	defer done()
	up, err := p.NewStream(ctx, r.s.Worker)
	if err != nil {
		return err
	}
	r.up = up
	r.opened()
	return nil
}

// opened counts the stream that the attempt has got.
func (r *router) opened() {
	s := r.s
	r.owner.Breakers(r.route.HighPriority).Requests.Inc()
	r.counted = true
	for _, v := range r.virtual {
		v.Total.Inc(s.Worker)
	}
	r.up.Info(&s.Info.Upstream)
	s.Info.Upstream.PoolReady = s.Info.Now()
	r.host.PutResult(endpoint.ConnectSuccess)
}

// rewriteHost gives the request the name of the chosen host (auto_host_rewrite).
func (r *router) rewriteHost() {
	if name := r.host.Endpoint().Hostname; name != "" {
		r.route.SetHost(&r.s.Request.Map, name, r.c.suppress)
	}
}

// dialContext bounds a wait for a connection by the timeouts in force.
func (r *router) dialContext() (context.Context, context.CancelFunc) {
	ctx := r.s.Context()
	if d := r.deadline(); !d.IsZero() {
		return context.WithDeadline(ctx, d)
	}
	return ctx, func() {}
}

// exchange sends the request and reads the response's head. A connection that turns out to have been
// dead before anything was sent is replaced at once: that is no attempt.
func (r *router) exchange() *pool.Error {
	for {
		err := r.exchangeOn()
		if err == nil || err.Reason != pool.Stale {
			return err
		}
		r.finish()
		if err = r.reopen(); err != nil {
			return err
		}
	}
}

func (r *router) reopen() *pool.Error {
	p := r.owner.Pool(r.host, r.poolOptions())
	if p == nil {
		return &pool.Error{Reason: pool.Overflow, Why: "circuit breaker max_connection_pools is open"}
	}
	return r.wait(p)
}

func (r *router) exchangeOn() *pool.Error {
	s := r.s
	if !s.WaitOn(r.up) {
		return errGone
	}
	r.up.SetDeadline(r.deadline())
	s.Info.FirstUpstreamTx = s.Info.Now()
	if err := r.send.start(r); err != nil {
		return err
	}
	if r.send.done() {
		r.up.SetDeadline(r.deadline()) // the route's timeout counts from the request's end
	}
	for {
		s.Response.Reset()
		end, err := r.up.ReadHeaders(&s.Response.Map)
		switch {
		case err != nil && err.Reason == pool.Deadline:
			if r.expire() == notExpired {
				r.up.SetDeadline(r.deadline())
				s.Response.Reset()
				continue
			}
			s.Response.Reset()
			return err
		case err != nil:
			s.Response.Reset()
			return err
		case s.Response.Status < 200 && s.Response.Status != 101:
			r.informational()
			continue
		}
		s.Info.FirstUpstreamRx = s.Info.Now()
		s.Touch()
		r.body.begin(r, end)
		return nil
	}
}

// informational passes a 1xx response on where the connection manager does so: proxy_100_continue.
func (r *router) informational() {
	s := r.s
	if s.Response.Status == 100 && s.Request.Has(header.Expect) || s.Response.Status == 103 || s.Response.Status == 102 {
		if p, ok := s.Manager.(interface{ Passes1xx(status int) bool }); ok && p.Passes1xx(s.Response.Status) {
			_ = s.Informational(&s.Response.Map)
		}
	}
}

// errNoHost and errGone are not the upstream's.
var (
	errNoHost = &pool.Error{Reason: pool.LocalReset, Why: "no healthy host"}
	errGone   = &pool.Error{Reason: pool.LocalReset, Why: "the client has gone"}
)

// accept decides what to do with a response that has come: another attempt, or take it.
func (r *router) accept() (again bool) {
	s, w := r.s, r.s.Worker
	status := s.Response.Status
	r.judge(status)
	if r.retry.headers(r) {
		r.host.Stats.RqError.Inc()
		r.cluster.CountRetry(w, status)
		r.note("status " + strconv.Itoa(status))
		r.send.stopAttempt()
		s.Response.Reset()
		return true
	}
	if complete := r.send.completeAt(); !complete.IsZero() && !r.c.suppress {
		ms := s.Info.Start.Add(s.Info.FirstUpstreamRx).Sub(complete).Milliseconds()
		var b [24]byte
		s.Response.SetID(header.XEnvoyUpstreamServiceTime, s.Response.Keep(strconv.AppendInt(b[:0], max(ms, 0), 10)))
	}
	if r.route.VirtualHost.IncludeAttemptCountInResponse {
		var b [24]byte
		s.Response.SetID(header.XEnvoyAttemptCount, s.Response.Keep(strconv.AppendInt(b[:0], int64(s.Info.Attempts), 10)))
	}
	r.chargeResponse()
	for _, c := range r.cookies {
		s.Response.AddID(header.SetCookie, c)
	}
	s.Info.Details = streaminfo.DetailViaUpstream
	s.Info.ResponseCode = status
	r.send.forget()
	if r.upgraded() {
		return false
	}
	r.route.FinalizeResponse(&s.Request.Map, &s.Response.Map, &s.Info)
	return false
}

// upgraded takes a successful upgrade, and answers for one that the upstream refused. It reports true if
// it has answered.
func (r *router) upgraded() bool {
	s := r.s
	switch {
	case s.Upgrade == "":
	case s.Upgrade == "connect":
		if s.Response.Status/100 == 2 {
			s.Upgraded = true
			r.up.Raw()
		}
	case s.Response.Status == 101:
		s.Upgraded = true
		r.up.Raw()
	default:
		// As Envoy: the status alone, nothing of what the upstream says with it.
		status := s.Response.Status
		s.Response.Body = nil
		s.LocalReply(filter.LocalReply{Code: status, Details: streaminfo.DetailWebsocketUnsuccessful, GRPCStatus: -1})
		s.Response.Local = false
		return true
	}
	return false
}

// failed decides what to do when no response came: another attempt, or a local reply.
func (r *router) failed(err *pool.Error) (again bool) {
	s := r.s
	if s.Aborted() != filter.NotAborted {
		r.send.stopAttempt()
		r.cluster.Stats().RqCancelled.Inc(s.Worker)
		return false
	}
	if e := r.send.bodyError(); e != nil {
		r.badRequest(e)
		return false
	}
	if err == errNoHost {
		r.noHost()
		return false
	}
	r.send.stopAttempt()
	if err.Reason == pool.Deadline {
		which := r.expire()
		if which == notExpired {
			which = globalExpired
		}
		return !r.timeout(which)
	}
	return r.reset(err)
}

func (r *router) noHost() {
	s := r.s
	r.chargeCode(503)
	s.Stage, s.Because = "endpoint", "no healthy host in cluster "+r.cluster.Config().Name
	r.reply(503, "no healthy upstream", streaminfo.DetailNoHealthyUpstream, flagNoHealthy, false)
}

// reset answers for an upstream that failed, or has it tried again.
func (r *router) reset(err *pool.Error) (again bool) {
	s := r.s
	overflow := err.Reason == pool.Overflow
	s.Info.Upstream.TransportFailureReason = err.Transport
	if !overflow {
		r.blame(err.Reason)
	}
	r.note(err.String())
	if r.retry.reset(r, err.Reason) {
		return true
	}
	code := 503
	if err.Reason == pool.ProtocolError {
		code = 502
	}
	r.chargeAbort(code)
	body := "upstream connect error or disconnect/reset before headers. "
	if r.retry.attempts > 1 {
		body += "retried and the latest "
	}
	s.Stage, s.Because = "upstream", err.String()
	r.reply(code, body+"reset reason: "+err.Reason.String(), err.Details(streaminfo.DetailResetBefore), err.Flag(), overflow)
	return false
}

// badRequest answers for a request body that is not valid, or was too slow.
func (r *router) badRequest(err error) {
	s := r.s
	r.send.stopAttempt()
	s.Stage, s.Because = "codec", err.Error()
	if e, ok := err.(*filter.BodyError); ok { //nolint:errorlint // bodies return it as it is
		s.SendLocalReply(e.Code, http1.Reason(e.Code), e.Details, streaminfo.DownstreamProtocolError)
		return
	}
	s.SendLocalReply(408, "request timeout", streaminfo.DetailRequestOverallTimeout, 0)
}

// note records why an attempt failed, for /why.
func (r *router) note(why string) {
	r.s.Attempts = append(r.s.Attempts, filter.VerdictTry{Host: r.s.Info.Upstream.Host, Why: why, Took: time.Since(r.began)})
}

// finish ends the current upstream stream.
func (r *router) finish() {
	if r.up == nil {
		return
	}
	r.s.WaitOn(nil)
	r.up.Bytes(&r.s.Info.Upstream.Bytes)
	r.up.Close()
	r.up = nil
	if r.counted {
		r.counted = false
		r.owner.Breakers(r.route.HighPriority).Requests.Dec()
	}
}
