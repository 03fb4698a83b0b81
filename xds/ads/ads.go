// Package ads speaks xDS over gRPC: the aggregated stream, and streams of one type, each either state of
// the world or delta.
package ads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"

	"github.com/pillion-proxy/pillion/xds"
)

// Dialer makes a connection to a bootstrap cluster, for one stream: the stream closes it. authority is
// what :authority has to be. NewConn makes it of a net.Conn.
type Dialer func(ctx context.Context, cluster, authority string) (*grpc.ClientConn, error)

// Opener opens gRPC streams.
type Opener struct {
	// Node identifies this proxy: see Node.
	Node *corepb.Node
	Dial Dialer
	// ADS is dynamic_resources.ads_config, that xds.CheckAPI took; nil: there is none.
	ADS *corepb.ApiConfigSource
	Log *slog.Logger
}

// Open opens the ADS stream, or a stream of its own, as an xds.OpenFunc.
func (o *Opener) Open(ref xds.Ref, sink xds.Sink) (xds.Stream, error) {
	if ref.Source == xds.SchemeADS {
		if o.ADS == nil {
			return nil, errors.New("there is no ads_config")
		}
		s := o.stream(o.ADS, sink)
		s.method, s.name = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "StreamAggregatedResources"
		if s.delta {
			s.method, s.name = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", "DeltaAggregatedResources"
		}
		s.start()
		return s, nil
	}
	p, err := xds.ParseSource(ref.Source)
	if err != nil {
		return nil, err
	}
	svc, ok := services[ref.TypeURL]
	if !ok {
		return nil, fmt.Errorf("there is no gRPC service for %s", ref.TypeURL)
	}
	s := o.stream(p.API, sink)
	s.firstOnly = true // the protocol asks for the node once a stream
	s.name = "Stream" + svc.resources
	if s.delta {
		s.name = "Delta" + svc.resources
	}
	s.method = "/" + svc.service + "/" + s.name
	s.start()
	return s, nil
}

// services are the discovery services of one type.
var services = map[string]struct{ service, resources string }{
	xds.ListenerURL:  {"envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"},
	xds.RouteURL:     {"envoy.service.route.v3.RouteDiscoveryService", "Routes"},
	xds.ScopedURL:    {"envoy.service.route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"},
	xds.VHostURL:     {"envoy.service.route.v3.VirtualHostDiscoveryService", "VirtualHosts"},
	xds.ClusterURL:   {"envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"},
	xds.EndpointURL:  {"envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints"},
	xds.SecretURL:    {"envoy.service.secret.v3.SecretDiscoveryService", "Secrets"},
	xds.ExtensionURL: {"envoy.service.extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"},
	xds.RuntimeURL:   {"envoy.service.runtime.v3.RuntimeDiscoveryService", "Runtime"},
}
