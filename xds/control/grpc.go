package control

import (
	"context"
	"sync"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	clustergrpc "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointgrpc "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	extensiongrpc "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	listenergrpc "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routegrpc "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	runtimegrpc "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	secretgrpc "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// newGRPC makes the gRPC server with all discovery services. The streams end with ctx.
func (s *Server) newGRPC(ctx context.Context) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(1 << 20),
		// Envoy and pilot-agent may ping as often as they like.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(64 << 20),
		grpc.StreamInterceptor(intercept),
	}
	if s.opts.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.opts.TLS)))
	}
	g := grpc.NewServer(options...)
	// Ordered: a response that was made first is sent first, whatever its type.
	x := server.NewServer(ctx, nodeCache{s}, s.tracker, sotw.WithOrderedADS())
	discoverypb.RegisterAggregatedDiscoveryServiceServer(g, x)
	clustergrpc.RegisterClusterDiscoveryServiceServer(g, x)
	endpointgrpc.RegisterEndpointDiscoveryServiceServer(g, x)
	listenergrpc.RegisterListenerDiscoveryServiceServer(g, x)
	routegrpc.RegisterRouteDiscoveryServiceServer(g, x)
	routegrpc.RegisterScopedRoutesDiscoveryServiceServer(g, x)
	routegrpc.RegisterVirtualHostDiscoveryServiceServer(g, x)
	secretgrpc.RegisterSecretDiscoveryServiceServer(g, x)
	runtimegrpc.RegisterRuntimeDiscoveryServiceServer(g, x)
	extensiongrpc.RegisterExtensionConfigDiscoveryServiceServer(g, x)
	return g
}

// breakable is a stream that can be broken from outside.
type breakable struct {
	grpc.ServerStream
	ctx    context.Context
	once   sync.Once
	broken chan struct{}
}

type breakableKey struct{}

func breakableOf(ctx context.Context) *breakable {
	b, _ := ctx.Value(breakableKey{}).(*breakable)
	return b
}

// intercept makes each stream breakable.
func intercept(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	b := &breakable{ServerStream: ss, broken: make(chan struct{})}
	// The stream's callbacks get no more than its context.
	b.ctx = context.WithValue(ss.Context(), breakableKey{}, b) //nolint:forbidigo // see above.
	err := handler(srv, b)
	select {
	case <-b.broken:
		return errBroken()
	default:
		return err
	}
}

func errBroken() error { return status.Error(codes.Unavailable, "broken by the control plane") }

func (b *breakable) drop() { b.once.Do(func() { close(b.broken) }) }

// Context implements grpc.ServerStream.
func (b *breakable) Context() context.Context { return b.ctx }

// RecvMsg implements grpc.ServerStream.
func (b *breakable) RecvMsg(m any) error {
	done := make(chan error, 1)
	// Owned by the stream: it ends with the message, or with the stream that ends when this returns.
	go func() { done <- b.ServerStream.RecvMsg(m) }()
	select {
	case err := <-done:
		return err
	case <-b.broken:
		return errBroken()
	}
}

// OnStreamOpen implements sotw.Callbacks.
func (t *tracker) OnStreamOpen(ctx context.Context, n int64, typeURL string) error {
	return t.open(ctx, streamID{number: n}, typeURL)
}

// OnStreamClosed implements sotw.Callbacks.
func (t *tracker) OnStreamClosed(n int64, _ *corepb.Node) { t.close(streamID{number: n}) }

// OnStreamResponse implements sotw.Callbacks.
func (t *tracker) OnStreamResponse(_ context.Context, n int64, r *discoverypb.DiscoveryRequest, d *discoverypb.DiscoveryResponse) {
	t.response(streamID{number: n}, r.GetTypeUrl(), d.GetVersionInfo(), d.GetNonce())
}

// OnDeltaStreamOpen implements delta.Callbacks.
func (t *tracker) OnDeltaStreamOpen(ctx context.Context, n int64, typeURL string) error {
	return t.open(ctx, streamID{true, n}, typeURL)
}

// OnDeltaStreamClosed implements delta.Callbacks.
func (t *tracker) OnDeltaStreamClosed(n int64, _ *corepb.Node) { t.close(streamID{true, n}) }

// OnStreamDeltaResponse implements delta.Callbacks.
func (t *tracker) OnStreamDeltaResponse(n int64, r *discoverypb.DeltaDiscoveryRequest, d *discoverypb.DeltaDiscoveryResponse) {
	t.response(streamID{true, n}, r.GetTypeUrl(), d.GetSystemVersionInfo(), d.GetNonce())
}

// OnFetchRequest implements rest.Callbacks; REST is not served.
func (t *tracker) OnFetchRequest(context.Context, *discoverypb.DiscoveryRequest) error { return nil }

// OnFetchResponse implements rest.Callbacks.
func (t *tracker) OnFetchResponse(*discoverypb.DiscoveryRequest, *discoverypb.DiscoveryResponse) {}

var _ server.Callbacks = (*tracker)(nil)
