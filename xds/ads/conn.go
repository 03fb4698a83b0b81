package ads

import (
	"context"
	"math"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// ConnOptions are how a connection is kept. The zero value is good.
type ConnOptions struct {
	// Authority is the :authority of requests.
	Authority string
	// Keepalive pings the server: connection_keepalive of a cluster's HTTP/2 options. A zero Time is no
	// ping. TCP keepalive is the dialer's.
	Keepalive keepalive.ClientParameters
}

// NewConn is a gRPC connection over what dial makes, whatever that is: TLS is dial's own. It is dialled
// when it is first used, and takes messages of any size.
func NewConn(dial func(context.Context) (net.Conn, error), o ConnOptions) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		// gRPC's own limit of 4 MiB is below what a mesh's listeners come to.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
		grpc.WithIdleTimeout(0),
	}
	if o.Authority != "" {
		opts = append(opts, grpc.WithAuthority(o.Authority))
	}
	if o.Keepalive.Time > 0 {
		opts = append(opts, grpc.WithKeepaliveParams(o.Keepalive))
	}
	return grpc.NewClient("passthrough:///xds", opts...)
}
