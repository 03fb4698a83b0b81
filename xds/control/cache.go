package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// nodeCache is the cache that go-control-plane's server asks: it leads each request to the cache of its
// node and type. Those are our own, because three things that a client relies on are beyond
// go-control-plane's: to repeat a resource that has not changed (the endpoints of a cluster that warms
// anew; what a delta client subscribes to again), to say of a resource that is asked for by delta that it
// does not exist, and not to send for ever what a client rejects from the start.
type nodeCache struct{ s *Server }

// CreateWatch implements cache.ConfigWatcher.
func (c nodeCache) CreateWatch(r *cache.Request, sub cache.Subscription, to chan cache.Response) (func(), error) {
	n, err := c.s.lookup(r.GetNode().GetId())
	if err != nil {
		return nil, err
	}
	t := n.typ(r.GetTypeUrl())
	w := &watch{sub: sub, known: sub.ReturnedResources(), always: r.GetResponseNonce() == "", opened: n.caughtUp}
	w.send = func(a answer) {
		to <- &cache.PassthroughResponse{Request: r, ReturnedResources: a.known, DiscoveryResponse: &discoverypb.DiscoveryResponse{
			VersionInfo: a.version, TypeUrl: t.url, Resources: a.anys(t.url),
		}}
	}
	return t.open(w), nil
}

// CreateDeltaWatch implements cache.ConfigWatcher.
func (c nodeCache) CreateDeltaWatch(r *cache.DeltaRequest, sub cache.Subscription, to chan cache.DeltaResponse) (func(), error) {
	n, err := c.s.lookup(r.GetNode().GetId())
	if err != nil {
		return nil, err
	}
	t := n.typ(r.GetTypeUrl())
	w := &watch{
		delta: true, opened: n.caughtUp, sub: sub, known: sub.ReturnedResources(),
		always: r.GetResponseNonce() == "" && sub.IsWildcard(), asked: asked(r),
	}
	w.send = func(a answer) {
		to <- &cache.DeltaPassthroughResponse{DeltaRequest: r, NextVersionMap: a.known, DeltaDiscoveryResponse: &discoverypb.DeltaDiscoveryResponse{
			SystemVersionInfo: a.version, TypeUrl: t.url, Resources: a.named(t.url), RemovedResources: a.removed,
		}}
	}
	return t.open(w), nil
}

// asked are the names that a delta request subscribes to anew: they are answered, whatever the client had.
// What it says it has, it need not get again.
func asked(r *cache.DeltaRequest) []string {
	var names []string
	for _, name := range r.GetResourceNamesSubscribe() {
		if _, has := r.GetInitialResourceVersions()[name]; !has && name != "*" {
			names = append(names, name)
		}
	}
	return names
}

// Fetch implements cache.ConfigFetcher.
func (nodeCache) Fetch(context.Context, *cache.Request) (cache.Response, error) {
	return nil, errors.New("REST is not supported")
}

// watch is a client that has all there is and waits for more.
type watch struct {
	delta bool
	sub   cache.Subscription
	// known is what the client has, by name and version; asked what it must hear of in any case.
	known map[string]string
	asked []string
	// always asks for an answer even if there is nothing to tell.
	always bool
	send   func(answer)
	// opened tells who waits for it that the client has taken what it was sent before.
	opened func()
}

func (w *watch) wants(name string) bool {
	_, ok := w.sub.SubscribedResources()[name]
	return ok || w.sub.IsWildcard()
}

// answer is what one response tells.
type answer struct {
	version string
	items   []*item
	removed []string
	// known is what the client has after it.
	known map[string]string
}

func (a answer) anys(url string) []*anypb.Any {
	all := make([]*anypb.Any, len(a.items))
	for i, it := range a.items {
		all[i] = &anypb.Any{TypeUrl: url, Value: it.body}
	}
	return all
}

func (a answer) named(url string) []*discoverypb.Resource {
	all := make([]*discoverypb.Resource, len(a.items))
	for i, it := range a.items {
		all[i] = &discoverypb.Resource{Name: it.name, Version: it.version(true), Resource: &anypb.Any{TypeUrl: url, Value: it.body}}
	}
	return all
}

// item is one resource in a cache. It is immutable.
type item struct {
	resource
	hash string
	// revision is the update that brought it, repeats how often it was to be sent again unchanged.
	revision, repeats int
}

// version is the resource's own in delta, of its content, so that it outlives a reconnect; over state of
// the world it is just the update that brought it.
func (it *item) version(delta bool) string {
	switch {
	case !delta:
		return strconv.Itoa(it.revision)
	case it.repeats > 0:
		return it.hash + "-" + strconv.Itoa(it.repeats)
	}
	return it.hash
}

// typeState is the cache of one type of one node.
type typeState struct {
	url, prefix string
	// full tells that a response over state of the world says all there is, so that absence removes.
	full bool
	// gate keeps back what happens to the type, if a fault says so.
	gate *gate
	// endpoints are, for clusters, where their endpoints are. Its locks are taken inside this one's.
	endpoints *typeState

	mu sync.Mutex
	// items are by name. Written by the publisher under mu.
	items map[string]*item
	// gone are endpoints that there were: over state of the world a client that still waits for them,
	// because it has not heard yet that their cluster is gone too, gets empty ones, as from istiod.
	gone     map[string]*item
	revision int
	watches  map[*watch]struct{}
}

// update changes resources, and answers who waits for that.
func (t *typeState) update(c change) {
	t.gate.pass(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.revision++
		for name, r := range c.put {
			sum := sha256.Sum256(r.body)
			t.items[name] = &item{resource: r, hash: hex.EncodeToString(sum[:8]), revision: t.revision}
			delete(t.gone, name)
		}
		for _, name := range c.remove {
			t.bury(name)
			delete(t.items, name)
		}
		t.answerAll()
	})
}

// bury keeps an empty resource in the place of endpoints that go. mu is held.
func (t *typeState) bury(name string) {
	if t.url != xds.EndpointURL {
		return
	}
	r, err := newResource(&endpointpb.ClusterLoadAssignment{ClusterName: name})
	if err == nil {
		t.gone[name] = &item{resource: r, revision: t.revision}
	}
}

// repeat sends resources again although they have not changed.
func (t *typeState) repeat(names []string) {
	t.gate.pass(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.revision++
		for _, name := range names {
			if old := t.items[name]; old != nil {
				t.items[name] = &item{resource: old.resource, hash: old.hash, revision: t.revision, repeats: old.repeats + 1}
			}
		}
		t.answerAll()
	})
}

// answerAll answers all watches for which there is something. mu is held.
func (t *typeState) answerAll() {
	for w := range t.watches {
		if t.answer(w) {
			delete(t.watches, w)
		}
	}
}

// open answers a watch, or keeps it until there is something to tell.
func (t *typeState) open(w *watch) (cancel func()) {
	gone := false
	try := func() (kept bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		// After its cancel nobody reads the watch's channel any more.
		if gone || t.answer(w) {
			return false
		}
		t.watches[w] = struct{}{}
		return true
	}
	t.gate.pass(func() {
		if try() {
			w.opened()
		}
	})
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		gone = true
		delete(t.watches, w)
	}
}

// answer sends a watch what it does not know yet, and tells whether there was something. mu is held.
func (t *typeState) answer(w *watch) bool {
	changed, removed := t.news(w)
	something := len(changed) > 0 || (w.delta || t.full) && len(removed) > 0
	if !something && !w.always {
		return false
	}
	a := answer{version: t.prefix + strconv.Itoa(t.revision), removed: removed, known: map[string]string{}}
	for name, v := range w.known {
		if w.wants(name) {
			a.known[name] = v
		}
	}
	for _, name := range removed {
		delete(a.known, name)
	}
	rewarmed := t.rewarmed(w, changed)
	if t.full && !w.delta {
		changed = changed[:0]
		for name := range t.items {
			if w.wants(name) {
				changed = append(changed, name)
			}
		}
	}
	slices.Sort(changed)
	for _, name := range changed {
		it := t.items[name]
		if it == nil {
			it = t.gone[name]
		}
		a.items = append(a.items, it)
		a.known[name] = it.version(w.delta)
	}
	w.send(a)
	if len(rewarmed) > 0 {
		t.endpoints.repeat(rewarmed)
	}
	return true
}

// rewarmed are the names of the endpoints of the clusters that a client has, and that now change: it warms
// them anew and needs their endpoints after that, but Envoy does not ask again for what it is subscribed
// to. mu is held.
func (t *typeState) rewarmed(w *watch, changed []string) []string {
	var names []string
	for _, name := range changed {
		_, had := w.known[name]
		if t.endpoints == nil || !had {
			continue
		}
		if c, ok := t.items[name].msg.(*clusterpb.Cluster); ok && c.GetType() == clusterpb.Cluster_EDS {
			names = append(names, edsName(c))
		}
	}
	return names
}

// news is what a watch does not know yet. mu is held.
func (t *typeState) news(w *watch) (changed, removed []string) {
	look := func(name string, must bool) {
		it := t.items[name]
		known, had := w.known[name]
		switch {
		case it != nil && (must || !had || known != it.version(w.delta)):
			changed = append(changed, name)
		case it == nil && !w.delta && t.gone[name] != nil:
			if !had {
				changed = append(changed, name)
			}
		case it == nil && (must || had):
			removed = append(removed, name)
		}
	}
	if w.sub.IsWildcard() {
		for name := range t.items {
			look(name, slices.Contains(w.asked, name))
		}
		for name := range w.known {
			if t.items[name] == nil {
				look(name, false)
			}
		}
		for _, name := range w.asked {
			if _, had := w.known[name]; !had && t.items[name] == nil {
				look(name, true)
			}
		}
		return changed, removed
	}
	must := map[string]bool{}
	for _, name := range w.asked {
		must[name] = true
	}
	for name := range w.sub.SubscribedResources() {
		look(name, must[name])
	}
	return changed, removed
}

// exists tells whether there is a resource of this name.
func (t *typeState) exists(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.items[name] != nil
}

// waiting counts the watches that have all there is of a name and wait for more.
func (t *typeState) waiting(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for w := range t.watches {
		if w.wants(name) {
			n++
		}
	}
	return n
}

// idle counts the watches that have all there is.
func (t *typeState) idle() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watches)
}

// names are the resources that there are.
func (t *typeState) names() map[string]*item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.items)
}

var _ cache.Cache = nodeCache{}
