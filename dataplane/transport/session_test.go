package transport

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

func TestSessionsResumeWithinTheirContextAlone(t *testing.T) {
	ca, other := pkitest.CA("ca"), pkitest.CA("other")
	srv, cli := ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{})
	key := text(strings.Repeat("k", 80))
	m := func(trust *pkitest.Pair) *tlspb.DownstreamTlsContext {
		c := common1(srv)
		c.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(trust)}
		return &tlspb.DownstreamTlsContext{CommonTlsContext: c, RequireClientCertificate: wrapperspb.Bool(true),
			SessionTicketKeysType: &tlspb.DownstreamTlsContext_SessionTicketKeys{SessionTicketKeys: &tlspb.TlsSessionTicketKeys{Keys: []*corepb.DataSource{key}}}}
	}
	one, same, strict := newServer(t, newEnv(t), m(ca)), newServer(t, newEnv(t), m(ca)), newServer(t, newEnv(t), m(other))
	elsewhere := m(ca)
	elsewhere.CommonTlsContext.TlsCertificates = []*tlspb.TlsCertificate{pair(ca.Issue(pkitest.Leaf{}))}
	moved := newServer(t, newEnv(t), elsewhere)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := &tls.Config{ServerName: "x", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1), Certificates: []tls.Certificate{cli.TLS()}}
		if one.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: resumed out of nothing", version)
		}
		if !one.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: no session was resumed", version)
		}
		one.info()
		if i := one.info(); !i.TLS.Resumed || i.TLS.Peer.Subject() != "CN=leaf,O=t" || !i.TLS.PeerValidated {
			t.Errorf("%x: %+v", version, i.TLS)
		}
		if !same.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: a proxy with the same keys and context did not resume", version)
		}
		if moved.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: a session crossed to a context with another certificate", version)
		}
		one.mustDial(c)
		one.info()
		// A context that does not trust the client's authority must not take its session.
		if _, err := strict.dial(c); err == nil {
			t.Errorf("%x: a session crossed to another trust bundle", version)
		}
	}
}

func TestSessionsEndWithTheSecretsTheyBeganWith(t *testing.T) {
	ca, fresh := pkitest.CA("ca"), pkitest.CA("fresh")
	cli := ca.Issue(pkitest.Leaf{})
	e := newEnv(t)
	e.put(t, &tlspb.Secret{Name: "crt", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: pair(ca.Issue(pkitest.Leaf{}))}})
	e.put(t, &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: trusted(ca)}})
	s := newServer(t, e, &tlspb.DownstreamTlsContext{RequireClientCertificate: wrapperspb.Bool(true), CommonTlsContext: &tlspb.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{ads("crt")},
		ValidationContextType:          &tlspb.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: ads("ca")},
	}})
	c := &tls.Config{ServerName: "x", ClientSessionCache: tls.NewLRUClientSessionCache(1), Certificates: []tls.Certificate{cli.TLS()}}
	s.mustDial(c)
	if !s.mustDial(c).ConnectionState().DidResume {
		t.Fatal("no session was resumed")
	}
	e.put(t, &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: trusted(fresh)}})
	if _, err := s.dial(c); err == nil {
		t.Error("a session outlived the trust it was made by")
	}
}

func TestSessionTimeoutAndSwitches(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	off := newServer(t, newEnv(t), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv), SessionTicketKeysType: &tlspb.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}})
	short := newServer(t, newEnv(t), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv), SessionTimeout: durationpb.New(time.Second)})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := &tls.Config{ServerName: "x", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		off.mustDial(c)
		if off.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: resumed although it is off", version)
		}
		c = &tls.Config{ServerName: "x", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		short.mustDial(c)
		if !short.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: did not resume in time", version)
		}
		time.Sleep(2100 * time.Millisecond)
		if short.mustDial(c).ConnectionState().DidResume {
			t.Errorf("%x: resumed after its time", version)
		}
	}
}

func TestRotatedCertificatesServeAtOnceAndBreakNothing(t *testing.T) {
	ca := pkitest.CA("ca")
	e := newEnv(t)
	put := func(cn string) {
		e.put(t, &tlspb.Secret{Name: "crt", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: pair(ca.Issue(pkitest.Leaf{CN: cn}))}})
	}
	s := newServer(t, e, &tlspb.DownstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{ads("crt")}}})
	if _, err := s.dial(&tls.Config{}); err == nil {
		t.Error("a connection without secret was served")
	}
	if i := s.info(); i.TransportFailureReason != "TLS error: Secret is not supplied by SDS" || e.counter("server_ssl_socket_factory.downstream_context_secrets_not_ready") != 1 {
		t.Errorf("%q", i.TransportFailureReason)
	}
	put("one")
	old := s.mustDial(&tls.Config{})
	stop := make(chan struct{})
	done := make(chan error)
	// Owned by the test: ends with stop.
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
				if _, err := s.dial(&tls.Config{}); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for _, cn := range []string{"two", "three", "four"} {
		put(cn)
		if got := s.mustDial(&tls.Config{}).ConnectionState().PeerCertificates[0].Subject.CommonName; got != cn {
			t.Errorf("%s serves after %s came", got, cn)
		}
		if err := say(old); err != nil {
			t.Errorf("the connection of before: %v", err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a handshake during rotation: %v", err)
	}
	if n := e.counter("server_ssl_socket_factory.ssl_context_update_by_sds"); n != 4 {
		t.Errorf("%d updates, want 4", n)
	}
}

func TestStaplesGoByPolicy(t *testing.T) {
	ob := func(name string) *corepb.DataSource {
		return &corepb.DataSource{Specifier: &corepb.DataSource_Filename{Filename: filepath.Join("../secret/testdata", name)}}
	}
	with := func(staple string, p tlspb.DownstreamTlsContext_OcspStaplePolicy) *tlspb.DownstreamTlsContext {
		c := &tlspb.TlsCertificate{CertificateChain: ob("p256.crt"), PrivateKey: ob("p256.sec1.key")}
		if staple != "" {
			c.OcspStaple = ob(staple)
		}
		return &tlspb.DownstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsCertificates: []*tlspb.TlsCertificate{c}}, OcspStaplePolicy: p}
	}
	const lenient, strict, must = tlspb.DownstreamTlsContext_LENIENT_STAPLING, tlspb.DownstreamTlsContext_STRICT_STAPLING, tlspb.DownstreamTlsContext_MUST_STAPLE
	for _, f := range []struct {
		staple  string
		policy  tlspb.DownstreamTlsContext_OcspStaplePolicy
		ok      bool
		stapled bool
	}{
		{"p256.expired.ocsp", lenient, true, false}, {"p256.expired.ocsp", strict, false, false}, {"p256.expired.ocsp", must, false, false}, {"", strict, true, false},
	} {
		e := newEnv(t)
		s := newServer(t, e, with(f.staple, f.policy))
		c, err := s.dial(&tls.Config{})
		if f.ok != (err == nil) || err == nil && f.stapled != (len(c.ConnectionState().OCSPResponse) > 0) {
			t.Errorf("%q %s: %v", f.staple, f.policy, err)
		}
		i := s.info()
		if !f.ok && (i.TransportFailureReason != "TLS_error:|268435589:SSL routines:OPENSSL_internal:CONNECTION_REJECTED:TLS_error_end" || e.counter("ssl.ocsp_staple_failed") != 1) {
			t.Errorf("%q %s: %s", f.staple, f.policy, i.TransportFailureReason)
		}
	}
	if _, err := CompileDownstream(socket(t, with("", must))); err == nil || err.Error() != "Required OCSP response is missing from TLS context" {
		t.Error(err)
	}
}

func TestKeyLogIsFilteredByAddress(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	for prefix, want := range map[string]bool{"127.0.0.0": true, "10.0.0.0": false} {
		name := filepath.Join(t.TempDir(), "keys")
		m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv)}
		m.CommonTlsContext.KeyLog = &tlspb.TlsKeyLog{Path: name, RemoteAddressRange: []*corepb.CidrRange{{AddressPrefix: prefix, PrefixLen: wrapperspb.UInt32(8)}}}
		s := newServer(t, newEnv(t), m)
		s.mustDial(&tls.Config{})
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(b), "SERVER_HANDSHAKE_TRAFFIC_SECRET "); got != want {
			t.Errorf("%s: %q", prefix, b)
		}
	}
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv)}
	m.CommonTlsContext.KeyLog = &tlspb.TlsKeyLog{Path: "/nosuch/keys"}
	c, err := CompileDownstream(socket(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Build(newEnv(t).Env); err == nil || err.Error() != "unable to open file '/nosuch/keys': No such file or directory" {
		t.Error(err)
	}
}

func TestContextsAreDumped(t *testing.T) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{DNS: []string{"a"}, URIs: []string{"spiffe://a"}, IPs: []string{"::1"}, Emails: []string{"x@y"}, NotAfter: time.Now().Add(50 * time.Hour)})
	e := newEnv(t)
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv)}
	m.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
	s := newServer(t, e, m)
	d := e.Contexts.Dump(time.Now())
	if len(d) != 1 || len(d[0].CACert) != 1 || len(d[0].CertChain) != 1 {
		t.Fatalf("%+v", d)
	}
	c := d[0].CertChain[0]
	var names []string
	for _, n := range c.SubjectAltNames {
		names = append(names, n.Value)
	}
	slices.Sort(names)
	if c.Path != "<inline>" || c.DaysUntilExpiration != 2 || strings.Join(names, " ") != "::1 a spiffe://a" || c.SerialNumber != "0"+srv.Cert.SerialNumber.Text(16) {
		t.Errorf("%+v", c)
	}
	if n := e.Contexts.DaysUntilFirstExpiry(time.Now()); n != 0 {
		t.Errorf("first expiry in %d days", n)
	}
	s.down.Close()
	if len(e.Contexts.Dump(time.Now())) != 0 {
		t.Error("a closed context is listed")
	}
}

func TestPeekedBytesReachTheHandshakeAndLazyDeadlinesDoNotBreakIt(t *testing.T) {
	// network.Conn leaves a timer that fires early where it is: TLS must neither see that nor be broken.
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	s := newServer(t, newEnv(t), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv)})
	server, client := tcpPair(t)
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	done := make(chan error, 1)
	// Owned by the test: ends with the connection.
	go func() {
		c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		err := c.Handshake()
		if err == nil {
			time.Sleep(1100 * time.Millisecond)
			_, err = c.Write([]byte("x"))
		}
		if err == nil {
			var b [1]byte
			_, err = c.Read(b[:])
		}
		done <- err
	}()
	c := newConn(server)
	defer c.Close()
	if b, err := c.Peek(5); err != nil || b[0] != 22 {
		t.Fatalf("%x, %v", b, err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_ = c.SetDeadline(time.Now().Add(1900 * time.Millisecond)) // lazily: the timer stays where it is
	if err := s.down.Handshake(c); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_ = c.SetDeadline(time.Now().Add(1900 * time.Millisecond)) // and again
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil {
		t.Errorf("read after the old timer: %v", err)
	}
	if _, err := c.Write([]byte("y")); err != nil {
		t.Errorf("write after the old timer: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.Cancel()
	_ = c.SetDeadline(time.Time{})
	if _, err := c.Read(b[:]); err == nil {
		t.Error("a new deadline undid Cancel")
	}
}
