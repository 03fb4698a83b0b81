package http2

import (
	"encoding/binary"
	"sync"
	"syscall"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// queue holds the frames that wait to be written, in order. It is guarded by the connection's mu, but
// for batch, which belongs to whoever writes.
type queue struct {
	sock *network.Sock
	raw  syscall.RawConn  // nil: only a blocking write can be had
	out  []*buffer.Buffer // whole frames
	tail *buffer.Buffer   // the last of out while it may be appended to
	// bytes, frames and control count what was queued and not written; control are those frames that
	// answer the peer's: PING, SETTINGS, RST_STREAM.
	bytes, frames, control int
	takes                  uint64 // how often out was taken to be written
	appended, taken        uint64 // bytes, ever: queued, and of them those that a write began with
	// writing tells that somebody writes; parked that the writer's goroutine waits.
	writing, parked, leave, closing bool
	wake, idle                      sync.Cond
	err                             error

	batch                                 []*buffer.Buffer
	at                                    int // the first of batch that is not written
	batchBytes, batchFrames, batchControl int
	tryFn                                 func(fd uintptr) bool
	tryBuf                                []byte
	tryN                                  int
	tryErr                                error
}

func (q *queue) init(sock *network.Sock, mu *sync.Mutex) {
	q.sock, q.raw = sock, rawOf(sock)
	q.wake.L, q.idle.L = mu, mu
	if q.raw != nil {
		q.tryFn = q.tryOnce // made once, so that a write allocates nothing
	}
}

// grow returns the tail with room for n bytes.
func (q *queue) grow(n int) *buffer.Buffer {
	if q.tail != nil && len(q.tail.B)-q.tail.W >= n {
		return q.tail
	}
	if len(q.out) > 0 {
		n = max(n, buffer.Small+1)
	}
	q.tail = buffer.Get(n)
	q.out = append(q.out, q.tail)
	return q.tail
}

// frame queues the head of a frame and returns where its n bytes of payload go.
func (q *queue) frame(t http2.FrameType, flags http2.Flags, id uint32, n int) []byte {
	b := q.grow(frameHeaderLen + n)
	at := b.W
	q.head(b, t, flags, id, n)
	return b.B[at+frameHeaderLen : b.W]
}

// head writes a frame's head at the end of b and counts the frame, whose payload is there already or
// follows.
func (q *queue) head(b *buffer.Buffer, t http2.FrameType, flags http2.Flags, id uint32, n int) {
	p := b.B[b.W : b.W+frameHeaderLen]
	binary.BigEndian.PutUint32(p, uint32(n)<<8|uint32(t))
	p[4] = byte(flags)
	binary.BigEndian.PutUint32(p[5:], id)
	b.W += frameHeaderLen + n
	q.bytes += frameHeaderLen + n
	q.appended += uint64(frameHeaderLen + n)
	q.frames++
}

// take makes what is queued the batch to be written.
func (q *queue) take() {
	q.batch, q.out, q.at, q.tail = q.out, q.batch[:0], 0, nil
	q.batchBytes, q.batchFrames, q.batchControl = q.bytes, q.frames, q.control
	q.takes++
	q.taken = q.appended
}

// try writes of the batch what the socket takes now. It reports false if there is more.
func (q *queue) try() (done bool, err error) {
	for ; q.at < len(q.batch); q.at++ {
		b := q.batch[q.at]
		q.tryBuf, q.tryN, q.tryErr = b.Bytes(), 0, nil
		err := q.raw.Write(q.tryFn)
		q.tryBuf = nil
		if network.IsTimeout(err) && !q.sock.Canceled() {
			return false, nil // an old deadline's timer: Sock knows what to do about it
		}
		if err == nil {
			err = q.tryErr
		}
		if err != nil {
			return false, err
		}
		b.R += q.tryN
		if b.R < b.W {
			return false, nil
		}
	}
	return true, nil
}

func (q *queue) tryOnce(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), q.tryBuf)
		switch err {
		case nil:
			q.tryN = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			q.tryErr = err
		}
		return true
	}
}

// block writes what is left of the batch.
func (q *queue) block() error {
	for ; q.at < len(q.batch); q.at++ {
		if _, err := q.sock.Write(q.batch[q.at].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// done gives the batch's buffers back. After an error all else that is queued is dropped.
func (q *queue) done(err error) {
	if err != nil && q.at == 0 && len(q.batch) > 0 && q.batch[0].R == 0 {
		q.taken -= uint64(q.batchBytes) // nothing of it went out
	}
	for i, b := range q.batch {
		buffer.Put(b)
		q.batch[i] = nil
	}
	q.batch = q.batch[:0]
	q.bytes -= q.batchBytes
	q.frames -= q.batchFrames
	q.control -= q.batchControl
	if err != nil {
		q.err = err
		q.free()
	}
}

// wrote notes that nobody writes any more.
func (q *queue) wrote() {
	q.writing = false
	q.idle.Broadcast()
}

// free drops what is queued.
func (q *queue) free() {
	for i, b := range q.out {
		buffer.Put(b)
		q.out[i] = nil
	}
	q.out, q.tail = q.out[:0], nil
	q.bytes, q.frames, q.control = 0, 0, 0
	q.takes++
}

// unpark makes a writer's goroutine that waits end; the next write starts another. mu is held.
func (q *queue) unpark() {
	if q.parked {
		q.parked, q.leave = false, true
		q.wake.Broadcast()
	}
}

// close makes the writer's goroutine end. mu is held.
func (q *queue) close() {
	q.closing, q.parked = true, false
	q.wake.Broadcast()
}
