package transport

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

func common1(c ...*pkitest.Pair) *tlspb.CommonTlsContext {
	m := &tlspb.CommonTlsContext{}
	for _, p := range c {
		m.TlsCertificates = append(m.TlsCertificates, pair(p))
	}
	return m
}

func TestHandshakeTellsWhatWasNegotiated(t *testing.T) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{CN: "srv", DNS: []string{"srv.example.com"}})
	cli := ca.Issue(pkitest.Leaf{CN: "cli", URIs: []string{"spiffe://td/cli"}})
	e := newEnv(t)
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv)}
	m.CommonTlsContext.AlpnProtocols = []string{"h2", "http/1.1"}
	m.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
	s := newServer(t, e, m)
	s.mustDial(&tls.Config{ServerName: "srv.example.com", NextProtos: []string{"http/1.1", "h2"}, Certificates: []tls.Certificate{cli.TLS()}})
	i := s.info()
	got := i.TLS
	if got == nil {
		t.Fatal(i.TransportFailureReason)
	}
	for name, f := range map[string][2]string{
		"version": {got.Version, "TLSv1.3"}, "cipher": {got.Cipher, "TLS_AES_128_GCM_SHA256"}, "group": {got.Group, "X25519MLKEM768"},
		"SNI": {got.ServerName, "srv.example.com"}, "requested name": {i.RequestedServerName, "srv.example.com"}, "ALPN": {got.ALPN, "h2"},
		"offered": {strings.Join(i.ApplicationProtocols, " "), "http/1.1 h2"},
		"peer":    {got.Peer.Subject(), "CN=cli,O=t"}, "issuer": {got.PeerIssuer.Subject(), "CN=ca,O=t"},
		"URI": {strings.Join(got.Peer.URISANs(), ","), "spiffe://td/cli"}, "local": {got.Local.Subject(), "CN=srv,O=t"},
	} {
		if f[0] != f[1] {
			t.Errorf("%s is %q, want %q", name, f[0], f[1])
		}
	}
	if !got.PeerPresented || !got.PeerValidated || len(got.PeerChain) != 1 || got.Resumed || i.HandshakeDone == 0 {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]uint64{
		"ssl.handshake": 1, "ssl.no_certificate": 0, "ssl.ciphers.TLS_AES_128_GCM_SHA256": 1, "ssl.versions.TLSv1.3": 1, "ssl.curves.X25519MLKEM768": 1,
		"ssl.sigalgs.ecdsa_secp256r1_sha256": 1, "ssl.ocsp_staple_requests": 1, "ssl.ocsp_staple_omitted": 1, "ssl.session_reused": 0,
	} {
		if n := e.counter(name); n != want {
			t.Errorf("%s is %d, want %d", name, n, want)
		}
	}
	if n := e.counter("ssl.certificate.unnamed_cert_e3b0c442.expiration_unix_time_seconds"); n != uint64(srv.Cert.NotAfter.Unix()) {
		t.Errorf("expiration %d", n)
	}
}

// The reasons are what Envoy 1.40 logs for the same clients, but that it has "_" for " ".
func TestFailedHandshakesAreExplainedAsEnvoyDoes(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	srv := ca.Issue(pkitest.Leaf{})
	peer := func(p *pkitest.Pair) *tls.Config {
		return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := p.TLS()
			return &c, nil // whatever authorities are named
		}}
	}
	required := func(c *tlspb.CommonTlsContext) *tlspb.DownstreamTlsContext {
		c.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
		return &tlspb.DownstreamTlsContext{CommonTlsContext: c, RequireClientCertificate: wrapperspb.Bool(true)}
	}
	params := func(p *tlspb.TlsParameters) *tlspb.DownstreamTlsContext {
		c := common1(srv)
		c.TlsParams = p
		return &tlspb.DownstreamTlsContext{CommonTlsContext: c}
	}
	const v = "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: certificate verification error at depth "
	for name, f := range map[string]struct {
		m       *tlspb.DownstreamTlsContext
		client  *tls.Config
		want    string
		counter string
	}{
		"no certificate": {required(common1(srv)), &tls.Config{},
			"268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate", "ssl.fail_verify_no_cert"},
		"no certificate, TLS 1.2": {required(common1(srv)), &tls.Config{MaxVersion: tls.VersionTLS12},
			"268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate", "ssl.fail_verify_no_cert"},
		"unknown authority": {required(common1(srv)), peer(rogue.Issue(pkitest.Leaf{})), v + "0: unable to get local issuer certificate", "ssl.fail_verify_error"},
		"purpose":           {required(common1(srv)), peer(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})), v + "0: unsupported certificate purpose", "ssl.fail_verify_error"},
		"key usage":         {required(common1(srv)), peer(ca.Issue(pkitest.Leaf{KU: x509.KeyUsageKeyEncipherment})), "268435758:SSL routines:OPENSSL_internal:KEY_USAGE_BIT_INCORRECT", "ssl.connection_error"},
		"version": {params(&tlspb.TlsParameters{TlsMinimumProtocolVersion: tlspb.TlsParameters_TLSv1_3}), &tls.Config{MaxVersion: tls.VersionTLS12},
			"268435696:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL", "ssl.connection_error"},
		"cipher": {params(&tlspb.TlsParameters{TlsMaximumProtocolVersion: tlspb.TlsParameters_TLSv1_2, CipherSuites: []string{"ECDHE-RSA-AES128-GCM-SHA256"}}), &tls.Config{},
			"268435640:SSL routines:OPENSSL_internal:NO_SHARED_CIPHER", "ssl.connection_error"},
		"group": {params(&tlspb.TlsParameters{EcdhCurves: []string{"P-384"}}), &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}},
			"268435722:SSL routines:OPENSSL_internal:NO_SHARED_GROUP", "ssl.connection_error"},
	} {
		e := newEnv(t)
		s := newServer(t, e, f.m)
		if _, err := s.dial(f.client); err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		i := s.info()
		if want := "TLS_error:|" + f.want + ":TLS_error_end"; i.TransportFailureReason != want {
			t.Errorf("%s: %s, want %s", name, i.TransportFailureReason, want)
		}
		for _, c := range []string{"ssl.fail_verify_no_cert", "ssl.fail_verify_error", "ssl.connection_error", "ssl.handshake"} {
			want := uint64(0)
			if c == f.counter {
				want = 1
			}
			if n := e.counter(c); n != want {
				t.Errorf("%s: %s is %d, want %d", name, c, n, want)
			}
		}
		if i.TLS == nil || i.TLS.Local.Subject() != "CN=leaf,O=t" || i.TLS.PeerValidated {
			t.Errorf("%s: %+v", name, i.TLS)
		}
	}
}

func TestWhatIsNoTLSIsExplained(t *testing.T) {
	e := newEnv(t)
	s := newServer(t, e, &tlspb.DownstreamTlsContext{CommonTlsContext: common1(pkitest.CA("ca").Issue(pkitest.Leaf{}))})
	for _, f := range []struct{ send, want, answer string }{
		{"GET / HTTP/1.1\r\n\r\n", "268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST", ""},
		{"CONNECT / HTTP/1.1\r\n", "268435611:SSL routines:OPENSSL_internal:HTTPS_PROXY_REQUEST", ""},
		{"junkjunkjunk", "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "\x15\x03\x01\x00\x02\x02F"},
		{"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "268435587:SSL routines:OPENSSL_internal:CLIENTHELLO_PARSE_FAILED", "*"},
		{"\x15\x03\x01\x00\x02\x02\x28", "268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE", ""},
		{"\x16\x03\x01\xff\xff\x01\x00\x00\x01\x00", "268435602:SSL routines:OPENSSL_internal:ENCRYPTED_LENGTH_TOO_LONG", "*"},
		{"\x16\x03\x01\x02", "", ""},
		{"", "", ""},
	} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = c.Write([]byte(f.send))
		_ = c.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c)
		_ = c.Close()
		want := f.want
		if want != "" {
			want = "TLS_error:|" + want + ":TLS_error_end"
		}
		if i := s.info(); i.TransportFailureReason != want {
			t.Errorf("%q: %s, want %s", f.send, i.TransportFailureReason, want)
		}
		if f.answer != "*" && string(got) != f.answer {
			t.Errorf("%q is answered by %q, want %q", f.send, got, f.answer)
		}
	}
	if n := e.counter("ssl.connection_error"); n != 6 {
		t.Errorf("connection_error is %d, want 6: a connection that ends is no error", n)
	}
}

func TestClientCertificates(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	srv := ca.Issue(pkitest.Leaf{})
	hash := &tlspb.CertificateValidationContext{VerifyCertificateHash: []string{strings.Repeat("0", 64)}}
	untrusted := trusted(ca)
	untrusted.TrustChainVerification = tlspb.CertificateValidationContext_ACCEPT_UNTRUSTED
	quiet := trusted(ca)
	quiet.SuppressClientCaList = true
	for name, f := range map[string]struct {
		v         *tlspb.CertificateValidationContext // nil: none
		require   bool
		peer      *pkitest.Pair // nil: none
		ok        bool
		asked     int // authorities named; -1: no certificate asked for
		validated bool
	}{
		"nothing to verify by: none is asked for": {nil, true, nil, true, -1, false},
		"an empty context verifies nothing":       {&tlspb.CertificateValidationContext{}, true, nil, true, -1, false},
		"not required":                            {trusted(ca), false, nil, true, 1, false},
		"required":                                {trusted(ca), true, nil, false, 1, false},
		"given":                                   {trusted(ca), true, ca.Issue(pkitest.Leaf{}), true, 1, true},
		"of another authority":                    {trusted(ca), false, rogue.Issue(pkitest.Leaf{}), false, 1, false},
		"hashes require one":                      {hash, false, nil, false, 0, false},
		"untrusted is accepted":                   {untrusted, true, rogue.Issue(pkitest.Leaf{}), true, 1, false},
		"but required all the same":               {untrusted, true, nil, false, 1, false},
		"authorities are not named":               {quiet, true, ca.Issue(pkitest.Leaf{}), true, 0, true},
	} {
		m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv), RequireClientCertificate: wrapperspb.Bool(f.require)}
		if f.v != nil {
			m.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: f.v}
		}
		e := newEnv(t)
		s := newServer(t, e, m)
		asked := -1
		_, err := s.dial(&tls.Config{GetClientCertificate: func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = len(i.AcceptableCAs)
			if f.peer == nil {
				return &tls.Certificate{}, nil
			}
			c := f.peer.TLS()
			return &c, nil
		}})
		if f.ok != (err == nil) || asked != f.asked {
			t.Errorf("%s: %v, %d authorities named", name, err, asked)
		}
		if i := s.info(); i.TLS.PeerPresented != (f.peer != nil) || i.TLS.PeerValidated != f.validated {
			t.Errorf("%s: %+v", name, i.TLS)
		}
		if name == "untrusted is accepted" && e.counter("ssl.fail_verify_error") != 1 {
			t.Errorf("%s: it is not counted", name)
		}
	}
}

func TestALPNWithoutSharedProtocolGoesOnWithoutOne(t *testing.T) {
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(pkitest.CA("ca").Issue(pkitest.Leaf{}))}
	m.CommonTlsContext.AlpnProtocols = []string{"h2"}
	s := newServer(t, newEnv(t), m)
	for offer, want := range map[string]string{"h2": "h2", "istio-http/1.1": "", "": ""} {
		c := &tls.Config{}
		if offer != "" {
			c.NextProtos = []string{offer}
		}
		if got := s.mustDial(c).ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("%q is answered by %q", offer, got)
		}
		if i := s.info(); i.TLS.ALPN != want {
			t.Errorf("%q: %q", offer, i.TLS.ALPN)
		}
	}
}

func TestCertificateIsChosenByNameAndKey(t *testing.T) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{CN: "srv", DNS: []string{"srv.example.com"}})
	wild := ca.Issue(pkitest.Leaf{CN: "wild", DNS: []string{"*.example.org"}})
	alt := ca.Issue(pkitest.Leaf{CN: "alt", DNS: []string{"alt.example.com"}})
	rsa := ca.Issue(pkitest.Leaf{CN: "rsa", DNS: []string{"srv.example.com"}, RSA: 2048})
	onlyRSA := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	first := newServer(t, newEnv(t), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(rsa, srv, wild, alt)})
	full := newServer(t, newEnv(t), &tlspb.DownstreamTlsContext{CommonTlsContext: common1(rsa, srv, wild, alt), FullScanCertsOnSniMismatch: wrapperspb.Bool(true)})
	for _, f := range []struct {
		s       *server
		name    string
		ciphers []uint16
		want    string
	}{
		{first, "srv.example.com", nil, "srv"},
		{first, "SRV.Example.com", nil, "srv"},
		{first, "srv.example.com", onlyRSA, "rsa"},
		{first, "a.example.org", nil, "wild"},
		{first, "a.b.example.org", nil, "rsa"},
		{first, "alt.example.com", nil, "alt"},
		{first, "nope", nil, "rsa"},
		{first, "", nil, "rsa"},
		{full, "nope", nil, "srv"},
		{full, "nope", onlyRSA, "rsa"},
	} {
		c := &tls.Config{ServerName: f.name, CipherSuites: f.ciphers}
		if f.ciphers != nil {
			c.MaxVersion = tls.VersionTLS12
		}
		got := f.s.mustDial(c).ConnectionState().PeerCertificates[0].Subject.CommonName
		if got != f.want {
			t.Errorf("%q %x: %s, want %s", f.name, f.ciphers, got, f.want)
		}
		if i := f.s.info(); i.TLS.Local.Subject() != "CN="+f.want+",O=t" {
			t.Errorf("%q: local certificate %s", f.name, i.TLS.Local.Subject())
		}
	}
}

func TestCipherPreferenceIsTheConfigured(t *testing.T) {
	srv := pkitest.CA("ca").Issue(pkitest.Leaf{})
	const a128, a256, chacha = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	m := func(client bool, list ...string) *tlspb.DownstreamTlsContext {
		c := common1(srv)
		c.TlsParams = &tlspb.TlsParameters{CipherSuites: list}
		return &tlspb.DownstreamTlsContext{CommonTlsContext: c, PreferClientCiphers: client}
	}
	list := []string{"ECDHE-ECDSA-AES256-GCM-SHA384", "[ECDHE-ECDSA-CHACHA20-POLY1305|ECDHE-ECDSA-AES128-GCM-SHA256]"}
	ours, theirs := newServer(t, newEnv(t), m(false, list...)), newServer(t, newEnv(t), m(true, list...))
	for _, f := range []struct {
		s    *server
		have []uint16
		want uint16
	}{
		{ours, []uint16{a128, a256}, a256},
		{ours, []uint16{a128}, a128},
		{theirs, []uint16{a128, a256, chacha}, 0}, // below: crypto/tls's clients have an order of their own
	} {
		got := f.s.mustDial(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: f.have}).ConnectionState().CipherSuite
		if f.want != 0 && got != f.want {
			t.Errorf("%x: %s", f.have, tls.CipherSuiteName(got))
		}
	}
	// The order of a group, and of prefer_client_ciphers, is the hello's.
	for _, f := range []struct {
		s     *server
		hello []uint16
		want  uint16
	}{
		{ours, []uint16{chacha, a128}, chacha}, {ours, []uint16{a128, chacha}, a128}, {ours, []uint16{a128, chacha, a256}, a256},
		{theirs, []uint16{a128, chacha, a256}, a128}, {theirs, []uint16{0x0a0a, chacha, a256}, chacha}, {theirs, []uint16{1}, 0},
	} {
		state := f.s.down.(*tlsDownstream).state.Load()
		if got := state.suite(&tls.ClientHelloInfo{CipherSuites: f.hello}, true); got != f.want {
			t.Errorf("%x: %x, want %x", f.hello, got, f.want)
		}
	}
}
