package http1

import (
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// Informational writes a 1xx response at once.
func (c *ServerConn) Informational(h *header.Map) error {
	if c.Request.HTTP10 {
		return nil
	}
	if err := c.out.room(size(h)); err != nil {
		return err
	}
	c.statusLine(h.Status)
	c.out.fields(h)
	c.out.str("\r\n")
	return c.out.flush()
}

// WriteHeaders gathers the head of the response; end tells that nothing follows it. Framing headers are
// its own business: a content-length in h is passed on, else the body is chunked.
func (c *ServerConn) WriteHeaders(h *header.Map, end bool) error {
	if err := c.out.room(size(h)); err != nil {
		return err
	}
	c.out.chunked = false
	h.DelID(header.TransferEncoding)
	bodiless := h.Status < 200 || h.Status == 204 || c.Request.Connect && h.Status/100 == 2
	if bodiless {
		// RFC 9110 section 8.6: no Content-Length in 1xx, 204 and 2xx to CONNECT.
		h.DelID(header.ContentLength)
	}
	c.statusLine(h.Status)
	c.out.fields(h)
	switch {
	case bodiless || h.Has(header.ContentLength):
	case h.Status == 304:
	case end && !c.Request.Head:
		c.out.str("content-length: 0\r\n")
	case c.Request.HTTP10:
		// The end of the connection is the end of the body.
	default:
		c.out.str("transfer-encoding: chunked\r\n")
		c.out.chunked = !c.Request.Head
	}
	c.out.str("\r\n")
	return nil
}

func (c *ServerConn) statusLine(status int) {
	w := &c.out
	// As Envoy: HTTP/1.0 is answered in kind where it is accepted.
	if c.Request.HTTP10 && c.o.AcceptHTTP10 {
		w.str("HTTP/1.0 ")
	} else {
		w.str("HTTP/1.1 ")
	}
	w.buf.W = len(strconv.AppendInt(w.buf.B[:w.buf.W], int64(status), 10))
	w.byte(' ')
	w.str(reason(status))
	w.str("\r\n")
}

// WriteData gathers a piece of the body; it writes when there is a lot. p is not kept.
func (c *ServerConn) WriteData(p []byte) error { return c.out.data(p) }

// WriteEnd ends the body and writes all that was gathered. Trailers are left out where they are not
// enabled; nil is none.
func (c *ServerConn) WriteEnd(trailers *header.Map) error {
	if trailers != nil && !c.o.EnableTrailers {
		trailers = nil
	}
	if err := c.out.end(trailers); err != nil {
		return err
	}
	return c.out.flush()
}

// Flush writes what was gathered.
func (c *ServerConn) Flush() error { return c.out.flush() }

// Raw makes the rest of both bodies bytes without framing: after a 101, or a 2xx to CONNECT.
func (c *ServerConn) Raw() {
	c.out.chunked = false
	c.body.kind, c.body.done = bodyRaw, false
}

// CloseDelimited tells whether the response's end is the connection's: HTTP/1.0 without a length.
func (c *ServerConn) CloseDelimited(h *header.Map) bool {
	return c.Request.HTTP10 && !h.Has(header.ContentLength) && !c.Request.Head && h.Status >= 200 && h.Status != 204 && h.Status != 304
}

// Wire is how many bytes have been written.
func (c *ServerConn) Wire() uint64 {
	if c.out.buf != nil {
		return c.out.wire + uint64(c.out.buf.Len())
	}
	return c.out.wire
}
