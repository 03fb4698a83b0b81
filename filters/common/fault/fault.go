// Package fault holds what fault injection filters share: delays and rate limits, fixed or asked for by
// request headers, and the share of requests that they are for.
package fault

import (
	"strconv"
	"time"

	faultpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Percent is the share of requests that get a fault. With a header the request may ask for less.
type Percent struct {
	fraction runtime.Fraction
	header   string
}

// CompilePercent compiles a FractionalPercent; header, unless "", names the request header.
func CompilePercent(p *typepb.FractionalPercent, header string) Percent {
	return Percent{runtime.CompilePercent(p), header}
}

// Roll decides for a request; key is the runtime key that may say another share.
func (p Percent) Roll(l *runtime.Loader, key string, h *header.Map) bool {
	f := p.fraction
	f.Key = key
	if p.header != "" {
		if n, ok := number(h, p.header); ok && n < uint64(f.Numerator) {
			f.Numerator = uint32(n)
		}
	}
	return f.Roll(l)
}

// number reads a header that is a whole number.
func number(h *header.Map, name string) (uint64, bool) {
	v, ok := h.Get(name)
	if !ok || v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 64)
	return n, err == nil
}

// The request headers that ask for faults.
const (
	DelayHeader             = "x-envoy-fault-delay-request"
	DelayPercentHeader      = DelayHeader + "-percentage"
	AbortHeader             = "x-envoy-fault-abort-request"
	AbortPercentHeader      = AbortHeader + "-percentage"
	AbortGRPCHeader         = "x-envoy-fault-abort-grpc-request"
	ThroughputHeader        = "x-envoy-fault-throughput-response"
	ThroughputPercentHeader = ThroughputHeader + "-percentage"
)

// Number is the whole number that a fault header holds.
func Number(h *header.Map, name string) (uint64, bool) { return number(h, name) }

// Delay is a compiled FaultDelay.
type Delay struct {
	Percent Percent
	fixed   time.Duration // 0: the request says
}

// CompileDelay compiles a FaultDelay; nil is none.
func CompileDelay(p *faultpb.FaultDelay) *Delay {
	switch p.GetFaultDelaySecifier().(type) {
	case *faultpb.FaultDelay_FixedDelay:
		return &Delay{CompilePercent(p.GetPercentage(), ""), p.GetFixedDelay().AsDuration()}
	case *faultpb.FaultDelay_HeaderDelay_:
		return &Delay{Percent: CompilePercent(p.GetPercentage(), DelayPercentHeader)}
	}
	return nil
}

// Duration is how long a request is delayed; false is not at all.
func (d *Delay) Duration(h *header.Map) (time.Duration, bool) {
	if d.fixed > 0 {
		return d.fixed, true
	}
	n, ok := number(h, DelayHeader)
	return time.Duration(min(n, maxMillis)) * time.Millisecond, ok
}

// maxMillis keeps a delay within time.Duration.
const maxMillis = uint64(1<<63-1) / uint64(time.Millisecond)

// Limit is a compiled FaultRateLimit.
type Limit struct {
	Percent Percent
	fixed   uint64 // KiB/s; 0: the request says
}

// CompileLimit compiles a FaultRateLimit; nil is none.
func CompileLimit(p *faultpb.FaultRateLimit) *Limit {
	switch l := p.GetLimitType().(type) {
	case *faultpb.FaultRateLimit_FixedLimit_:
		return &Limit{CompilePercent(p.GetPercentage(), ""), l.FixedLimit.GetLimitKbps()}
	case *faultpb.FaultRateLimit_HeaderLimit_:
		return &Limit{Percent: CompilePercent(p.GetPercentage(), ThroughputPercentHeader)}
	}
	return nil
}

// KiB is the limit for a request in KiB/s; false is none.
func (l *Limit) KiB(h *header.Map) (uint64, bool) {
	if l.fixed > 0 {
		return l.fixed, true
	}
	n, ok := number(h, ThroughputHeader)
	return n, ok && n > 0
}
