package workload

import (
	"errors"
	"fmt"
	"strings"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	xdspb "github.com/cncf/xds/go/xds/type/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/xds"
)

// bootstrapType is the bootstrap extension that asks for workload discovery.
const bootstrapType = "istio.workload.BootstrapExtension"

// Bootstrap reads a bootstrap extension. ok is false if it is another one; else ref is what to subscribe
// to as a whole.
func Bootstrap(e *corepb.TypedExtensionConfig) (ref xds.Ref, ok bool, err error) {
	source, ok, err := configSource(e)
	if !ok || err != nil {
		return xds.Ref{}, ok, err
	}
	ref.TypeURL = URL
	ref.Source, ref.Timeout, err = xds.Source(source)
	if err != nil {
		err = fmt.Errorf("bootstrap extension %q: %w", e.GetName(), err)
	}
	return ref, true, err
}

// configSource finds config_source in the extension, which is a TypedStruct where Istio's agent writes
// it: there is no Go type for either form.
func configSource(e *corepb.TypedExtensionConfig) (c *corepb.ConfigSource, ok bool, err error) {
	a := e.GetTypedConfig()
	switch {
	case a.MessageIs((*udpapb.TypedStruct)(nil)):
		t := &udpapb.TypedStruct{}
		if err := a.UnmarshalTo(t); err != nil {
			return nil, false, err
		}
		return structSource(t.GetTypeUrl(), t.GetValue())
	case a.MessageIs((*xdspb.TypedStruct)(nil)):
		t := &xdspb.TypedStruct{}
		if err := a.UnmarshalTo(t); err != nil {
			return nil, false, err
		}
		return structSource(t.GetTypeUrl(), t.GetValue())
	case !isBootstrap(a.GetTypeUrl()):
		return nil, false, nil
	}
	err = eachField(a.GetValue(), func(n protowire.Number, _ uint64, b []byte) error {
		if n == 1 {
			c = &corepb.ConfigSource{}
			return proto.Unmarshal(b, c)
		}
		return nil
	})
	return c, true, err
}

func structSource(url string, s *structpb.Struct) (*corepb.ConfigSource, bool, error) {
	if !isBootstrap(url) {
		return nil, false, nil
	}
	v := s.GetFields()["config_source"]
	if v == nil {
		v = s.GetFields()["configSource"]
	}
	if v == nil {
		return nil, true, errors.New(bootstrapType + ".config_source is required")
	}
	b, err := protojson.Marshal(v)
	if err != nil {
		return nil, true, err
	}
	c := &corepb.ConfigSource{}
	if err := protojson.Unmarshal(b, c); err != nil {
		return nil, true, fmt.Errorf("%s.config_source: %w", bootstrapType, err)
	}
	return c, true, nil
}

func isBootstrap(url string) bool {
	return url[strings.LastIndexByte(url, '/')+1:] == bootstrapType
}
