package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// maxContinuations is how many CONTINUATION frames a block may have, besides those that its limit of
// bytes needs: what nghttp2 has.
const maxContinuations = 8

// readHeaders begins a header block.
func (c *conn) readHeaders(f *frame, p []byte) *Error {
	if f.id == 0 {
		return errNoStream
	}
	p, err := unpad(f, p)
	if err != nil {
		return err
	}
	h := &c.hb
	h.id, h.end, h.frames, h.wire = f.id, f.has(http2.FlagHeadersEndStream), 1, f.length+frameHeaderLen
	if f.has(http2.FlagHeadersPriority) {
		if len(p) < 5 {
			return errDataSize
		}
		// RFC 9113 section 5.3.2: priorities mean nothing any more; a loop is an error all the same.
		if binary.BigEndian.Uint32(p)&maxStreamID == f.id {
			return errSelf
		}
		p = p[5:]
	}
	if err := c.empty(len(p) == 0 && !h.end); err != nil {
		return err
	}
	if f.has(http2.FlagHeadersEndHeaders) {
		return c.half.headers(h, p)
	}
	h.active = true
	return c.moreBlock(p)
}

// readContinuation goes on with a header block.
func (c *conn) readContinuation(f *frame, p []byte) *Error {
	h := &c.hb
	if !h.active {
		return connError(http2.ErrCodeProtocol, "CONTINUATION without a header block")
	}
	h.frames++
	h.wire += f.length + frameHeaderLen
	if err := c.empty(len(p) == 0); err != nil {
		return err
	}
	if h.frames > 1+maxContinuations+c.blk.maxBytes/maxFrameSize {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many CONTINUATION frames")
	}
	if err := c.moreBlock(p); err != nil || !f.has(http2.FlagContinuationEndHeaders) {
		return err
	}
	h.active = false
	err := c.half.headers(h, h.buf.Bytes())
	buffer.Put(h.buf)
	h.buf = nil
	return err
}

// moreBlock keeps a fragment of a block that goes on. One that is over its limit is decoded all the
// same, for the table, up to a limit of that.
func (c *conn) moreBlock(p []byte) *Error {
	h := &c.hb
	if h.buf == nil {
		h.buf = buffer.Get(max(2*len(p), buffer.Small+1))
	}
	if h.buf.Len()+len(p) > 2*c.blk.maxBytes+4*maxFrameSize {
		return connError(http2.ErrCodeEnhanceYourCalm, "header block is over its limit")
	}
	if len(h.buf.Space()) < len(p) {
		h.buf = buffer.Grown(h.buf, 2*(h.buf.Len()+len(p)))
	}
	h.buf.Wrote(copy(h.buf.Space(), p))
	return nil
}

// decode decodes a block into m; nil: nobody wants it. The error is the connection's; what is wrong with
// the message is in c.blk.
func (c *conn) decode(p []byte, m *header.Map, kind blockKind) *Error {
	c.blk.reset(m, kind)
	if err := c.dec.decode(p, &c.blk); err != nil {
		return err
	}
	c.blk.finish()
	return nil
}

// messageError is what a refused message does: to its stream alone, or to the connection.
func (c *conn) messageError(err *Error) *Error {
	if err == nil || err == c.blk.over {
		return err
	}
	c.stats.RxMessagingError.Inc(c.w)
	if c.o.StreamErrorOnInvalidHTTPMessaging {
		return err
	}
	whole := *err
	whole.conn = true
	return &whole
}

// refusal is what is wrong with the block that was decoded, or nil.
func (b *block) refusal() *Error {
	if b.over != nil {
		return b.over
	}
	return b.malformed
}

// readTrailers takes the second block of a stream: it must end it.
func (c *conn) readTrailers(st *stream, h *partial, p []byte) *Error {
	st.mu.Lock()
	ended, dropped := st.rx.end, st.rx.dropped
	st.rx.wire += uint64(h.wire)
	st.rx.headBytes += uint64(h.wire)
	st.mu.Unlock()
	m := &st.rx.trailers
	if ended || dropped && !h.end {
		m = nil
	}
	// Nobody looks at the trailers before the end.
	if err := c.decode(p, m, blockTrailers); err != nil {
		return err
	}
	c.stats.Trailers.Inc(c.w)
	switch {
	case ended:
		return errStreamClosed
	case !h.end:
		c.blk.invalid(DetailMessaging, "trailers do not end the stream")
	case st.loop.length > st.loop.received && !st.loop.noBody:
		return errTooShort
	}
	if err := c.blk.refusal(); err != nil {
		m.Reset()
		return c.messageError(err)
	}
	st.mu.Lock()
	st.rx.hasTrailers = st.rx.trailers.Len() > 0
	st.mu.Unlock()
	c.remoteEnd(st)
	return nil
}
