package route

import (
	"encoding/binary"
	"errors"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/xds"
)

// ScopeKeyBuilder makes the key of the scope that a request belongs to. It is immutable.
type ScopeKeyBuilder struct{ fragments []scopeFragment }

// scopeFragment is a HeaderValueExtractor.
type scopeFragment struct {
	name      string // lower case
	separator string // between elements; "": the value is the only one
	index     int    // of the element, or:
	byKey     bool   // the first element called key counts, by what follows keyEnd
	key       string
	keyEnd    string
}

// CompileScopeKeyBuilder compiles a ScopeKeyBuilder.
func CompileScopeKeyBuilder(p *hcmpb.ScopedRoutes_ScopeKeyBuilder) (*ScopeKeyBuilder, error) {
	if err := p.Validate(); err != nil {
		return nil, constraint(err)
	}
	b := &ScopeKeyBuilder{}
	for _, f := range p.GetFragments() {
		x := f.GetHeaderValueExtractor()
		s := scopeFragment{name: lowerString(x.GetName()), separator: x.GetElementSeparator()}
		switch k := x.GetExtractType().(type) {
		case *hcmpb.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index:
			s.index = int(k.Index)
			if s.index > 0 && s.separator == "" {
				return nil, errors.New("Proto constraint validation failed (Index > 0 for empty string element separator.)")
			}
		case *hcmpb.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Element:
			s.byKey, s.key, s.keyEnd = true, k.Element.GetKey(), k.Element.GetSeparator()
		default:
			return nil, errors.New("Proto constraint validation failed (HeaderValueExtractor extract_type not set.)")
		}
		b.fragments = append(b.fragments, s)
	}
	return b, nil
}

// appendKey appends the key of a request; ok is false where it has none.
func (b *ScopeKeyBuilder) appendKey(dst []byte, h *header.Map) (_ []byte, ok bool) {
	for i := range b.fragments {
		f := &b.fragments[i]
		value, has := h.Get(f.name) // of a repeated header the first value counts
		if has {
			value, has = f.extract(value)
		}
		if !has {
			return dst, false
		}
		dst = appendFragment(dst, value)
	}
	return dst, true
}

func (f *scopeFragment) extract(value string) (string, bool) {
	for n := 0; ; n++ {
		element, rest, more := value, "", false
		if f.separator != "" {
			element, rest, more = strings.Cut(value, f.separator)
		}
		switch {
		case !f.byKey && n == f.index:
			return element, true
		case f.byKey:
			if key, v, _ := strings.Cut(element, f.keyEnd); key == f.key {
				return v, true
			}
		}
		if !more {
			return "", false
		}
		value = rest
	}
}

// appendFragment keeps ("a", "b") apart from ("ab", "").
func appendFragment(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Scope is a compiled ScopedRouteConfiguration: the routes of the requests with one key.
type Scope struct {
	Name string
	// RouteConfig names the routes' resource; Table is there instead where they came inline.
	RouteConfig string
	Table       *Table
	key         string
}

// CompileScope compiles a ScopedRouteConfiguration.
func CompileScope(p *routepb.ScopedRouteConfiguration, o Options) (*Scope, error) {
	if err := p.Validate(); err != nil {
		return nil, constraint(err)
	}
	if p.GetOnDemand() {
		return nil, unsupported("ScopedRouteConfiguration.on_demand")
	}
	s := &Scope{Name: p.GetName(), RouteConfig: p.GetRouteConfigurationName()}
	var key []byte
	for _, f := range p.GetKey().GetFragments() {
		key = appendFragment(key, f.GetStringKey())
	}
	s.key = string(key)
	if p.GetRouteConfiguration() == nil {
		return s, nil
	}
	if s.RouteConfig != "" {
		return nil, errors.New("Fetching routes via RDS (route_configuration_name) is not supported with inline scoped routes.")
	}
	var err error
	s.Table, err = Compile(p.GetRouteConfiguration(), o)
	return s, err
}

// ScopeType is SRDS. What a scope refers to is known to the connection manager, whose
// rds_config_source it is: that makes the references.
func ScopeType(o Options) xds.Type[*Scope] {
	return xds.Type[*Scope]{
		URL: xds.ScopedURL,
		Decode: func(a *anypb.Any) (string, *Scope, error) {
			p := &routepb.ScopedRouteConfiguration{}
			if err := a.UnmarshalTo(p); err != nil {
				return "", nil, err
			}
			s, err := CompileScope(p, o)
			return p.GetName(), s, err
		},
	}
}

// Scopes finds the Handle of a request's scope. It is immutable: an update of the scopes makes another.
type Scopes struct {
	builder *ScopeKeyBuilder
	byKey   map[string]*Handle
}

// NewScopes puts scopes together; of one key, or one name, the last scope counts. The routes of scopes
// that name theirs come from handles.
func NewScopes(b *ScopeKeyBuilder, scopes []*Scope, handles *Handles) *Scopes {
	last := map[string]int{}
	for i, s := range scopes {
		last[s.Name] = i
	}
	to := &Scopes{builder: b, byKey: map[string]*Handle{}}
	for i, s := range scopes {
		switch {
		case last[s.Name] != i:
		case s.Table != nil:
			to.byKey[s.key] = NewHandle(s.Table)
		default:
			to.byKey[s.key] = handles.Handle(s.RouteConfig)
		}
	}
	return to
}

// Load returns the Table for a request; nil if it belongs to no scope.
func (s *Scopes) Load(h *header.Map) *Table {
	var space [256]byte
	key, ok := s.builder.appendKey(space[:0], h)
	if !ok {
		return nil
	}
	handle := s.byKey[string(key)]
	if handle == nil {
		return nil
	}
	return handle.Load()
}
