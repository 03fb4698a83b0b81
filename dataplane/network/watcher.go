package network

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watcher tells when clients hang up while nobody reads from them: one epoll for EPOLLRDHUP alone, so
// that it costs nothing while requests come and go. A listener has one a worker.
type Watcher struct {
	ep   *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu     sync.Mutex
	conns  map[int32]*Conn // by fd; guarded by mu
	nextID int32           // guarded by mu
}

// NewWatcher starts a watcher; Close ends it.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hang-up watcher: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("hang-up watcher: %w", err)
	}
	// The runtime's poller waits for the epoll itself: no thread is blocked in it.
	w := &Watcher{ep: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), conns: map[int32]*Conn{}}
	if w.raw, err = w.ep.SyscallConn(); err != nil {
		_ = w.ep.Close()
		return nil, fmt.Errorf("hang-up watcher: %w", err)
	}
	// Owned by w: ends when Close closes the epoll.
	go w.run()
	return w, nil
}

// Close ends the watcher; its connections are not told anything any more.
func (w *Watcher) Close() {
	_ = w.ep.Close()
	<-w.done
}

func (w *Watcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := w.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil || n < 0 {
			return
		}
		for _, e := range events[:n] {
			w.mu.Lock()
			c := w.conns[e.Fd]
			// A closed and reused fd finds its new connection here, which has its own event to come.
			if c != nil && c.watchID == e.Pad {
				delete(w.conns, e.Fd)
			} else {
				c = nil
			}
			w.mu.Unlock()
			if c != nil {
				c.hangup()
			}
		}
	}
}

func (w *Watcher) add(c *Conn) {
	t := c.Socket()
	if t == nil {
		c.watched = false
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.nextID++
		c.watchFD, c.watchID = int32(fd), w.nextID
		w.conns[c.watchFD] = c
		e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT | unix.EPOLLET, Fd: c.watchFD, Pad: c.watchID}
		_ = w.raw.Control(func(ep uintptr) { err = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, int(fd), &e) })
	})
}

// remove forgets c; closing the socket takes it off the epoll.
func (w *Watcher) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns[c.watchFD] == c {
		delete(w.conns, c.watchFD)
	}
}
