package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func verified(v *tlspb.CertificateValidationContext) *tlspb.CommonTlsContext {
	return &tlspb.CommonTlsContext{ValidationContextType: &tlspb.CommonTlsContext_ValidationContext{ValidationContext: v}}
}

func TestUpstreamHelloIsEnvoys(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	hellos := make(chan *tls.ClientHelloInfo, 10)
	addr := tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hellos <- h
		return nil, nil
	}})
	thirteen := &tlspb.CommonTlsContext{TlsParams: &tlspb.TlsParameters{TlsMaximumProtocolVersion: tlspb.TlsParameters_TLSv1_3}}
	alpn := &tlspb.CommonTlsContext{AlpnProtocols: []string{"istio", "h2"}}
	for name, f := range map[string]struct {
		m        *tlspb.UpstreamTlsContext
		o        Options
		versions []uint16
		curves   []tls.CurveID
		sni      string
		alpn     string
	}{
		"TLS 1.2 by default": {&tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{}}, Options{}, []uint16{0x303}, []tls.CurveID{tls.X25519, tls.CurveP256}, "", ""},
		"TLS 1.3":            {&tlspb.UpstreamTlsContext{CommonTlsContext: thirteen, Sni: "a.b"}, Options{}, []uint16{0x304, 0x303}, []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}, "a.b", ""},
		"ALPN":               {&tlspb.UpstreamTlsContext{CommonTlsContext: alpn}, Options{ALPNFallback: []string{"http/1.1"}}, []uint16{0x303}, nil, "", "istio h2"},
		"fallback":           {&tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{}}, Options{ALPNFallback: []string{"http/1.1"}}, []uint16{0x303}, nil, "", "http/1.1"},
		"what is asked for":  {&tlspb.UpstreamTlsContext{CommonTlsContext: alpn, Sni: "a.b"}, Options{ServerName: "c.d", ALPN: []string{"x"}}, []uint16{0x303}, nil, "c.d", "x"},
	} {
		u := newUpstream(t, newEnv(t), f.m)
		c, _, err := connect(t, u, addr, f.o)
		if err != nil && !strings.Contains(err.Error(), "no application protocol") {
			t.Fatalf("%s: %v", name, err)
		}
		if c != nil {
			if err := say(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		h := <-hellos
		if !equal(h.SupportedVersions, f.versions) || f.curves != nil && !equal(h.SupportedCurves, f.curves) || h.ServerName != f.sni || strings.Join(h.SupportedProtos, " ") != f.alpn {
			t.Errorf("%s: versions %x, curves %v, SNI %q, ALPN %q", name, h.SupportedVersions, h.SupportedCurves, h.ServerName, h.SupportedProtos)
		}
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The reasons are what Envoy 1.40 logs for the same servers, but that it has "_" for " ".
func TestUpstreamFailuresAreExplainedAsEnvoyDoes(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	srv := ca.Issue(pkitest.Leaf{DNS: []string{"srv.example.com"}})
	now := time.Now()
	serve := func(p *pkitest.Pair) string {
		return tlsListener(t, &tls.Config{Certificates: []tls.Certificate{p.TLS()}})
	}
	sans := trusted(ca)
	sans.MatchSubjectAltNames = []*matcherpb.StringMatcher{{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: "x"}}} //nolint:staticcheck // SA1019
	const v = "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: "
	const chain = v + "X509_verify_cert: certificate verification error at depth 0: "
	thirteen := &tlspb.CommonTlsContext{TlsParams: &tlspb.TlsParameters{TlsMaximumProtocolVersion: tlspb.TlsParameters_TLSv1_3}}
	for name, f := range map[string]struct {
		m       *tlspb.CommonTlsContext
		addr    string
		want    string
		counter string
	}{
		"unknown authority": {verified(trusted(rogue)), serve(srv), chain + "unable to get local issuer certificate", "ssl.fail_verify_error"},
		"SAN":               {verified(sans), serve(srv), v + "SAN matcher, certificate SANs are [srv.example.com]", "ssl.fail_verify_san"},
		"expired":           {verified(trusted(ca)), serve(ca.Issue(pkitest.Leaf{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})), chain + "certificate has expired", "ssl.fail_verify_error"},
		"purpose":           {verified(trusted(ca)), serve(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})), chain + "unsupported certificate purpose", "ssl.fail_verify_error"},
		"key usage":         {verified(trusted(ca)), serve(ca.Issue(pkitest.Leaf{KU: x509.KeyUsageKeyEncipherment})), "268435758:SSL routines:OPENSSL_internal:KEY_USAGE_BIT_INCORRECT", "ssl.connection_error"},
		"hash":              {verified(&tlspb.CertificateValidationContext{VerifyCertificateHash: []string{strings.Repeat("0", 64)}}), serve(srv), v + "cert hash and spki", "ssl.fail_verify_cert_hash"},
		"plaintext":         {nil, rawListener(t, func(c net.Conn) { answer(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "ssl.connection_error"},
		"alert": {nil, rawListener(t, func(c net.Conn) { answer(c, "\x15\x03\x01\x00\x02\x02\x28") }),
			"268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE|268435610:SSL routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO", "ssl.connection_error"},
		"version": {nil, tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}, MinVersion: tls.VersionTLS13}), "268436526:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION", "ssl.connection_error"},
		"certificate required": {nil, tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}, ClientAuth: tls.RequireAnyClientCert}),
			"268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE", "ssl.connection_error"},
		"closed": {thirteen, rawListener(t, func(c net.Conn) { answer(c, "") }), "", ""},
		"reset": {nil, rawListener(t, func(c net.Conn) {
			answer(c, "")
			_ = c.(*net.TCPConn).SetLinger(0)
		}), "33554536:system library:OPENSSL_internal:Connection reset by peer", ""},
	} {
		e := newEnv(t)
		if f.m == nil {
			f.m = &tlspb.CommonTlsContext{}
		}
		c, i, err := connect(t, newUpstream(t, e, &tlspb.UpstreamTlsContext{CommonTlsContext: f.m}), f.addr, Options{})
		if err == nil || c != nil {
			t.Errorf("%s: connected", name)
			continue
		}
		want := f.want
		if want != "" {
			want = "TLS_error:|" + want + ":TLS_error_end"
		}
		if i.TransportFailureReason != want {
			t.Errorf("%s: %s, want %s", name, i.TransportFailureReason, want)
		}
		for _, c := range []string{"ssl.fail_verify_san", "ssl.fail_verify_error", "ssl.fail_verify_cert_hash", "ssl.connection_error", "ssl.handshake"} {
			want := uint64(0)
			if c == f.counter {
				want = 1
			}
			if n := e.counter(c); n != want {
				t.Errorf("%s: %s is %d, want %d", name, c, n, want)
			}
		}
	}
}

func answer(c net.Conn, s string) {
	var b [4096]byte
	_, _ = c.Read(b[:])
	_, _ = c.Write([]byte(s))
}

func TestUpstreamTellsWhatWasNegotiated(t *testing.T) {
	ca := pkitest.CA("ca")
	e := newEnv(t)
	srv, cli := ca.Issue(pkitest.Leaf{CN: "srv", DNS: []string{"srv"}}), ca.Issue(pkitest.Leaf{CN: "cli"})
	m := verified(trusted(ca))
	m.TlsCertificates = []*tlspb.TlsCertificate{pair(cli)}
	addr := tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}, ClientAuth: tls.RequireAnyClientCert})
	u := newUpstream(t, e, &tlspb.UpstreamTlsContext{CommonTlsContext: m, Sni: "srv"})
	for i := range 2 {
		c, info, err := connect(t, u, addr, Options{})
		if err != nil || say(c) != nil {
			t.Fatal(err)
		}
		got := info.TLS
		if got.Version != "TLSv1.2" || got.Cipher != "ECDHE-ECDSA-AES128-GCM-SHA256" || got.Group != "X25519" || got.ServerName != "srv" ||
			got.Peer.Subject() != "CN=srv,O=t" || got.Local.Subject() != "CN=cli,O=t" || !got.PeerValidated || got.PeerIssuer.Subject() != "CN=ca,O=t" {
			t.Errorf("%+v", got)
		}
		if resumed := i == 1; got.Resumed != resumed {
			t.Errorf("connection %d: resumed %v", i, got.Resumed)
		}
	}
	if e.counter("ssl.handshake") != 2 || e.counter("ssl.session_reused") != 1 || e.counter("ssl.ciphers.ECDHE-ECDSA-AES128-GCM-SHA256") != 2 {
		t.Error("not counted")
	}
}

func TestUpstreamSessionsAreVerifiedAgain(t *testing.T) {
	ca, fresh := pkitest.CA("ca"), pkitest.CA("fresh")
	srv := ca.Issue(pkitest.Leaf{DNS: []string{"srv"}})
	addr := tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}})
	e := newEnv(t)
	e.put(t, &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: trusted(ca)}})
	u := newUpstream(t, e, &tlspb.UpstreamTlsContext{Sni: "srv", CommonTlsContext: &tlspb.CommonTlsContext{
		ValidationContextType: &tlspb.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: ads("ca")}}})
	c, _, err := connect(t, u, addr, Options{})
	if err != nil || say(c) != nil {
		t.Fatal(err)
	}
	if _, i, err := connect(t, u, addr, Options{SANs: []string{"other"}}); err == nil || !strings.Contains(i.TransportFailureReason, "verify SAN list, expected SANs: [other], certificate SANs: [srv]") {
		t.Errorf("a session skipped the names that were asked for: %v", err)
	}
	if c, _, err := connect(t, u, addr, Options{SANs: []string{"srv"}}); err != nil || say(c) != nil {
		t.Error(err)
	}
	e.put(t, &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: trusted(fresh)}})
	if _, _, err := connect(t, u, addr, Options{}); err == nil {
		t.Error("a session outlived the trust it was made by")
	}
	if err := say(c); err != nil {
		t.Errorf("the connection of before: %v", err)
	}
}

func TestUpstreamSNIAndItsValidation(t *testing.T) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{DNS: []string{"srv.example.com"}})
	addr := tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}})
	for name, f := range map[string]struct {
		m    *tlspb.UpstreamTlsContext
		o    Options
		host string
		ok   bool
	}{
		"as configured":       {&tlspb.UpstreamTlsContext{Sni: "srv.example.com", AutoSniSanValidation: true}, Options{}, "", true},
		"not in certificate":  {&tlspb.UpstreamTlsContext{Sni: "nope", AutoSniSanValidation: true}, Options{}, "", false},
		"none is not checked": {&tlspb.UpstreamTlsContext{AutoSniSanValidation: true}, Options{}, "", true},
		"of the host":         {&tlspb.UpstreamTlsContext{Sni: "nope", AutoHostSni: true, AutoSniSanValidation: true}, Options{}, "srv.example.com", true},
		"asked for wins":      {&tlspb.UpstreamTlsContext{AutoHostSni: true, AutoSniSanValidation: true}, Options{ServerName: "nope"}, "srv.example.com", false},
		"too long to be sent": {&tlspb.UpstreamTlsContext{AutoSniSanValidation: true}, Options{ServerName: strings.Repeat("x", 256)}, "", true},
	} {
		f.m.CommonTlsContext = verified(trusted(ca))
		u := newUpstream(t, newEnv(t), f.m)
		n, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := u.Handshake(context.Background(), n, f.o, &streaminfo.Upstream{HostName: f.host})
		if f.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}

func TestUpstreamHandshakeEndsWithItsContext(t *testing.T) {
	hold := make(chan struct{})
	addr := rawListener(t, func(net.Conn) { <-hold })
	defer close(hold)
	u := newUpstream(t, newEnv(t), &tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{}})
	n, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	i := &streaminfo.Upstream{}
	if _, err := u.Handshake(ctx, n, Options{}, i); err == nil || i.TransportFailureReason != "" {
		t.Errorf("%v, %q", err, i.TransportFailureReason)
	}
	if _, err := n.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error("the connection was left open")
	}
}

func TestUpstreamWithoutItsSecretIsRefused(t *testing.T) {
	e := newEnv(t)
	u := newUpstream(t, e, &tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{ads("missing")}}})
	addr := rawListener(t, func(net.Conn) {})
	_, i, err := connect(t, u, addr, Options{})
	if err == nil || i.TransportFailureReason != "TLS error: Secret is not supplied by SDS" || e.counter("client_ssl_socket_factory.upstream_context_secrets_not_ready") != 1 {
		t.Errorf("%v, %q", err, i.TransportFailureReason)
	}
}

func TestRefusalAfterATLS13HandshakeIsCounted(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	addr := tlsListener(t, &tls.Config{Certificates: []tls.Certificate{srv.TLS()}, ClientAuth: tls.RequireAnyClientCert})
	e := newEnv(t)
	u := newUpstream(t, e, &tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsParams: &tlspb.TlsParameters{TlsMaximumProtocolVersion: tlspb.TlsParameters_TLSv1_3}}})
	c, _, err := connect(t, u, addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := c.Read(b[:]); err == nil {
		t.Error("no alert")
	}
	if e.counter("ssl.handshake") != 1 || e.counter("ssl.connection_error") != 1 {
		t.Error("not counted")
	}
}
