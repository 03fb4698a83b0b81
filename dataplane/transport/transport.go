// Package transport holds the transport sockets of both directions: raw_buffer, tls, proxy_protocol,
// internal_upstream.
package transport

import (
	"context"
	"net"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport/proxyproto"
)

// Downstream is the transport socket of a filter chain.
type Downstream interface {
	// Handshake takes a new connection through the transport's handshake: it wraps c and fills c.Info.
	// The caller has set the deadline (transport_socket_connect_timeout). On an error it has filled
	// c.Info.TransportFailureReason, and the caller closes c.
	Handshake(c *network.Conn) error
	// Secure tells whether connections are encrypted.
	Secure() bool
	// Close gives up what the transport holds: secrets, tickets, stats.
	Close()
}

// Upstream is the transport socket of a cluster, or of one transport_socket_match.
type Upstream interface {
	// Handshake takes a freshly dialled connection through the transport's handshake and fills u. ctx
	// ends it. On an error it has filled u.TransportFailureReason and closed c.
	Handshake(ctx context.Context, c net.Conn, o Options, u *streaminfo.Upstream) (net.Conn, error)
	Secure() bool
	Close()
}

// Options are what one connection asks of its transport beyond the configuration.
type Options struct {
	// ServerName is the SNI, SANs what the certificate must carry one of (auto_sni,
	// auto_san_validation), ALPN what is offered; empty leaves the configuration's.
	ServerName string
	SANs, ALPN []string
	// ALPNFallback is offered where neither ALPN nor the configuration names a protocol: a pool of
	// HTTP/1.1 connections offers "http/1.1" then.
	ALPNFallback []string
	// Downstream is the client's connection, for PROXY protocol and internal_upstream; nil: none.
	Downstream *streaminfo.Connection
	// TLVs are the host's own for PROXY protocol: see HostTLVs.
	TLVs []proxyproto.TLV
	// HostMetadata and ClusterMetadata are passed on by internal_upstream.
	HostMetadata, ClusterMetadata streaminfo.Metadata
	// FilterState is what is shared with the upstream connection.
	FilterState []streaminfo.StateObject
}

// NeedsDownstream tells whether u's connections carry one client's addresses, so that a pool may not
// share them between clients.
func NeedsDownstream(u Upstream) bool {
	p, ok := u.(interface{ PerDownstream() bool })
	return ok && p.PerDownstream()
}
