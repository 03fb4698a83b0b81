// Package file brings resources from files: path_config_source, a DiscoveryResponse as YAML, JSON or
// protobuf that is read at the start and whenever it is replaced.
package file

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
	"github.com/pillion-proxy/pillion/xds/transcode"
)

// Opener opens files. All of them share one watcher, as the kernel has few. It is closed after the last
// of its streams.
type Opener struct {
	// RejectUnknown fails an update for fields that its messages do not have: they are passed over with
	// a warning else (--reject-unknown-dynamic-fields).
	RejectUnknown bool
	Log           *slog.Logger

	mu      sync.Mutex
	watcher *watcher
}

// Open opens the file of a reference, as an xds.OpenFunc.
func (o *Opener) Open(ref xds.Ref, sink xds.Sink) (xds.Stream, error) {
	p, err := xds.ParseSource(ref.Source)
	if err != nil {
		return nil, err
	}
	if p.Scheme != xds.SchemePath {
		return nil, fmt.Errorf("source %q is not a path", ref.Source)
	}
	w, err := o.watch()
	if err != nil {
		return nil, err
	}
	s := &stream{
		opener: o, watcher: w, path: filepath.Clean(p.Target), url: ref.TypeURL, sink: sink, log: o.Log,
		kick: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.dir = filepath.Dir(s.path)
	if d := p.Path.GetWatchedDirectory().GetPath(); d != "" {
		s.dir, s.whole = filepath.Clean(d), true
	}
	return s, nil
}

func (o *Opener) watch() (*watcher, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watcher == nil {
		w, err := newWatcher()
		if err != nil {
			return nil, err
		}
		o.watcher = w
	}
	return o.watcher, nil
}

// Close ends the watcher.
func (o *Opener) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watcher != nil {
		o.watcher.close()
		o.watcher = nil
	}
}

// stream is one watched file.
type stream struct {
	opener  *Opener
	watcher *watcher
	path    string
	dir     string // what is watched
	whole   bool   // it is watched_directory: whatever moves into it counts
	url     string
	sink    xds.Sink
	log     *slog.Logger
	kick    chan struct{}
	quit    chan struct{}
	once    sync.Once
	open    bool // owned by the client, which opens and closes
	done    sync.WaitGroup

	mu   sync.Mutex
	real string // where the path led when it was last looked at
}

// Subscribe begins to read: a file has what it has, whatever the names.
func (s *stream) Subscribe(string, []string, []string) {
	if s.open {
		return
	}
	s.open = true
	s.done.Go(s.run) // ended by Close, joined by Wait
}

// Close ends the stream.
func (s *stream) Close() { s.once.Do(func() { close(s.quit) }) }

// Wait waits for the stream's goroutine.
func (s *stream) Wait() { s.done.Wait() }

func (s *stream) run() {
	if err := s.watcher.add(s); err != nil {
		s.log.Warn("cannot watch a config file's directory", "directory", s.dir, "error", err)
	}
	defer s.watcher.remove(s)
	for {
		s.read()
		select {
		case <-s.quit:
			return
		case <-s.kick:
		}
	}
}

// read takes the file as it is now. What cannot be read is an update that failed: the last state stays.
func (s *stream) read() {
	real, _ := filepath.EvalSymlinks(s.path)
	s.mu.Lock()
	s.real = real
	s.mu.Unlock()
	m, err := s.parse()
	if err != nil {
		s.log.Warn(fmt.Sprintf("Filesystem config update failure: in %s, %s", s.path, err))
		s.sink.Failed(s.url, err)
		return
	}
	r := &xds.Response{TypeURL: s.url, Version: m.VersionInfo, Resources: make([]xds.Received, len(m.Resources))}
	for i, a := range m.Resources {
		r.Resources[i].Any = a
	}
	if v := s.sink.Accept(r); v.Details != "" {
		s.log.Warn("Filesystem config update rejected: " + v.Details)
	}
}

func (s *stream) parse() (*discoverypb.DiscoveryResponse, error) {
	src, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	m := new(discoverypb.DiscoveryResponse)
	opts := transcode.Options{DropUnknown: !s.opener.RejectUnknown}
	var report transcode.Report
	switch strings.ToLower(filepath.Ext(s.path)) {
	case ".pb":
		if proto.Unmarshal(src, m) != nil {
			err = errors.New("unable to parse file as a binary protobuf")
		}
		return m, err
	case ".pb_text":
		return m, prototext.Unmarshal(src, m)
	case ".yaml", ".yml":
		src, report, err = transcode.YAML(m.ProtoReflect().Descriptor(), src, opts)
	default:
		src, report, err = transcode.JSON(m.ProtoReflect().Descriptor(), src, opts)
	}
	if err != nil {
		return nil, err
	}
	for _, u := range report.Unknown {
		s.log.Warn("Unknown field: " + u)
	}
	return m, proto.Unmarshal(src, m)
}

// moved tells the stream that something has moved to a path.
func (s *stream) moved(path string) {
	if path != s.path && !(s.whole && filepath.Dir(path) == s.dir) {
		// Kubernetes swaps a link above the file.
		real, err := filepath.EvalSymlinks(s.path)
		s.mu.Lock()
		same := err != nil || real == s.real
		if !same {
			s.real = real
		}
		s.mu.Unlock()
		if same {
			return
		}
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

var _ xds.OpenFunc = (*Opener)(nil).Open
