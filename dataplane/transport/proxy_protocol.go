package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxypb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport/proxyproto"
	"github.com/pillion-proxy/pillion/xds"
)

// proxyUpstream is envoy.transport_sockets.upstream_proxy_protocol: a PROXY protocol header before the
// inner socket's handshake.
type proxyUpstream struct {
	inner UpstreamConfig
	v2    bool
	// added goes into every header; pass tells which of the client's TLVs do.
	added []proxyproto.TLV
	pass  passTLVs
}

// passTLVs is ProxyProtocolPassThroughTLVs.
type passTLVs struct {
	on, all bool
	types   []byte
}

func (p *passTLVs) wants(kind byte) bool {
	return p.on && (p.all || slices.Contains(p.types, kind))
}

func compileProxyUpstream(a *anypb.Any) (UpstreamConfig, error) {
	m := &proxypb.ProxyProtocolUpstreamTransport{}
	if err := unpack(a, m); err != nil {
		return nil, err
	}
	if m.GetTlvAsPoolKey() {
		return nil, errors.New("field ProxyProtocolUpstreamTransport.tlv_as_pool_key is not supported")
	}
	// allow_unspecified_address: where a client has no address (a Unix socket), the header says so in
	// any case; Envoy would not connect without the field.
	inner, err := CompileUpstream(m.GetTransportSocket())
	if err != nil {
		return nil, err
	}
	p := &proxyUpstream{inner: inner, v2: m.GetConfig().GetVersion() == corepb.ProxyProtocolConfig_V2}
	if p.added, err = compileTLVs(m.GetConfig().GetAddedTlvs()); err != nil {
		return nil, err
	}
	if t := m.GetConfig().GetPassThroughTlvs(); t != nil {
		p.pass = passTLVs{on: true, all: t.GetMatchType() == corepb.ProxyProtocolPassThroughTLVs_INCLUDE_ALL}
		for _, kind := range t.GetTlvType() {
			p.pass.types = append(p.pass.types, byte(kind))
		}
	}
	return p, nil
}

func compileTLVs(list []*corepb.TlvEntry) ([]proxyproto.TLV, error) {
	var out []proxyproto.TLV
	for _, t := range list {
		switch {
		case t.GetFormatString() != nil && len(t.GetValue()) > 0:
			return nil, errors.New("Invalid TLV configuration: only one of 'value' or 'format_string' may be set.")
		case t.GetFormatString() != nil:
			return nil, errors.New("field TlvEntry.format_string is not supported")
		case len(t.GetValue()) == 0:
			return nil, errors.New("Invalid TLV configuration: one of 'value' or 'format_string' must be set.")
		}
		out = append(out, proxyproto.TLV{Type: byte(t.GetType()), Value: t.GetValue()})
	}
	return out, nil
}

// proxyMetadata is the namespace of a host's own TLVs in its typed metadata.
const proxyMetadata = "envoy.transport_sockets.proxy_protocol"

// HostTLVs compiles the TLVs that a host's metadata adds (PerHostConfig), for Options.TLVs; nil is none.
func HostTLVs(m *corepb.Metadata) ([]proxyproto.TLV, error) {
	a := m.GetTypedFilterMetadata()[proxyMetadata]
	if a == nil {
		return nil, nil
	}
	c := &corepb.PerHostConfig{}
	if err := a.UnmarshalTo(c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, secret.Invalid(err)
	}
	return compileTLVs(c.GetAddedTlvs())
}

// Refs are the inner socket's.
func (p *proxyUpstream) Refs() []xds.Ref { return p.inner.Refs() }

// Check is the inner socket's.
func (p *proxyUpstream) Check(s *xds.Snapshot) error { return p.inner.Check(s) }

// Secure is the inner socket's.
func (p *proxyUpstream) Secure() bool { return p.inner.Secure() }

// Build builds the inner socket.
func (p *proxyUpstream) Build(e Env) (Upstream, error) {
	inner, err := p.inner.Build(e)
	if err != nil {
		return nil, err
	}
	return &proxySocket{Upstream: inner, config: p}, nil
}

// proxySocket is a live proxyUpstream.
type proxySocket struct {
	Upstream
	config *proxyUpstream
}

// PerDownstream is true: a connection names one client.
func (p *proxySocket) PerDownstream() bool { return true }

// Handshake writes the header, then goes through the inner socket's handshake.
func (p *proxySocket) Handshake(ctx context.Context, c net.Conn, o Options, u *streaminfo.Upstream) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetWriteDeadline(deadline)
	}
	if _, err := c.Write(p.config.header(c, &o)); err != nil {
		u.TransportFailureReason = failureText(err, false, false)
		_ = c.Close()
		return nil, err
	}
	_ = c.SetWriteDeadline(time.Time{})
	return p.Upstream.Handshake(ctx, c, o, u)
}

// header is the header of one connection. Without a client, as for a health check, version 1 names the
// connection's own ends and version 2 is LOCAL.
func (p *proxyUpstream) header(c net.Conn, o *Options) []byte {
	var source, dest netip.AddrPort
	if o.Downstream != nil {
		source, dest = o.Downstream.Remote, o.Downstream.Local
	}
	if !p.v2 {
		if o.Downstream == nil {
			source, dest = addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
		}
		return proxyproto.AppendV1(nil, source, dest)
	}
	return proxyproto.AppendV2(nil, source, dest, p.tlvs(o))
}

// tlvs lists the TLVs of one connection: the host's, then the configured ones, then the client's; a
// type of a later rank gives way to the same of an earlier one.
func (p *proxyUpstream) tlvs(o *Options) []proxyproto.TLV {
	if len(o.TLVs) == 0 && (!p.pass.on || o.Downstream == nil || len(o.Downstream.ProxyProtocolRawTLVs) == 0) {
		return p.added
	}
	var taken [256]bool
	out := slices.Clone(o.TLVs)
	mark := func() {
		for _, t := range out {
			taken[t.Type] = true
		}
	}
	mark()
	for _, t := range p.added {
		if !taken[t.Type] {
			out = append(out, t)
		}
	}
	mark()
	if o.Downstream != nil {
		proxyproto.Each(o.Downstream.ProxyProtocolRawTLVs, func(kind byte, value []byte) bool {
			if !taken[kind] && p.pass.wants(kind) {
				out = append(out, proxyproto.TLV{Type: kind, Value: value})
			}
			return true
		})
	}
	return out
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

var _ Upstream = (*proxySocket)(nil)
