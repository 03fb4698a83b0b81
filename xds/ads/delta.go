package ads

import (
	"maps"

	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
)

// deltaRequest is a request in delta: what has changed since the last one, and on a new stream all that
// is wanted and all that is there. nil: there is nothing to say. It is called with mu held.
func (s *Stream) deltaRequest(r request, node bool) proto.Message {
	m := &discoverypb.DeltaDiscoveryRequest{TypeUrl: r.t.url}
	if node {
		m.Node = s.node
	}
	if r.ack {
		m.ResponseNonce, m.ErrorDetail = r.nonce, rejected(r.details)
		return m
	}
	if r.t.asked && len(r.t.add)+len(r.t.drop) == 0 {
		return nil
	}
	m.ResourceNamesSubscribe = sorted(r.t.add)
	if r.t.asked {
		m.ResourceNamesUnsubscribe = sorted(r.t.drop)
	} else if len(r.t.versions) > 0 {
		// What an earlier stream brought: the server need not send it again.
		m.InitialResourceVersions = maps.Clone(r.t.versions)
	}
	r.t.asked = true
	clear(r.t.add)
	clear(r.t.drop)
	return m
}

func (s *Stream) recvDelta(st grpc.ClientStream) error {
	m := new(discoverypb.DeltaDiscoveryResponse)
	if err := st.RecvMsg(m); err != nil {
		return err
	}
	r := &xds.Response{
		TypeURL: m.TypeUrl, Version: m.SystemVersionInfo, Delta: true, Removed: m.RemovedResources,
		ControlPlane: m.GetControlPlane().GetIdentifier(),
	}
	r.Resources = make([]xds.Received, 0, len(m.Resources))
	var beats []beat
	for _, w := range m.Resources {
		heartbeat := w.Resource == nil && w.Ttl != nil
		beats = append(beats, beat{name: w.Name, version: w.Version, ttl: w.Ttl.AsDuration(), alone: heartbeat})
		if !heartbeat {
			r.Resources = append(r.Resources, xds.Received{Name: w.Name, Version: w.Version, Any: w.Resource})
		}
	}
	s.accept(r, m.Nonce, beats)
	return nil
}
