package matcher

import (
	"errors"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

type valueKind uint8

const (
	valueNull valueKind = iota
	valueDouble
	valueString
	valueBool
	valuePresent
	valueList
	valueOr
)

// Value is a compiled ValueMatcher.
type Value struct {
	kind       valueKind
	want       bool // of valueBool and valuePresent
	exact      bool // of valueDouble: start is the number
	start, end float64
	text       String
	sub        []Value // of valueOr, and the one of valueList
}

// CompileValue compiles a ValueMatcher.
func CompileValue(p *matcherpb.ValueMatcher, o Options) (Value, error) {
	var m Value
	var err error
	switch k := p.GetMatchPattern().(type) {
	case *matcherpb.ValueMatcher_NullMatch_:
		m.kind = valueNull
	case *matcherpb.ValueMatcher_DoubleMatch:
		m.kind = valueDouble
		err = m.setDouble(k.DoubleMatch)
	case *matcherpb.ValueMatcher_StringMatch:
		m.kind = valueString
		m.text, err = CompileString(k.StringMatch, o)
	case *matcherpb.ValueMatcher_BoolMatch:
		m.kind, m.want = valueBool, k.BoolMatch
	case *matcherpb.ValueMatcher_PresentMatch:
		m.kind, m.want = valuePresent, k.PresentMatch
	case *matcherpb.ValueMatcher_ListMatch:
		m.kind = valueList
		if k.ListMatch.GetOneOf() == nil {
			return m, errors.New("ListMatcher: match_pattern is required")
		}
		m.sub, err = compileValues([]*matcherpb.ValueMatcher{k.ListMatch.GetOneOf()}, o)
	case *matcherpb.ValueMatcher_OrMatch:
		m.kind = valueOr
		m.sub, err = compileValues(k.OrMatch.GetValueMatchers(), o)
	default:
		err = errors.New("ValueMatcher: match_pattern is required")
	}
	return m, err
}

func compileValues(ps []*matcherpb.ValueMatcher, o Options) ([]Value, error) {
	ms := make([]Value, len(ps))
	for i, p := range ps {
		var err error
		if ms[i], err = CompileValue(p, o); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

func (m *Value) setDouble(p *matcherpb.DoubleMatcher) error {
	switch k := p.GetMatchPattern().(type) {
	case *matcherpb.DoubleMatcher_Range:
		m.start, m.end = k.Range.GetStart(), k.Range.GetEnd()
	case *matcherpb.DoubleMatcher_Exact:
		m.exact, m.start = true, k.Exact
	default:
		return errors.New("DoubleMatcher: match_pattern is required")
	}
	return nil
}

// Match tells whether v, which is nil where there is none, matches.
func (m *Value) Match(v *structpb.Value) bool {
	switch m.kind {
	case valueNull:
		_, ok := v.GetKind().(*structpb.Value_NullValue)
		return ok
	case valueDouble:
		k, ok := v.GetKind().(*structpb.Value_NumberValue)
		if !ok || m.exact {
			return ok && k.NumberValue == m.start
		}
		return m.start <= k.NumberValue && k.NumberValue < m.end
	case valueString:
		k, ok := v.GetKind().(*structpb.Value_StringValue)
		return ok && m.text.Match(k.StringValue)
	case valueBool:
		k, ok := v.GetKind().(*structpb.Value_BoolValue)
		return ok && k.BoolValue == m.want
	case valuePresent:
		return m.want && v.GetKind() != nil // present_match: false never matches in Envoy
	case valueList:
		for _, e := range v.GetListValue().GetValues() {
			if m.sub[0].Match(e) {
				return true
			}
		}
		return false
	default:
		for i := range m.sub {
			if m.sub[i].Match(v) {
				return true
			}
		}
		return false
	}
}

// Metadata is a compiled MetadataMatcher.
type Metadata struct {
	filter string
	path   []string
	value  Value
	invert bool
}

// CompileMetadata compiles a MetadataMatcher.
func CompileMetadata(p *matcherpb.MetadataMatcher, o Options) (Metadata, error) {
	m := Metadata{filter: p.GetFilter(), invert: p.GetInvert()}
	switch {
	case m.filter == "":
		return m, errors.New("MetadataMatcher.filter: value length must be at least 1 characters")
	case len(p.GetPath()) == 0:
		return m, errors.New("MetadataMatcher.path: value must contain at least 1 item(s)")
	case p.GetValue() == nil:
		return m, errors.New("MetadataMatcher.value: value is required")
	}
	for _, s := range p.GetPath() {
		m.path = append(m.path, s.GetKey())
	}
	var err error
	m.value, err = CompileValue(p.GetValue(), o)
	return m, err
}

// Match tells whether md matches.
func (m *Metadata) Match(md streaminfo.Metadata) bool {
	return m.value.Match(MetadataValue(md, m.filter, m.path)) != m.invert
}

// Filter is the namespace that is looked in.
func (m *Metadata) Filter() string { return m.filter }

// MetadataValue follows a path through a namespace of md; nil if it leads nowhere.
func MetadataValue(md streaminfo.Metadata, filter string, path []string) *structpb.Value {
	s := md[filter]
	if s == nil || len(path) == 0 {
		return nil
	}
	v := s.GetFields()[path[0]]
	for _, key := range path[1:] {
		v = v.GetStructValue().GetFields()[key]
	}
	return v
}

// CompileStruct compiles a StructMatcher; its Match takes the Struct itself.
func CompileStruct(p *matcherpb.StructMatcher, o Options) (Struct, error) {
	var m Struct
	for _, s := range p.GetPath() {
		m.path = append(m.path, s.GetKey())
	}
	if len(m.path) == 0 || p.GetValue() == nil {
		return m, errors.New("StructMatcher: path and value are required")
	}
	var err error
	m.value, err = CompileValue(p.GetValue(), o)
	return m, err
}

// Struct is a compiled StructMatcher.
type Struct struct {
	path  []string
	value Value
}

// Match tells whether s matches.
func (m *Struct) Match(s *structpb.Struct) bool {
	v := s.GetFields()[m.path[0]]
	for _, key := range m.path[1:] {
		v = v.GetStructValue().GetFields()[key]
	}
	return m.value.Match(v)
}
