package http2

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// conn is what both halves of the codec share: the read loop's state, and under mu what is written and
// who writes it. mu is the connection's write lock: it is held over no system call, and no other lock is
// taken while it is held but that of a stream that nobody has any more.
type conn struct {
	o      *Options // immutable
	sock   *network.Sock
	w      stats.Worker
	stats  *Stats
	half   half // the half that this is the core of
	client bool

	// These are owned by the read loop.
	dec       decoder
	blk       block
	hb        partial // the header block that has begun
	lastPeer  uint32  // the highest stream that the peer opened
	gap       [2]uint32
	recvTotal int64 // DATA bytes that came, padding included
	clock     time.Duration
	timing    bool // a read deadline is set for a frame or block that has begun
	wrote     bool // the loop has queued something since it last flushed
	floods    floods
	settled   bool // the peer's first SETTINGS have come
	straight  bool // the last read went past Sock.Buf

	frameTimeout time.Duration // 0: none

	// recvGranted is how many DATA bytes the peer may send in all, unacked how many of those that came were
	// taken and not given back.
	recvGranted, unacked atomic.Int64
	// lastRx is when something came, since base; it is kept under keepalive alone.
	lastRx atomic.Int64

	mu sync.Mutex
	// All below is guarded by mu.
	streams    table
	open       int     // streams that count in the limit of concurrent ones
	held       *stream // what the read loop works on: not to be reused
	headBytes  int     // decoded header bytes of the open streams
	sendWindow int64
	peer       peerSettings
	ownAcked   bool // the peer has our SETTINGS
	enc        encoder
	waiters    waiters
	resets     resets // streams that we reset
	lastOwn    uint32 // client: the last stream that was opened
	goaway     goaways
	failed     *Error // why the connection is over
	q          queue
	alive      keepalive
	trim       *time.Timer
	headBuf    []byte

	goroutines sync.WaitGroup // all that the connection started
}

// half is what differs between the two halves, called on the read loop.
type half interface {
	// headers takes a whole header block.
	headers(h *partial, fragment []byte) *Error
	// rejected tells of a stream that a stream error ended.
	rejected(st *stream, err *Error)
	// changed tells that there may be more room, or none any more.
	changed()
	recycle(st *stream)
}

// peerSettings are the peer's SETTINGS.
type peerSettings struct {
	maxStreams, window, tableSize, maxFrame uint32
	extendedConnect                         bool
}

func (c *conn) init(sock *network.Sock, o *Options, st *Stats, w stats.Worker, h half) {
	c.sock, c.o, c.stats, c.w, c.half = sock, o, st, w, h
	if c.stats == nil {
		c.stats = new(Stats)
	}
	c.dec.init(o.HpackTableSize, int(o.MaxHeaderFieldSize))
	c.enc.init(o.HpackTableSize, o.DisableHuffman)
	c.blk.obsText, c.blk.stats, c.blk.w, c.blk.request = !o.DisallowObsText, c.stats, w, !c.client
	c.sendWindow = initialWindow
	c.peer = peerSettings{maxStreams: maxStreamID, window: initialWindow, tableSize: initialTableSize, maxFrame: maxFrameSize}
	c.recvGranted.Store(max(int64(o.InitialConnectionWindow), initialWindow))
	c.clock = now()
	c.floods.init(c.clock, o)
	c.q.init(sock, &c.mu)
}

// base is what times are counted from: a monotonic clock that fits an int64.
var base = time.Now()

func now() time.Duration { return time.Since(base) }

// hello queues our SETTINGS and the connection's window. mu is held.
func (c *conn) hello() {
	var s [8]http2.Setting
	set := s[:0]
	if c.client {
		set = append(set, http2.Setting{ID: http2.SettingEnablePush})
	}
	connect := uint32(0)
	if c.o.AllowConnect {
		connect = 1
	}
	set = append(set, http2.Setting{ID: http2.SettingHeaderTableSize, Val: c.o.HpackTableSize},
		http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: connect},
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: c.o.MaxConcurrentStreams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: c.o.InitialStreamWindow})
	set = append(set, c.o.Custom...)
	c.putSettings(set)
	if n := int64(c.o.InitialConnectionWindow) - initialWindow; n > 0 {
		c.putWindowUpdate(0, uint32(n))
	}
}

// find returns the open stream of an id, or nil, for the read loop to work on: it is not reused until
// the next find.
func (c *conn) find(id uint32) *stream {
	c.mu.Lock()
	st := c.hold(c.streams.get(id))
	c.mu.Unlock()
	return st
}

// hold makes st what the read loop works on. mu is held.
func (c *conn) hold(st *stream) *stream {
	old := c.held
	c.held = st
	if old != nil && old != st {
		c.reuse(old)
	}
	return st
}

// reuse gives a stream back once nobody has it any more. mu is held.
func (c *conn) reuse(st *stream) {
	t := &st.tx
	if t.closed && t.released && !t.dying && st != c.held && !t.reused {
		t.reused = true
		c.half.recycle(st)
	}
}

// opened makes st one of the open streams. mu is held.
func (c *conn) opened(st *stream) {
	st.tx.window = int64(c.peer.window)
	c.streams.put(st)
	c.open++
	c.floods.opened++
	c.stats.StreamsActive.Inc(c.w)
}

// closeStream takes st out of the open ones: both sides have ended it, or one has reset it. err is what
// its sender is told. mu is held.
func (c *conn) closeStream(st *stream, err *Error) {
	if st.tx.closed {
		return
	}
	st.tx.closed = true
	if st.tx.err == nil {
		st.tx.err = err
	}
	c.streams.del(st)
	c.open--
	c.floods.closed++
	c.headBytes -= st.tx.headBytes
	c.stats.StreamsActive.Dec(c.w)
	c.waiters.leave(c, st)
	st.sendCond.Broadcast()
	if c.open == 0 && c.goaway.final {
		c.finish()
	}
}

// finish ends the read loop of a connection that has drained. mu is held.
func (c *conn) finish() { c.sock.CancelRead() }

// end tells that one side of st has ended; it is closed with the second. mu is held.
func (c *conn) end(st *stream, local bool) {
	if local {
		st.tx.localEnd = true
	} else {
		st.tx.remoteEnd = true
	}
	if st.tx.localEnd && st.tx.remoteEnd {
		c.closeStream(st, errEnded)
	}
}

// fail ends the connection: nothing is opened or written any more, and all streams learn why. Only the
// read loop calls it, when it has ended.
func (c *conn) fail(err *Error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	c.hold(nil)
	dying := c.streams.all()
	for _, st := range dying {
		st.tx.dying = true // not to be reused while it is in the list
		st.loop.failure = c.blame(st, c.failed)
		c.closeStream(st, st.loop.failure)
	}
	c.waiters.wakeAll()
	c.alive.stop()
	if c.trim != nil {
		c.trim.Stop()
	}
	c.mu.Unlock()
	for _, st := range dying {
		st.fail(st.loop.failure, false)
		st.tell(st.loop.failure)
	}
}

// blame tells a stream whose request was never written that it may be tried again. mu is held.
func (c *conn) blame(st *stream, err *Error) *Error {
	if !c.client || st.tx.headAt < c.q.taken {
		return err
	}
	unsent := *err
	unsent.Unsent = true
	return &unsent
}

// say queues a GOAWAY with the reason and writes what is queued, for as long as d.
func (c *conn) say(err *Error, d time.Duration) {
	c.mu.Lock()
	if err != nil && err.conn {
		last := c.lastPeer
		if c.goaway.final {
			last = c.goaway.last // it may not rise
		}
		c.putGoaway(last, err.Code, err.Why)
	}
	c.mu.Unlock()
	_ = c.sock.SetWriteDeadline(time.Now().Add(d))
	c.flushAll()
}

// flush writes what is queued, unless somebody is writing already and will take it along. With yield it
// first lets others run that are about to write. mu is held, and is given back.
func (c *conn) flush(yield bool) {
	q := &c.q
	if q.writing || len(q.out) == 0 || q.err != nil {
		c.mu.Unlock()
		return
	}
	q.writing = true
	if yield && c.open > 1 && q.raw != nil {
		// The other streams that are ready append their frames meanwhile: one system call carries all.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for round := 0; ; round++ {
		if len(q.out) == 0 || q.err != nil {
			q.wrote()
			c.mu.Unlock()
			return
		}
		if q.raw == nil || round == maxRounds {
			break
		}
		q.take()
		c.mu.Unlock()
		done, err := q.try()
		c.mu.Lock()
		if !done && err == nil {
			break
		}
		c.written(err)
	}
	c.startWriter()
	c.mu.Unlock()
}

// maxRounds is how often a stream's goroutine writes for all before it leaves that to the writer.
const maxRounds = 4

// written notes that the batch was written, or was not. mu is held.
func (c *conn) written(err error) {
	c.q.done(err)
	if err != nil {
		c.broken(err)
		return
	}
	c.waiters.wake(c)
}

// broken ends the streams of a connection that cannot be written to; the read loop ends the rest. mu is
// held.
func (c *conn) broken(err error) {
	if c.failed == nil {
		c.failed = &Error{Kind: Terminated, Why: "write failed", Cause: err}
	}
	c.streams.each(func(st *stream) { st.sendCond.Broadcast() })
	c.waiters.wakeAll()
	c.sock.CancelRead()
}

// startWriter leaves the writing to a goroutine that may block. mu is held, and writing is true.
func (c *conn) startWriter() {
	if c.q.parked {
		c.q.parked = false
		c.q.wake.Signal()
		return
	}
	c.goroutines.Add(1)
	// Owned by the connection: ends when all is written, or the connection is over.
	go c.writeLoop()
}

// writeLoop writes what is queued and may block doing so. For a plain socket it ends when all is written;
// one that is wrapped (TLS) can only be written so, and it waits for more.
func (c *conn) writeLoop() {
	defer c.goroutines.Done()
	q := &c.q
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for (len(q.out) > 0 || len(q.batch) > 0) && q.err == nil {
			if len(q.batch) == 0 {
				q.take()
			}
			c.stats.OutboundFramesActive.Add(c.w, uint64(q.batchFrames))
			c.mu.Unlock()
			err := q.block()
			c.stats.OutboundFramesActive.Sub(c.w, uint64(q.batchFrames))
			c.mu.Lock()
			c.written(err)
		}
		q.wrote()
		if q.raw != nil || q.closing || q.err != nil {
			return
		}
		q.parked = true
		for q.parked {
			q.wake.Wait()
		}
		if q.closing || q.leave && !q.writing {
			q.leave = false
			return
		}
		q.leave = false
		if c.open > 1 {
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
	}
}

// flushAll writes all that is queued and waits for it, under the socket's write deadline.
func (c *conn) flushAll() {
	c.mu.Lock()
	q := &c.q
	if !q.writing && len(q.out) > 0 && q.err == nil {
		q.writing = true
		c.startWriter()
	}
	for q.writing {
		q.idle.Wait()
	}
	c.mu.Unlock()
}

// close ends what the connection has started, and joins it. The socket must fail reads and writes.
func (c *conn) close() {
	c.mu.Lock()
	c.q.close()
	c.mu.Unlock()
	c.goroutines.Wait()
	c.mu.Lock()
	c.q.free()
	c.mu.Unlock()
}

// rawOf returns the plain socket that may be written without blocking; nil: something wraps it.
func rawOf(sock *network.Sock) syscall.RawConn {
	sc, ok := sock.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
