package control

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// The words of a mesh file that are Istio's.
const (
	outboundAny      = "ALLOW_ANY"
	outboundRegistry = "REGISTRY_ONLY"

	interceptRedirect = "REDIRECT"
	interceptTproxy   = "TPROXY"
	interceptNone     = "NONE"

	mtlsDisable    = "DISABLE"
	mtlsPermissive = "PERMISSIVE"
	mtlsStrict     = "STRICT"

	protoHTTP  = "http"
	protoHTTP2 = "http2"
	protoGRPC  = "grpc"
	protoTCP   = "tcp"
	protoTLS   = "tls"
	protoAuto  = "auto"
)

func interceptions() []string {
	return []string{interceptRedirect, interceptTproxy, interceptNone}
}

func protocols() []string {
	return []string{protoHTTP, protoHTTP2, protoGRPC, protoTCP, protoTLS, protoAuto}
}

func (p *port) isHTTP() bool {
	return p.Protocol == protoHTTP || p.Protocol == protoHTTP2 || p.Protocol == protoGRPC
}

// lay replaces the fields of m by those that n gives, whole, even where a given value is the default;
// the keys in refuse are what istiod alone decides.
func (d *decoder) lay(n *node, m proto.Message, refuse ...string) error {
	if n == nil {
		return nil
	}
	given := m.ProtoReflect().New()
	if err := d.words(n, given.Interface()); err != nil {
		return err
	}
	fields := given.Descriptor().Fields()
	for i, k := range n.keys {
		fd := fields.ByJSONName(k.name)
		if fd == nil {
			fd = fields.ByName(protoreflect.Name(k.name))
		}
		if fd == nil {
			return n.vals[i].errorf("unknown field %q", k.name)
		}
		for _, r := range refuse {
			if string(fd.Name()) == r {
				return &fileError{n.file, k.line, fmt.Errorf("%s is made from the mesh and cannot be given", r)}
			}
		}
		m.ProtoReflect().Clear(fd)
		if given.Has(fd) {
			m.ProtoReflect().Set(fd, given.Get(fd))
		}
	}
	return nil
}

// packed is a message as an Any. Marshalling a message that was built here cannot fail.
func packed(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err)
	}
	return a
}
