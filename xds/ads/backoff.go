package ads

import (
	"math/rand/v2"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// backoff spaces attempts to connect: Envoy's jittered exponential back-off.
type backoff struct{ base, max, step time.Duration }

// newBackoff is 500 ms up to 30 s, or what the service's retry policy says.
func newBackoff(s *corepb.GrpcService) backoff {
	b := backoff{base: 500 * time.Millisecond, max: 30 * time.Second}
	p := s.GetEnvoyGrpc().GetRetryPolicy()
	if p == nil {
		p = s.GetRetryPolicy()
	}
	if o := p.GetRetryBackOff(); o.GetBaseInterval() != nil {
		b.base = max(o.BaseInterval.AsDuration(), time.Millisecond)
		b.max = 10 * b.base
		if o.MaxInterval != nil {
			b.max = max(o.MaxInterval.AsDuration(), b.base)
		}
	}
	b.reset()
	return b
}

func (b *backoff) reset() { b.step = b.base }

// next is how long to wait: anything below the step, which doubles each time.
func (b *backoff) next() time.Duration {
	d := rand.N(b.step)
	b.step = min(2*b.step, b.max)
	return d
}
