package transport

import (
	"context"
	"net"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
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

// A raw_buffer is its own configuration: it needs nothing and has no state.

// Refs is nothing.
func (RawDownstream) Refs() []xds.Ref { return nil }

// Check finds nothing wrong.
func (RawDownstream) Check(*xds.Snapshot) error { return nil }

// Build returns r.
func (r RawDownstream) Build(Env) (Downstream, error) { return r, nil }

// Refs is nothing.
func (RawUpstream) Refs() []xds.Ref { return nil }

// Check finds nothing wrong.
func (RawUpstream) Check(*xds.Snapshot) error { return nil }

// Build returns r.
func (r RawUpstream) Build(Env) (Upstream, error) { return r, nil }

var (
	_ Downstream       = RawDownstream{}
	_ DownstreamConfig = RawDownstream{}
	_ UpstreamConfig   = RawUpstream{}
	_ Upstream         = RawUpstream{}
)
