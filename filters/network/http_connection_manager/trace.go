package hcm

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// tracing is the connection manager's tracing: which requests are traced, and how the others hear of it.
// The spans themselves are the tracer's.
type tracing struct {
	client, random, overall runtime.Fraction
}

// traceReason decides whether the request is traced, and writes the reason into its x-request-id
// (Envoy's mutateTracingRequestHeader).
func (m *manager) traceReason(s *filter.Stream) {
	t := m.c.tracing
	if t == nil {
		return
	}
	h := &s.Request.Map
	id := h.Value(header.XRequestID)
	random, ok := m.c.requestID.random(id)
	if !ok && m.c.requestID.useForSampling {
		return
	}
	if !ok {
		random = s.Random
	}
	client, sampled, overall := t.client, t.random, t.overall
	if s.Route != nil && s.Route.Tracing != nil {
		client, sampled, overall = s.Route.Tracing.Client, s.Route.Tracing.Random, s.Route.Tracing.Overall
	}
	rt := m.ctx.Runtime
	reason := reasonOf(id)
	switch {
	case reason == 0:
	case h.Has(header.XClientTraceID) && client.Enabled(rt, random):
		reason = traceClient
	case h.Has(header.XEnvoyForceTrace):
		reason = traceForced
	case reason == notTraceable && sampled.Enabled(rt, random):
		reason = traceSampled
	}
	if reason != notTraceable && reason != 0 && !overall.Enabled(rt, random) {
		reason = notTraceable
	}
	if reason != 0 {
		m.c.requestID.setReason(s, reason)
	}
	s.Info.Sampled = reason != notTraceable && reason != 0
	m.countTrace(s, reason)
}

func (m *manager) countTrace(s *filter.Stream, reason traceReason) {
	t, w := &m.stats.Tracing, s.Worker
	switch reason {
	case traceClient:
		t.ClientEnabled.Inc(w)
	case traceForced:
		t.ServiceForced.Inc(w)
	case traceSampled:
		t.RandomSampling.Inc(w)
	default:
		t.NotTraceable.Inc(w)
	}
}

// decorate passes the name of the operation on: to the client where this is the server's side, and not
// further where it is the client's.
func (m *manager) decorate(s *filter.Stream) {
	if m.c.tracing == nil {
		return
	}
	h := &s.Response.Map
	if m.ctx.Listener.Direction == filter.Outbound {
		h.DelID(header.XEnvoyDecoratorOperation)
		return
	}
	if r := s.Route; r != nil && r.Decorator != nil && r.Decorator.Propagate && !s.Request.Has(header.XEnvoyDecoratorOperation) {
		h.SetID(header.XEnvoyDecoratorOperation, r.Decorator.Operation)
	}
}

// routeDuration sets when the stream must be over, as the route's max_stream_duration says: by
// grpc-timeout for gRPC where a limit for it is given.
func (m *manager) routeDuration(s *filter.Stream) {
	d := &s.Route.Action.MaxStreamDuration
	limit, ok := d.Max, d.HasMax
	if s.GRPC && d.HasGRPCMax {
		if t, there := filter.GRPCTimeout(s.Request.Value(header.GrpcTimeout)); there {
			if d.GRPCMax > 0 && t > d.GRPCMax {
				t = d.GRPCMax
			}
			if d.GRPCOffset > 0 && t > d.GRPCOffset {
				t -= d.GRPCOffset
			}
			limit, ok = t, true
		}
	}
	if !ok {
		return
	}
	if limit <= 0 {
		s.MaxDuration = time.Time{}
		return
	}
	s.MaxDuration = s.Info.Start.Add(limit)
}
