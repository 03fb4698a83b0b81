// Package control is the bundled test control plane, on go-control-plane's cache and server: it serves
// mesh files, folders of Envoy resources and recorded /config_dumps over ADS and the single services, by
// state of the world and by delta. `pillion control`, the examples and the tests all use it; it is the
// one xDS fake of the project. README.md describes the files.
package control

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Options say what a Server serves, and how.
type Options struct {
	// Path is a file or a folder of files to serve and to watch; "": nothing until an Update.
	Path string
	// TLS secures the streams; nil: plaintext.
	TLS *tls.Config
	// Log is told who connects, what each accepts and rejects, and which files are bad; nil: nobody is.
	Log *slog.Logger
	// OnEvent is told the same, one event after another; it must not block.
	OnEvent func(Event)
	// Settle bounds how long a part of an update waits for the client to accept the part before it: a
	// cluster is sent before the route that uses it, and removed after it. 0: 2 s; negative: no waiting,
	// everything is sent at once, as istiod does.
	Settle time.Duration
	// Debounce is how long files must be quiet before they are read again; 0: 100 ms.
	Debounce time.Duration
}

// Server is a control plane.
type Server struct {
	opts    Options
	log     *slog.Logger
	grpc    *grpc.Server
	ca      *authority
	version string
	tracker *tracker
	cancel  context.CancelFunc
	// running are the goroutines of the server: the file watch and one publisher for each node.
	running sync.WaitGroup
	done    chan struct{}

	mu sync.Mutex
	// sources are the last good version of each file, by name; failures are the bad ones' errors. Guarded
	// by mu, as all below.
	sources  map[string]*source
	failures map[string]error
	layers   map[string]*layer
	world    *world
	nodes    map[string]*nodeState
	closed   bool

	gatesMu sync.Mutex
	// gates are by type URL. Guarded by gatesMu.
	gates map[string]*gate
}

// New makes a server and reads its files. A file that is bad already is an error here.
func New(o Options) (*Server, error) {
	o.Settle, o.Debounce = cmp.Or(o.Settle, 2*time.Second), cmp.Or(o.Debounce, 100*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ca, err := newAuthority("cluster.local")
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, log: o.Log.With("component", "control"), ca: ca,
		// A version says which run of the control plane it is from, as istiod's does.
		version: time.Now().UTC().Format(time.RFC3339Nano) + "/",
		done:    make(chan struct{}),
		sources: map[string]*source{}, failures: map[string]error{}, layers: map[string]*layer{},
		nodes: map[string]*nodeState{}, gates: map[string]*gate{}, world: &world{},
	}
	s.tracker = newTracker(s)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.grpc = s.newGRPC(ctx)
	if o.Path == "" {
		return s, nil
	}
	if err := s.load(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, s.watch()
}

// Serve accepts streams until Close. It may be called with several listeners, one after or beside another.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("control plane at %s: %w", l.Addr(), err)
	}
	return nil
}

// Close ends all streams and everything that the server started.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.done)
	s.mu.Unlock()
	s.cancel()
	s.grpc.Stop()
	s.running.Wait()
}

// Change is an update by the API. It goes over what the files say, and stays so.
type Change struct {
	// Node is the id of the one node that it is for; "": every node.
	Node string
	// Put adds or replaces resources.
	Put []proto.Message
	// Raw adds or replaces resources as they are, right or wrong.
	Raw []Raw
	// Remove takes resources away, the files' and the mesh's too.
	Remove []Ref
	// Reset forgets all earlier changes of this node first.
	Reset bool
}

// Raw is a resource that is served unread: the Any's type and bytes.
type Raw struct {
	Name string
	Any  *anypb.Any
}

// Ref names a resource.
type Ref struct{ TypeURL, Name string }

// Update applies a change and pushes it.
func (s *Server) Update(c Change) error {
	var add []resource
	for _, m := range c.Put {
		r, err := newResource(m)
		if err != nil {
			return err
		}
		add = append(add, r)
	}
	for _, r := range c.Raw {
		add = append(add, resource{typeURL: r.Any.GetTypeUrl(), name: r.Name, body: r.Any.GetValue()})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := &layer{put: map[ref]resource{}, hide: map[ref]bool{}}
	if old := s.layers[c.Node]; old != nil && !c.Reset {
		maps.Copy(to.put, old.put)
		maps.Copy(to.hide, old.hide)
	}
	for _, r := range add {
		to.put[r.ref()] = r
		delete(to.hide, r.ref())
	}
	for _, r := range c.Remove {
		delete(to.put, ref{r.TypeURL, r.Name})
		to.hide[ref{r.TypeURL, r.Name}] = true
	}
	// Whoever holds the old layers goes on with them.
	layers := maps.Clone(s.layers)
	layers[c.Node] = to
	return s.rebuild(s.sources, layers)
}

// UpdateFile serves data as the content of a file of this name, over or beside the files of the folder;
// nil takes it away. If it is bad, the error names the line, and what was served goes on.
func (s *Server) UpdateFile(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := maps.Clone(s.sources)
	delete(sources, name)
	if data != nil {
		src, err := parseSource(name, data)
		if err != nil {
			return err
		}
		sources[name] = src
	}
	return s.rebuild(sources, s.layers)
}

// rebuild makes the world of some sources and layers and, if it is a good one, serves it. mu is held.
func (s *Server) rebuild(sources map[string]*source, layers map[string]*layer) error {
	w, err := newWorld(slices.Collect(maps.Values(sources)), layers, s.ca)
	if err != nil {
		return err
	}
	s.sources, s.layers, s.world = sources, layers, w
	for _, n := range s.nodes {
		n.dirty()
	}
	return nil
}

// current is the world that is served now.
func (s *Server) current() *world {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world
}
