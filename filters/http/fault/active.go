package fault

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	common "github.com/pillion-proxy/pillion/filters/common/fault"
)

// active is the filter of a stream that may get a fault.
type active struct {
	*fault
	config *config // in force: the route's, or the filter's own
	peer   string  // x-envoy-downstream-service-cluster: it has runtime keys and stats of its own
	kib    uint64  // of the response's rate limit; 0: none
	counts bool    // in active_faults
}

// DecodeHeaders injects.
func (a *active) DecodeHeaders(s *filter.Stream) filter.Status {
	a.peer = s.Request.Value(header.XEnvoyDownstreamServiceCluster)
	a.setupLimit(s)
	if !a.delay(s) {
		return filter.Continue // the stream is over
	}
	return a.abort(s)
}

// EncodeHeaders slows the response's body down.
func (a *active) EncodeHeaders(s *filter.Stream) filter.Status {
	if a.kib > 0 && s.Response.Body != nil {
		s.Response.Body = common.NewThrottle(s.Context(), s.Response.Body, a.kib)
	}
	return filter.Continue
}

// OnStreamComplete ends the fault.
func (a *active) OnStreamComplete(s *filter.Stream) {
	if a.counts {
		a.stats.ActiveFaults.Dec(s.Worker)
	}
	f := a.fault
	*a = active{fault: f}
	f.pool.Put(a)
}

func (a *active) setupLimit(s *filter.Stream) {
	l := a.config.limit
	if l == nil || !l.Percent.Roll(a.runtime, a.config.keys.limitPercent, &s.Request.Map) {
		return
	}
	if kib, ok := l.KiB(&s.Request.Map); ok && a.begin(s) {
		a.stats.ResponseRLInjected.Inc(s.Worker)
		a.kib = kib
	}
}

// begin counts the stream among those with a fault, once, unless there are as many as there may be.
func (a *active) begin(s *filter.Stream) bool {
	if a.counts {
		return true
	}
	limit := uint64(1<<64 - 1)
	if a.config.hasMax {
		limit = a.config.max
	}
	if a.stats.ActiveFaults.Value() >= a.runtime.Uint(a.config.keys.max, limit) {
		a.stats.FaultsOverflow.Inc(s.Worker)
		return false
	}
	a.counts = true
	a.stats.ActiveFaults.Inc(s.Worker)
	return true
}

// delay waits. It reports false if the stream is over by then.
func (a *active) delay(s *filter.Stream) bool {
	d, ok := a.duration(&s.Request.Map)
	if !ok || !a.begin(s) {
		return true
	}
	a.stats.DelaysInjected.Inc(s.Worker)
	if p := a.peerStats(); p != nil {
		p.DelaysInjected.Inc(s.Worker)
	}
	s.Info.Set(streaminfo.DelayInjected)
	a.mark(s)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.Context().Done():
	}
	return s.Aborted() == filter.NotAborted
}

// duration decides about a delay. The keys of the peer's cluster come on top of the general ones.
func (a *active) duration(h *header.Map) (time.Duration, bool) {
	d := a.config.delay
	if d == nil {
		return 0, false
	}
	roll := d.Percent.Roll(a.runtime, a.config.keys.delayPercent, h)
	if !roll && a.peer != "" {
		roll = d.Percent.Roll(a.runtime, a.key("delay.fixed_delay_percent"), h)
	}
	if !roll {
		return 0, false
	}
	wait, ok := d.Duration(h)
	if !ok {
		return 0, false
	}
	ms := a.runtime.Uint(a.config.keys.delayDuration, uint64(wait.Milliseconds()))
	if a.peer != "" {
		ms = a.runtime.Uint(a.key("delay.fixed_duration_ms"), ms)
	}
	return time.Duration(ms) * time.Millisecond, ms > 0
}

// key is a runtime key of the peer's cluster.
func (a *active) key(name string) string { return "fault.http." + a.peer + "." + name }

// abort answers, if it is to.
func (a *active) abort(s *filter.Stream) filter.Status {
	http, grpc, ok := a.status(&s.Request.Map)
	if !ok || !a.begin(s) {
		return filter.Continue
	}
	a.stats.AbortsInjected.Inc(s.Worker)
	if p := a.peerStats(); p != nil {
		p.AbortsInjected.Inc(s.Worker)
	}
	a.mark(s)
	s.Stage, s.Because = "filter", "fault injection aborts the request"
	return s.LocalReply(filter.LocalReply{Code: http, Body: a.config.abort.body, Details: "fault_filter_abort", Flag: streaminfo.FaultInjected, GRPCStatus: grpc})
}

// status decides about an abort, and with which status. A gRPC status goes with HTTP 200, whatever the
// request is; grpc is negative where there is none.
func (a *active) status(h *header.Map) (http, grpc int, ok bool) {
	b := a.config.abort
	if b == nil {
		return 0, 0, false
	}
	roll := b.percent.Roll(a.runtime, a.config.keys.abortPercent, h)
	if !roll && a.peer != "" {
		roll = b.percent.Roll(a.runtime, a.key("abort.abort_percent"), h)
	}
	if !roll {
		return 0, 0, false
	}
	if code, ok := b.httpStatus(h); ok {
		return int(a.override(a.config.keys.abortHTTP, "abort.http_status", code)), -1, true
	}
	if code, ok := b.grpcStatus(h); ok {
		return 200, int(a.override(a.config.keys.abortGRPC, "abort.grpc_status", code)), true
	}
	return 0, 0, false
}

// override is a status as the runtime has it: for a peer with a cluster that cluster's key counts alone.
func (a *active) override(key, peerKey string, code uint64) uint64 {
	if a.peer != "" {
		return a.runtime.Uint(a.key(peerKey), code)
	}
	return a.runtime.Uint(key, code)
}

func (b *abort) httpStatus(h *header.Map) (uint64, bool) {
	if !b.header {
		return b.http, b.http != 0
	}
	code, ok := common.Number(h, common.AbortHeader)
	return code, ok && code >= 200 && code < 600
}

func (b *abort) grpcStatus(h *header.Map) (uint64, bool) {
	if !b.header {
		return b.grpc, b.isGRPC
	}
	return common.Number(h, common.AbortGRPCHeader)
}

// mark leaves filter_metadata for the access log.
func (a *active) mark(s *filter.Stream) {
	md := &structpb.Struct{}
	if a.config.metadata != nil {
		md = proto.CloneOf(a.config.metadata)
	}
	if s.Info.Metadata == nil {
		s.Info.Metadata = streaminfo.Metadata{}
	}
	s.Info.Metadata[a.name] = md
}

var _ filter.HTTP = (*active)(nil)
