package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

func text(s string) *corepb.DataSource {
	return &corepb.DataSource{Specifier: &corepb.DataSource_InlineString{InlineString: s}}
}

func pair(p *pkitest.Pair) *tlspb.TlsCertificate {
	return &tlspb.TlsCertificate{CertificateChain: text(p.PEM), PrivateKey: text(p.KeyPEM)}
}

func trusted(ca *pkitest.Pair) *tlspb.CertificateValidationContext {
	return &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM)}
}

func socket(t testing.TB, m proto.Message) *corepb.TransportSocket {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &corepb.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: a}}
}

// env is a fresh Env with a store of its own.
type env struct {
	Env
	stats *stats.Store
	snap  *xds.Snapshot
}

func newEnv(t testing.TB) *env {
	t.Helper()
	st := stats.NewStore(1)
	log := slog.New(slog.DiscardHandler)
	e := &env{stats: st, snap: &xds.Snapshot{}}
	e.Env = Env{Secrets: secret.NewStore(st, log), Scope: st.Scope("x"), Log: log, Contexts: &Contexts{}}
	t.Cleanup(e.Secrets.Close)
	return e
}

// put makes s a secret that came by ADS.
func (e *env) put(t testing.TB, s *tlspb.Secret) {
	t.Helper()
	v, err := secret.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	e.snap = e.snap.With(xds.SecretURL, xds.Change{Put: []*xds.Resource{{Name: s.GetName(), Value: v}}})
	e.Secrets.Apply(e.snap)
}

// counter is the value of a counter or gauge; 0 if there is none.
func (e *env) counter(name string) uint64 {
	for s := range e.stats.All(stats.KindCounter, stats.KindGauge) {
		if string(s.Name()) == "x."+name {
			return s.Value()
		}
	}
	return 0
}

func ads(name string) *tlspb.SdsSecretConfig {
	return &tlspb.SdsSecretConfig{Name: name, SdsConfig: &corepb.ConfigSource{ConfigSourceSpecifier: &corepb.ConfigSource_Ads{Ads: &corepb.AggregatedConfigSource{}}}}
}

// server accepts connections through a Downstream and echoes lines in upper case.
type server struct {
	net.Listener
	t    testing.TB
	down Downstream
	// infos is what was known of each connection after its handshake.
	infos chan *streaminfo.Connection
}

func newServer(t testing.TB, e *env, m *tlspb.DownstreamTlsContext) *server {
	t.Helper()
	c, err := CompileDownstream(socket(t, m))
	if err != nil {
		t.Fatal(err)
	}
	down, err := c.Build(e.Env)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, t: t, down: down, infos: make(chan *streaminfo.Connection, 1000)}
	t.Cleanup(func() { _ = l.Close(); down.Close() })
	// Owned by the test: ends when the listener is closed.
	go s.run()
	return s
}

func (s *server) run() {
	for {
		n, err := s.Accept()
		if err != nil {
			return
		}
		// Owned by the test: ends with its connection.
		go s.serve(n)
	}
}

func (s *server) serve(n net.Conn) {
	c := &network.Conn{Worker: 1}
	c.Start(n)
	defer c.Close()
	c.Info.Start = time.Now()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	err := s.down.Handshake(c)
	_ = c.SetDeadline(time.Time{})
	s.infos <- &c.Info
	if err != nil {
		return
	}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := c.Write([]byte(strings.ToUpper(line))); err != nil {
			return
		}
	}
}

// info waits for the next connection's info.
func (s *server) info() *streaminfo.Connection {
	s.t.Helper()
	select {
	case i := <-s.infos:
		return i
	case <-time.After(5 * time.Second):
		s.t.Fatal("no connection")
		return nil
	}
}

// dial makes a client's connection, with a line there and back.
func (s *server) dial(c *tls.Config) (*tls.Conn, error) {
	s.t.Helper()
	c = c.Clone()
	c.InsecureSkipVerify = true
	n, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", s.Addr().String())
	if err != nil {
		return nil, err
	}
	_ = n.SetDeadline(time.Now().Add(5 * time.Second))
	t := tls.Client(n, c)
	s.t.Cleanup(func() { _ = t.Close() })
	if err := t.Handshake(); err != nil {
		return nil, err
	}
	return t, say(t)
}

func say(c net.Conn) error {
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "HELLO\n" {
		return net.ErrClosed
	}
	return err
}

func (s *server) mustDial(c *tls.Config) *tls.Conn {
	s.t.Helper()
	n, err := s.dial(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// newUpstream builds the client side.
func newUpstream(t testing.TB, e *env, m *tlspb.UpstreamTlsContext) Upstream {
	t.Helper()
	c, err := CompileUpstream(socket(t, m))
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.Build(e.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// connect takes a connection to addr through u's handshake.
func connect(t testing.TB, u Upstream, addr string, o Options) (net.Conn, *streaminfo.Upstream, error) {
	t.Helper()
	n, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	i := &streaminfo.Upstream{}
	c, err := u.Handshake(ctx, n, o, i)
	if c != nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, i, err
}

// tlsListener is a server of crypto/tls's own, which echoes; it answers to one configuration.
func tlsListener(t testing.TB, c *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	// Owned by the test: ends when the listener is closed.
	go func() {
		for {
			n, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer n.Close()
				r := bufio.NewReader(n)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = n.Write([]byte(strings.ToUpper(line)))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// rawListener answers every connection's first bytes with what f returns, then closes it.
func rawListener(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	// Owned by the test: ends when the listener is closed.
	go func() {
		for {
			n, err := l.Accept()
			if err != nil {
				return
			}
			f(n)
			_ = n.Close()
		}
	}()
	return l.Addr().String()
}

func tcpPair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func newConn(n net.Conn) *network.Conn {
	c := &network.Conn{}
	c.Start(n)
	c.Info.Start = time.Now()
	return c
}
