package http2

import (
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// stream is what both kinds of stream have: the state of RFC 9113 section 5.1, what was received and not
// taken, and what waits for the peer to take more.
type stream struct {
	// c and id are written under mu when the stream begins.
	c  *conn
	id uint32
	// server or client is whose core this is; immutable.
	server *ServerStream
	client *ClientStream

	loop loopState // owned by the read loop

	sendCond sync.Cond // on c.mu
	tx       sendState // guarded by c.mu

	mu       sync.Mutex
	recvCond sync.Cond // on mu
	rx       recvState // guarded by mu
	deadlines
}

// loopState is what the read loop alone knows of a stream.
type loopState struct {
	length, received int64 // content-length, -1 for none, and how much of the body came
	born             time.Duration
	failure          *Error
	final            bool // client: the final response has come
	noBody           bool // client: whatever content-length says
	informational    int
}

// sendState is the sending side of a stream, and whether it is open.
type sendState struct {
	window                                int64
	localEnd, remoteEnd, closed, released bool
	dying, reused                         bool
	err                                   *Error // why nothing can be sent
	waiting                               bool   // in the connection's list of waiters
	next                                  *stream
	last                                  lastFrame
	wire, head                            uint64
	headAt                                uint64 // where in all that is queued the head begins
	headBytes                             int    // decoded size of the request's head
}

// lastFrame is where the flags of a stream's last frame are while it is queued, so that the end can
// still be put on it.
type lastFrame struct {
	buf   *buffer.Buffer
	at    int
	takes uint64
}

// recvState is the receiving side of a stream.
type recvState struct {
	in              []*buffer.Buffer // the body that waits
	lent            int              // bytes of in[0] that were handed out
	filling         *buffer.Buffer   // the read loop reads into it
	dropped         bool             // nobody wants the body any more
	end             bool
	err             *Error // comes after what waits
	closed          *Error // comes before it
	reset           *Error // what ended the stream, not by us
	granted, total  int64  // DATA bytes that the peer may send, and has sent
	unacked         int64  // taken, and not given back to the peer
	trailers        header.Map
	hasTrailers     bool
	wire, headBytes uint64
	heads           heads // client: responses that wait for ReadHeaders
	onReset         func(*Error)
	telling         bool // onReset is being called
}

// begin readies st for an id. The read loop does not know it yet.
func (st *stream) begin(c *conn, id uint32) {
	st.mu.Lock()
	st.c, st.id = c, id
	st.recvCond.L, st.sendCond.L = &st.mu, &c.mu
	st.rx.granted = int64(c.o.InitialStreamWindow)
	st.loop.length = -1
	st.mu.Unlock()
}

// clear empties st for reuse: nobody has it any more.
func (st *stream) clear() {
	st.mu.Lock()
	st.rx.drop()
	st.rx.clear()
	st.c, st.id = nil, 0
	st.loop, st.tx = loopState{}, sendState{}
	st.deadlines.forget()
	st.mu.Unlock()
}

func (r *recvState) clear() {
	r.trailers.Reset()
	r.heads.clear()
	r.lent, r.dropped, r.end, r.err, r.closed, r.reset = 0, false, false, nil, nil, nil
	r.granted, r.total, r.unacked = 0, 0, 0
	r.hasTrailers, r.wire, r.headBytes, r.onReset, r.telling = false, 0, 0, nil, false
}

// drop frees what waits, and tells how many bytes that was. The read loop frees what it reads into.
func (r *recvState) drop() (n int64) {
	for i, b := range r.in {
		n += int64(b.W - b.R)
		if b != r.filling {
			buffer.Put(b)
		}
		r.in[i] = nil
	}
	r.in, r.lent, r.dropped = r.in[:0], 0, true
	return n
}

// pop takes the first buffer out of in.
func (r *recvState) pop() {
	last := len(r.in) - 1
	copy(r.in, r.in[1:])
	r.in[last] = nil
	r.in = r.in[:last]
}

// dropRest is drop but for the piece that is lent.
func (r *recvState) dropRest() (n int64) {
	if r.lent == 0 {
		return r.drop()
	}
	lent, first := r.lent, r.in[0]
	n = int64(first.W-first.R) - int64(lent)
	first.W = first.R + lent
	r.pop()
	n += r.drop()
	r.in, r.lent = append(r.in, first), lent
	return n
}

// fail ends the receiving side for what the peer did. With now, what waits is lost.
func (st *stream) fail(err *Error, now bool) {
	st.mu.Lock()
	if st.rx.reset == nil {
		st.rx.reset = err
	}
	if st.rx.err == nil && !st.rx.end {
		st.rx.err = err
	}
	if now && st.rx.closed == nil {
		st.rx.closed = err
	}
	st.mu.Unlock()
	st.recvCond.Broadcast()
}

// nextBody returns the next piece of the body, borrowed until the call after; end comes alone, after the
// last piece. Without block it reports ok false when that needs a wait.
func (st *stream) nextBody(block bool) (p []byte, end, ok bool, err *Error) {
	st.mu.Lock()
	streamInc, connInc := st.giveBack()
	if streamInc|connInc != 0 {
		st.mu.Unlock()
		st.c.credit(st, streamInc, connInc)
		st.mu.Lock()
	}
	r := &st.rx
	for {
		switch {
		case r.closed != nil:
			err = r.closed
		case st.readExpired.Load():
			err = errDeadline
		case len(r.in) > 0 && r.in[0].W > r.in[0].R:
			p = r.in[0].Bytes()
			r.lent = len(p)
		case r.end:
			end = true
		case r.err != nil:
			err = r.err
		case !block:
			st.mu.Unlock()
			return nil, false, false, nil
		default:
			st.recvCond.Wait()
			continue
		}
		st.mu.Unlock()
		return p, end, true, err
	}
}

// giveBack drops the piece that was handed out. It returns by how much the windows are to be opened. mu
// is held.
func (st *stream) giveBack() (streamInc, connInc int64) {
	r := &st.rx
	if r.lent == 0 {
		return 0, 0
	}
	n := int64(r.lent)
	r.lent = 0
	b := r.in[0]
	b.R += int(n)
	if b.R == b.W && b != r.filling {
		buffer.Put(b)
		r.pop()
	}
	if r.unacked += n; !r.end && !r.dropped && r.unacked >= int64(st.c.o.InitialStreamWindow)/2 {
		streamInc = r.unacked
		r.granted += streamInc
		r.unacked = 0
	}
	return streamInc, st.c.took(n)
}

// closeBody makes readers of the body return, now and later. What waits is freed but for the piece that
// is lent, and what comes is dropped: the peer has the rest of the stream's window for it, and no more.
func (st *stream) closeBody() {
	st.mu.Lock()
	if st.rx.closed == nil {
		st.rx.closed = errClosed
	}
	n := st.rx.dropRest()
	st.mu.Unlock()
	st.recvCond.Broadcast()
	if inc := st.c.took(n); inc != 0 {
		st.c.credit(st, 0, inc)
	}
}

// received tells whether all of the body is here, trailers included.
func (st *stream) received() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.rx.end
}

func (st *stream) getTrailers() *header.Map {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.rx.hasTrailers || !st.rx.end {
		return nil
	}
	return &st.rx.trailers
}

// abandon ends the receiving side when its user has left: what waits is freed, and what it took of the
// connection's window is given back.
func (st *stream) abandon() {
	st.mu.Lock()
	for st.rx.telling {
		st.recvCond.Wait()
	}
	st.rx.onReset = nil
	n := st.rx.drop()
	st.mu.Unlock()
	if inc := st.c.took(n); inc != 0 {
		st.c.credit(st, 0, inc)
	}
}

// tell calls what OnReset has set.
func (st *stream) tell(err *Error) {
	st.mu.Lock()
	f := st.rx.onReset
	st.rx.onReset = nil
	st.rx.telling = f != nil
	st.mu.Unlock()
	if f == nil {
		return
	}
	f(err)
	st.mu.Lock()
	st.rx.telling = false
	st.mu.Unlock()
	st.recvCond.Broadcast()
}
