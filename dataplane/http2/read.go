package http2

import (
	"encoding/binary"
	"io"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// frame is the head of a frame.
type frame struct {
	kind   http2.FrameType
	flags  http2.Flags
	id     uint32
	length int
}

func (f *frame) has(flag http2.Flags) bool { return f.flags&flag != 0 }

// partial is a header block: its stream, and what came of it.
type partial struct {
	active bool
	id     uint32
	end    bool // END_STREAM
	buf    *buffer.Buffer
	frames int
	wire   int // with the frames' heads
}

// readLoop reads frames until the connection ends.
func (c *conn) readLoop() *Error {
	for {
		f, err := c.readHead()
		if err == nil {
			err = c.readFrame(&f)
		}
		if err == nil {
			continue
		}
		if err.conn || err.Kind == Terminated {
			c.free()
			return err
		}
		if err = c.reject(f.id, err); err != nil {
			c.free()
			return err
		}
	}
}

func (c *conn) free() {
	buffer.Put(c.hb.buf)
	c.hb = partial{}
	c.sock.Free()
}

var errFrameSize = connError(http2.ErrCodeFrameSize, "frame is over its limit")

// readHead reads a frame's head and leaves its payload.
func (c *conn) readHead() (f frame, err *Error) {
	for c.sock.Buffered() < frameHeaderLen {
		if err := c.fill(c.hb.active || c.sock.Buffered() > 0); err != nil {
			return f, err
		}
	}
	b := c.sock.Buf.Bytes()
	word := binary.BigEndian.Uint32(b)
	f = frame{kind: http2.FrameType(word), length: int(word >> 8), flags: http2.Flags(b[4]), id: binary.BigEndian.Uint32(b[5:]) & maxStreamID}
	if f.length > maxFrameSize {
		return f, errFrameSize
	}
	if c.hb.active && (f.kind != http2.FrameContinuation || f.id != c.hb.id) {
		return f, connError(http2.ErrCodeProtocol, "a header block is interrupted by a "+f.kind.String()+" frame")
	}
	if !c.settled && (f.kind != http2.FrameSettings || f.has(http2.FlagSettingsAck)) {
		return f, errPreface
	}
	return f, nil
}

var errPreface = connError(http2.ErrCodeProtocol, "the connection does not begin with SETTINGS")

// readFrame reads the rest of a frame and does what it says.
func (c *conn) readFrame(f *frame) *Error {
	if f.kind == http2.FrameData {
		c.inTime()
		c.sock.Consume(frameHeaderLen)
		return c.readData(f)
	}
	for c.sock.Buffered() < frameHeaderLen+f.length {
		if err := c.fill(true); err != nil {
			return err
		}
	}
	p := c.sock.Buf.Bytes()[frameHeaderLen : frameHeaderLen+f.length]
	err := c.dispatch(f, p)
	c.sock.Consume(frameHeaderLen + f.length)
	c.inTime()
	return err
}

// inTime ends the deadline of a frame or block that is complete.
func (c *conn) inTime() {
	if c.timing && !c.hb.active {
		c.timing = false
		_ = c.sock.SetReadDeadline(time.Time{})
	}
}

func (c *conn) dispatch(f *frame, p []byte) *Error {
	switch f.kind {
	case http2.FrameHeaders:
		return c.readHeaders(f, p)
	case http2.FrameContinuation:
		return c.readContinuation(f, p)
	case http2.FrameRSTStream:
		return c.readReset(f, p)
	case http2.FrameSettings:
		return c.readSettings(f, p)
	case http2.FramePing:
		return c.readPing(f, p)
	case http2.FrameWindowUpdate:
		return c.readWindowUpdate(f, p)
	case http2.FrameGoAway:
		return c.readGoaway(f, p)
	case http2.FramePriority:
		return c.readPriority(f, p)
	case http2.FramePushPromise:
		return connError(http2.ErrCodeProtocol, "PUSH_PROMISE is not allowed")
	default:
		// RFC 9113 section 5.5: unknown types, METADATA among them, are ignored; but not without end.
		return c.floods.spend(1, c.clock, "unknown")
	}
}

// fill reads more into the socket's buffer. What was queued meanwhile is written first. begun tells that
// a frame or block has begun, which is to be complete in time.
func (c *conn) fill(begun bool) *Error {
	c.before(begun)
	had := c.sock.Buffered()
	err := c.sock.Fill()
	if err != nil {
		return c.ended(err)
	}
	// A buffer that was filled by many frames tells of a busy peer; bodies are read past it.
	got := c.sock.Buffered() - had
	switch {
	case got >= buffer.Small && !c.straight:
		c.sock.SetReadSize(buffer.Large)
	case got < buffer.Small/2:
		c.sock.SetReadSize(buffer.Small)
	}
	c.straight = false
	c.came()
	return nil
}

// before is what the loop does before it may wait.
func (c *conn) before(begun bool) {
	if c.wrote {
		c.wrote = false
		c.mu.Lock()
		c.flush(false)
	}
	if begun && !c.timing && c.frameTimeout > 0 {
		c.timing = true
		_ = c.sock.SetReadDeadline(time.Now().Add(c.frameTimeout))
	}
}

// came notes that something has come.
func (c *conn) came() {
	c.clock = now()
	if c.o.KeepaliveInterval > 0 || c.o.IdlePing > 0 {
		c.lastRx.Store(int64(c.clock))
	}
}

// ended makes an Error of one that the socket returned.
func (c *conn) ended(err error) *Error {
	c.mu.Lock()
	failed := c.failed
	c.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case err == io.EOF && c.sock.Buffered() == 0:
		return &Error{Kind: Terminated, Why: "the peer has closed the connection", Cause: err}
	case network.IsTimeout(err) && c.timing && !c.sock.Canceled():
		return connError(http2.ErrCodeEnhanceYourCalm, "a frame or header block was not complete in time")
	}
	return &Error{Kind: Terminated, Why: "the connection ended", Cause: err}
}

// reject ends a stream by RST_STREAM for what its peer did; the loop goes on, unless that happens too
// often.
func (c *conn) reject(id uint32, err *Error) *Error {
	st := c.find(id)
	c.mu.Lock()
	born := c.clock
	if st != nil {
		born = st.loop.born
		c.resetStream(st, err)
	} else {
		c.putReset(id, err.Code)
	}
	c.mu.Unlock()
	c.wrote = true
	if st != nil {
		c.half.rejected(st, err)
	}
	return c.floods.provoked(c, born)
}

// unpad returns the payload without its padding (RFC 9113 section 6.1).
func unpad(f *frame, p []byte) ([]byte, *Error) {
	if !f.has(http2.FlagDataPadded) {
		return p, nil
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, errPadding
	}
	return p[1 : len(p)-int(p[0])], nil
}

var (
	errPadding  = connError(http2.ErrCodeProtocol, "padding is longer than its frame")
	errNoStream = connError(http2.ErrCodeProtocol, "a frame that needs a stream is on stream 0")
	errIdle     = connError(http2.ErrCodeProtocol, "a frame on an idle stream")
	errDataSize = connError(http2.ErrCodeFrameSize, "the size of a frame is not what its type has")
)

// idle tells whether a stream was never opened.
func (c *conn) idle(id uint32) bool {
	if c.client == (id&1 == 1) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return id > c.lastOwn
	}
	return id > c.lastPeer
}
