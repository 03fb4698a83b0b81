package http2

import (
	"encoding/binary"
	"math"

	"golang.org/x/net/http2"
)

// readSettings applies the peer's SETTINGS and acknowledges them (RFC 9113 section 6.5).
func (c *conn) readSettings(f *frame, p []byte) *Error {
	switch {
	case f.id != 0:
		return connError(http2.ErrCodeProtocol, "SETTINGS on a stream")
	case f.has(http2.FlagSettingsAck):
		if len(p) != 0 {
			return errDataSize
		}
		c.mu.Lock()
		c.ownAcked = true
		c.mu.Unlock()
		return c.floods.spend(1, c.clock, "SETTINGS")
	case len(p)%6 != 0:
		return errDataSize
	case len(p) > 6*maxSettings:
		return connError(http2.ErrCodeEnhanceYourCalm, "too many SETTINGS in a frame")
	}
	if err := c.floods.spend(1, c.clock, "SETTINGS"); err != nil {
		return err
	}
	c.mu.Lock()
	err := c.apply(p)
	if err == nil {
		c.putSettingsAck()
		err = c.floods.outbound(c)
	}
	c.waiters.wake(c)
	c.mu.Unlock()
	c.settled, c.wrote = true, true
	if err == nil {
		c.half.changed()
	}
	return err
}

// apply applies each setting. mu is held.
func (c *conn) apply(p []byte) *Error {
	for ; len(p) > 0; p = p[6:] {
		v := binary.BigEndian.Uint32(p[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(p)) {
		case http2.SettingHeaderTableSize:
			c.peer.tableSize = v
			c.enc.resize(v)
		case http2.SettingEnablePush:
			if v > 1 || c.client && v == 1 {
				return connError(http2.ErrCodeProtocol, "SETTINGS_ENABLE_PUSH has no valid value")
			}
		case http2.SettingMaxConcurrentStreams:
			c.peer.maxStreams = v
		case http2.SettingInitialWindowSize:
			if err := c.applyWindow(v); err != nil {
				return err
			}
		case http2.SettingMaxFrameSize:
			if v < maxFrameSize || v >= 1<<24 {
				return connError(http2.ErrCodeProtocol, "SETTINGS_MAX_FRAME_SIZE has no valid value")
			}
		case http2.SettingEnableConnectProtocol:
			if v > 1 || v == 0 && c.peer.extendedConnect {
				return connError(http2.ErrCodeProtocol, "SETTINGS_ENABLE_CONNECT_PROTOCOL has no valid value")
			}
			c.peer.extendedConnect = v == 1
		}
	}
	return nil
}

// applyWindow changes the windows of all streams by what the initial one has changed (RFC 9113 section
// 6.9.2): they may become negative.
func (c *conn) applyWindow(v uint32) *Error {
	if v > maxWindow {
		return connError(http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE has no valid value")
	}
	delta := int64(v) - int64(c.peer.window)
	c.peer.window = v
	if delta == 0 {
		return nil
	}
	over := false
	c.streams.each(func(st *stream) {
		st.tx.window += delta
		over = over || st.tx.window > maxWindow
		if delta > 0 {
			st.sendCond.Broadcast()
		}
	})
	if over {
		return connError(http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE makes a window overflow")
	}
	return nil
}

func (c *conn) readPing(f *frame, p []byte) *Error {
	switch {
	case f.id != 0:
		return connError(http2.ErrCodeProtocol, "PING on a stream")
	case len(p) != 8:
		return errDataSize
	case f.has(http2.FlagPingAck):
		c.mu.Lock()
		ours := c.alive.acked(c, binary.BigEndian.Uint64(p))
		c.mu.Unlock()
		if ours {
			return nil
		}
		return c.floods.spend(1, c.clock, "PING")
	}
	if err := c.floods.spend(1, c.clock, "PING"); err != nil {
		return err
	}
	c.mu.Lock()
	copy(c.q.frame(http2.FramePing, http2.FlagPingAck, 0, 8), p)
	c.q.control++
	err := c.floods.outbound(c)
	c.mu.Unlock()
	c.wrote = true
	return err
}

// readWindowUpdate opens a window of ours (RFC 9113 section 6.9).
func (c *conn) readWindowUpdate(f *frame, p []byte) *Error {
	if len(p) != 4 {
		return errDataSize
	}
	n := int64(binary.BigEndian.Uint32(p) & maxWindow)
	c.floods.updates++
	if f.id == 0 {
		if n == 0 {
			return connError(http2.ErrCodeProtocol, "WINDOW_UPDATE by nothing")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sendWindow += n; c.sendWindow > maxWindow {
			return connError(http2.ErrCodeFlowControl, "the connection's window overflows")
		}
		c.waiters.wake(c)
		return c.floods.windowUpdates(c)
	}
	if c.idle(f.id) {
		return errIdle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.floods.windowUpdates(c); err != nil {
		return err
	}
	st := c.hold(c.streams.get(f.id))
	if st == nil {
		return nil // RFC 9113 section 5.1: it may still come after the stream was closed
	}
	if n == 0 {
		return streamError(http2.ErrCodeProtocol, DetailRemoteReset, "WINDOW_UPDATE by nothing")
	}
	if st.tx.window += n; st.tx.window > maxWindow {
		return streamError(http2.ErrCodeFlowControl, DetailRemoteReset, "the stream's window overflows")
	}
	st.sendCond.Broadcast()
	return nil
}

// readPriority ignores priorities (RFC 9113 section 5.3.2), but not a flood of them.
func (c *conn) readPriority(f *frame, p []byte) *Error {
	switch {
	case f.id == 0:
		return errNoStream
	case len(p) != 5:
		return errDataSize
	}
	c.floods.priorities++
	c.mu.Lock()
	opened := c.floods.opened
	c.mu.Unlock()
	if c.floods.priorities > uint64(c.o.MaxInboundPriorityFramesPerStream)*(1+opened) {
		c.stats.InboundPriorityFramesFlood.Inc(c.w)
		return calm(DetailPriorityFlood, "too many PRIORITY frames")
	}
	if err := c.floods.spend(1, c.clock, "PRIORITY"); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(p)&maxStreamID == f.id {
		return errSelf
	}
	return nil
}

var errSelf = connError(http2.ErrCodeProtocol, "a stream depends on itself")

// readReset ends a stream that the peer has reset.
func (c *conn) readReset(f *frame, p []byte) *Error {
	switch {
	case f.id == 0:
		return errNoStream
	case len(p) != 4:
		return errDataSize
	case c.idle(f.id):
		return errIdle
	}
	if err := c.floods.reset(c); err != nil {
		return err
	}
	st := c.find(f.id)
	if st == nil {
		return nil
	}
	c.stats.RxReset.Inc(c.w)
	err := &Error{Kind: RemoteReset, Code: http2.ErrCode(binary.BigEndian.Uint32(p)), Details: DetailRemoteReset, Why: "the peer has reset the stream"}
	if err.Code == http2.ErrCodeRefusedStream {
		err.Kind, err.Details = Refused, DetailRemoteRefused
		c.stats.StreamRefusedErrors.Inc(c.w)
	}
	c.mu.Lock()
	premature := !st.tx.localEnd
	c.closeStream(st, err)
	c.mu.Unlock()
	st.mu.Lock()
	st.rx.wire += uint64(f.length + frameHeaderLen)
	st.mu.Unlock()
	st.fail(err, false)
	st.tell(err)
	return c.floods.ended(c, premature, st.loop.born)
}

// goaways is what both sides have said by GOAWAY. It is guarded by mu.
type goaways struct {
	sent  bool // that no more streams are welcome
	final bool // with the last stream that is served
	last  uint32
	got   *Error // the peer's
}

// ignores tells a stream above our GOAWAY's last.
func (g *goaways) ignores(id uint32) bool { return g.final && id > g.last && id&1 == 1 }

// readGoaway notes that the peer opens, or takes, no more streams: those of ours above its last one were
// not processed (RFC 9113 section 6.8).
func (c *conn) readGoaway(f *frame, p []byte) *Error {
	switch {
	case f.id != 0:
		return connError(http2.ErrCodeProtocol, "GOAWAY on a stream")
	case len(p) < 8:
		return errDataSize
	}
	if err := c.floods.spend(1, c.clock, "GOAWAY"); err != nil {
		return err
	}
	last := binary.BigEndian.Uint32(p) & maxStreamID
	if !c.client {
		last = math.MaxUint32 // it tells of pushes
	}
	refused := &Error{Kind: Refused, Code: http2.ErrCodeRefusedStream, Details: DetailRemoteRefused, Why: "above the last stream of the peer's GOAWAY: " + string(p[8:min(len(p), 128)])}
	var dead []*stream
	c.mu.Lock()
	c.goaway.got = &Error{Kind: Terminated, Code: http2.ErrCode(binary.BigEndian.Uint32(p[4:])), Why: "the peer is going away: " + string(p[8:min(len(p), 128)])}
	c.hold(nil)
	c.streams.each(func(st *stream) {
		if st.id > last {
			dead = append(dead, st)
		}
	})
	for _, st := range dead {
		st.tx.dying = true
		c.closeStream(st, refused)
	}
	c.mu.Unlock()
	for _, st := range dead {
		st.fail(refused, false)
		st.tell(refused)
	}
	c.half.changed()
	return nil
}
