package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/peer"

	"github.com/pillion-proxy/pillion/xds"
)

// tracker follows all streams: it is go-control-plane's callbacks.
type tracker struct {
	s *Server

	mu sync.Mutex
	// streams are by kind and number. Guarded by mu, as changed, which is closed at each change.
	streams map[streamID]*stream
	changed chan struct{}
}

type streamID struct {
	delta  bool
	number int64
}

// stream is one stream of a client.
type stream struct {
	client Client
	node   *nodeState
	types  map[string]*typeTrack
	broken *breakable
}

// typeTrack is one type on one stream.
type typeTrack struct {
	status     TypeStatus
	subscribed map[string]bool
	// nonce is of a response that is not answered yet.
	nonce string
}

func newTracker(s *Server) *tracker {
	return &tracker{s: s, streams: map[streamID]*stream{}, changed: make(chan struct{})}
}

// note publishes a change. mu is held.
func (t *tracker) note() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *tracker) changedNow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note()
}

func (t *tracker) changes() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *tracker) open(ctx context.Context, id streamID, typeURL string) error {
	st := &stream{types: map[string]*typeTrack{}, broken: breakableOf(ctx)}
	st.client = Client{Delta: id.delta, Connected: time.Now(), Service: typeURL}
	if p, ok := peer.FromContext(ctx); ok {
		st.client.Address = p.Addr.String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams[id] = st
	t.note()
	return nil
}

func (t *tracker) close(id streamID) {
	t.mu.Lock()
	st := t.streams[id]
	delete(t.streams, id)
	t.note()
	t.mu.Unlock()
	if st == nil || st.node == nil {
		return
	}
	t.s.leave(st.node)
	t.s.tell(Event{Kind: Disconnected, Node: st.client.Node})
}

// request is what the two kinds of requests have in common.
type request struct {
	node                   *corepb.Node
	typeURL, nonce         string
	subscribe, unsubscribe []string
	// replace tells that subscribe is all there is, not an addition.
	replace bool
	failed  *statuspb.Status
}

// OnStreamRequest implements sotw.Callbacks.
func (t *tracker) OnStreamRequest(n int64, r *discoverypb.DiscoveryRequest) error {
	return t.request(streamID{number: n}, request{
		node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		subscribe: r.GetResourceNames(), replace: true, failed: r.GetErrorDetail(),
	})
}

// OnStreamDeltaRequest implements delta.Callbacks.
func (t *tracker) OnStreamDeltaRequest(n int64, r *discoverypb.DeltaDiscoveryRequest) error {
	return t.request(streamID{true, n}, request{
		node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		subscribe: r.GetResourceNamesSubscribe(), unsubscribe: r.GetResourceNamesUnsubscribe(), failed: r.GetErrorDetail(),
	})
}

func (t *tracker) request(id streamID, r request) error {
	t.mu.Lock()
	st := t.streams[id]
	if st == nil {
		t.mu.Unlock()
		return errors.New("request on an unknown stream")
	}
	isNew := st.node == nil
	t.mu.Unlock()
	if isNew {
		node := t.s.join(r.node)
		t.mu.Lock()
		st.node = node
		st.client.Node, st.client.Cluster = r.node.GetId(), r.node.GetCluster()
		st.client.UserAgent = userAgent(r.node)
		t.mu.Unlock()
		t.s.tell(Event{Kind: Connected, Node: r.node.GetId()})
	}
	t.mu.Lock()
	event := st.take(r)
	t.note()
	t.mu.Unlock()
	if event != nil {
		t.s.tell(*event)
	}
	return nil
}

func userAgent(n *corepb.Node) string {
	version := n.GetUserAgentVersion()
	if v := n.GetUserAgentBuildVersion().GetVersion(); v != nil {
		version = fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	return strings.TrimSpace(n.GetUserAgentName() + " " + version)
}

// take notes a request: what it subscribes to, and what it says of the last response.
func (st *stream) take(r request) *Event {
	url := r.typeURL
	if url == "" {
		url = st.client.Service
	}
	t := st.types[url]
	if t == nil {
		t = &typeTrack{subscribed: map[string]bool{}}
		t.status.Wildcard = len(r.subscribe) == 0
		st.types[url] = t
	}
	t.subscribe(r)
	if r.nonce == "" || r.nonce != t.nonce {
		return nil
	}
	// Only the first request after a response answers it; the others change the subscription.
	t.nonce = ""
	event := &Event{Kind: Acked, Node: st.client.Node, TypeURL: url, Version: t.status.Sent}
	if r.failed != nil {
		event.Kind, event.Reason = Nacked, strings.TrimSpace(r.failed.GetMessage())
		t.status.Nacks++
		t.status.Nack = &Nack{Version: t.status.Sent, Reason: event.Reason, At: time.Now()}
		return event
	}
	t.status.Acked, t.status.Nack = t.status.Sent, nil
	return event
}

func (t *typeTrack) subscribe(r request) {
	if r.replace {
		if len(r.subscribe) > 0 {
			clear(t.subscribed)
			t.status.Wildcard = slices.Contains(r.subscribe, "*")
		}
	}
	for _, name := range r.subscribe {
		if name == "*" {
			t.status.Wildcard = true
			continue
		}
		t.subscribed[name] = true
	}
	for _, name := range r.unsubscribe {
		if name == "*" {
			t.status.Wildcard = false
		}
		delete(t.subscribed, name)
	}
}

// response notes a response that is about to be sent.
func (t *tracker) response(id streamID, typeURL, version, nonce string) {
	t.mu.Lock()
	st := t.streams[id]
	if st == nil || st.types[typeURL] == nil {
		t.mu.Unlock()
		return
	}
	track := st.types[typeURL]
	track.status.Sent, track.nonce = version, nonce
	track.status.Responses++
	t.note()
	t.mu.Unlock()
	t.s.tell(Event{Kind: Sent, Node: st.client.Node, TypeURL: typeURL, Version: version})
}

// clients copies what is known of all streams.
func (t *tracker) clients() []Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Client, 0, len(t.streams))
	for _, st := range t.streams {
		if st.node == nil {
			continue
		}
		c := st.client
		c.Types = map[string]TypeStatus{}
		for url, track := range st.types {
			status := track.status
			status.Subscribed = slices.Sorted(maps.Keys(track.subscribed))
			state := st.node.typ(url)
			for _, name := range status.Subscribed {
				if !state.exists(name) {
					status.Missing = append(status.Missing, name)
				}
			}
			c.Types[url] = status
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Client) int { return a.Connected.Compare(b.Connected) })
	return all
}

// drop breaks streams.
func (t *tracker) drop(match func(Client) bool) int {
	all := t.clients()
	t.mu.Lock()
	defer t.mu.Unlock()
	dropped := 0
	for _, st := range t.streams {
		i := slices.IndexFunc(all, func(c Client) bool { return c.Address == st.client.Address && c.Connected.Equal(st.client.Connected) })
		if i >= 0 && (match == nil || match(all[i])) && st.broken != nil {
			st.broken.drop()
			dropped++
		}
	}
	return dropped
}

// settled tells whether each of the node's streams has taken all of some changes: it waits for news of
// every name that it asks for. A new cluster's endpoints must have been asked for as well.
func (n *nodeState) settled(changes []change) bool {
	needed := map[string]map[string]bool{}
	for _, c := range changes {
		for name, r := range c.put {
			add(needed, c.typ.url, name)
			if cluster, ok := r.msg.(*clusterpb.Cluster); ok && cluster.GetType() == clusterpb.Cluster_EDS {
				add(needed, xds.EndpointURL+" must", edsName(cluster))
			}
		}
		for _, name := range c.remove {
			add(needed, c.typ.url, name)
		}
	}
	n.s.tracker.mu.Lock()
	defer n.s.tracker.mu.Unlock()
	for key, names := range needed {
		url, must := strings.CutSuffix(key, " must")
		t := n.typ(url)
		for name := range names {
			waiting := t.waiting(name)
			for _, st := range n.s.tracker.streams {
				if st.node == n && (st.wants(url, name) || must && st.takesClusters()) {
					waiting--
				}
			}
			if waiting < 0 {
				return false
			}
		}
	}
	return true
}

// takesClusters tells whether a stream will ask for the endpoints of a new cluster: over ADS, if it did not
// reject it.
func (st *stream) takesClusters() bool {
	t := st.types[xds.ClusterURL]
	return st.client.Service == "" && t != nil && t.status.Nack == nil
}

// wants tells whether a stream asks for a resource.
func (st *stream) wants(url, name string) bool {
	t := st.types[url]
	return t != nil && (t.status.Wildcard || t.subscribed[name])
}

// current tells whether all streams of a node have accepted all that there is of some types, of all types
// that they ask for if none is given, and nothing more is on its way.
func (t *tracker) current(n *nodeState, urls []string) bool {
	if n.isBusy() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	streams := map[string]int{}
	for _, st := range t.streams {
		if st.node != n {
			continue
		}
		for url, track := range st.types {
			if len(urls) > 0 && !slices.Contains(urls, url) {
				continue
			}
			if track.nonce != "" || track.status.Nack != nil {
				return false
			}
			streams[url]++
		}
	}
	for _, url := range urls {
		if streams[url] == 0 {
			return false
		}
	}
	for url, k := range streams {
		if n.typ(url).idle() < k {
			return false
		}
	}
	return len(streams) > 0
}

func add(to map[string]map[string]bool, url, name string) {
	if to[url] == nil {
		to[url] = map[string]bool{}
	}
	to[url][name] = true
}
