package http2

import (
	"io"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Handler serves the requests of a ServerConn.
type Handler interface {
	// Begin is called on the read loop when a request begins, and must not block. It returns the empty Map
	// that the request's head is put into; Serve always follows.
	Begin(st *ServerStream) *header.Map
	// Serve takes a request on a goroutine of the stream's own, and returns when the stream is over. A
	// request with an Err by then is not valid and was answered by the codec: it is there to be logged.
	Serve(st *ServerStream)
}

// ServerConn is the downstream half: it reads requests, has each served on a goroutine of its own, and
// writes what they answer.
type ServerConn struct {
	conn
	so      *ServerOptions
	handler Handler

	idle    []*runner // guarded by mu: goroutines that wait for a stream
	least   int       // guarded by mu: how few of them waited since the last trim
	running int       // guarded by mu: streams that are being served
	// lastServed is guarded by mu: the highest stream that was not ignored.
	lastServed uint32
}

// Init makes c serve sock, in the stats of worker w. The socket's deadlines are c's from here on.
func (c *ServerConn) Init(sock *network.Sock, o *ServerOptions, w stats.Worker) {
	c.so = o
	c.conn.init(sock, &o.Options, o.Stats, w, c)
	c.blk.maxBytes, c.blk.maxFields = orDefault(o.MaxHeaderBytes, DefaultMaxHeaderBytes), orDefault(o.MaxHeaders, DefaultMaxHeaders)
	c.blk.underscores = o.Underscores
	c.floods.premature = orDefault(o.PrematureResets, defaultPrematureResets)
	c.floods.lifetime = orDefault(o.PrematureLifetime, defaultPrematureLifetime)
	c.frameTimeout = orDefault(o.FrameTimeout, defaultTimeout)
	c.stats.Nghttp2DownstreamConnections.Inc(w) // the name that dashboards know
}

// Serve reads and serves until the connection is over, and all of its streams. Nil is a connection that
// has drained. The socket is left open, for its owner to close.
func (c *ServerConn) Serve(h Handler) *Error {
	c.handler = h
	if t := orDefault(c.so.PrefaceTimeout, defaultTimeout); t > 0 {
		c.timing = true
		_ = c.sock.SetReadDeadline(time.Now().Add(t))
	} else {
		_ = c.sock.SetReadDeadline(time.Time{})
	}
	err := c.readPreface()
	if err == nil {
		c.mu.Lock()
		c.hello()
		c.alive.start(&c.conn)
		c.mu.Unlock()
		c.wrote = true
		err = c.readLoop()
	}
	c.mu.Lock()
	drained := c.goaway.final && c.open == 0 && !err.conn
	c.mu.Unlock()
	c.fail(err)
	if drained {
		err = nil
	}
	c.say(err, c.lingerFor(err))
	c.stop()
	c.conn.close()
	return err
}

// lingerFor is how long what is queued may take to be written at the end.
func (c *ServerConn) lingerFor(err *Error) time.Duration {
	if err == nil {
		return 5 * time.Second
	}
	return time.Second
}

// readPreface reads the client's preface (RFC 9113 section 3.4), which may be in the buffer already.
func (c *ServerConn) readPreface() *Error {
	for {
		n := min(c.sock.Buffered(), len(preface))
		if n > 0 && string(c.sock.Buf.Bytes()[:n]) != preface[:n] {
			return connError(http2.ErrCodeProtocol, "the connection does not begin with the preface")
		}
		if n == len(preface) {
			c.sock.Consume(n)
			return nil
		}
		if err := c.sock.Fill(); err != nil {
			if err == io.EOF && n == 0 {
				return &Error{Kind: Terminated, Why: "the client has closed the connection", Cause: err}
			}
			return c.ended(err)
		}
	}
}

// headers takes a header block: a new request, or trailers.
func (c *ServerConn) headers(h *partial, p []byte) *Error {
	if st := c.find(h.id); st != nil {
		return c.readTrailers(st, h, p)
	}
	if h.id&1 == 0 {
		return connError(http2.ErrCodeProtocol, "a request on a stream of the server's")
	}
	if h.id <= c.lastPeer {
		return c.late(h, p)
	}
	if h.id > c.lastPeer+2 {
		c.gap = [2]uint32{c.lastPeer + 2, h.id - 2}
	}
	if c.lastPeer == 0 && h.id > 1 {
		c.gap[0] = 1
	}
	c.lastPeer = h.id
	c.mu.Lock()
	refused, ignored := c.admitStream()
	if !ignored {
		c.lastServed = h.id
	}
	c.mu.Unlock()
	if refused != nil || ignored {
		if err := c.decode(p, nil, blockRequest); err != nil {
			return err
		}
		return refused
	}
	return c.begin(h, p)
}

var (
	errTooMany  = streamError(http2.ErrCodeRefusedStream, DetailRemoteRefused, "over max_concurrent_streams")
	errBudget   = streamError(http2.ErrCodeRefusedStream, DetailRemoteRefused, "over the connection's budget of header bytes")
	errUnopened = connError(http2.ErrCodeProtocol, "a stream is opened after a later one")
)

// admitStream tells whether another stream may be opened, or is to be ignored. mu is held.
func (c *ServerConn) admitStream() (refused *Error, ignored bool) {
	limit := int(c.o.MaxConcurrentStreams)
	switch {
	case c.goaway.final:
		return nil, true
	// Streams that were reset but whose handler still runs are no cover for more.
	case c.open >= limit, c.running >= 2*limit:
		return errTooMany, false
	}
	return nil, false
}

// late takes HEADERS on a stream that is not open any more.
func (c *ServerConn) late(h *partial, p []byte) *Error {
	c.mu.Lock()
	ours := c.resets.has(h.id)
	c.mu.Unlock()
	switch {
	case ours:
		c.stats.HeadersCbNoStream.Inc(c.w)
		return c.decode(p, nil, blockTrailers)
	case h.id >= c.gap[0] && h.id <= c.gap[1]:
		return errUnopened
	}
	return errConnClosed
}

// begin opens a stream for a new request.
func (c *ServerConn) begin(h *partial, p []byte) *Error {
	st := serverStreams.Get().(*ServerStream)
	st.stream.begin(&c.conn, h.id)
	st.loop.born = c.clock
	st.rx.wire, st.rx.headBytes = uint64(h.wire), uint64(h.wire)
	c.mu.Lock()
	c.opened(&st.stream)
	c.hold(&st.stream)
	st.tx.remoteEnd = h.end
	c.mu.Unlock()
	m := c.handler.Begin(st)
	if err := c.decode(p, m, blockRequest); err != nil {
		m.Reset()
		c.dispatch(st, err)
		return err
	}
	c.blk.checkRequest(h.end, c.o.AllowConnect)
	err := c.messageError(c.blk.refusal())
	if err == nil && !c.charge(st) {
		err = errBudget
	}
	if err != nil {
		m.Reset()
		if !err.conn {
			return c.refuse(st, err)
		}
		c.dispatch(st, err)
		return err
	}
	st.end, st.rx.end, st.loop.length = h.end, h.end, c.blk.length
	if m.Method == "CONNECT" {
		st.loop.length = -1
		if m.Protocol != "" {
			upgraded(m)
		}
	}
	c.dispatch(st, nil)
	return nil
}

// charge counts the head that was decoded in the connection's budget. It reports false if that is spent.
func (c *ServerConn) charge(st *ServerStream) bool {
	n := c.blk.held()
	c.mu.Lock()
	defer c.mu.Unlock()
	st.tx.headBytes = n
	c.headBytes += n
	return c.headBytes <= orDefault(c.so.HeaderBudget, defaultHeaderBudget)
}

// refuse resets a request that is not valid, and has it logged.
func (c *ServerConn) refuse(st *ServerStream, err *Error) *Error {
	born := st.loop.born
	c.mu.Lock()
	c.resetStream(&st.stream, err)
	c.mu.Unlock()
	c.wrote = true
	c.dispatch(st, err)
	return c.floods.provoked(&c.conn, born)
}

// dispatch has a stream served by a goroutine that waits for one, or by a new one.
func (c *ServerConn) dispatch(st *ServerStream, err *Error) {
	if err != nil {
		st.fail(err, true)
	}
	c.mu.Lock()
	c.running++
	if n := len(c.idle); n > 0 {
		r := c.idle[n-1]
		c.idle[n-1] = nil
		c.idle = c.idle[:n-1]
		c.least = min(c.least, n-1)
		c.mu.Unlock()
		r.next <- st
		return
	}
	c.mu.Unlock()
	r := &runner{next: make(chan *ServerStream, 1)}
	c.goroutines.Add(1)
	// Owned by c: ends when c is over, or when it was not needed for a while.
	go c.run(r, st)
}

// rejected tells the handler of a stream that a stream error ended.
func (c *ServerConn) rejected(st *stream, err *Error) {
	st.fail(err, true)
	st.tell(err)
}

func (c *ServerConn) changed() {}

func (c *ServerConn) recycle(st *stream) {
	s := st.server
	s.Data, s.end = nil, false
	st.clear()
	serverStreams.Put(s)
}

// serverStreams are streams to be reused.
var serverStreams = sync.Pool{New: func() any {
	s := new(ServerStream)
	s.server = s
	return s
}}

// GoAway tells the client to open no more streams here: first without final, so that those that are on
// their way are served, and some time later with final. After that Serve returns when the last stream
// has ended. Any goroutine may call it.
func (c *ServerConn) GoAway(final bool) {
	c.mu.Lock()
	g := &c.goaway
	switch {
	case c.failed != nil || g.final:
	case final:
		g.final, g.sent = true, true
		g.last = c.lastServed
		c.putGoaway(g.last, http2.ErrCodeNo, "")
		if c.open == 0 {
			c.finish()
		}
	case !g.sent:
		g.sent = true
		c.putGoaway(maxStreamID, http2.ErrCodeNo, "")
	}
	c.flush(false)
}

// Streams is how many streams are open. Any goroutine may call it.
func (c *ServerConn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}
