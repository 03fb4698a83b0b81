package accesslog

import (
	"os"
	"sync"
	"time"
)

// File is an open log file. Lines that are appended wait in a buffer for the file's flusher, which alone
// touches the file: whoever logs never waits for a disk.
type File struct {
	path  string
	files *Files
	refs  int // guarded by files.mu

	mu     sync.Mutex
	buf    []byte // guarded by mu
	reopen bool   // guarded by mu
	closed bool   // guarded by mu

	wake    chan struct{}      // holds one: there is enough to write, or the file is to be reopened
	flushed chan chan struct{} // asks for a flush; what is sent is closed after it
	quit    chan struct{}      // closed by stop
	done    chan struct{}      // closed by the flusher
	once    sync.Once

	out   *os.File // owned by the flusher
	spare []byte   // owned by the flusher
}

func newFile(files *Files, path string, out *os.File) *File {
	f := &File{
		path: path, files: files, refs: 1, out: out,
		wake: make(chan struct{}, 1), flushed: make(chan chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	// Owned by the file; it ends with stop.
	go f.run()
	return f
}

// Append adds a line. It is dropped if the file holds too much already, or is closed.
func (f *File) Append(line []byte) {
	s := &f.files.stats
	f.mu.Lock()
	if f.closed || len(f.buf)+len(line) > f.files.o.MaxBuffered {
		f.mu.Unlock()
		s.WriteFailed.Inc(0)
		return
	}
	f.buf = append(f.buf, line...)
	enough := len(f.buf) > f.files.o.MinFlush
	f.mu.Unlock()
	s.WriteBuffered.Inc(0)
	s.WriteTotalBuffered.Add(0, uint64(len(line)))
	if enough {
		f.wakeUp()
	}
}

// Close gives the file up; the last user closes it, after all was written.
func (f *File) Close() {
	if f.files.release(f) {
		f.stop()
	}
}

func (f *File) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *File) reopenSoon() {
	f.mu.Lock()
	f.reopen = true
	f.mu.Unlock()
	f.wakeUp()
}

// flush has everything written and waits for that.
func (f *File) flush() {
	wait := make(chan struct{})
	select {
	case f.flushed <- wait:
		<-wait
	case <-f.done:
	}
}

// stop ends the flusher and waits for it.
func (f *File) stop() {
	f.once.Do(func() {
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		close(f.quit)
	})
	<-f.done
}

// run is the flusher.
func (f *File) run() {
	defer close(f.done)
	timer := time.NewTicker(f.files.o.FlushInterval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			f.files.stats.FlushedByTimer.Inc(0)
			f.write()
		case <-f.wake:
			f.write()
		case wait := <-f.flushed:
			f.write()
			close(wait)
		case <-f.quit:
			f.write()
			if !f.standard() {
				_ = f.out.Close()
			}
			return
		}
	}
}

// maxSpare is the capacity above which the buffer of a burst is not kept.
const maxSpare = 1 << 20

// write writes what is buffered, to the new file if there is to be one.
func (f *File) write() {
	f.mu.Lock()
	buf, reopen := f.buf, f.reopen
	f.buf, f.reopen = f.spare[:0], false
	f.mu.Unlock()
	if reopen {
		f.openAgain()
	}
	s := &f.files.stats
	if len(buf) > 0 {
		// os.File writes all or fails.
		if _, err := f.out.Write(buf); err != nil {
			s.WriteFailed.Inc(0)
		} else {
			s.WriteCompleted.Inc(0)
		}
		s.WriteTotalBuffered.Sub(0, uint64(len(buf)))
	}
	f.spare = buf[:0]
	if cap(buf) > maxSpare {
		f.spare = nil
	}
}

// openAgain replaces the file. If that fails the old one goes on to be written to.
func (f *File) openAgain() {
	if f.standard() {
		return
	}
	out, err := openAppend(f.path)
	if err != nil {
		f.files.stats.ReopenFailed.Inc(0)
		return
	}
	_ = f.out.Close()
	f.out = out
}

// standard tells that the file is one of the process's own streams, which are never closed.
func (f *File) standard() bool { return f.out == os.Stdout || f.out == os.Stderr }
