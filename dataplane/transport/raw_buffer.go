package transport

import (
	"context"
	"net"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// RawDownstream and RawUpstream are envoy.transport_sockets.raw_buffer: no layer at all.
type (
	RawDownstream struct{}
	RawUpstream   struct{}
)

// Handshake leaves c as it is.
func (RawDownstream) Handshake(*network.Conn) error { return nil }

// Secure is false.
func (RawDownstream) Secure() bool { return false }

// Close does nothing.
func (RawDownstream) Close() {}

// Handshake returns c as it is.
func (RawUpstream) Handshake(_ context.Context, c net.Conn, _ Options, _ *streaminfo.Upstream) (net.Conn, error) {
	return c, nil
}

// Secure is false.
func (RawUpstream) Secure() bool { return false }

// Close does nothing.
func (RawUpstream) Close() {}

var (
	_ Downstream = RawDownstream{}
	_ Upstream   = RawUpstream{}
)
