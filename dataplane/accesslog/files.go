package accesslog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// FilesOptions are Envoy's command-line options for log files, and more. Zero values are the defaults.
type FilesOptions struct {
	// FlushInterval is --file-flush-interval-msec; 10 seconds by default.
	FlushInterval time.Duration
	// MinFlush is --file-flush-min-size-kb in bytes: that much is written without waiting for the
	// interval; 64 KiB by default.
	MinFlush int
	// MaxBuffered bounds what a file holds while its disk is slow, where Envoy's memory grows without
	// end: lines beyond it are dropped and counted as write_failed. 16 MiB by default.
	MaxBuffered int
	// Store gets the stats; nil counts nowhere.
	Store *stats.Store
}

// fileStats are Envoy's filesystem.* stats
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/operations/runtime/#file-system-statistics).
type fileStats struct {
	WriteBuffered      stats.Counter `stat:"write_buffered"`
	WriteCompleted     stats.Counter `stat:"write_completed"`
	WriteFailed        stats.Counter `stat:"write_failed"`
	FlushedByTimer     stats.Counter `stat:"flushed_by_timer"`
	ReopenFailed       stats.Counter `stat:"reopen_failed"`
	WriteTotalBuffered stats.Gauge   `stat:"write_total_buffered"`
}

// Files are the open log files of a proxy, one for each path however many logs write to it. It may be
// used by many goroutines.
type Files struct {
	o     FilesOptions
	stats fileStats

	mu   sync.Mutex
	open map[string]*File // guarded by mu
}

// NewFiles makes an empty set.
func NewFiles(o FilesOptions) *Files {
	if o.FlushInterval <= 0 {
		o.FlushInterval = 10 * time.Second
	}
	if o.MinFlush <= 0 {
		o.MinFlush = 64 << 10
	}
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = 16 << 20
	}
	f := &Files{o: o, open: map[string]*File{}}
	if o.Store != nil {
		stats.Bind(o.Store.Scope("filesystem"), &f.stats)
	}
	return f
}

// Open opens the file at path for appending, or finds it open. The path of the loggers for stdout and
// stderr is stdoutPath and stderrPath. Close the File when done.
func (f *Files) Open(path string) (*File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file := f.open[path]; file != nil {
		file.refs++
		return file, nil
	}
	out, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	file := newFile(f, path, out)
	f.open[path] = file
	return file, nil
}

// release takes one user off file and tells whether that was the last.
func (f *Files) release(file *File) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file.refs--; file.refs > 0 {
		return false
	}
	if f.open[file.path] == file {
		delete(f.open, file.path)
	}
	return true
}

// Reopen has every file opened anew, after it was rotated (SIGUSR1). It does not wait.
func (f *Files) Reopen() {
	for _, file := range f.all() {
		file.reopenSoon()
	}
}

// Flush writes what all files hold, and waits for that.
func (f *Files) Flush() {
	for _, file := range f.all() {
		file.flush()
	}
}

// Close writes what all files hold and closes them, whoever still uses them.
func (f *Files) Close() {
	for _, file := range f.all() {
		file.stop()
	}
}

func (f *Files) all() []*File {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*File, 0, len(f.open))
	for _, file := range f.open {
		out = append(out, file)
	}
	return out
}

// The paths that stand for the process's own streams: no file can be called so.
const (
	stdoutPath = "\x00stdout"
	stderrPath = "\x00stderr"
)

// openAppend opens a path for appending.
func openAppend(path string) (*os.File, error) {
	switch path {
	case stdoutPath:
		return os.Stdout, nil
	case stderrPath:
		return os.Stderr, nil
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		return out, nil
	}
	// A process that was given its stdout by another user may write to it but not open it again, which
	// is what a container's /dev/stdout comes to.
	switch path {
	case "/dev/stdout", "/proc/self/fd/1":
		return os.Stdout, nil
	case "/dev/stderr", "/proc/self/fd/2":
		return os.Stderr, nil
	}
	return nil, fmt.Errorf("unable to open file '%s': %s", path, systemError(err))
}

// systemError is the text that C has for an error, which starts with a capital letter.
func systemError(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	s := errno.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}
