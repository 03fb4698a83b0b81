package ads

import (
	"context"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// limiter is rate_limit_settings: a bucket of tokens, one for each request. It is owned by the sending
// goroutine.
type limiter struct {
	full, tokens, rate float64 // rate is in tokens a second; 0: there is no limit
	at                 time.Time
}

func newLimiter(s *corepb.RateLimitSettings) *limiter {
	if s == nil {
		return &limiter{}
	}
	l := &limiter{full: 100, rate: 10, at: time.Now()} // Envoy's defaults
	if s.MaxTokens != nil {
		l.full = float64(s.MaxTokens.Value)
	}
	if s.FillRate != nil {
		l.rate = max(s.FillRate.Value, 0.05) // as Envoy: one in 20 s at least
	}
	l.tokens = l.full
	return l
}

// take waits for a token.
func (l *limiter) take(ctx context.Context) error {
	for l.rate > 0 {
		now := time.Now()
		l.tokens = min(l.full, l.tokens+now.Sub(l.at).Seconds()*l.rate)
		l.at = now
		if l.tokens >= 1 {
			l.tokens--
			return nil
		}
		if err := sleep(ctx, time.Duration((1-l.tokens)/l.rate*float64(time.Second))+time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for d, or for ctx to end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
