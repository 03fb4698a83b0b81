package ads

import (
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// sotwRequest is a request in state of the world: it always has all names. It is called with mu held.
func (s *Stream) sotwRequest(r request, node bool) proto.Message {
	m := &discoverypb.DiscoveryRequest{TypeUrl: r.t.url, VersionInfo: r.t.version, ResponseNonce: r.t.nonce}
	if !r.t.all {
		m.ResourceNames = sorted(r.t.names)
	}
	if r.ack {
		m.VersionInfo, m.ResponseNonce, m.ErrorDetail = r.version, r.nonce, rejected(r.details)
	}
	if node {
		m.Node = s.node
	}
	return m
}

// rejected is the detail of a NACK; nil: it is none.
func rejected(details string) *statuspb.Status {
	if details == "" {
		return nil
	}
	return &statuspb.Status{Code: int32(codes.Internal), Message: details}
}

func (s *Stream) recvSotW(st grpc.ClientStream) error {
	m := new(discoverypb.DiscoveryResponse)
	if err := st.RecvMsg(m); err != nil {
		return err
	}
	r := &xds.Response{TypeURL: m.TypeUrl, Version: m.VersionInfo, ControlPlane: m.GetControlPlane().GetIdentifier()}
	r.Resources = make([]xds.Received, 0, len(m.Resources))
	var beats []beat
	for _, a := range m.Resources {
		in, b, heartbeat := unwrap(a)
		if b != nil {
			beats = append(beats, *b)
		}
		if !heartbeat {
			r.Resources = append(r.Resources, in)
		}
	}
	if len(beats) > 0 && len(r.Resources) == 0 {
		// Nothing but heartbeats: to the state of the world that is no change, not an empty world.
		r.Delta = true
	}
	s.accept(r, m.Nonce, beats)
	return nil
}

const resourceURL = "type.googleapis.com/envoy.service.discovery.v3.Resource"

// unwrap takes a resource out of the wrapper in which a server may put it to give it a time to live.
func unwrap(a *anypb.Any) (in xds.Received, b *beat, heartbeat bool) {
	if a.GetTypeUrl() != resourceURL {
		return xds.Received{Any: a}, nil, false
	}
	w := new(discoverypb.Resource)
	if proto.Unmarshal(a.Value, w) != nil {
		return xds.Received{Any: a}, nil, false
	}
	heartbeat = w.Resource == nil && w.Ttl != nil
	b = &beat{name: w.Name, version: w.Version, ttl: w.Ttl.AsDuration(), alone: heartbeat}
	return xds.Received{Any: w.Resource}, b, heartbeat
}
