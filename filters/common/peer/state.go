package peer

import (
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// The names under which filter state has peers. Istio keeps each in two forms, which are one here.
const (
	DownstreamKey       = "downstream_peer"
	UpstreamKey         = "upstream_peer"
	DownstreamObjectKey = "downstream_peer_obj"
	UpstreamObjectKey   = "upstream_peer_obj"
	// NotFoundKey tells that there is no peer to wait for.
	NotFoundKey = "peer_not_found"
)

// Slot is where a peer will be once its preamble has been read, on whatever goroutine that happens.
type Slot struct {
	peer atomic.Pointer[Peer]
	done atomic.Bool
	late func() *Peer // nil: none; the connection's goroutine calls it
}

// Late is a Slot whose peer is looked for when it is asked for, by the connection's goroutine.
func Late(find func() *Peer) *Slot { return &Slot{late: find} }

// Set fills the slot; nil is that there is no peer.
func (s *Slot) Set(p *Peer) {
	if p != nil {
		s.peer.Store(p)
	}
	s.done.Store(true)
}

// Peer is the one in the slot, or nil.
func (s *Slot) Peer() *Peer {
	if s.late != nil && s.peer.Load() == nil {
		if p := s.late(); p != nil {
			s.peer.Store(p)
		}
	}
	return s.peer.Load()
}

// Put makes the peer in v, a Peer or a Slot, known under the names for downstream or upstream.
func Put(to *streaminfo.FilterState, downstream bool, v any, shared streaminfo.Sharing) {
	key, object := UpstreamKey, UpstreamObjectKey
	if downstream {
		key, object = DownstreamKey, DownstreamObjectKey
	}
	if to.Get(key) != nil {
		return // the first is kept
	}
	to.Set(streaminfo.StateObject{Name: key, Value: v, Shared: shared})
	to.Set(streaminfo.StateObject{Name: object, Value: v, Shared: shared})
}

// PutNotFound makes known that there is no peer.
func PutNotFound(to *streaminfo.FilterState) {
	to.Set(streaminfo.StateObject{Name: NotFoundKey, Value: notFound{}})
}

type notFound struct{}

// FilterStateString is a boolean's.
func (notFound) FilterStateString() string { return "1" }

// Of is the peer that an object of filter state holds; known tells that it is final, even if there is
// none.
func Of(v any) (p *Peer, known bool) {
	switch v := v.(type) {
	case *Peer:
		return v, true
	case *Slot:
		p = v.Peer()
		return p, p != nil || v.done.Load()
	}
	return nil, false
}

// Find is the peer of a stream, downstream or upstream, in its filter state or its connection's. known
// tells that there is no use in asking again.
func Find(i *streaminfo.Info, downstream bool) (p *Peer, known bool) {
	if p, known = FindIn(&i.FilterState, downstream); known || i.Conn == nil {
		return p, known
	}
	return FindIn(&i.Conn.FilterState, downstream)
}

// FindIn is Find in one filter state.
func FindIn(s *streaminfo.FilterState, downstream bool) (p *Peer, known bool) {
	object := UpstreamObjectKey
	if downstream {
		object = DownstreamObjectKey
	}
	if p, known = Of(s.Get(object)); known {
		return p, true
	}
	return nil, s.Get(NotFoundKey) != nil
}

// State is the peer as CEL and %FILTER_STATE(upstream_peer)% see it. It is shared: read only.
func (p *Peer) State() *structpb.Struct {
	if s := p.state.Load(); s != nil {
		return s
	}
	s := fields("type", string(p.Type), "workload", p.Workload, "cluster", p.Cluster, "namespace", p.Namespace, "service", p.Canonical, "revision", p.Revision,
		"app", p.App, "version", p.Version, "identity", p.Identity, "region", p.Region, "availability_zone", p.Zone)
	if p.Cluster != "" { // as Istio has it
		s.Fields["name"] = structpb.NewStringValue(p.Instance)
	}
	if len(p.Labels) > 0 {
		labels := fields()
		for _, l := range p.Labels {
			labels.Fields[l.Name] = structpb.NewStringValue(l.Value)
		}
		s.Fields["labels"] = structpb.NewStructValue(labels)
	}
	p.state.Store(s) // who comes second replaces it by the same
	return s
}

// FilterStateJSON is State.
func (p *Peer) FilterStateJSON() any { return p.State() }

// FilterStateString lists what is known: "type=deployment,workload=W,…".
func (p *Peer) FilterStateString() string {
	var b strings.Builder
	put := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	for _, f := range [...]struct{ name, value string }{
		{"type", string(p.Type)}, {"workload", p.Workload}, {"name", p.Instance}, {"cluster", p.Cluster}, {"namespace", p.Namespace}, {"service", p.Canonical},
		{"revision", p.Revision}, {"app", p.App}, {"version", p.Version}, {"region", p.Region}, {"availability_zone", p.Zone},
	} {
		put(f.name, f.value)
	}
	for _, l := range p.Labels {
		put("labels[]"+l.Name, l.Value)
	}
	return b.String()
}

// FilterStateHash tells peers apart where they are shared with upstream connections.
func (p *Peer) FilterStateHash() string { return p.FilterStateString() }

// FilterStateField is one thing that is known, as %FILTER_STATE(upstream_peer_obj:FIELD:workload)% prints it.
func (p *Peer) FilterStateField(name string) (string, bool) {
	switch name {
	case "namespace":
		return p.Namespace, true
	case "cluster":
		return p.Cluster, true
	case "service":
		return p.Canonical, true
	case "revision":
		return p.Revision, true
	case "app":
		return p.App, true
	case "version":
		return p.Version, true
	case "workload":
		return p.Workload, true
	case "type":
		return or(string(p.Type), "unknown"), true
	case "name":
		return p.Instance, true
	case "region":
		return p.Region, true
	case "availability_zone":
		return p.Zone, true
	}
	return "", false
}

// FilterStateJSON is that of the peer in the slot, or nothing.
func (s *Slot) FilterStateJSON() any {
	if p := s.Peer(); p != nil {
		return p.State()
	}
	return nil
}

// FilterStateString is that of the peer in the slot.
func (s *Slot) FilterStateString() string {
	if p := s.Peer(); p != nil {
		return p.FilterStateString()
	}
	return ""
}

// FilterStateField is that of the peer in the slot.
func (s *Slot) FilterStateField(name string) (string, bool) {
	if p := s.Peer(); p != nil {
		return p.FilterStateField(name)
	}
	return "", false
}

var (
	_ streaminfo.JSONer     = (*Peer)(nil)
	_ streaminfo.Serializer = (*Peer)(nil)
	_ streaminfo.Fielder    = (*Peer)(nil)
	_ streaminfo.Hasher     = (*Peer)(nil)
	_ streaminfo.JSONer     = (*Slot)(nil)
	_ streaminfo.Serializer = (*Slot)(nil)
	_ streaminfo.Fielder    = (*Slot)(nil)
)
