package router

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/pool"
)

// sender moves the request's body upstream: on the stream's own goroutine if all of it has been received
// already, else on a second one, the pump, which goes on over attempts. What has been sent is kept
// while the request may have to be sent again.
type sender struct {
	r        *router
	body     filter.Body
	complete atomic.Int64 // when the request was received to its end, as time since Info.Start; 0: not yet

	keep    bool   // what is sent is kept for another attempt
	kept    []byte // guarded by mu while the pump runs
	limit   int
	over    bool // more than limit came: no more attempts
	ended   bool // the body has ended; guarded by mu
	pumping bool // the stream's goroutine alone
	pumped  chan struct{}
	stopped atomic.Bool

	mu       sync.Mutex
	target   pool.Stream // guarded by mu: where pieces go; nil: nowhere
	err      error       // guarded by mu: the body's
	trailers *header.Map // guarded by mu, of the body
}

// start sends the request on the current attempt's stream.
func (d *sender) start(r *router) *pool.Error {
	s := r.s
	if d.r == nil {
		d.r, d.body = r, s.Request.Body
		d.keep = r.retry.possible() || r.shadows.any()
		d.limit = r.bufferLimit()
	}
	if d.body == nil {
		d.markComplete(time.Time{})
		r.shadows.send(r)
		return r.up.SendHeaders(&s.Request.Map, true)
	}
	if d.pumping {
		return d.retarget(r.up)
	}
	if d.ended {
		return d.resend(r.up)
	}
	if b, ok := d.body.(filter.CompleteBody); ok && b.Complete() {
		return d.inline(b)
	}
	return d.pump()
}

// inline sends a body that is all there.
func (d *sender) inline(b filter.CompleteBody) *pool.Error {
	up, s := d.r.up, d.r.s
	var pending []byte
	sent := false
	for {
		p, err := b.Next()
		if err != nil && err != io.EOF {
			d.err = err
			return errGone
		}
		if err == io.EOF {
			d.ended = true
			d.trailers = b.Trailers()
			d.markComplete(time.Time{})
			d.r.shadows.send(d.r)
			return d.finishInline(up, &s.Request.Map, sent, pending)
		}
		d.store(p)
		if !sent {
			if err := up.SendHeaders(&s.Request.Map, false); err != nil {
				return err
			}
			sent = true
		}
		if err := up.SendData(p, false); err != nil {
			return err
		}
		pending = nil
	}
}

func (d *sender) finishInline(up pool.Stream, h *header.Map, sent bool, _ []byte) *pool.Error {
	if !sent {
		if d.trailers == nil && (!h.Has(header.TransferEncoding) && h.Value(header.ContentLength) == "0" || h.Has(header.ContentLength)) {
			return up.SendHeaders(h, true)
		}
		if err := up.SendHeaders(h, false); err != nil {
			return err
		}
	}
	if d.trailers != nil {
		return up.SendTrailers(d.trailers)
	}
	return up.SendData(nil, true)
}

// resend sends a body that was kept, for another attempt.
func (d *sender) resend(up pool.Stream) *pool.Error {
	h := &d.r.s.Request.Map
	if len(d.kept) == 0 && d.trailers == nil {
		return up.SendHeaders(h, true)
	}
	if err := up.SendHeaders(h, false); err != nil {
		return err
	}
	if d.trailers != nil {
		if err := up.SendData(d.kept, false); err != nil {
			return err
		}
		return up.SendTrailers(d.trailers)
	}
	return up.SendData(d.kept, true)
}

// pump starts the second goroutine.
func (d *sender) pump() *pool.Error {
	up := d.r.up
	if err := up.SendHeaders(&d.r.s.Request.Map, false); err != nil {
		return err
	}
	if err := up.Split(); err != nil {
		return err
	}
	d.target, d.pumping, d.pumped = up, true, make(chan struct{})
	// Owned by the router: ends with the body, which stop closes.
	go d.run()
	return nil
}

// retarget moves a running pump to another attempt: what was kept first, then what comes.
func (d *sender) retarget(up pool.Stream) *pool.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := up.SendHeaders(&d.r.s.Request.Map, false); err != nil {
		return err
	}
	if err := up.Split(); err != nil {
		return err
	}
	if len(d.kept) > 0 {
		if err := up.SendData(d.kept, false); err != nil {
			return err
		}
	}
	d.target = up
	if d.ended {
		return d.end(up)
	}
	return nil
}

// end ends the request on up; mu is held.
func (d *sender) end(up pool.Stream) *pool.Error {
	if d.trailers != nil {
		return up.SendTrailers(d.trailers)
	}
	return up.SendData(nil, true)
}

func (d *sender) run() {
	defer close(d.pumped)
	for {
		p, err := d.body.Next()
		if err == io.EOF {
			d.finished()
			return
		}
		if err != nil {
			d.broken(err)
			return
		}
		d.mu.Lock()
		d.store(p)
		if up := d.target; up != nil {
			if e := up.SendData(p, false); e != nil {
				d.target = nil // its reader knows; what comes is kept, or dropped
			}
		}
		d.mu.Unlock()
	}
}

func (d *sender) finished() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.trailers = d.body.Trailers()
	d.markComplete(time.Time{})
	d.r.shadows.send(d.r)
	up := d.target
	if up == nil {
		return
	}
	d.target = nil
	if e := d.end(up); e == nil {
		d.target = up
		up.SetDeadline(d.r.deadline()) // the route's timeout counts from here
	}
}

// broken is a body that did not end well: the attempt is given up, and the stream answers.
func (d *sender) broken(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped.Load() || errors.Is(err, filter.ErrBodyClosed) {
		return
	}
	d.err = err
	if d.target != nil {
		d.target.Cancel()
	}
}

// drop leaves the body out from now on: a 303 turns the request into a GET.
func (d *sender) drop(h *header.Map) {
	d.body, d.kept, d.trailers = nil, d.kept[:0], nil
	h.DelID(header.ContentLength)
}

// store keeps a piece for another attempt, up to the limit.
func (d *sender) store(p []byte) {
	if !d.keep {
		return
	}
	if len(d.kept)+len(p) > d.limit {
		d.keep, d.over = false, true
		d.kept = d.kept[:0]
		return
	}
	d.kept = append(d.kept, p...)
}

// repeatable tells whether the request can be sent again.
func (d *sender) repeatable() bool {
	if d.body == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.over
}

// forget stops keeping: there will be no other attempt.
func (d *sender) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keep && !d.r.shadows.any() {
		d.keep = false
		d.kept = d.kept[:0]
	}
}

// stopAttempt takes the current stream away from the pump.
func (d *sender) stopAttempt() {
	if !d.pumping {
		return
	}
	if d.r.up != nil {
		d.r.up.Cancel() // a write that is under way returns
	}
	d.mu.Lock()
	d.target = nil
	d.mu.Unlock()
}

// stop ends the pump and waits for it.
func (d *sender) stop() {
	if !d.pumping {
		return
	}
	d.pumping = false
	d.stopped.Store(true)
	if d.done() {
		// The body is at its end: what is left to the pump is at most one write.
		grace := time.NewTimer(endGrace)
		defer grace.Stop()
		select {
		case <-d.pumped:
			return
		case <-grace.C:
		}
	} else {
		_ = d.body.Close()
	}
	if d.r.up != nil {
		d.r.up.Cancel()
	}
	<-d.pumped
}

// endGrace is how long an upstream that has answered in full may take for the end of the request.
const endGrace = 20 * time.Millisecond

// bodyError is why the request's body did not end well, or nil.
func (d *sender) bodyError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *sender) markComplete(at time.Time) {
	i := &d.r.s.Info
	if at.IsZero() {
		d.complete.Store(int64(i.Now()))
		return
	}
	d.complete.Store(int64(at.Sub(i.Start)))
}

// completeAt is when the request had been received to its end; zero: not yet.
func (d *sender) completeAt() time.Time {
	n := d.complete.Load()
	if n == 0 {
		return time.Time{}
	}
	return d.r.s.Info.Start.Add(time.Duration(n))
}

// done tells whether the request has been received to its end.
func (d *sender) done() bool { return d.complete.Load() != 0 }
