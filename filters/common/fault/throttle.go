package fault

import (
	"context"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// slices is how often a second a throttled body may go on, as in Envoy.
const slices = 16

// Throttle is a body that is let through at a limited rate: a slice at once, then one every sixteenth of a
// second. What was not used while nothing came is kept for up to a second.
type Throttle struct {
	body   filter.Body
	slice  int // bytes
	ctx    context.Context
	done   chan struct{}
	once   sync.Once
	rest   []byte
	tokens float64
	last   time.Time
}

// NewThrottle limits body to so many KiB/s. ctx ends with the stream.
func NewThrottle(ctx context.Context, body filter.Body, kib uint64) *Throttle {
	const most = 1 << 30 // a limit that is none
	return &Throttle{body: body, slice: int(max(min(kib, most)*1024/slices, 1)), ctx: ctx, done: make(chan struct{}), tokens: 1, last: time.Now()}
}

// Next waits for the next piece and for its turn.
func (t *Throttle) Next() ([]byte, error) {
	for len(t.rest) == 0 {
		p, err := t.body.Next()
		if err != nil {
			return nil, err
		}
		t.rest = p
	}
	if err := t.wait(); err != nil {
		return nil, err
	}
	want := float64((len(t.rest) + t.slice - 1) / t.slice)
	use := min(want, float64(int(t.tokens)))
	t.tokens -= use
	n := min(int(use)*t.slice, len(t.rest))
	p := t.rest[:n]
	t.rest = t.rest[n:]
	return p, nil
}

// wait waits until there is a token.
func (t *Throttle) wait() error {
	for {
		now := time.Now()
		t.tokens = min(t.tokens+now.Sub(t.last).Seconds()*slices, slices)
		t.last = now
		if t.tokens >= 1 {
			return nil
		}
		timer := time.NewTimer(time.Duration((1 - t.tokens) / slices * float64(time.Second)))
		select {
		case <-timer.C:
		case <-t.done:
			timer.Stop()
			return filter.ErrBodyClosed
		case <-t.ctx.Done():
			timer.Stop()
			return filter.ErrBodyClosed
		}
	}
}

// Trailers are the body's.
func (t *Throttle) Trailers() *header.Map { return t.body.Trailers() }

// Close ends the body and who waits for it.
func (t *Throttle) Close() error {
	t.once.Do(func() { close(t.done) })
	return t.body.Close()
}

var _ filter.Body = (*Throttle)(nil)
