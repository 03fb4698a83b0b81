package router

import (
	"errors"
	"io"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// responseBody is the upstream's response body, under the timeouts that are still in force.
type responseBody struct {
	r      *router
	ended  bool
	broken bool
}

var errCut = errors.New("upstream response is cut")

// begin makes the response's body readable; end tells that there is none.
func (b *responseBody) begin(r *router, end bool) {
	b.r, b.ended, b.broken = r, end, false
	r.s.Response.Body = nil
	if !end {
		r.s.Response.Body = b
	} else {
		r.s.Info.LastUpstreamRx = r.s.Info.Now()
	}
}

// Next waits for a piece of the body.
func (b *responseBody) Next() ([]byte, error) {
	if b.ended {
		return nil, io.EOF
	}
	r := b.r
	if r.up == nil {
		return nil, errCut
	}
	for {
		if r.s.IdleTimeout > 0 || r.times.perTryIdle > 0 {
			r.up.SetDeadline(r.deadline())
		}
		p, end, err := r.up.Next()
		if err != nil && err.Reason == pool.Deadline && r.expire() == notExpired {
			r.up.SetDeadline(r.deadline())
			continue
		}
		return b.got(p, end, err)
	}
}

// TryNext is Next if that need not wait.
func (b *responseBody) TryNext() ([]byte, bool, error) {
	if b.ended {
		return nil, true, io.EOF
	}
	if b.r.up == nil {
		return nil, true, errCut
	}
	p, end, ok, err := b.r.up.TryNext()
	if !ok {
		return nil, false, nil
	}
	p, e := b.got(p, end, err)
	return p, true, e
}

func (b *responseBody) got(p []byte, end bool, err *pool.Error) ([]byte, error) {
	i := &b.r.s.Info
	switch {
	case err != nil:
		b.broken = true
		b.failed(err)
		return nil, errCut
	case end:
		b.ended = true
		i.LastUpstreamRx = i.Now()
		b.r.chargeTrailers()
		return nil, io.EOF
	}
	if i.FirstUpstreamRxBody == 0 {
		i.FirstUpstreamRxBody = i.Now()
	}
	b.r.s.Touch()
	return p, nil
}

// failed says in the stream's info why the response was cut.
func (b *responseBody) failed(err *pool.Error) {
	r, s := b.r, b.r.s
	if s.Aborted() != filter.NotAborted {
		return
	}
	r.stats.RqResetAfterResponseStarted.Inc(s.Worker)
	if err.Reason == pool.Deadline {
		b.timedOut()
		return
	}
	s.Info.Set(err.Flag())
	s.Info.Details = err.Details(streaminfo.DetailResetAfter)
	s.Stage, s.Because = "upstream", err.String()
	r.blame(err.Reason)
}

func (b *responseBody) timedOut() {
	r, s := b.r, b.r.s
	s.Stage = "timeout"
	switch r.expire() {
	case idleExpired, perTryIdleExpired:
		s.Info.Set(streaminfo.StreamIdleTimeout)
		s.Info.Details = streaminfo.DetailStreamIdleTimeout
		s.Because = "nothing moved for the idle timeout"
	case durationExpired:
		s.Info.Details = streaminfo.DetailMaxDurationTimeout
		s.Because = "max_stream_duration passed"
	case upstreamDurationExpired:
		s.Info.Set(streaminfo.UpstreamMaxStreamDurationReached)
		s.Info.Details = streaminfo.DetailUpstreamMaxStreamDuration
	case globalExpired, perTryExpired, notExpired:
		r.cluster.Stats().RqTimeout.Inc(s.Worker)
		r.hostTimeout()
		s.Info.Set(flagTimeout)
		s.Info.Details = streaminfo.DetailResponseTimeout
		s.Because = "route timeout of " + r.times.global.String() + " passed after the response had begun"
	}
}

// Trailers are the upstream's.
func (b *responseBody) Trailers() *header.Map {
	if b.r == nil || b.r.up == nil || !b.ended {
		return nil
	}
	return b.r.up.Trailers()
}

// Close gives the response up.
func (b *responseBody) Close() error {
	if b.r != nil && b.r.up != nil && !b.ended {
		b.broken = true
		b.r.up.Cancel()
	}
	return nil
}

// start is what the elapsed time of retries counts from: the end of the request.
func (t *timeouts) start(r *router) time.Time {
	if c := r.send.completeAt(); !c.IsZero() {
		return c
	}
	return time.Now()
}

var _ filter.TryBody = (*responseBody)(nil)
