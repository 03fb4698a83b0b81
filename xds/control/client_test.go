package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

func newServer(t *testing.T, o Options, files ...string) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for i, text := range files {
		if err := s.UpdateFile(string(rune('a'+i))+".yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func dial(t *testing.T, s *Server, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(serve(t, s).String(), grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// sotwClient is a client over state of the world.
type sotwClient struct {
	t      *testing.T
	stream discoverypb.AggregatedDiscoveryService_StreamAggregatedResourcesClient
}

func newSotw(t *testing.T, s *Server) *sotwClient {
	t.Helper()
	stream, err := discoverypb.NewAggregatedDiscoveryServiceClient(dial(t, s, insecure.NewCredentials())).StreamAggregatedResources(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return &sotwClient{t, stream}
}

func (c *sotwClient) ask(node, typeURL string, names ...string) {
	c.t.Helper()
	c.write(&discoverypb.DiscoveryRequest{Node: &corepb.Node{Id: node}, TypeUrl: typeURL, ResourceNames: names})
}

func (c *sotwClient) write(r *discoverypb.DiscoveryRequest) {
	c.t.Helper()
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// read reads a response and tells the names in it.
func (c *sotwClient) read() (*discoverypb.DiscoveryResponse, []string) {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, a := range r.GetResources() {
		m, err := a.UnmarshalNew()
		if err != nil {
			c.t.Fatal(err)
		}
		made, err := newResource(m)
		if err != nil {
			c.t.Fatal(err)
		}
		names = append(names, made.name)
	}
	return r, names
}

func (c *sotwClient) want(typeURL string, names ...string) *discoverypb.DiscoveryResponse {
	c.t.Helper()
	r, got := c.read()
	if r.GetTypeUrl() != typeURL || !slices.Equal(got, names) {
		c.t.Fatalf("got %s %q, want %s %q", short(r.GetTypeUrl()), got, short(typeURL), names)
	}
	return r
}

func (c *sotwClient) ack(r *discoverypb.DiscoveryResponse, names ...string) {
	c.t.Helper()
	c.write(&discoverypb.DiscoveryRequest{TypeUrl: r.GetTypeUrl(), VersionInfo: r.GetVersionInfo(), ResponseNonce: r.GetNonce(), ResourceNames: names})
}

// nack rejects a response; version is what the client had before.
func (c *sotwClient) nack(r *discoverypb.DiscoveryResponse, version, reason string) {
	c.t.Helper()
	c.write(&discoverypb.DiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), VersionInfo: version, ResponseNonce: r.GetNonce(),
		ErrorDetail: &statuspb.Status{Code: 3, Message: reason},
	})
}

// deltaClient is a client over delta.
type deltaClient struct {
	t      *testing.T
	stream discoverypb.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func newDelta(t *testing.T, s *Server) *deltaClient {
	t.Helper()
	stream, err := discoverypb.NewAggregatedDiscoveryServiceClient(dial(t, s, insecure.NewCredentials())).DeltaAggregatedResources(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return &deltaClient{t, stream}
}

func (c *deltaClient) write(r *discoverypb.DeltaDiscoveryRequest) {
	c.t.Helper()
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *deltaClient) ask(node, typeURL string, names ...string) {
	c.t.Helper()
	c.write(&discoverypb.DeltaDiscoveryRequest{Node: &corepb.Node{Id: node}, TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

func (c *deltaClient) want(typeURL string, names, removed []string) *discoverypb.DeltaDiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, res := range r.GetResources() {
		got = append(got, res.GetName())
	}
	if r.GetTypeUrl() != typeURL || !slices.Equal(got, names) || !slices.Equal(r.GetRemovedResources(), removed) {
		c.t.Fatalf("got %s %q, removed %q; want %s %q, removed %q", short(r.GetTypeUrl()), got, r.GetRemovedResources(), short(typeURL), names, removed)
	}
	return r
}

func (c *deltaClient) ack(r *discoverypb.DeltaDiscoveryResponse, subscribe ...string) {
	c.t.Helper()
	c.write(&discoverypb.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ResourceNamesSubscribe: subscribe})
}

func testCluster(name string) *clusterpb.Cluster { return &clusterpb.Cluster{Name: name} }

// testCertificate is a server's, for the name control.
func testCertificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := certificate(1, pkix.Name{})
	template.DNSNames = []string{"control"}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}}, pool
}
