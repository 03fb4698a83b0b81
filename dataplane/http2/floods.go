package http2

import (
	"time"

	"golang.org/x/net/http2"
)

// floods counts what a peer makes us do for nothing. It is owned by the read loop but for what says
// otherwise.
type floods struct {
	o *Options
	// server bounds: 0 for a client.
	premature int
	lifetime  time.Duration

	empties             uint32 // frames without payload, one after the other
	priorities, updates uint64
	tokens              float64 // frames that are of no use by themselves; see spend
	at                  time.Duration
	resetTokens         float64
	resetAt             time.Duration
	early               int // streams that ended too early

	// These are guarded by the connection's mu: streams that were opened and that have ended, DATA frames
	// that we sent.
	opened, closed, data uint64
}

const (
	// idleBurst and idleRate bound the frames that are of no use by themselves: PING, SETTINGS, GOAWAY,
	// PRIORITY and unknown ones. Envoy has no such bound but on what waits to be written.
	idleBurst = 500
	idleRate  = 50 // a second
)

func (f *floods) init(at time.Duration, o *Options) {
	*f = floods{o: o, tokens: idleBurst, at: at, resetTokens: float64(o.StreamResetBurst), resetAt: at}
}

func calm(details, why string) *Error {
	return &Error{Kind: Protocol, Code: http2.ErrCodeEnhanceYourCalm, Details: details, Why: why, conn: true}
}

// spend takes n tokens, for a frame that is of no use. They come back with time, and with useful frames.
func (f *floods) spend(n float64, at time.Duration, what string) *Error {
	f.tokens = min(idleBurst, f.tokens+(at-f.at).Seconds()*idleRate)
	f.at = at
	if f.tokens -= n; f.tokens < 0 {
		return calm(DetailOutboundFlood, "too many "+what+" frames")
	}
	return nil
}

// useful gives tokens back for a frame of use.
func (f *floods) useful(n float64) { f.tokens = min(idleBurst, f.tokens+n) }

// empty counts frames of HEADERS, CONTINUATION and DATA without payload
// (max_consecutive_inbound_frames_with_empty_payload).
func (c *conn) empty(empty bool) *Error {
	f := &c.floods
	if !empty {
		f.empties = 0
		f.useful(1)
		return nil
	}
	if f.empties++; f.empties > f.o.MaxConsecutiveInboundFramesWithEmptyPayload {
		c.stats.InboundEmptyFramesFlood.Inc(c.w)
		return calm(DetailEmptyFrames, "too many frames without payload")
	}
	return nil
}

// windowUpdates bounds WINDOW_UPDATE frames by the use that they can be of
// (max_inbound_window_update_frames_per_data_frame_sent). mu is held.
func (f *floods) windowUpdates(c *conn) *Error {
	if f.updates > 5+2*(f.opened+uint64(f.o.MaxInboundWindowUpdateFramesPerDataFrameSent)*f.data) {
		c.stats.InboundWindowUpdateFramesFlood.Inc(c.w)
		return calm(DetailWindowFlood, "too many WINDOW_UPDATE frames")
	}
	return nil
}

// outbound bounds what waits to be written (max_outbound_frames, max_outbound_control_frames). mu is held.
func (f *floods) outbound(c *conn) *Error {
	switch {
	case c.q.control > int(f.o.MaxOutboundControlFrames):
		c.stats.OutboundControlFlood.Inc(c.w)
		return calm(DetailOutboundFlood, "too many control frames wait to be written")
	case c.q.frames > int(f.o.MaxOutboundFrames):
		c.stats.OutboundFlood.Inc(c.w)
		return calm(DetailOutboundFlood, "too many frames wait to be written")
	}
	return nil
}

// reset counts a RST_STREAM (stream_reset_burst, stream_reset_rate).
func (f *floods) reset(c *conn) *Error {
	if c.client {
		return nil
	}
	f.resetTokens = min(float64(f.o.StreamResetBurst), f.resetTokens+(c.clock-f.resetAt).Seconds()*float64(f.o.StreamResetRate))
	f.resetAt = c.clock
	if f.resetTokens--; f.resetTokens < 0 {
		return calm(DetailPrematureResets, "too many RST_STREAM frames")
	}
	return nil
}

// ended judges a stream that was reset. One that its client has ended before its response, and within a
// second, was opened to be a burden (CVE-2023-44487): once there are 250 of them, and they are half of
// all after 500, the connection ends (Envoy's rule).
func (f *floods) ended(c *conn, early bool, born time.Duration) *Error {
	if f.premature == 0 || !early || c.clock-born >= f.lifetime {
		return nil
	}
	f.early++
	c.mu.Lock()
	all := max(f.closed, uint64(f.premature))
	c.mu.Unlock()
	if 2*uint64(f.early) < all {
		return nil
	}
	return calm(DetailPrematureResets, "too many streams that were reset early")
}

// provoked counts a stream that we reset for what its peer did: that is a reset of its own doing
// (CVE-2025-8671).
func (f *floods) provoked(c *conn, born time.Duration) *Error {
	if err := f.reset(c); err != nil {
		return err
	}
	return f.ended(c, true, born)
}
