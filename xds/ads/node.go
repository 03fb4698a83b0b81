package ads

import (
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Node is what a control plane gets to know of this proxy: the bootstrap's node as it stands, and what
// Envoy 1.40 adds to it: its name, its build, and the extensions that it has. Envoy sets no
// client_features on a discovery stream.
func Node(bootstrap *corepb.Node, extensions []*corepb.Extension) *corepb.Node {
	n := &corepb.Node{}
	if bootstrap != nil {
		n = proto.Clone(bootstrap).(*corepb.Node)
	}
	n.UserAgentName = "envoy"
	n.UserAgentVersionType = &corepb.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corepb.BuildVersion{
		Version: &typepb.SemanticVersion{MajorNumber: 1, MinorNumber: 40},
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"build.type":      structpb.NewStringValue("RELEASE"),
			"revision.sha":    structpb.NewStringValue("9e5580933739775e8bce696a57a2e1bc99368f23"),
			"revision.status": structpb.NewStringValue("Clean"),
			"ssl.version":     structpb.NewStringValue("BoringSSL"),
		}},
	}}
	n.Extensions = append(n.Extensions, extensions...)
	return n
}
