package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// Env is what a transport needs to come to life.
type Env struct {
	Secrets *secret.Store
	// Scope is the listener's or the cluster's: "listener.0.0.0.0_443", "cluster.name".
	Scope *stats.Scope
	Log   *slog.Logger
	// Contexts collects the certificates in use for /certs; nil: nobody asks.
	Contexts *Contexts
}

// DownstreamConfig is a compiled transport socket of a filter chain: an immutable value.
type DownstreamConfig interface {
	// Refs are the secrets that have to be there before the filter chain may serve.
	Refs() []xds.Ref
	// Check looks for the static secrets it refers to: for xds.Type.Check.
	Check(current *xds.Snapshot) error
	// Build gives it life; Close of the result ends it.
	Build(e Env) (Downstream, error)
}

// UpstreamConfig is a compiled transport socket of a cluster: an immutable value.
type UpstreamConfig interface {
	Refs() []xds.Ref
	Check(current *xds.Snapshot) error
	Build(e Env) (Upstream, error)
	// Secure tells whether connections will be encrypted.
	Secure() bool
}

// The type URLs of the transport sockets that exist here.
const (
	rawURL           = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
	downstreamTLSURL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
	upstreamTLSURL   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
	proxyURL         = "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
	internalURL      = "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport"
	extensionPrefix  = "type.googleapis.com/envoy.extensions.transport_sockets."
)

// CompileDownstream compiles the transport socket of a filter chain; nil is raw_buffer.
func CompileDownstream(m *corepb.TransportSocket) (DownstreamConfig, error) {
	if m == nil {
		return RawDownstream{}, nil
	}
	url, err := typeURL(m)
	if err != nil {
		return nil, err
	}
	switch url {
	case rawURL:
		return RawDownstream{}, nil
	case downstreamTLSURL:
		c := &tlspb.DownstreamTlsContext{}
		if err := unpack(m.GetTypedConfig(), c); err != nil {
			return nil, err
		}
		return compileDownstreamTLS(c)
	}
	return nil, unknown(m, url)
}

// CompileUpstream compiles the transport socket of a cluster; nil is raw_buffer.
func CompileUpstream(m *corepb.TransportSocket) (UpstreamConfig, error) {
	if m == nil {
		return RawUpstream{}, nil
	}
	url, err := typeURL(m)
	if err != nil {
		return nil, err
	}
	switch url {
	case rawURL:
		return RawUpstream{}, nil
	case upstreamTLSURL:
		c := &tlspb.UpstreamTlsContext{}
		if err := unpack(m.GetTypedConfig(), c); err != nil {
			return nil, err
		}
		return compileUpstreamTLS(c)
	case proxyURL:
		return compileProxyUpstream(m.GetTypedConfig())
	case internalURL:
		return compileInternalUpstream(m.GetTypedConfig())
	}
	return nil, unknown(m, url)
}

// unknown is the error for a transport socket that does not exist here: those that Envoy has are told
// from those that nobody has.
func unknown(m *corepb.TransportSocket, url string) error {
	rest, ok := strings.CutPrefix(url, extensionPrefix)
	if ok && url != downstreamTLSURL && url != upstreamTLSURL && url != proxyURL && url != internalURL {
		kind, _, _ := strings.Cut(rest, ".")
		return fmt.Errorf("transport socket %q (envoy.transport_sockets.%s) is not supported", m.GetName(), kind)
	}
	return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'",
		m.GetName(), strings.TrimPrefix(url, "type.googleapis.com/"))
}

var errNoSecret = errors.New("TLS error: Secret is not supplied by SDS")
