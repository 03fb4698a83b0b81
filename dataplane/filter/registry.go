package filter

import (
	"fmt"
	"strings"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	xdspb "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/route"
)

// Config is a parsed configuration: a pure, immutable value.
type Config interface{}

// HTTPConfig is a parsed HTTP filter configuration; Build gives it life.
type HTTPConfig interface {
	Build(c *Context) (HTTPFactory, error)
}

// NetworkConfig is a parsed network filter configuration; Build gives it life.
type NetworkConfig interface {
	Build(c *Context) (NetworkFactory, error)
}

// ListenerConfig is a parsed listener filter configuration; Build gives it life.
type ListenerConfig interface {
	Build(c *Context) (ListenerFactory, error)
}

// Needy is a configuration that needs resources before it may serve.
type Needy interface{ Needs() []Need }

// Need names a resource that a filter needs: an RDS route configuration, a secret, an extension
// configuration. Source and Timeout are as in xds.Ref.
type Need struct {
	TypeURL, Name, Source string
	Timeout               int64 // nanoseconds; 0: wait for ever
}

// Parsers is what a parse function may call for configurations inside of its own.
type Parsers interface {
	// HTTP parses an HTTP filter; terminal tells that it must be the last one.
	HTTP(name string, any *anypb.Any) (c HTTPConfig, terminal bool, err error)
	// PerRoute parses a typed_per_filter_config of the HTTP filter called name.
	PerRoute(name string, any *anypb.Any) (Config, error)
	// Network parses a network filter.
	Network(name string, any *anypb.Any) (c NetworkConfig, terminal bool, err error)
	// Routes are what a route configuration is compiled with; inline tells that it stands in a filter's
	// configuration.
	Routes(inline bool) route.Options
	// Logs are what access logs, matchers and formats are compiled with.
	Logs() accesslog.Options
}

// HTTPExtension is one HTTP filter.
type HTTPExtension struct {
	Name     string
	types    []string
	parse    func(any *anypb.Any, p Parsers) (HTTPConfig, error)
	routes   map[string]func(any *anypb.Any, p Parsers) (Config, error)
	terminal bool
}

// NetworkExtension is one network filter.
type NetworkExtension struct {
	Name     string
	types    []string
	parse    func(any *anypb.Any, p Parsers) (NetworkConfig, error)
	terminal bool
}

// ListenerExtension is one listener filter.
type ListenerExtension struct {
	Name  string
	types []string
	parse func(any *anypb.Any) (ListenerConfig, error)
}

// validator is what protoc-gen-validate gives every message; it does not look inside an Any.
type validator interface{ Validate() error }

// NewHTTP declares an HTTP filter whose configuration is a P.
func NewHTTP[P proto.Message](name string, parse func(P, Parsers) (HTTPConfig, error)) HTTPExtension {
	return HTTPExtension{Name: name, types: []string{typeName[P]()}, parse: func(a *anypb.Any, p Parsers) (HTTPConfig, error) {
		m, err := Unpack[P](a)
		if err != nil {
			return nil, err
		}
		return parse(m, p)
	}}
}

// PerRoute declares that P is a per-route configuration of e.
func PerRoute[P proto.Message](e HTTPExtension, parse func(P, Parsers) (Config, error)) HTTPExtension {
	routes := map[string]func(*anypb.Any, Parsers) (Config, error){}
	for k, v := range e.routes {
		routes[k] = v
	}
	routes[typeName[P]()] = func(a *anypb.Any, p Parsers) (Config, error) {
		m, err := Unpack[P](a)
		if err != nil {
			return nil, err
		}
		return parse(m, p)
	}
	e.routes = routes
	return e
}

// NewHTTPStruct declares an HTTP filter whose configuration has no Go type: Istio sends it as a
// TypedStruct of this type.
func NewHTTPStruct(name, fullName string, parse func(*structpb.Struct, Parsers) (HTTPConfig, error)) HTTPExtension {
	return HTTPExtension{Name: name, types: []string{fullName}, parse: func(a *anypb.Any, p Parsers) (HTTPConfig, error) {
		s, err := UnpackStruct(a)
		if err != nil {
			return nil, err
		}
		return parse(s, p)
	}}
}

// NewTerminalHTTP is NewHTTP for the last filter of a chain.
func NewTerminalHTTP[P proto.Message](name string, parse func(P, Parsers) (HTTPConfig, error)) HTTPExtension {
	e := NewHTTP(name, parse)
	e.terminal = true
	return e
}

// NewNetwork declares a network filter whose configuration is a P.
func NewNetwork[P proto.Message](name string, parse func(P, Parsers) (NetworkConfig, error)) NetworkExtension {
	return NetworkExtension{Name: name, types: []string{typeName[P]()}, parse: func(a *anypb.Any, p Parsers) (NetworkConfig, error) {
		m, err := Unpack[P](a)
		if err != nil {
			return nil, err
		}
		return parse(m, p)
	}}
}

// NewTerminalNetwork is NewNetwork for the last filter of a chain.
func NewTerminalNetwork[P proto.Message](name string, parse func(P, Parsers) (NetworkConfig, error)) NetworkExtension {
	e := NewNetwork(name, parse)
	e.terminal = true
	return e
}

// NewNetworkStruct is NewNetwork for a configuration without a Go type.
func NewNetworkStruct(name, fullName string, parse func(*structpb.Struct, Parsers) (NetworkConfig, error)) NetworkExtension {
	return NetworkExtension{Name: name, types: []string{fullName}, parse: func(a *anypb.Any, p Parsers) (NetworkConfig, error) {
		s, err := UnpackStruct(a)
		if err != nil {
			return nil, err
		}
		return parse(s, p)
	}}
}

// NewListener declares a listener filter whose configuration is a P.
func NewListener[P proto.Message](name string, parse func(P) (ListenerConfig, error)) ListenerExtension {
	return ListenerExtension{Name: name, types: []string{typeName[P]()}, parse: func(a *anypb.Any) (ListenerConfig, error) {
		m, err := Unpack[P](a)
		if err != nil {
			return nil, err
		}
		return parse(m)
	}}
}

func typeName[P proto.Message]() string {
	var p P
	return string(p.ProtoReflect().Descriptor().FullName())
}

// Unpack returns the P in a, validated. A TypedStruct of P's type is taken for one.
func Unpack[P proto.Message](a *anypb.Any) (P, error) {
	var none P
	m := none.ProtoReflect().New().Interface().(P)
	if err := UnpackTo(a, m); err != nil {
		return none, err
	}
	return m, nil
}

// UnpackTo fills m from a, and validates it.
func UnpackTo(a *anypb.Any, m proto.Message) error {
	if _, s, ok := typedStruct(a); ok {
		b, err := protojson.Marshal(s)
		if err != nil {
			return err
		}
		if err := protojson.Unmarshal(b, m); err != nil {
			return fmt.Errorf("unable to parse TypedStruct as %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
	} else if a != nil {
		if err := a.UnmarshalTo(m); err != nil {
			return fmt.Errorf("unable to unpack as %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	if v, ok := m.(validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("proto constraint validation failed (%w)", err)
		}
	}
	return nil
}

// UnpackStruct returns the Struct of a TypedStruct, or of a Struct.
func UnpackStruct(a *anypb.Any) (*structpb.Struct, error) {
	if _, s, ok := typedStruct(a); ok {
		return s, nil
	}
	s := &structpb.Struct{}
	if len(a.GetValue()) == 0 {
		return s, nil
	}
	if err := a.UnmarshalTo(s); err != nil {
		return nil, fmt.Errorf("configuration is no TypedStruct: %w", err)
	}
	return s, nil
}

func typedStruct(a *anypb.Any) (typeURL string, s *structpb.Struct, ok bool) {
	switch {
	case a.MessageIs((*udpapb.TypedStruct)(nil)):
		t := &udpapb.TypedStruct{}
		if a.UnmarshalTo(t) != nil {
			return "", nil, false
		}
		return t.GetTypeUrl(), orEmpty(t.GetValue()), true
	case a.MessageIs((*xdspb.TypedStruct)(nil)):
		t := &xdspb.TypedStruct{}
		if a.UnmarshalTo(t) != nil {
			return "", nil, false
		}
		return t.GetTypeUrl(), orEmpty(t.GetValue()), true
	}
	return "", nil, false
}

func orEmpty(s *structpb.Struct) *structpb.Struct {
	if s == nil {
		return &structpb.Struct{}
	}
	return s
}

// ConfigType is the full name of the type that a configures: for a TypedStruct the one inside.
func ConfigType(a *anypb.Any) string {
	if a == nil {
		return ""
	}
	url := a.GetTypeUrl()
	if inner, _, ok := typedStruct(a); ok {
		url = inner
	}
	return url[strings.LastIndexByte(url, '/')+1:]
}
