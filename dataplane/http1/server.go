package http1

import (
	"io"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// ServerOptions is core.v3.Http1ProtocolOptions as a listener uses it, and the connection manager's
// limits. It is immutable.
type ServerOptions struct {
	MaxHeaderBytes, MaxHeaders int // 0: the defaults
	AcceptHTTP10               bool
	DefaultHost                string // default_host_for_http_10
	RejectAbsoluteURL          bool   // allow_absolute_url false
	KeepCase, ProperCase       bool
	EnableTrailers             bool
	AllowChunkedLength         bool
	AllowCustomMethods         bool
	Underscores                UnderscoreAction
	// IgnoreUpgrade tells of an Upgrade value that is dropped (ignore_http_11_upgrade); nil: none.
	IgnoreUpgrade func(value string) bool
	Stats         *Stats // nil counts nowhere
}

// Request is what the request line and the connection headers of the current request said.
type Request struct {
	HTTP10 bool
	// Close tells that the client wants the connection closed after the response.
	Close   bool
	Head    bool
	Connect bool
	// Upgrade tells of an upgrade that the client asked for; its body is bytes.
	Upgrade bool
	// AbsoluteForm tells that the target was a URL, HTTPS that its scheme was.
	AbsoluteForm, HTTPS bool
	// HeadBytes is the length of the head on the wire.
	HeadBytes int
}

// ServerConn is the downstream half: it reads requests and writes responses, one after the other. It
// belongs to the connection's goroutine, but for Body, which may be read by another one meanwhile.
type ServerConn struct {
	Request Request

	o    *ServerOptions
	sock *network.Sock
	head headReader
	body body
	out  writer
}

// Init makes c serve sock.
func (c *ServerConn) Init(sock *network.Sock, o *ServerOptions) {
	*c = ServerConn{o: o, sock: sock}
	c.head = headReader{maxBytes: orDefault(o.MaxHeaderBytes, DefaultMaxHeaderBytes), maxHeaders: orDefault(o.MaxHeaders, DefaultMaxHeaders), keepCase: o.KeepCase,
		customMethods: o.AllowCustomMethods, underscores: o.Underscores, stats: o.Stats, request: true}
	if c.head.stats == nil {
		c.head.stats = new(Stats)
	}
	c.out = writer{sock: sock, proper: o.ProperCase, keepCase: o.KeepCase}
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// Wait waits for the first byte of the next request, under the socket's read deadline. io.EOF is a
// client that has gone. What is left of the last request's body must have been read.
func (c *ServerConn) Wait() error {
	if c.sock.Buffered() > 0 {
		return nil
	}
	return c.sock.Fill()
}

// ReadRequest reads the head of the next request into h, which is empty. The error is an *Error for a
// request that is refused; then only a response may be written and the connection closed.
func (c *ServerConn) ReadRequest(h *header.Map) error {
	c.Request = Request{}
	c.body.kind, c.body.done = bodyNone, true
	n, refused, err := readHead(c.sock, c.head.maxBytes, true)
	if refused != nil {
		return refused
	}
	if err != nil {
		if err == io.EOF && c.sock.Buffered() > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	c.Request.HeadBytes = n
	b := h.Grow(n)
	copy(b, c.sock.Buf.Bytes())
	c.sock.Consume(n)
	if err := c.parse(b, h); err != nil {
		return err
	}
	c.sock.Idle()
	return nil
}

func (c *ServerConn) parse(b []byte, h *header.Map) error {
	line, rest, _ := cutLine(b, false)
	crlf := len(line) > 0 && line[len(line)-1] == '\r'
	if crlf {
		line = line[:len(line)-1]
	}
	if err := c.parseRequestLine(header.Borrow(line), h); err != nil {
		return err
	}
	if err := c.head.parseFieldsHost(rest, crlf, h); err != nil {
		return err
	}
	if c.Request.HTTP10 && !c.o.AcceptHTTP10 {
		if err := c.framing(h); err != nil {
			return err
		}
		return &Error{Status: 426, Details: streaminfo.DetailLowVersion, Why: "HTTP/1.0 is not accepted"}
	}
	if err := c.checkHost(h); err != nil {
		return err
	}
	if err := c.connection(h); err != nil {
		return err
	}
	if err := c.framing(h); err != nil {
		return err
	}
	return nil
}

// parseRequestLine parses "METHOD target HTTP/1.1": single spaces, nothing else (RFC 9112 section 3).
func (c *ServerConn) parseRequestLine(line string, h *header.Map) error {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !isToken(method) {
		return bad("request line is malformed")
	}
	if !knownMethod(method) && !c.o.AllowCustomMethods {
		return bad("method is not known")
	}
	target, version, ok := strings.Cut(rest, " ")
	if target == "" {
		return bad("request line has no target")
	}
	h.Method = method
	c.Request.Head, c.Request.Connect = method == "HEAD", method == "CONNECT"
	switch {
	case version == "HTTP/1.1":
	case !ok || version == "" || lowVersion(version):
		c.Request.HTTP10 = version == "HTTP/1.0"
		if !c.Request.HTTP10 || !c.o.AcceptHTTP10 {
			if strings.Contains(version, " ") {
				return bad("request line has more than three parts")
			}
			return &Error{Status: 426, Details: streaminfo.DetailLowVersion, Why: "version is not HTTP/1.1"}
		}
	default:
		return bad("version is malformed")
	}
	return c.parseTarget(target, h)
}

// lowVersion tells a well-formed version that is not served.
func lowVersion(v string) bool {
	return len(v) == 8 && v[:5] == "HTTP/" && v[5] >= '0' && v[5] <= '9' && v[6] == '.' && v[7] >= '0' && v[7] <= '9'
}

// parseTarget parses the four forms of RFC 9112 section 3.2.
func (c *ServerConn) parseTarget(target string, h *header.Map) error {
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f {
			return bad("target has a character that must be escaped")
		}
	}
	switch {
	case c.Request.Connect:
		if !ValidAuthority(target) || target == "" {
			return refuse(streaminfo.DetailHTTP1InvalidURL, "CONNECT wants host:port")
		}
		h.Authority, h.HasAuthority = target, true
		return nil
	case target[0] == '/':
		h.Path = target
		return nil
	case target == "*":
		if h.Method != "OPTIONS" {
			return bad("* is for OPTIONS alone")
		}
		h.Path = target
		return nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || c.o.RejectAbsoluteURL {
		return bad("target is neither a path nor a URL")
	}
	switch {
	case equalFold(scheme, "http"):
	case equalFold(scheme, "https"):
		c.Request.HTTPS = true
	default:
		return bad("scheme of the target is not http or https")
	}
	c.Request.AbsoluteForm = true
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
		if path[0] != '/' {
			path = h.KeepString("/" + path)
		}
	}
	if host == "" || !ValidAuthority(host) {
		return bad("URL has no valid host")
	}
	h.Path, h.Authority, h.HasAuthority = path, host, true
	return nil
}

// parseFieldsHost is parseFields, with Host taken out into the authority: at most one line of it, which
// an absolute-form target overrides (RFC 9112 section 3.2.2).
func (r *headReader) parseFieldsHost(b []byte, crlf bool, h *header.Map) *Error {
	r.host, r.hosts = "", 0
	if err := r.parseFields(b, crlf, h); err != nil {
		return err
	}
	if r.hosts > 1 {
		return bad("more than one Host")
	}
	return nil
}

func (c *ServerConn) checkHost(h *header.Map) error {
	if c.head.hosts == 1 && !ValidAuthority(c.head.host) {
		return refuse(streaminfo.DetailInvalidAuthority, "Host is malformed")
	}
	if !h.HasAuthority && c.head.hosts == 1 {
		h.Authority, h.HasAuthority = c.head.host, true
	}
	if !h.HasAuthority && c.Request.HTTP10 && c.o.DefaultHost != "" {
		h.Authority, h.HasAuthority = c.o.DefaultHost, true
	}
	return nil
}

// connection reads the Connection header: close, keep-alive, upgrade; and takes out the headers that
// it nominates.
func (c *ServerConn) connection(h *header.Map) error {
	c.Request.Close = c.Request.HTTP10
	if v, ok := h.Lookup(header.Connection); ok {
		if hasToken(v, "close") {
			c.Request.Close = true
		} else if c.Request.HTTP10 && hasToken(v, "keep-alive") {
			c.Request.Close = false
		}
		upgrade := hasToken(v, "upgrade")
		if !sanitizeConnection(h) {
			return refuse(streaminfo.DetailHTTP1ConnectionRejected, "Connection nominates what it may not")
		}
		if upgrade && h.Has(header.Upgrade) {
			c.upgrade(h)
		}
	}
	return nil
}

// upgrade takes an Upgrade request for one, but for h2c, which is served as HTTP/1.1.
func (c *ServerConn) upgrade(h *header.Map) {
	v := h.Value(header.Upgrade)
	if hasToken(v, "h2c") || c.o.IgnoreUpgrade != nil && c.o.IgnoreUpgrade(v) {
		h.DelID(header.Upgrade)
		h.DelID(header.Connection)
		h.DelID(header.HTTP2Settings)
		return
	}
	c.Request.Upgrade = true
}

// framing decides what the body is (RFC 9112 section 6.3).
func (c *ServerConn) framing(h *header.Map) error {
	kind, n, err := bodyNone, int64(0), (*Error)(nil)
	te, hasTE := h.Lookup(header.TransferEncoding)
	cl, hasCL := h.Lookup(header.ContentLength)
	switch {
	case hasTE && hasCL:
		if !c.o.AllowChunkedLength || !equalFold(te, "chunked") {
			return refuse(streaminfo.DetailHTTP1LengthAndChunked, "both Content-Length and Transfer-Encoding")
		}
		h.DelID(header.ContentLength)
		kind = bodyChunked
	case hasTE:
		kind, err = c.transferEncoding(te)
	case hasCL:
		ok := false
		if n, ok = parseLength(cl); !ok {
			return bad("Content-Length is malformed or given twice")
		}
		kind = bodyLength
	}
	if err != nil {
		return err
	}
	if c.Request.Connect {
		if n > 0 || hasTE {
			return refuse(streaminfo.DetailHTTP1BodyDisallowed, "CONNECT has no body")
		}
		h.DelID(header.ContentLength)
	}
	if c.Request.Connect || c.Request.Upgrade {
		kind = bodyRaw
	}
	c.body.reset(c.sock, &c.head, kind, n)
	return nil
}

func (c *ServerConn) transferEncoding(te string) (bodyKind, *Error) {
	if !equalFold(te, "chunked") {
		return 0, &Error{Status: 501, Details: streaminfo.DetailHTTP1InvalidTE, Why: "transfer coding is not chunked alone"}
	}
	if c.Request.HTTP10 {
		return 0, bad("HTTP/1.0 has no Transfer-Encoding")
	}
	return bodyChunked, nil
}

// HasBody tells whether the request has a body, or may send bytes for an upgrade.
func (c *ServerConn) HasBody() bool { return !c.body.done }

// BodyBuffered tells whether all of the body has been read from the socket.
func (c *ServerConn) BodyBuffered() bool { return c.body.complete() }

// NextBody waits for the next piece of the request's body, borrowed until the call after; end comes
// alone, after the last piece. It may be called by another goroutine than the connection's.
func (c *ServerConn) NextBody() (p []byte, end bool, err error) {
	p, end, _, err = c.body.next(true)
	return p, end, err
}

// BodyDone tells whether the request has been read to its end.
func (c *ServerConn) BodyDone() bool { return c.body.done && c.body.consume == 0 }

// EndBody drops the last piece of the body that was handed out.
func (c *ServerConn) EndBody() {
	if c.body.consume > 0 {
		c.sock.Consume(c.body.consume)
		c.body.consume = 0
	}
}

// Trailers are the request's, once the body has ended; nil: none.
func (c *ServerConn) Trailers() *header.Map {
	if c.body.trailers == nil || c.body.trailers.Len() == 0 || !c.o.EnableTrailers {
		return nil
	}
	return c.body.trailers
}

// BodyWire is how many bytes the body has taken on the wire so far.
func (c *ServerConn) BodyWire() uint64 { return c.body.wire }

// Release gives the write buffer back; for an idle connection.
func (c *ServerConn) Release() {
	if c.out.buf != nil && c.out.buf.Len() == 0 {
		buffer.Put(c.out.buf)
		c.out.buf = nil
	}
}
