package network

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
)

// Sock reads a connection into pooled buffers, and holds none while it waits: an idle connection costs
// no buffer. It is used on both sides of the proxy, and belongs to one goroutine at a time.
type Sock struct {
	net.Conn
	// Buf holds what was read and not consumed; nil is nothing.
	Buf *buffer.Buffer

	tcp           *net.TCPConn    // nil: something wraps the socket
	raw           syscall.RawConn // nil: no plain socket
	size          int             // bytes of the next buffer
	n             int             // outcome of tryRead
	err           error
	send          []byte // what Exchange writes first
	sent          int
	reads, writes deadline
	// The callbacks are made once, so that a read allocates nothing.
	readFn, exchangeFn func(fd uintptr) bool
}

// Init makes s read c.
func (s *Sock) Init(c net.Conn) {
	buf := s.Buf
	*s = Sock{size: buffer.Small}
	s.Conn, s.Buf = c, buf
	s.tcp, _ = c.(*net.TCPConn)
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
			s.readFn, s.exchangeFn = s.tryRead, s.tryExchange
		}
	}
}

// TCP is the socket while nothing wraps it, for splice, options and resets; else nil. Bytes in Buf come
// before what it reads.
func (s *Sock) TCP() *net.TCPConn { return s.tcp }

// SetReadSize sets the size of the buffers that reads use from now on.
func (s *Sock) SetReadSize(n int) { s.size = n }

// Buffered is the number of bytes that were read and not consumed.
func (s *Sock) Buffered() int {
	if s.Buf == nil {
		return 0
	}
	return s.Buf.Len()
}

// Fill reads at least one more byte into Buf, behind what is there, growing it if it is full. The
// caller bounds how often.
func (s *Sock) Fill() error {
	if s.raw == nil {
		return s.fillWrapped()
	}
	for {
		s.n, s.err = 0, nil
		err := s.raw.Read(s.readFn)
		if err == nil {
			return s.filled()
		}
		if !s.early(&s.reads, err) {
			s.Idle()
			return err
		}
	}
}

func (s *Sock) filled() error {
	if s.err == nil && s.n == 0 {
		s.err = io.EOF
	}
	s.Idle()
	return s.err
}

// tryRead is called by the runtime's poller: it takes a buffer, and gives it back if nothing is there
// to be read yet.
func (s *Sock) tryRead(fd uintptr) bool {
	s.space()
	for {
		n, err := syscall.Read(int(fd), s.Buf.Space())
		switch {
		case n > 0:
			s.Buf.Wrote(n)
			s.n = n
			return true
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			s.Idle()
			return false
		default:
			s.err = err
			return true
		}
	}
}

func (s *Sock) space() {
	if s.Buf == nil {
		s.Buf = buffer.Get(s.size)
	} else if len(s.Buf.Space()) == 0 {
		s.Buf = buffer.Grown(s.Buf, 2*len(s.Buf.B))
	}
}

// fillWrapped reads through a layer (TLS). While nothing is buffered it waits for one byte, so that
// waiting holds no buffer; the rest of the record is in the layer by then, and the next Fill takes it.
func (s *Sock) fillWrapped() error {
	if s.Buf == nil {
		var first [1]byte
		n, err := s.Conn.Read(first[:])
		for n == 0 && s.early(&s.reads, err) {
			n, err = s.Conn.Read(first[:])
		}
		if n == 0 {
			return eof(err)
		}
		s.space()
		s.Buf.Wrote(copy(s.Buf.Space(), first[:n]))
		return nil // an error comes again with the next read
	}
	s.space()
	n, err := s.Conn.Read(s.Buf.Space())
	for n == 0 && s.early(&s.reads, err) {
		n, err = s.Conn.Read(s.Buf.Space())
	}
	s.Buf.Wrote(n)
	if n > 0 {
		return nil
	}
	return eof(err)
}

func eof(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// ErrStale is a pooled connection that its peer has closed, or has sent something on, while it was
// idle: nothing was written, so the caller may take another one.
var ErrStale = errors.New("connection is stale")

// Exchange writes p, then waits for the first bytes of the answer in Buf. Before it writes it looks
// whether the peer has closed or sent anything meanwhile (ErrStale): this is the read that would find
// nothing anyway after the write, so it is free. It returns how much was written when it fails.
func (s *Sock) Exchange(p []byte) (written int, err error) {
	if s.raw == nil {
		if written, err = s.Write(p); err != nil {
			return written, err
		}
		return written, s.Fill()
	}
	s.n, s.err, s.send, s.sent = 0, nil, p, -1
	err = s.raw.Read(s.exchangeFn)
	for err != nil && s.early(&s.reads, err) {
		err = s.raw.Read(s.exchangeFn)
	}
	s.send = nil
	written = max(s.sent, 0)
	switch {
	case err != nil:
		s.Idle()
		return written, err
	case s.err != nil:
		s.Idle()
		return written, s.err
	case written < len(p):
		// The socket's buffer is full: the rest blocks, like any write.
		n, err := s.Write(p[written:])
		if err != nil {
			return written + n, err
		}
		return written + n, s.Fill()
	}
	return written, s.filled()
}

func (s *Sock) tryExchange(fd uintptr) bool {
	if s.sent < 0 {
		if s.Buffered() > 0 {
			s.err = ErrStale
			return true
		}
		s.space()
		n, err := syscall.Read(int(fd), s.Buf.Space())
		if err != syscall.EAGAIN && err != syscall.EINTR {
			if n > 0 {
				s.Buf.Wrote(n)
			}
			s.err = ErrStale
			return true
		}
		s.sent = 0
		if n, err = syscall.Write(int(fd), s.send); err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			s.err = err
			return true
		}
		s.sent = max(n, 0)
		s.Idle()
		return s.sent < len(s.send)
	}
	return s.tryRead(fd)
}

// Consume drops n buffered bytes.
func (s *Sock) Consume(n int) { s.Buf.Consume(n) }

// Idle gives an empty buffer back to its pool.
func (s *Sock) Idle() {
	if s.Buf != nil && s.Buf.Len() == 0 {
		s.Free()
	}
}

// Free gives the buffer back whatever is in it.
func (s *Sock) Free() {
	buffer.Put(s.Buf)
	s.Buf = nil
}

// Write writes all of p, as net.Conn says.
func (s *Sock) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	for err != nil && s.early(&s.writes, err) {
		var more int
		more, err = s.Conn.Write(p[n:])
		n += more
	}
	return n, err
}

// Read reads what is buffered, then the connection.
func (s *Sock) Read(p []byte) (int, error) {
	if n := s.Buffered(); n > 0 {
		n = copy(p, s.Buf.Bytes())
		s.Consume(n)
		s.Idle()
		return n, nil
	}
	n, err := s.Conn.Read(p)
	for n == 0 && s.early(&s.reads, err) {
		n, err = s.Conn.Read(p)
	}
	return n, err
}

// Peek waits until n bytes are buffered and returns all that are, without consuming them. At the end
// of the stream, or at the deadline, it returns what there is and the error.
func (s *Sock) Peek(n int) ([]byte, error) {
	for s.Buffered() < n {
		if err := s.Fill(); err != nil {
			if s.Buf == nil {
				return nil, err
			}
			return s.Buf.Bytes(), err
		}
	}
	if s.Buf == nil {
		return nil, nil
	}
	return s.Buf.Bytes(), nil
}

// CloseWrite shuts our side of the connection down where the transport can (TCP, Unix, TLS).
func (s *Sock) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Stale tells whether the peer has closed an idle connection, or has sent something on it.
func (s *Sock) Stale() bool {
	if s.Buffered() > 0 {
		return true
	}
	if s.raw == nil {
		return false // a layer may have records of its own to read
	}
	stale := true
	err := s.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:])
		stale = err != syscall.EAGAIN
		return true
	})
	return err != nil || stale
}

// Consumed drops the *n bytes that were handed out before, and makes *n 0.
func (s *Sock) Consumed(n *int) {
	if *n > 0 {
		s.Consume(*n)
		s.Idle()
		*n = 0
	}
}
