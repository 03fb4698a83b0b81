package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
)

// sink is where lines go. A line is written by one call, so that lines of many goroutines do not mix.
type sink struct {
	path string // "": out is stderr, and is never closed

	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func newSink(o Options) (*sink, error) {
	s := &sink{path: o.Path, out: o.Output}
	if s.out == nil {
		s.out = stderr()
	}
	if s.path == "" {
		return s, nil
	}
	f, err := openLog(s.path)
	if err != nil {
		return nil, err
	}
	s.out = f
	return s, nil
}

func (s *sink) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.out.Write(b)
	return err
}

func (s *sink) reopen() error {
	if s.path == "" {
		return nil
	}
	f, err := openLog(s.path)
	if err != nil {
		return err
	}
	s.swap(f)
	return nil
}

func (s *sink) close() error {
	if s.path == "" {
		return nil
	}
	return s.swap(stderr())
}

// swap puts another writer in the place of the file, and closes that.
func (s *sink) swap(to io.Writer) error {
	s.mu.Lock()
	from := s.out
	s.out = to
	s.mu.Unlock()
	if f, ok := from.(*os.File); ok && f != os.Stderr {
		return f.Close()
	}
	return nil
}

// openLog opens the file of --log-path; the error is Envoy's text.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		return f, nil
	}
	var errno syscall.Errno
	why := err.Error()
	if errors.As(err, &errno) {
		why = errno.Error()
		why = strings.ToUpper(why[:1]) + why[1:]
	}
	//nolint:revive,staticcheck // Envoy's text.
	return nil, fmt.Errorf("Failed to open log-file '%s'. e.what(): unable to open file '%s': %s", path, path, why)
}
