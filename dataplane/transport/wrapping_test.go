package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	internalpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	proxypb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport/proxyproto"
)

// received runs a raw server that returns what it was sent until the client closes its side.
func received(t *testing.T, u Upstream, o Options) []byte {
	t.Helper()
	got := make(chan []byte, 1)
	addr := rawListener(t, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- b
	})
	c, _, err := connect(t, u, addr, o)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("hello"))
	_ = c.Close()
	return <-got
}

func TestProxyProtocolHeaderGoesFirst(t *testing.T) {
	raw := &corepb.TransportSocket{Name: "raw", ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: must(anypb.New(&rawpb.RawBuffer{}))}}
	client := &streaminfo.Connection{
		Remote: netip.MustParseAddrPort("1.2.3.4:111"), Local: netip.MustParseAddrPort("5.6.7.8:222"),
		ProxyProtocolRawTLVs: []byte("\xe1\x00\x02ab\xe2\x00\x01c\xe1\x00\x01d\x03\x00\x04\x00\x00\x00\x00"),
	}
	const head = "\r\n\r\n\x00\r\nQUIT\n"
	const addrs = "\x01\x02\x03\x04\x05\x06\x07\x08\x00o\x00\xde"
	v2 := corepb.ProxyProtocolConfig_V2
	tlv := func(kind uint32, v string) *corepb.TlvEntry { return &corepb.TlvEntry{Type: kind, Value: []byte(v)} }
	for name, f := range map[string]struct {
		m    *corepb.ProxyProtocolConfig
		o    Options
		want string
	}{
		"version 1":          {nil, Options{Downstream: client}, "PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\n"},
		"version 2":          {&corepb.ProxyProtocolConfig{Version: v2}, Options{Downstream: client}, head + "\x21\x11\x00\x0c" + addrs},
		"local":              {&corepb.ProxyProtocolConfig{Version: v2, AddedTlvs: []*corepb.TlvEntry{tlv(5, "B")}}, Options{}, head + "\x20\x00\x00\x00"},
		"added":              {&corepb.ProxyProtocolConfig{Version: v2, AddedTlvs: []*corepb.TlvEntry{tlv(0xe0, "A"), tlv(5, "B"), tlv(0xe0, "C")}}, Options{Downstream: client}, head + "\x21\x11\x00\x18" + addrs + "\xe0\x00\x01A\x05\x00\x01B\xe0\x00\x01C"},
		"too large to fit":   {&corepb.ProxyProtocolConfig{Version: v2, AddedTlvs: []*corepb.TlvEntry{tlv(5, strings.Repeat("x", 65535))}}, Options{Downstream: client}, head + "\x21\x11\x00\x0c" + addrs},
		"all passed through": {&corepb.ProxyProtocolConfig{Version: v2, PassThroughTlvs: &corepb.ProxyProtocolPassThroughTLVs{}}, Options{Downstream: client}, head + "\x21\x11\x00\x20" + addrs + string(client.ProxyProtocolRawTLVs)},
		"some passed through, after what is added": {&corepb.ProxyProtocolConfig{Version: v2, PassThroughTlvs: &corepb.ProxyProtocolPassThroughTLVs{MatchType: corepb.ProxyProtocolPassThroughTLVs_INCLUDE, TlvType: []uint32{0xe1}}, AddedTlvs: []*corepb.TlvEntry{tlv(0xe2, "C"), tlv(0xe3, "C")}},
			Options{Downstream: client}, head + "\x21\x11\x00\x1d" + addrs + "\xe2\x00\x01C\xe3\x00\x01C\xe1\x00\x02ab\xe1\x00\x01d"},
		"the host's win": {&corepb.ProxyProtocolConfig{Version: v2, PassThroughTlvs: &corepb.ProxyProtocolPassThroughTLVs{}, AddedTlvs: []*corepb.TlvEntry{tlv(0xe1, "A"), tlv(9, "N")}},
			Options{Downstream: client, TLVs: []proxyproto.TLV{{Type: 0xe1, Value: []byte("H")}, {Type: 3, Value: []byte("I")}}}, head + "\x21\x11\x00\x1c" + addrs + "\xe1\x00\x01H\x03\x00\x01I\x09\x00\x01N\xe2\x00\x01c"},
	} {
		m := &proxypb.ProxyProtocolUpstreamTransport{Config: f.m, TransportSocket: raw}
		c, err := CompileUpstream(socket(t, m))
		if err != nil {
			t.Fatal(err)
		}
		u, err := c.Build(newEnv(t).Env)
		if err != nil || !NeedsDownstream(u) || u.Secure() {
			t.Fatal(err)
		}
		if got := received(t, u, f.o); string(got) != f.want+"hello" {
			t.Errorf("%s: %q\nwant %q", name, got, f.want+"hello")
		}
	}
}

func TestProxyProtocolWrapsTLS(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	result := make(chan error, 1)
	// Owned by the test: ends with its connection.
	go func() {
		c, err := l.Accept()
		if err != nil {
			result <- err
			return
		}
		defer c.Close()
		b := make([]byte, len("PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\n"))
		if _, err := io.ReadFull(c, b); err != nil || !bytes.HasPrefix(b, []byte("PROXY TCP4 1.2.3.4")) {
			result <- errors.New(string(b))
			return
		}
		result <- tls.Server(c, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}}).Handshake()
	}()
	m := &proxypb.ProxyProtocolUpstreamTransport{TransportSocket: socket(t, &tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{}})}
	c, err := CompileUpstream(socket(t, m))
	if err != nil || !c.Secure() {
		t.Fatal(err)
	}
	u, err := c.Build(newEnv(t).Env)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_, i, err := connect(t, u, l.Addr().String(), Options{Downstream: &streaminfo.Connection{Remote: netip.MustParseAddrPort("1.2.3.4:111"), Local: netip.MustParseAddrPort("5.6.7.8:222")}})
	if err != nil || i.TLS == nil {
		t.Error(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestHostTLVs(t *testing.T) {
	m := &corepb.Metadata{TypedFilterMetadata: map[string]*anypb.Any{proxyMetadata: must(anypb.New(&corepb.PerHostConfig{AddedTlvs: []*corepb.TlvEntry{{Type: 7, Value: []byte("x")}}}))}}
	got, err := HostTLVs(m)
	if err != nil || len(got) != 1 || got[0].Type != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := HostTLVs(nil); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// internalConn is a connection to an internal listener.
type internalConn struct {
	net.Conn
	metadata streaminfo.Metadata
	state    []streaminfo.StateObject
}

func (c *internalConn) Passthrough(m streaminfo.Metadata, s []streaminfo.StateObject) {
	c.metadata, c.state = m, s
}

func TestInternalUpstreamPassesMetadataAndState(t *testing.T) {
	raw := &corepb.TransportSocket{Name: "raw", ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: must(anypb.New(&rawpb.RawBuffer{}))}}
	source := func(name string, cluster bool) *internalpb.InternalUpstreamTransport_MetadataValueSource {
		k := &metadatapb.MetadataKind{Kind: &metadatapb.MetadataKind_Host_{Host: &metadatapb.MetadataKind_Host{}}}
		if cluster {
			k = &metadatapb.MetadataKind{Kind: &metadatapb.MetadataKind_Cluster_{Cluster: &metadatapb.MetadataKind_Cluster{}}}
		}
		return &internalpb.InternalUpstreamTransport_MetadataValueSource{Name: name, Kind: k}
	}
	m := &internalpb.InternalUpstreamTransport{TransportSocket: raw, PassthroughMetadata: []*internalpb.InternalUpstreamTransport_MetadataValueSource{
		source("a", false), source("b", true), source("a", true), source("none", false)}}
	c, err := CompileUpstream(socket(t, m))
	if err != nil {
		t.Fatal(err)
	}
	e := newEnv(t)
	u, err := c.Build(e.Env)
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := &structpb.Struct{}, &structpb.Struct{}, &structpb.Struct{}
	n := &internalConn{}
	got, err := u.Handshake(context.Background(), n, Options{
		HostMetadata: streaminfo.Metadata{"a": one}, ClusterMetadata: streaminfo.Metadata{"a": two, "b": three, "c": one},
		FilterState: []streaminfo.StateObject{{Name: "s"}},
	}, &streaminfo.Upstream{})
	if err != nil || got != net.Conn(n) {
		t.Fatal(err)
	}
	if len(n.metadata) != 2 || n.metadata["a"] != two || n.metadata["b"] != three || len(n.state) != 1 {
		t.Errorf("%v, %v", n.metadata, n.state)
	}
	if e.counter("internal_upstream.no_metadata") != 1 {
		t.Error("missing metadata is not counted")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
