package filter

import "google.golang.org/protobuf/types/known/anypb"

// NewHTTPAny declares an HTTP filter whose configuration has no Go type: parse gets it as it came, a
// TypedStruct (see UnpackStruct) or the message itself; nil is none.
func NewHTTPAny(name, fullName string, parse func(*anypb.Any, Parsers) (HTTPConfig, error)) HTTPExtension {
	return HTTPExtension{Name: name, types: []string{fullName}, parse: parse}
}

// NewNetworkAny is NewHTTPAny for a network filter.
func NewNetworkAny(name, fullName string, parse func(*anypb.Any, Parsers) (NetworkConfig, error)) NetworkExtension {
	return NetworkExtension{Name: name, types: []string{fullName}, parse: parse}
}
