package router

import (
	"strconv"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// timeouts are those in force for a request, 0 being none, and what they count from.
type timeouts struct {
	global, perTry, perTryIdle time.Duration
	// complete is when the request had been received to its end; zero: not yet.
	complete time.Time
	hedge    bool
}

// compute finds the timeouts of the request: the route's, which headers of a trusted client override
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#http-headers-consumed).
func (r *router) compute() {
	h, t, a := &r.s.Request.Map, &r.times, r.route.Action
	*t = timeouts{}
	if !newTimeouts(a) {
		t.global = a.Timeout
		if r.s.GRPC && a.MaxGRPCTimeout.Set {
			t.global = r.grpcTimeout(h)
		}
	}
	if p := a.Retry; p != nil {
		t.perTry, t.perTryIdle = p.PerTryTimeout, p.PerTryIdleTimeout
	}
	if d, ok := millis(h, header.XEnvoyExpectedRqTimeoutMs); ok && r.c.respectExpected {
		t.global = d
	} else if d, ok := millis(h, header.XEnvoyUpstreamRqTimeoutMs); ok {
		t.global = d
	}
	h.DelID(header.XEnvoyUpstreamRqTimeoutMs)
	if d, ok := millis(h, header.XEnvoyUpstreamRqPerTryTimeoutMs); ok {
		t.perTry = d
	}
	h.DelID(header.XEnvoyUpstreamRqPerTryTimeoutMs)
	if t.global != 0 && t.perTry >= t.global {
		t.perTry = 0
	}
	r.timeoutHeaders(0)
}

// newTimeouts tells whether the route has max_stream_duration, which replaces its timeout.
func newTimeouts(a *route.Action) bool {
	d := &a.MaxStreamDuration
	return d.HasMax || d.HasGRPCMax
}

func millis(h *header.Map, id header.ID) (time.Duration, bool) {
	v, ok := h.Lookup(id)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 62)
	return time.Duration(min(n, 1<<40)) * time.Millisecond, err == nil
}

// grpcTimeout is grpc-timeout, capped by max_grpc_timeout; 0 is for ever on both sides.
func (r *router) grpcTimeout(h *header.Map) time.Duration {
	t, _ := filter.GRPCTimeout(h.Value(header.GrpcTimeout))
	if off := r.route.Action.GRPCTimeoutOffset.D; off > 0 && off < t {
		t -= off
	}
	if most := r.route.Action.MaxGRPCTimeout.D; most != 0 && (t == 0 || t > most) {
		t = most
	}
	return t
}

// timeoutHeaders tells the upstream how long it has.
func (r *router) timeoutHeaders(elapsed time.Duration) {
	h, t := &r.s.Request.Map, &r.times
	expected := t.perTry
	if expected == 0 || t.hedge {
		expected = t.global
	}
	if expected <= 0 {
		return
	}
	if t.global > 0 {
		expected = min(expected, t.global-elapsed)
		if elapsed >= t.global {
			expected = time.Millisecond
		}
	}
	ms := max(expected.Milliseconds(), 1)
	var b [24]byte
	if !r.c.suppress {
		h.SetID(header.XEnvoyExpectedRqTimeoutMs, h.Keep(strconv.AppendInt(b[:0], ms, 10)))
	}
	if r.s.GRPC && !newTimeouts(r.route.Action) && h.Has(header.GrpcTimeout) {
		h.SetID(header.GrpcTimeout, h.Keep(append(strconv.AppendInt(b[:0], min(ms, 99999999), 10), 'm')))
	}
}

// expired is which timeout a deadline was.
type expired uint8

const (
	notExpired expired = iota
	globalExpired
	perTryExpired
	perTryIdleExpired
	idleExpired
	durationExpired
	upstreamDurationExpired
)

// deadline is the next moment at which a timeout is due while the attempt is waited for, zero being
// never. The pump calls it as well, once the request is complete.
func (r *router) deadline() time.Time {
	d, _ := r.due()
	return d
}

// due finds the timeout that is due first.
func (r *router) due() (d time.Time, which expired) {
	at := func(t time.Time, w expired) {
		if d.IsZero() || t.Before(d) {
			d, which = t, w
		}
	}
	t := &r.times
	if complete := r.send.completeAt(); !complete.IsZero() {
		if t.global > 0 {
			at(complete.Add(t.global), globalExpired)
		}
		if t.perTry > 0 && r.s.Response.Status == 0 {
			from := r.began
			if complete.After(from) {
				from = complete
			}
			at(from.Add(t.perTry), perTryExpired)
		}
	}
	if t.perTryIdle > 0 {
		at(r.lastMoved().Add(t.perTryIdle), perTryIdleExpired)
	}
	if r.s.IdleTimeout > 0 {
		at(r.s.IdleSince().Add(r.s.IdleTimeout), idleExpired)
	}
	if !r.s.MaxDuration.IsZero() {
		at(r.s.MaxDuration, durationExpired)
	}
	if most := r.spec.HTTP.MaxStreamDuration; most > 0 {
		at(r.began.Add(most), upstreamDurationExpired)
	}
	return d, which
}

// lastMoved is when the attempt last had something move.
func (r *router) lastMoved() time.Time {
	if idle := r.s.IdleSince(); idle.After(r.began) {
		return idle
	}
	return r.began
}

// expire finds out which timeout has passed; none has if the deadline was a stale one.
func (r *router) expire() expired {
	d, which := r.due()
	if d.IsZero() || time.Now().Before(d) {
		return notExpired
	}
	return which
}

// timeout answers for a timeout before the response has begun. It reports false if it is to be tried
// again instead.
func (r *router) timeout(which expired) (done bool) {
	s, w, st := r.s, r.s.Worker, r.cluster.Stats()
	s.Stage = "timeout"
	switch which {
	case globalExpired:
		st.RqTimeout.Inc(w)
		for _, v := range r.virtual {
			v.Timeout.Inc(w)
		}
		r.hostTimeout()
		s.Because = "route timeout of " + r.times.global.String() + " passed"
		r.timeoutReply(streaminfo.DetailResponseTimeout, flagTimeout)
	case perTryExpired, perTryIdleExpired:
		details := streaminfo.DetailPerTryTimeout
		if which == perTryExpired {
			st.RqPerTryTimeout.Inc(w)
			s.Because = "per try timeout of " + r.times.perTry.String() + " passed"
		} else {
			st.RqPerTryIdleTimeout.Inc(w)
			details = streaminfo.DetailPerTryIdleTimeout
			s.Because = "per try idle timeout of " + r.times.perTryIdle.String() + " passed"
		}
		r.hostTimeout()
		r.note(s.Because)
		if r.retryTimeout() {
			return false
		}
		r.timeoutReply(details, flagTimeout)
	case idleExpired:
		r.idleReply()
	case durationExpired:
		code := 504
		if !r.send.done() {
			code = 408
		}
		s.Because = "max_stream_duration passed"
		s.LocalReply(filter.LocalReply{Code: code, Body: "downstream duration timeout", Details: streaminfo.DetailMaxDurationTimeout, GRPCStatus: 4})
	case upstreamDurationExpired:
		st.RqMaxDurationReached.Inc(w)
		s.Because = "the cluster's max_stream_duration passed"
		r.timeoutReply(streaminfo.DetailUpstreamMaxStreamDuration, streaminfo.UpstreamMaxStreamDurationReached)
	case notExpired:
	}
	return true
}

func (r *router) idleReply() {
	s := r.s
	code := 504
	if !r.send.done() {
		code = 408
	}
	s.Because = "nothing moved for the stream's idle timeout of " + s.IdleTimeout.String()
	s.SendLocalReply(code, "stream timeout", streaminfo.DetailStreamIdleTimeout, streaminfo.StreamIdleTimeout)
}

// timeoutReply is 504, or 204 where the client asked for that.
func (r *router) timeoutReply(details string, f streaminfo.Flag) {
	code := 504
	if r.s.Request.Value(header.XEnvoyUpstreamRqTimeoutAltResponse) == "204" {
		code = 204
	}
	r.chargeCode(code)
	body := "upstream request timeout"
	if code == 204 {
		body = ""
	}
	r.reply(code, body, details, f, false)
}

func (r *router) hostTimeout() {
	if r.host != nil {
		r.host.Stats.RqTimeout.Inc()
		r.host.PutResult(endpoint.LocalTimeout)
	}
}
