package transport

import (
	"fmt"
	"strings"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	xdspb "github.com/cncf/xds/go/xds/type/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/secret"
)

const (
	xdsStructURL  = "type.googleapis.com/xds.type.v3.TypedStruct"
	udpaStructURL = "type.googleapis.com/udpa.type.v1.TypedStruct"
)

// typeURL is the type of a transport socket's configuration: the inner one of a TypedStruct.
func typeURL(m *corepb.TransportSocket) (string, error) {
	url, _, err := typedStruct(m.GetTypedConfig())
	return url, err
}

func typedStruct(a *anypb.Any) (url string, value *structpb.Struct, err error) {
	switch a.GetTypeUrl() {
	case xdsStructURL:
		s := &xdspb.TypedStruct{}
		if err := a.UnmarshalTo(s); err != nil {
			return "", nil, err
		}
		url, value = s.GetTypeUrl(), s.GetValue()
	case udpaStructURL:
		s := &udpapb.TypedStruct{}
		if err := a.UnmarshalTo(s); err != nil {
			return "", nil, err
		}
		url, value = s.GetTypeUrl(), s.GetValue()
	default:
		return a.GetTypeUrl(), nil, nil
	}
	if value == nil {
		value = &structpb.Struct{}
	}
	if !strings.Contains(url, "/") {
		url = "type.googleapis.com/" + url
	}
	return url, value, nil
}

// validated is a message with generated validation.
type validated interface {
	proto.Message
	Validate() error
}

// unpack reads a typed config, plain or in a TypedStruct, and validates it.
func unpack(a *anypb.Any, into validated) error {
	_, value, err := typedStruct(a)
	switch {
	case err != nil:
		return err
	case value == nil:
		err = proto.Unmarshal(a.GetValue(), into)
	default:
		var text []byte
		if text, err = protojson.Marshal(value); err == nil {
			err = protojson.Unmarshal(text, into)
		}
	}
	if err != nil {
		return fmt.Errorf("Unable to parse %s: %w", into.ProtoReflect().Descriptor().FullName(), err)
	}
	if err := into.Validate(); err != nil {
		return secret.Invalid(err)
	}
	return nil
}
