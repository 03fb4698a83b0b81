package control

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/xds"
)

// nodeState is what one node id is served: a cache for each type, and the goroutine that brings them up
// to date. It lives as long as the node has a stream.
type nodeState struct {
	s    *Server
	id   string
	node *corepb.Node
	// streams counts what holds it. Guarded by the server's mu.
	streams int
	// wake tells the publisher that there is a new world or that a client has caught up; stop ends it.
	wake, stop chan struct{}

	mu sync.Mutex
	// types are by type URL. Guarded by mu.
	types map[string]*typeState
	// stale tells that there is a newer world than the one being published, busy that there is one.
	stale, busy bool
}

// join gives a stream's node its state, complete from the start.
func (s *Server) join(node *corepb.Node) *nodeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := node.GetId()
	n := s.nodes[id]
	if n == nil {
		n = &nodeState{s: s, id: id, node: node, types: map[string]*typeState{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
		s.nodes[id] = n
		n.fill(s.world)
		if !s.closed {
			s.running.Add(1)
			// Owned by the node state: ends with its last stream, or with the server.
			go n.publish()
		}
	}
	n.streams++
	return n
}

// leave is join's opposite.
func (s *Server) leave(n *nodeState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.streams--; n.streams == 0 {
		close(n.stop)
		delete(s.nodes, n.id)
	}
}

// lookup finds the state of the node that a request is from.
func (s *Server) lookup(id string) (*nodeState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nodes[id]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("node %q has no stream", id)
}

// typ is the state of a type, made on first use.
func (n *nodeState) typ(url string) *typeState {
	var endpoints *typeState
	if url == xds.ClusterURL {
		endpoints = n.typ(xds.EndpointURL)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.types[url]
	if t == nil {
		t = &typeState{
			url: url, prefix: n.s.version, full: url == xds.ClusterURL || url == xds.ListenerURL,
			gate: n.s.gate(url), items: map[string]*item{}, gone: map[string]*item{}, watches: map[*watch]struct{}{}, endpoints: endpoints,
		}
		n.types[url] = t
	}
	return t
}

// fill puts everything at once, for a client that has nothing yet.
func (n *nodeState) fill(w *world) {
	all, err := w.resources(n.id, n.node)
	if err != nil {
		n.s.log.Error("cannot make a node's resources", "node", n.id, "error", err)
		return
	}
	types, grouped := byType(all)
	for _, url := range types {
		n.typ(url).update(change{put: grouped[url]})
	}
}

// dirty tells the publisher that there is a new world.
func (n *nodeState) dirty() {
	n.mu.Lock()
	n.stale, n.busy = true, true
	n.mu.Unlock()
	n.nudge()
}

// caughtUp tells the publisher, and whoever waits for the node, that a client has all there is of a type.
func (n *nodeState) caughtUp() {
	n.nudge()
	n.s.tracker.changedNow()
}

func (n *nodeState) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// publish brings the caches to the newest world, whenever there is one.
func (n *nodeState) publish() {
	defer n.s.running.Done()
	for {
		select {
		case <-n.stop:
			return
		case <-n.s.done:
			return
		case <-n.wake:
		}
		n.mu.Lock()
		stale := n.stale
		n.stale = false
		n.mu.Unlock()
		if stale {
			n.bring(n.s.current())
		}
		n.mu.Lock()
		n.busy = n.stale
		n.mu.Unlock()
		n.s.tracker.changedNow()
	}
}

func (n *nodeState) isBusy() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.busy
}

// bring makes before it breaks: first what others refer to, then what refers to it once the client has
// accepted that, and removals last.
func (n *nodeState) bring(w *world) {
	all, err := w.resources(n.id, n.node)
	if err != nil {
		n.s.log.Error("cannot make a node's resources", "node", n.id, "error", err)
		return
	}
	_, grouped := byType(all)
	n.mu.Lock()
	types := slices.SortedFunc(maps.Keys(n.types), inOrder)
	n.mu.Unlock()
	for url := range grouped {
		if !slices.Contains(types, url) {
			types = append(types, url)
		}
	}
	slices.SortFunc(types, inOrder)
	var first, second []change
	var last []change
	for _, url := range types {
		c := n.typ(url).diff(grouped[url])
		switch url {
		case xds.ListenerURL:
			second = append(second, c)
			continue
		case xds.ScopedURL, xds.RouteURL, xds.VHostURL:
			second = append(second, change{typ: c.typ, put: c.put})
		default:
			first = append(first, change{typ: c.typ, put: c.put})
		}
		last = append(last, change{typ: c.typ, remove: c.remove})
	}
	for i, phase := range [][]change{first, second, last} {
		phase = slices.DeleteFunc(phase, change.empty)
		for _, c := range phase {
			c.typ.update(c)
		}
		if i < 2 && !n.settle(phase) {
			return
		}
	}
}

// settle waits until every client of the node has taken all of some changes, or for as long as the
// options say. It tells whether the publisher is to go on.
func (n *nodeState) settle(changes []change) bool {
	if len(changes) == 0 || n.s.opts.Settle < 0 {
		return true
	}
	limit := time.NewTimer(n.s.opts.Settle)
	defer limit.Stop()
	// A new world that came meanwhile is looked at when this one is out.
	defer n.remind()
	for !n.settled(changes) {
		select {
		case <-n.stop:
			return false
		case <-n.s.done:
			return false
		case <-limit.C:
			return true
		case <-n.wake:
		}
	}
	return true
}

// remind wakes the publisher once more if there is a new world.
func (n *nodeState) remind() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stale {
		n.nudge()
	}
}

// change is what happens to one type.
type change struct {
	typ    *typeState
	put    map[string]resource
	remove []string
}

func (c change) empty() bool { return len(c.put) == 0 && len(c.remove) == 0 }

// diff is what has to happen to a type for it to be as wanted.
func (t *typeState) diff(want map[string]resource) change {
	c := change{typ: t, put: map[string]resource{}}
	have := t.names()
	for name, r := range want {
		if old := have[name]; old == nil || !bytes.Equal(old.body, r.body) {
			c.put[name] = r
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			c.remove = append(c.remove, name)
		}
	}
	return c
}
