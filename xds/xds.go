// Package xds turns a control plane's streams, files and the bootstrap into Snapshots: for every type
// of resource the accepted ones by name, immutable, each with what it refers to. It knows no data
// plane: a Type brings the function that compiles its resource.
package xds

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
)

// The type URLs of the resources that are subscribed to.
const (
	ListenerURL  = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteURL     = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterURL   = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointURL  = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretURL    = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ExtensionURL = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
	ScopedURL    = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
	VHostURL     = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	RuntimeURL   = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
)

// Type is one type of resource, compiled to a T.
type Type[T any] struct {
	// URL is the type URL, verbatim.
	URL string
	// Decode validates and compiles one resource. It is pure: it makes no goroutine, socket or stat. Its
	// error is the NACK's text for this resource.
	Decode func(*anypb.Any) (name string, value T, err error)
	// Check, if not nil, is asked of a decoded resource before it is accepted, with the snapshot that it
	// would replace: for what only the running proxy knows (an address in use).
	Check func(current *Snapshot, name string, value T) error
	// AllRequiredInSotW tells that a state-of-the-world response names all resources there are, so that
	// absence removes (LDS, CDS).
	AllRequiredInSotW bool
	// Refs lists what value needs before it may serve; nil: nothing.
	Refs func(value T) []Ref
}

// Ref names a resource that another one needs. It is comparable.
type Ref struct {
	TypeURL, Name string
	// Source says whose stream: "" is ADS; "path:FILE" a watched file; "grpc:CLUSTER" or "delta:CLUSTER"
	// a gRPC service of its own on that cluster.
	Source string
	// Timeout is initial_fetch_timeout: after it the resource that needs this one goes without. 0 waits
	// for ever. It is 15 s where the config source does not say.
	Timeout time.Duration
}

// Resource is one accepted resource. It is immutable.
type Resource struct {
	Name, Version string
	// Any is the resource exactly as it was received, for /config_dump.
	Any   *anypb.Any
	Value any
	Refs  []Ref
	// Updated is when this version was accepted.
	Updated time.Time
	// Static tells that it came with the bootstrap.
	Static bool
	// Source is whose stream it came by; see Ref.
	Source string
}

// Failure is what became of the last version of a resource that was not accepted.
type Failure struct {
	Name, Version, Details string
	Any                    *anypb.Any
	At                     time.Time
}

// Decoder is a Type without its type parameter, for who moves resources about.
type Decoder struct {
	URL               string
	AllRequiredInSotW bool
	Decode            func(*anypb.Any) (name string, value any, refs []Ref, err error)
	Check             func(current *Snapshot, name string, value any) error
}

// Decoder erases t's type parameter.
func (t Type[T]) Decoder() Decoder {
	d := Decoder{URL: t.URL, AllRequiredInSotW: t.AllRequiredInSotW}
	d.Decode = func(a *anypb.Any) (string, any, []Ref, error) {
		name, v, err := t.Decode(a)
		if err != nil {
			return name, nil, nil, err
		}
		if t.Refs == nil {
			return name, v, nil, nil
		}
		return name, v, t.Refs(v), nil
	}
	if t.Check != nil {
		d.Check = func(s *Snapshot, name string, v any) error { return t.Check(s, name, v.(T)) }
	}
	return d
}

// Get returns the accepted resource called name, warm or not.
func (t Type[T]) Get(s *Snapshot, name string) (T, bool) {
	r := s.Resource(t.URL, name)
	if r == nil {
		var none T
		return none, false
	}
	v, ok := r.Value.(T)
	if !ok {
		panic(fmt.Sprintf("xds: resource %q of %s holds a %T", name, t.URL, r.Value))
	}
	return v, true
}
