package transport

import (
	"context"
	"errors"
	"net"

	internalpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// internalUpstream is envoy.transport_sockets.internal_upstream: it hands metadata and filter state on
// to an internal listener's connection.
type internalUpstream struct {
	inner  UpstreamConfig
	passed []passedMetadata
}

// passedMetadata is one namespace of the host's or the cluster's metadata.
type passedMetadata struct {
	cluster bool
	name    string
}

func compileInternalUpstream(a *anypb.Any) (UpstreamConfig, error) {
	m := &internalpb.InternalUpstreamTransport{}
	if err := unpack(a, m); err != nil {
		return nil, err
	}
	inner, err := CompileUpstream(m.GetTransportSocket())
	if err != nil {
		return nil, err
	}
	u := &internalUpstream{inner: inner}
	for _, p := range m.GetPassthroughMetadata() {
		switch p.GetKind().GetKind().(type) {
		case *metadatapb.MetadataKind_Host_:
			u.passed = append(u.passed, passedMetadata{name: p.GetName()})
		case *metadatapb.MetadataKind_Cluster_:
			u.passed = append(u.passed, passedMetadata{cluster: true, name: p.GetName()})
		case *metadatapb.MetadataKind_Route_:
			return nil, errors.New("metadata type is not supported: route")
		default:
			return nil, errors.New("metadata type is not supported: request")
		}
	}
	return u, nil
}

// Refs are the inner socket's.
func (u *internalUpstream) Refs() []xds.Ref { return u.inner.Refs() }

// Check is the inner socket's.
func (u *internalUpstream) Check(s *xds.Snapshot) error { return u.inner.Check(s) }

// Secure is the inner socket's.
func (u *internalUpstream) Secure() bool { return u.inner.Secure() }

// internalStats are internal_upstream's stats.
type internalStats struct {
	NoMetadata stats.Counter `stat:"internal_upstream.no_metadata"`
}

// Build builds the inner socket.
func (u *internalUpstream) Build(e Env) (Upstream, error) {
	inner, err := u.inner.Build(e)
	if err != nil {
		return nil, err
	}
	s := &internalSocket{Upstream: inner, config: u}
	stats.Bind(e.Scope, &s.stats)
	return s, nil
}

// internalSocket is a live internalUpstream.
type internalSocket struct {
	Upstream
	config *internalUpstream
	stats  internalStats
}

// PassthroughConn is a connection to an internal listener: it takes what its other end, the internal
// connection, shall know. It is called before anything is written.
type PassthroughConn interface {
	Passthrough(m streaminfo.Metadata, state []streaminfo.StateObject)
}

// PerDownstream tells whether the inner socket's connections name one client.
func (s *internalSocket) PerDownstream() bool { return NeedsDownstream(s.Upstream) }

// Handshake hands on what is passed, then goes through the inner socket's handshake.
func (s *internalSocket) Handshake(ctx context.Context, c net.Conn, o Options, u *streaminfo.Upstream) (net.Conn, error) {
	if p, ok := c.(PassthroughConn); ok {
		p.Passthrough(s.metadata(&o), o.FilterState)
	}
	return s.Upstream.Handshake(ctx, c, o, u)
}

// metadata collects what is passed; of two sources of one name the later one wins.
func (s *internalSocket) metadata(o *Options) streaminfo.Metadata {
	var out streaminfo.Metadata
	for _, p := range s.config.passed {
		from := o.HostMetadata
		if p.cluster {
			from = o.ClusterMetadata
		}
		v := from[p.name]
		if v == nil {
			s.stats.NoMetadata.Inc(0)
			continue
		}
		if out == nil {
			out = streaminfo.Metadata{}
		}
		out[p.name] = v
	}
	return out
}

var _ Upstream = (*internalSocket)(nil)
