package route

import (
	"sync/atomic"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// URL is the type URL of RouteConfiguration.
const URL = xds.RouteURL

// Type is RDS.
func Type(o Options) xds.Type[*Table] {
	return xds.Type[*Table]{
		URL: URL,
		Decode: func(a *anypb.Any) (string, *Table, error) {
			rc := &routepb.RouteConfiguration{}
			if err := a.UnmarshalTo(rc); err != nil {
				return "", nil, err
			}
			t, err := Compile(rc, o)
			return rc.GetName(), t, err
		},
	}
}

// Source is where the routes of a connection manager's rds come from: a Source and a Timeout of xds.Ref.
func Source(p *corepb.ConfigSource) (string, time.Duration, error) { return xds.Source(p) }

// Handle is the current Table of one name: who serves requests loads it once for each. It outlives
// updates.
type Handle struct{ table atomic.Pointer[Table] }

// NewHandle makes a Handle of a Table that comes with the connection manager's configuration.
func NewHandle(t *Table) *Handle {
	h := &Handle{}
	h.table.Store(t)
	return h
}

// Load returns the current Table; nil if there is none, or none yet.
func (h *Handle) Load() *Table { return h.table.Load() }

// Store puts another Table in place.
func (h *Handle) Store(t *Table) { h.table.Store(t) }

// Handles are the Handles of RDS by the name of the route configuration. The map is main only; the
// Handles that it gives out are anyone's.
type Handles struct {
	byName map[string]*Handle
	last   *xds.Snapshot // of the last Apply; nil: none yet
}

// NewHandles makes an empty set.
func NewHandles() *Handles { return &Handles{byName: map[string]*Handle{}} }

// Handle returns the Handle of a name, made if need be, with the Table of the last Apply. Main only.
func (s *Handles) Handle(name string) *Handle {
	h := s.byName[name]
	if h == nil {
		h = &Handle{}
		s.byName[name] = h
		if s.last != nil {
			table, _ := Type(Options{}).Get(s.last, name)
			h.Store(table)
		}
	}
	return h
}

// Apply makes every Handle point to what the snapshot has under its name. Main only.
func (s *Handles) Apply(snapshot *xds.Snapshot) {
	t := Type(Options{})
	s.last = snapshot
	for name, h := range s.byName {
		table, _ := t.Get(snapshot, name)
		if h.Load() != table {
			h.Store(table)
		}
	}
}

// Forget drops the Handles that in tells are not in use any more. Main only.
func (s *Handles) Forget(inUse func(name string) bool) {
	for name := range s.byName {
		if !inUse(name) {
			delete(s.byName, name)
		}
	}
}
