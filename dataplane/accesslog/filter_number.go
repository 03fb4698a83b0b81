package accesslog

import (
	"math/rand/v2"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// comparison is a compiled ComparisonFilter.
type comparison struct {
	op    accesslogpb.ComparisonFilter_Op
	value uint64
	key   string
}

func compileComparison(p *accesslogpb.ComparisonFilter) comparison {
	return comparison{op: p.GetOp(), value: uint64(p.GetValue().GetDefaultValue()), key: p.GetValue().GetRuntimeKey()}
}

func (c comparison) match(n uint64, r *runtime.Loader) bool {
	value := r.Uint(c.key, c.value)
	switch c.op {
	case accesslogpb.ComparisonFilter_GE:
		return n >= value
	case accesslogpb.ComparisonFilter_LE:
		return n <= value
	case accesslogpb.ComparisonFilter_NE:
		return n != value
	default:
		return n == value
	}
}

// statusFilter compares the response code; none is 0.
type statusFilter struct{ comparison }

func (f statusFilter) Match(e *Entry, r *runtime.Loader) bool {
	return f.match(uint64(e.Info.ResponseCode), r)
}

// durationFilter compares how long the stream took, or has taken so far, in milliseconds.
type durationFilter struct{ comparison }

func (f durationFilter) Match(e *Entry, r *runtime.Loader) bool {
	d := e.Info.RequestComplete
	if d == 0 {
		d = e.Info.Now()
	}
	return f.match(uint64(d.Milliseconds()), r)
}

// runtimeFilter samples. As in Envoy a runtime value takes the place of the numerator alone, whatever
// the denominator is.
type runtimeFilter struct {
	key                    string
	numerator, denominator uint64
	independent            bool
}

func compileRuntimeFilter(p *accesslogpb.RuntimeFilter) Filter {
	f := runtime.CompilePercent(p.GetPercentSampled())
	return runtimeFilter{p.GetRuntimeKey(), uint64(f.Numerator), uint64(f.Denominator), p.GetUseIndependentRandomness()}
}

func (f runtimeFilter) Match(e *Entry, r *runtime.Loader) bool {
	numerator := r.Uint(f.key, f.numerator)
	if numerator == 0 {
		return false
	}
	random, ok := uint64(0), false
	if !f.independent {
		random, ok = requestNumber(e)
	}
	if !ok {
		random = rand.Uint64()
	}
	return random%f.denominator < numerator
}

// requestNumber is the number in x-request-id that every proxy on a request's way samples by: its first
// eight hexadecimal digits.
func requestNumber(e *Entry) (uint64, bool) {
	id := e.Info.StreamID
	if id == "" && e.Request != nil {
		id = e.Request.Value(header.XRequestID)
	}
	const digits = 8
	if len(id) < digits {
		return 0, false
	}
	n := uint64(0)
	for i := range digits {
		b := id[i]
		switch {
		case b >= '0' && b <= '9':
			b -= '0'
		case b >= 'a' && b <= 'f':
			b -= 'a' - 10
		case b >= 'A' && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(b)
	}
	return n, true
}
