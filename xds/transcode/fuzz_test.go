package transcode

import (
	"errors"
	"strings"
	"testing"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"
)

// keepURL is protojson's way to pass over types that are not linked in.
type keepURL struct{}

func (keepURL) FindMessageByName(n protoreflect.FullName) (protoreflect.MessageType, error) {
	return protoregistry.GlobalTypes.FindMessageByName(n)
}

func (keepURL) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if errors.Is(err, protoregistry.NotFound) {
		return (&emptypb.Empty{}).ProtoReflect().Type(), nil
	}
	return t, err
}

func (keepURL) FindExtensionByName(n protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByName(n)
}

func (keepURL) FindExtensionByNumber(m protoreflect.FullName, n protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByNumber(m, n)
}

// FuzzJSON asks that nothing panics, that what comes out is a valid message, and that it is protojson's
// where protojson takes the document at all.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(c(`"lb_policy":"ring_Hash",'metadata':{filter_metadata:{"a":{x:[1,null,'s',{}],},},},"per_connection_buffer_limit_bytes":"1e3"`)))
	f.Add([]byte(j(`"bootstrap_extensions":[{"typed_config":{"value":{"a":"\ud83d\ude00"},"@type":"type.googleapis.com/google.protobuf.Struct"}},null]`)))
	f.Add([]byte(j(`"stats_flush_interval":"-1.5s","stats_server_version_override":"18446744073709551615"`)))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 2000 {
			t.Skip() // cmp would take all the time
		}
		wire, _, err := JSON(bootstrap, src, Options{})
		got, want := new(bootstrappb.Bootstrap), new(bootstrappb.Bootstrap)
		if err == nil {
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatalf("what came out is no message: %v", err)
			}
		}
		strict := protojson.UnmarshalOptions{Resolver: keepURL{}}.Unmarshal(src, want)
		if strict != nil || err != nil && strings.Contains(err.Error(), "duration") {
			return // protojson takes "1.s", Envoy does not
		}
		if err != nil {
			t.Fatalf("protojson takes it: %v", err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatal(diff)
		}
	})
}
