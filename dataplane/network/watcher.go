package network

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watcher tells when peers hang up while nobody reads from them: one epoll for EPOLLRDHUP alone, so that
// it costs nothing while requests come and go. Listeners and upstream pools share one.
type Watcher struct {
	ep   *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu     sync.Mutex
	byFD   map[int32]*Watch // guarded by mu
	nextID int32            // guarded by mu
}

// Watch is one watched connection.
type Watch struct {
	w      *Watcher
	fd, id int32
	f      func()
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
	w := &Watcher{ep: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), byFD: map[int32]*Watch{}}
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
			if watch := w.take(e.Fd, e.Pad); watch != nil {
				watch.f()
			}
		}
	}
}

// take removes the watch of fd. A closed and reused fd finds its new connection there, which has its
// own event to come: id tells them apart.
func (w *Watcher) take(fd, id int32) *Watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch := w.byFD[fd]
	if watch == nil || watch.id != id {
		return nil
	}
	delete(w.byFD, fd)
	return watch
}

// Add has f called, once and on the watcher's goroutine, when the peer of t closes its side or resets.
// f must be quick. Nil is returned for a closed connection.
func (w *Watcher) Add(t *net.TCPConn, f func()) *Watch {
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	watch := &Watch{w: w, f: f}
	err = raw.Control(func(fd uintptr) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.nextID++
		watch.fd, watch.id = int32(fd), w.nextID
		w.byFD[watch.fd] = watch
		e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT | unix.EPOLLET, Fd: watch.fd, Pad: watch.id}
		_ = w.raw.Control(func(ep uintptr) { _ = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, int(fd), &e) })
	})
	if err != nil {
		return nil
	}
	return watch
}

// Remove forgets the connection, before it is closed: closing takes it off the epoll. A call of f that
// is under way goes on.
func (h *Watch) Remove() {
	if h == nil {
		return
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.byFD[h.fd] == h {
		delete(h.w.byFD, h.fd)
	}
}
