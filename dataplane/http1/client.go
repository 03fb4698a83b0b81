package http1

import (
	"bytes"
	"errors"
	"io"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// maxInformational bounds the 1xx responses before a final one.
const maxInformational = 8192

// ClientOptions is core.v3.Http1ProtocolOptions as a cluster uses it. It is immutable.
type ClientOptions struct {
	MaxHeaderBytes, MaxHeaders int // 0: the defaults
	KeepCase, ProperCase       bool
	EnableTrailers             bool
	AllowChunkedLength         bool
	// FullyQualified writes the target as a URL (send_fully_qualified_url).
	FullyQualified bool
	Stats          *Stats // nil counts nowhere
}

// ClientConn is the upstream half: it writes requests and reads responses, one after the other. Before
// Split it belongs to one goroutine; after it, one sends and another reads.
type ClientConn struct {
	// HTTP10 and Close are what the current response said of the connection.
	HTTP10, Close bool
	// HeadBytes is the length of the response's head, RequestBytes of the request's.
	HeadBytes, RequestBytes int

	o                        *ClientOptions
	sock                     *network.Sock
	head                     headReader
	body                     body
	out                      writer
	isHead, connect, upgrade bool
	split, ended, final      bool
	informational            int
}

// Init makes c use sock.
func (c *ClientConn) Init(sock *network.Sock, o *ClientOptions) {
	*c = ClientConn{o: o, sock: sock}
	c.head = headReader{maxBytes: orDefault(o.MaxHeaderBytes, DefaultMaxHeaderBytes), maxHeaders: orDefault(o.MaxHeaders, DefaultMaxHeaders), keepCase: o.KeepCase, stats: o.Stats}
	if c.head.stats == nil {
		c.head.stats = new(Stats)
	}
	c.out = writer{sock: sock, proper: o.ProperCase, keepCase: o.KeepCase}
}

// WriteHeaders gathers the head of a request; end tells that nothing follows it. A content-length in h
// is passed on, else a body is chunked.
func (c *ClientConn) WriteHeaders(h *header.Map, end bool) error {
	c.isHead, c.connect = h.Method == "HEAD", h.Method == "CONNECT"
	c.split, c.ended, c.final, c.Close, c.HTTP10, c.informational = false, end, false, false, false, 0
	c.upgrade = h.Has(header.Upgrade)
	w := &c.out
	n := size(h) + len(h.Method) + len(h.Path) + 2*len(h.Authority) + len(h.Scheme)
	if err := w.room(n); err != nil {
		return err
	}
	at := w.buf.W
	w.str(h.Method)
	w.byte(' ')
	switch {
	case c.connect:
		w.str(h.Authority)
	case c.o.FullyQualified:
		w.str(h.Scheme)
		w.str("://")
		w.str(h.Authority)
		w.str(h.Path)
	default:
		w.str(h.Path)
	}
	w.str(" HTTP/1.1\r\n")
	if h.HasAuthority || h.Authority != "" {
		w.hostLine(h.Authority)
	}
	w.chunked = false
	h.DelID(header.TransferEncoding)
	w.fields(h)
	c.frame(h, end)
	w.str("\r\n")
	c.RequestBytes = w.buf.W - at
	c.body.kind, c.body.done = bodyNone, true
	return nil
}

// frame says how the body is framed. A request without a body has no framing header, but for those
// whose methods expect one (RFC 9110 section 8.6).
func (c *ClientConn) frame(h *header.Map, end bool) {
	switch {
	case h.Has(header.ContentLength) || c.connect || c.upgrade && !end:
	case !end:
		c.out.str("transfer-encoding: chunked\r\n")
		c.out.chunked = true
	case h.Method == "POST" || h.Method == "PUT" || h.Method == "PATCH":
		c.out.str("content-length: 0\r\n")
	}
}

func (w *writer) hostLine(authority string) {
	switch {
	case w.proper || w.keepCase:
		w.str("Host: ")
	default:
		w.str("host: ")
	}
	w.str(authority)
	w.str("\r\n")
}

// WriteData gathers a piece of the body, and after Split sends it. p is not kept.
func (c *ClientConn) WriteData(p []byte, end bool) error {
	if err := c.out.data(p); err != nil {
		return err
	}
	if end {
		c.ended = true
		if err := c.out.end(nil); err != nil {
			return err
		}
	}
	if c.split {
		return c.out.flush()
	}
	return nil
}

// WriteTrailers ends the body; the trailers are left out where they are not enabled.
func (c *ClientConn) WriteTrailers(h *header.Map) error {
	if !c.o.EnableTrailers {
		h = nil
	}
	c.ended = true
	if err := c.out.end(h); err != nil {
		return err
	}
	if c.split {
		return c.out.flush()
	}
	return nil
}

// Split sends what was gathered; from now on one goroutine sends while another reads. The error is
// network.ErrStale if the connection was dead already.
func (c *ClientConn) Split() error {
	c.split = true
	if c.sock.Stale() {
		c.out.drop()
		return network.ErrStale
	}
	return c.out.flush()
}

// errs of responses that are not valid HTTP.
var (
	errInformationalFlood = errors.New("too many informational responses")
	errUnsolicited        = errors.New("a 101 that was not asked for")
)

// ReadHeaders waits for the next response head and parses it into h, which is empty: informational ones
// too. end tells that there is no body. The error is an *Error for a response that is not valid,
// network.ErrStale if the connection was dead before anything was sent, or the connection's.
func (c *ClientConn) ReadHeaders(h *header.Map) (end bool, err error) {
	if !c.split && c.out.buf != nil {
		if err := c.exchange(); err != nil {
			return false, err
		}
	}
	n, refused, err := readHead(c.sock, c.head.maxBytes, false)
	if refused != nil {
		return false, refused
	}
	if err != nil {
		if c.sock.Buffered() > 0 && err == io.EOF {
			return false, io.ErrUnexpectedEOF
		}
		return false, err
	}
	c.HeadBytes = n
	b := h.Grow(n)
	copy(b, c.sock.Buf.Bytes())
	c.sock.Consume(n)
	if e := c.parse(b, h); e != nil {
		return false, e
	}
	if h.Status < 200 && h.Status != 101 {
		if c.informational++; c.informational > maxInformational {
			return false, errInformationalFlood
		}
		return false, nil
	}
	c.final = true
	if e := c.framing(h); e != nil {
		return false, e
	}
	if c.body.done {
		c.sock.Idle()
	}
	return c.body.done, nil
}

// exchange sends the gathered request and waits for the first bytes of its response.
func (c *ClientConn) exchange() error {
	p := c.out.buf.Bytes()
	c.sock.SetReadSize(buffer.Large)
	n, err := c.sock.Exchange(p)
	c.sock.SetReadSize(buffer.Small)
	c.out.wire += uint64(n)
	c.out.drop()
	return err
}

func (c *ClientConn) parse(b []byte, h *header.Map) *Error {
	line, rest, _ := cutLine(b, false)
	crlf := len(line) > 0 && line[len(line)-1] == '\r'
	if crlf {
		line = line[:len(line)-1]
	}
	const version = "HTTP/1.1 200"
	if len(line) < len(version) || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || !validValue(line) {
		return bad("status line is malformed")
	}
	switch line[7] {
	case '1':
	case '0':
		c.HTTP10 = true
	default:
		return bad("version is not HTTP/1.1 or 1.0")
	}
	status := 0
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return bad("status is no number of three digits")
		}
		status = status*10 + int(d-'0')
	}
	if len(line) > 12 && line[12] != ' ' || status < 100 {
		return bad("status is no number of three digits")
	}
	h.Status = status
	return c.head.parseFields(rest, crlf, h)
}

// framing decides what the body is (RFC 9112 section 6.3).
func (c *ClientConn) framing(h *header.Map) *Error {
	v := h.Value(header.Connection)
	c.Close = hasToken(v, "close") || c.HTTP10 && !hasToken(v, "keep-alive")
	te, hasTE := h.Lookup(header.TransferEncoding)
	cl, hasCL := h.Lookup(header.ContentLength)
	kind, n := bodyUntilClose, int64(0)
	if hasTE {
		if !equalFold(te, "chunked") || c.HTTP10 {
			return bad("transfer coding is not chunked alone")
		}
		kind = bodyChunked
	}
	if hasCL {
		if hasTE && !c.o.AllowChunkedLength {
			return bad("both Content-Length and Transfer-Encoding")
		}
		ok := false
		if n, ok = parseLength(cl); !ok {
			return bad("Content-Length is malformed or given twice")
		}
		if !hasTE {
			kind = bodyLength
		} else {
			h.DelID(header.ContentLength)
		}
	}
	switch {
	case h.Status == 101:
		if !c.upgrade {
			return bad(errUnsolicited.Error())
		}
		kind = bodyRaw
	case c.connect && h.Status/100 == 2:
		kind = bodyRaw
	case c.isHead, h.Status == 204, h.Status == 304:
		kind = bodyNone
	}
	if kind == bodyUntilClose || kind == bodyRaw {
		c.Close = true
	}
	c.body.reset(c.sock, &c.head, kind, n)
	return nil
}

// NextBody returns the next piece of the response's body, borrowed until the call after; end comes
// alone, after the last piece. Without block it reports ok false when that needs a read.
func (c *ClientConn) NextBody(block bool) (p []byte, end, ok bool, err error) {
	return c.body.next(block)
}

// Trailers are the response's, once the body has ended; nil: none.
func (c *ClientConn) Trailers() *header.Map {
	if c.body.trailers == nil || c.body.trailers.Len() == 0 || !c.o.EnableTrailers {
		return nil
	}
	return c.body.trailers
}

// Raw makes the rest of both bodies bytes without framing.
func (c *ClientConn) Raw() {
	c.out.chunked = false
	c.body.kind, c.body.done = bodyRaw, false
	c.split = true
}

// Reusable tells whether the connection may carry another request: both messages are over, neither
// side wants it closed, and nothing unasked has come.
func (c *ClientConn) Reusable() bool {
	return c.final && c.ended && c.body.done && c.body.consume == 0 && !c.Close && c.out.buf == nil && c.sock.Buffered() == 0
}

// Finished tells whether the request was sent and its response read to the end.
func (c *ClientConn) Finished() bool { return c.final && c.ended && c.body.done }

// Started tells whether a byte of the response has come.
func (c *ClientConn) Started() bool { return c.final || c.informational > 0 || c.sock.Buffered() > 0 }

// Wire is how many bytes were written on the connection; BodyWire how many of the response's body came.
func (c *ClientConn) Wire() uint64 { return c.out.wire }

// BodyWire is how many bytes the response's body has taken on the wire so far.
func (c *ClientConn) BodyWire() uint64 { return c.body.wire }

// End drops the last piece of the body that was handed out.
func (c *ClientConn) End() {
	if c.body.consume > 0 {
		c.sock.Consume(c.body.consume)
		c.body.consume = 0
	}
	c.sock.Idle()
}
