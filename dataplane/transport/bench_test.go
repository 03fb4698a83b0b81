package transport

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"testing"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// benchHandshake measures both sides of a handshake: ours, and crypto/tls's client.
func benchHandshake(b *testing.B, m *tlspb.DownstreamTlsContext, client *tls.Config) {
	b.Helper()
	s := newServer(b, newEnv(b), m)
	client.InsecureSkipVerify = true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan error)
	// Owned by the benchmark: ends when the listener is closed.
	go func() {
		for {
			n, err := l.Accept()
			if err != nil {
				return
			}
			c := &network.Conn{}
			c.Start(n)
			err = s.down.Handshake(c)
			done <- err
			_ = c.Close()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		n, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		c := tls.Client(n, client)
		if err := c.Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if client.ClientSessionCache != nil {
			var one [1]byte
			_, _ = c.Read(one[:]) // the ticket
		}
		_ = n.Close()
	}
}

func BenchmarkHandshake(b *testing.B) {
	ca := pkitest.CA("ca")
	srv, rsa, cli := ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{RSA: 2048}), ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/cli"}})
	plain := func(p *pkitest.Pair) *tlspb.DownstreamTlsContext {
		return &tlspb.DownstreamTlsContext{CommonTlsContext: common1(p)}
	}
	mutual := plain(srv)
	mutual.RequireClientCertificate = wrapperspb.Bool(true)
	mutual.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
	x25519 := []tls.CurveID{tls.X25519}
	b.Run("P256", func(b *testing.B) { benchHandshake(b, plain(srv), &tls.Config{CurvePreferences: x25519}) })
	silent := plain(srv)
	silent.SessionTicketKeysType = &tlspb.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}
	b.Run("P256 without ticket", func(b *testing.B) { benchHandshake(b, silent, &tls.Config{CurvePreferences: x25519}) })
	b.Run("P256 and ML-KEM", func(b *testing.B) { benchHandshake(b, plain(srv), &tls.Config{}) })
	b.Run("P256 mutual", func(b *testing.B) {
		benchHandshake(b, mutual, &tls.Config{CurvePreferences: x25519, Certificates: []tls.Certificate{cli.TLS()}})
	})
	b.Run("P256 mutual resumed", func(b *testing.B) {
		benchHandshake(b, mutual, &tls.Config{ServerName: "x", CurvePreferences: x25519, Certificates: []tls.Certificate{cli.TLS()}, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	})
	b.Run("RSA", func(b *testing.B) { benchHandshake(b, plain(rsa), &tls.Config{CurvePreferences: x25519}) })
}

// BenchmarkIdleConnection tells what an idle server connection holds after a mutual handshake.
func BenchmarkIdleConnection(b *testing.B) {
	ca := pkitest.CA("ca")
	cli := ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/cli"}}).TLS()
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(ca.Issue(pkitest.Leaf{})), RequireClientCertificate: wrapperspb.Bool(true)}
	m.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
	s := newServer(b, newEnv(b), m)
	const conns = 500
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var st runtime.MemStats
		runtime.ReadMemStats(&st)
		return st.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		var held []*network.Conn
		var under []net.Conn
		for range conns {
			server, client := tcpPair(b)
			under = append(under, client)
			c := newConn(server)
			done := make(chan error, 1)
			// Owned by the benchmark: ends with the handshake.
			go func() { done <- s.down.Handshake(c) }()
			if err := tls.Client(client, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cli}}).Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			held = append(held, c)
		}
		b.ReportMetric(float64(heap()-before)/conns, "B/conn")
		for i := range held {
			_ = held[i].Close()
			_ = under[i].Close()
		}
	}
}

func BenchmarkUpstreamHandshake(b *testing.B) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{DNS: []string{"srv"}})
	for name, sessions := range map[string]uint32{"full": 0, "resumed": 1} {
		b.Run(name, func(b *testing.B) {
			addr := tlsListener(b, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}})
			m := verified(trusted(ca))
			u := newUpstream(b, newEnv(b), &tlspb.UpstreamTlsContext{CommonTlsContext: m, Sni: "srv", MaxSessionKeys: wrapperspb.UInt32(sessions)})
			b.ReportAllocs()
			for b.Loop() {
				n, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				c, err := u.Handshake(context.Background(), n, Options{}, &streaminfo.Upstream{})
				if err != nil {
					b.Fatal(err)
				}
				_ = c.Close()
			}
		})
	}
}

// BenchmarkWrite writes pieces of 16 KiB through TLS.
func BenchmarkWrite(b *testing.B) {
	s := newServer(b, newEnv(b), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(pkitest.CA("ca").Issue(pkitest.Leaf{}))})
	server, client := tcpPair(b)
	defer client.Close()
	c := newConn(server)
	defer c.Close()
	// Owned by the benchmark: ends with the connection.
	go func() {
		t := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		buf := make([]byte, 64<<10)
		for {
			if _, err := t.Read(buf); err != nil {
				return
			}
		}
	}()
	if err := s.down.Handshake(c); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 16<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}
