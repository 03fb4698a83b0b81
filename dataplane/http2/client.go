package http2

import (
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// ClientConn is the upstream half: it writes requests and reads their responses, many at a time. Its
// methods may be called by any goroutine.
type ClientConn struct {
	conn
	co       *ClientOptions
	onChange func()
	onClose  func(*Error)
	done     chan struct{}

	reserved int // guarded by mu: streams that NewStream made and that are not closed
}

// Init makes c use sock, in the stats of worker w. The socket's deadlines are c's from here on.
func (c *ClientConn) Init(sock *network.Sock, o *ClientOptions, w stats.Worker) {
	c.co, c.client = o, true
	c.conn.init(sock, &o.Options, o.Stats, w, c)
	c.blk.maxBytes, c.blk.maxFields = orDefault(o.MaxHeaderBytes, DefaultMaxHeaderBytes), orDefault(o.MaxHeaders, DefaultMaxHeaders)
	c.frameTimeout = defaultTimeout
	c.done = make(chan struct{})
	c.stats.Nghttp2UpstreamConnections.Inc(w) // the name that dashboards know
}

// Start begins to read, on a goroutine of c's own. The preface goes out with the first request. onChange
// is called when more streams fit than before, or none any more; onClose once, when the connection is
// over and all of its streams have learnt it: the socket is for its owner to close then. Both are called
// on c's goroutine; either may be nil.
func (c *ClientConn) Start(onChange func(), onClose func(*Error)) {
	c.onChange, c.onClose = onChange, onClose
	c.mu.Lock()
	b := c.q.grow(len(preface))
	b.W += copy(b.B[b.W:], preface)
	c.q.bytes += len(preface)
	c.q.appended += uint64(len(preface))
	c.hello()
	c.alive.start(&c.conn)
	c.mu.Unlock()
	// Owned by c: ends with the connection; Wait joins it.
	go c.read()
}

// goawayTimeout is how long a failed connection has to write its GOAWAY.
const goawayTimeout = time.Second

func (c *ClientConn) read() {
	defer close(c.done)
	err := c.readLoop()
	c.fail(err)
	c.say(err, goawayTimeout)
	c.conn.close()
	if c.onClose != nil {
		c.onClose(err)
	}
}

// Shutdown ends the connection: reads and writes fail, and with them all streams.
func (c *ClientConn) Shutdown() {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = errShutdown
	}
	c.mu.Unlock()
	c.sock.Cancel()
}

var errShutdown = &Error{Kind: Terminated, Why: "the connection was closed by us"}

// Wait waits until the connection is over, onClose included.
func (c *ClientConn) Wait() { <-c.done }

// Room is how many more streams fit now: 0 once the connection is draining or over.
func (c *ClientConn) Room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.room()
}

func (c *ClientConn) room() int {
	if c.failed != nil || c.goaway.got != nil || c.lastOwn > maxStreamID-4096 {
		return 0
	}
	limit := min(c.o.MaxConcurrentStreams, c.peer.maxStreams)
	return max(int(limit)-c.reserved, 0)
}

// Draining tells that the connection takes no more streams: the peer is going away, it is over, or it
// has no more numbers.
func (c *ClientConn) Draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil || c.goaway.got != nil || c.lastOwn > maxStreamID-4096
}

// Streams is how many streams are in use.
func (c *ClientConn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reserved
}

// NewStream takes the room of one stream. Nothing is sent before its WriteHeaders.
func (c *ClientConn) NewStream() (*ClientStream, *Error) {
	c.mu.Lock()
	if c.room() == 0 {
		c.mu.Unlock()
		return nil, errFull
	}
	c.reserved++
	c.mu.Unlock()
	st := clientStreams.Get().(*ClientStream)
	st.begin(&c.conn, 0)
	return st, nil
}

// clientStreams are streams to be reused.
var clientStreams = sync.Pool{New: func() any {
	s := new(ClientStream)
	s.client = s
	return s
}}

func (c *ClientConn) recycle(st *stream) {
	s := st.client
	s.method, s.protocol = methodOther, ""
	st.clear()
	clientStreams.Put(s)
}

func (c *ClientConn) changed() {
	if c.onChange != nil {
		c.onChange()
	}
}

// rejected tells a stream that a stream error ended it.
func (c *ClientConn) rejected(st *stream, err *Error) { st.fail(err, false) }

// headers takes a header block: a response, or trailers.
func (c *ClientConn) headers(h *partial, p []byte) *Error {
	st := c.find(h.id)
	if st == nil {
		err := c.unknown(h.id)
		if err != nil {
			return err
		}
		c.stats.HeadersCbNoStream.Inc(c.w)
		return c.decode(p, nil, blockTrailers)
	}
	if st.loop.final {
		return c.readTrailers(st, h, p)
	}
	st.mu.Lock()
	st.rx.wire += uint64(h.wire)
	st.rx.headBytes += uint64(h.wire)
	m := st.rx.heads.next()
	st.mu.Unlock()
	if err := c.decode(p, m, blockResponse); err != nil {
		return err
	}
	if err := c.response(st.client, h, m); err != nil {
		return err
	}
	if st.loop.final && h.end {
		c.mu.Lock()
		c.end(st, false)
		c.mu.Unlock()
	}
	st.mu.Lock()
	st.rx.heads.put(m, st.loop.final)
	st.rx.end = st.loop.final && h.end
	st.mu.Unlock()
	st.recvCond.Signal()
	return nil
}

// response checks a response's head and finds out what its body is.
func (c *ClientConn) response(st *ClientStream, h *partial, m *header.Map) *Error {
	c.blk.checkResponse(h.end)
	if err := c.blk.refusal(); err != nil {
		m.Reset()
		if err == c.blk.over {
			// Envoy's name for it.
			err = &Error{Kind: RemoteReset, Code: err.Code, Details: err.Details, Why: "response: " + err.Why}
			return err
		}
		return c.messageError(err)
	}
	l := &st.loop
	if m.Status < 200 {
		if l.informational++; l.informational > maxInformational {
			return streamError(errTooMany.Code, DetailMessaging, "too many informational responses")
		}
		return nil
	}
	l.final = true
	l.length = c.blk.length
	switch {
	case st.method == methodConnect:
		l.length = -1
		if st.protocol != "" && m.Status == 200 {
			switched(m, st.protocol)
		}
	case st.method == methodHead, m.Status == 304, m.Status == 204:
		l.noBody = true
	case h.end && l.length > 0:
		return errTooShort
	}
	return nil
}
