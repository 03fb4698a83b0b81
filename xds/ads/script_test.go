package ads

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretpb "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// script is a control plane that does what the test says and shows what it is asked.
type script struct {
	discoverypb.UnimplementedAggregatedDiscoveryServiceServer
	secretpb.UnimplementedSecretDiscoveryServiceServer
	t       *testing.T
	addr    string
	server  *grpc.Server
	streams chan *conn
}

// conn is one stream of the script.
type conn struct {
	t    *testing.T
	st   grpc.ServerStream
	md   metadata.MD
	got  chan proto.Message
	end  chan error
	n    int
	rest string // the name of the RPC
}

func newScript(t *testing.T) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, addr: l.Addr().String(), server: grpc.NewServer(grpc.MaxRecvMsgSize(1 << 30)), streams: make(chan *conn, 10)}
	discoverypb.RegisterAggregatedDiscoveryServiceServer(s.server, s)
	secretpb.RegisterSecretDiscoveryServiceServer(s.server, s)
	go func() { _ = s.server.Serve(l) }()
	t.Cleanup(s.server.Stop)
	return s
}

func (s *script) StreamAggregatedResources(st grpc.BidiStreamingServer[discoverypb.DiscoveryRequest, discoverypb.DiscoveryResponse]) error {
	return s.serve("ADS", st, func() proto.Message { return new(discoverypb.DiscoveryRequest) })
}

func (s *script) DeltaAggregatedResources(st grpc.BidiStreamingServer[discoverypb.DeltaDiscoveryRequest, discoverypb.DeltaDiscoveryResponse]) error {
	return s.serve("delta ADS", st, func() proto.Message { return new(discoverypb.DeltaDiscoveryRequest) })
}

func (s *script) StreamSecrets(st secretpb.SecretDiscoveryService_StreamSecretsServer) error {
	return s.serve("SDS", st, func() proto.Message { return new(discoverypb.DiscoveryRequest) })
}

func (s *script) serve(what string, st grpc.ServerStream, mk func() proto.Message) error {
	md, _ := metadata.FromIncomingContext(st.Context())
	c := &conn{t: s.t, st: st, md: md, got: make(chan proto.Message, 100), end: make(chan error, 1), rest: what}
	s.streams <- c
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			m := mk()
			if st.RecvMsg(m) != nil {
				return
			}
			c.got <- m
		}
	}()
	select {
	case err := <-c.end:
		return err
	case <-gone:
		return nil
	}
}

// accept waits for the next stream.
func (s *script) accept() *conn {
	s.t.Helper()
	select {
	case c := <-s.streams:
		return c
	case <-time.After(10 * time.Second):
		s.t.Fatal("no stream was opened")
		return nil
	}
}

// want is the next request: its type, and then whatever is set in it.
func (c *conn) want(line string) {
	c.t.Helper()
	select {
	case m := <-c.got:
		if got := show(m); got != line {
			c.t.Fatalf("got  %s\nwant %s", got, line)
		}
	case <-time.After(10 * time.Second):
		c.t.Fatalf("no request came, want %s", line)
	}
}

func show(m proto.Message) string {
	var b strings.Builder
	put := func(name string, v any) {
		if s := fmt.Sprint(v); s != "" && s != "[]" && s != "map[]" {
			b.WriteString(" " + name + "=" + s)
		}
	}
	switch r := m.(type) {
	case *discoverypb.DiscoveryRequest:
		b.WriteString(r.TypeUrl[strings.LastIndexByte(r.TypeUrl, '.')+1:])
		put("node", r.Node.GetId())
		put("version", r.VersionInfo)
		put("nonce", r.ResponseNonce)
		put("names", r.ResourceNames)
		put("NACK", r.ErrorDetail.GetMessage())
		if d := r.ErrorDetail; d != nil && d.Code != 13 {
			put("code", d.Code)
		}
	case *discoverypb.DeltaDiscoveryRequest:
		b.WriteString(r.TypeUrl[strings.LastIndexByte(r.TypeUrl, '.')+1:])
		put("node", r.Node.GetId())
		put("nonce", r.ResponseNonce)
		put("add", r.ResourceNamesSubscribe)
		put("drop", r.ResourceNamesUnsubscribe)
		put("have", r.InitialResourceVersions)
		put("NACK", r.ErrorDetail.GetMessage())
	}
	return b.String()
}

// send sends a response in state of the world; its nonce is n1, n2, ….
func (c *conn) send(url, version string, all ...*anypb.Any) {
	c.t.Helper()
	c.n++
	if err := c.st.SendMsg(&discoverypb.DiscoveryResponse{TypeUrl: url, VersionInfo: version, Nonce: fmt.Sprint("n", c.n), Resources: all}); err != nil {
		c.t.Fatal(err)
	}
}

// delta sends a delta response.
func (c *conn) delta(url, version string, removed []string, all ...*discoverypb.Resource) {
	c.t.Helper()
	c.n++
	if err := c.st.SendMsg(&discoverypb.DeltaDiscoveryResponse{TypeUrl: url, SystemVersionInfo: version, Nonce: fmt.Sprint("n", c.n), Resources: all, RemovedResources: removed}); err != nil {
		c.t.Fatal(err)
	}
}

func named(name, version string, a *anypb.Any) *discoverypb.Resource {
	return &discoverypb.Resource{Name: name, Version: version, Resource: a}
}

func wrap(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

// cluster is a cluster from EDS; one called bad is refused. A timeout tells versions apart.
func cluster(name string) *anypb.Any {
	return wrap(&clusterpb.Cluster{Name: name, ClusterDiscoveryType: &clusterpb.Cluster_Type{Type: clusterpb.Cluster_EDS}})
}

func endpoints(name string, n int) *anypb.Any {
	return wrap(&endpointpb.ClusterLoadAssignment{ClusterName: name, Endpoints: make([]*endpointpb.LocalityLbEndpoints, n)})
}

var decoders = []xds.Decoder{
	xds.Type[*clusterpb.Cluster]{
		URL: xds.ClusterURL, AllRequiredInSotW: true,
		Decode: func(a *anypb.Any) (string, *clusterpb.Cluster, error) {
			c := new(clusterpb.Cluster)
			if err := a.UnmarshalTo(c); err != nil {
				return "", nil, err
			}
			if strings.HasPrefix(c.Name, "bad") {
				return c.Name, nil, fmt.Errorf("cluster is %s", c.Name)
			}
			return c.Name, c, nil
		},
		Refs: func(c *clusterpb.Cluster) []xds.Ref {
			if c.GetType() != clusterpb.Cluster_EDS {
				return nil
			}
			return []xds.Ref{{TypeURL: xds.EndpointURL, Name: c.Name}}
		},
	}.Decoder(),
	xds.Type[*endpointpb.ClusterLoadAssignment]{
		URL: xds.EndpointURL,
		Decode: func(a *anypb.Any) (string, *endpointpb.ClusterLoadAssignment, error) {
			c := new(endpointpb.ClusterLoadAssignment)
			err := a.UnmarshalTo(c)
			if err == nil && len(c.Endpoints) > 6 {
				err = fmt.Errorf("too many in %s", c.ClusterName)
			}
			return c.ClusterName, c, err
		},
	}.Decoder(),
	xds.Type[string]{
		URL:    xds.SecretURL,
		Decode: func(a *anypb.Any) (string, string, error) { return string(a.Value[2:]), "", nil },
	}.Decoder(),
	xds.Type[string]{
		URL: xds.ListenerURL, AllRequiredInSotW: true,
		Decode: func(a *anypb.Any) (string, string, error) { return string(a.Value[2:]), "", nil },
	}.Decoder(),
}

// harness is a client at a script.
type harness struct {
	t         *testing.T
	c         *xds.Client
	mu        sync.Mutex
	changed   chan struct{}
	events    []xds.Event
	log       lockedLog
	snapshots int
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// api is an ADS config for the cluster "xds".
func api(kind corepb.ApiConfigSource_ApiType) *corepb.ApiConfigSource {
	return &corepb.ApiConfigSource{
		ApiType: kind, SetNodeOnFirstMessageOnly: true,
		GrpcServices: []*corepb.GrpcService{{TargetSpecifier: &corepb.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corepb.GrpcService_EnvoyGrpc{ClusterName: "xds"}}}},
	}
}

func newHarness(t *testing.T, addr string, a *corepb.ApiConfigSource, cfg xds.Config) *harness {
	t.Helper()
	h := &harness{t: t, changed: make(chan struct{}, 1)}
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	o := &Opener{
		Node: Node(&corepb.Node{Id: "me", Cluster: "us"}, nil), ADS: a, Log: log,
		Dial: func(_ context.Context, _, authority string) (*grpc.ClientConn, error) {
			return NewConn(func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			}, ConnOptions{Authority: authority})
		},
	}
	cfg.Decoders, cfg.Log = decoders, log
	cfg.Open = map[string]xds.OpenFunc{xds.SchemeADS: o.Open, xds.SchemeGRPC: o.Open, xds.SchemeDelta: o.Open}
	cfg.Publish = func(*xds.Snapshot) {
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
	cfg.Observe = func(e xds.Event) {
		h.mu.Lock()
		h.events = append(h.events, e)
		h.mu.Unlock()
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
	h.c = xds.New(cfg)
	t.Cleanup(h.c.Close)
	return h
}

// until waits for the client to be in some state.
func (h *harness) until(what string, is func(s *xds.Snapshot) bool) {
	h.t.Helper()
	end := time.After(20 * time.Second)
	for !is(h.c.Snapshot()) {
		select {
		case <-h.changed:
		case <-end:
			h.t.Fatalf("never: %s\n%s", what, h.log.String())
		}
	}
}

// has waits for exactly these resources of a type.
func (h *harness) has(url string, names ...string) {
	h.t.Helper()
	h.until(fmt.Sprintf("%s is %q", url, names), func(s *xds.Snapshot) bool {
		var got []string
		for _, r := range s.Sorted(url) {
			got = append(got, r.Name)
		}
		return slices.Equal(got, names)
	})
}

// saw tells whether an event of a kind has been.
func (h *harness) saw(k xds.EventKind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.events, func(e xds.Event) bool { return e.Kind == k })
}

var _ io.Writer = (*lockedLog)(nil)
