package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

const maxServerVersion = tls.VersionTLS13

// serverState is one generation of a context's secrets, ready for handshakes. It is immutable but for
// its variants. Nothing is shared with another generation, so that a session of one never resumes in
// another: its tickets are encrypted with keys of its own.
type serverState struct {
	owner      *tlsDownstream
	selection  *selection
	validation *secret.Validation
	base       *tls.Config

	mu       sync.Mutex
	variants map[variant]*tls.Config // guarded by mu
}

// variant is what depends on a client's hello or address; the zero variant is the base.
type variant struct {
	// suite is the one cipher suite of TLS 1.2 and before that the order of preference leads to.
	suite  uint16
	noALPN bool
	keyLog bool
}

func newServerState(t *tlsDownstream, certs []*secret.Certificate, v *secret.Validation, keys *secret.TicketKeys) *serverState {
	d := t.config
	s := &serverState{owner: t, validation: v, selection: newSelection(certs, d.fullScan, d.policy)}
	s.base = &tls.Config{
		MinVersion: d.params.min, MaxVersion: d.params.max,
		CipherSuites: d.params.suites(), CurvePreferences: d.params.curves,
		NextProtos:         d.alpn,
		GetConfigForClient: s.configFor,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return of(hello.Conn).tls, nil // configFor has chosen
		},
		// The session tickets of a context that shares its keys with others are bound to it.
		SessionTicketsDisabled: d.noTickets,
		// BoringSSL starts with full records too.
		DynamicRecordSizingDisabled: true,
	}
	if v.Checks() {
		s.base.ClientAuth = tls.RequestClientCert
		if d.requirePeer || v.RequiresPeer() {
			s.base.ClientAuth = tls.RequireAnyClientCert
		}
		s.base.VerifyConnection = s.verify
		s.base.ClientCAs = authorities(v)
	}
	switch {
	case d.noTickets:
	case keys != nil:
		s.base.SetSessionTicketKeys(bindKeys(keys, s.scope()))
	}
	if d.ticketTimeout > 0 && !d.noTickets {
		limitTickets(s.base, d.ticketTimeout)
	}
	return s
}

// authorities is the pool whose names a client's certificate is asked by.
func authorities(v *secret.Validation) *x509.CertPool {
	bundles := v.Subjects()
	if len(bundles) == 1 {
		return bundles[0].Pool
	}
	pool := x509.NewCertPool()
	for _, b := range bundles {
		for _, c := range b.Certificates {
			pool.AddCert(c)
		}
	}
	return pool
}

// scope is what sessions may resume in: another certificate, or other demands on the client's, are
// another scope, even where two contexts share their ticket keys (CVE-2025-68121, CVE-2022-21654).
func (s *serverState) scope() [sha256.Size]byte {
	h := sha256.New()
	for _, c := range s.selection.all {
		h.Write(c.TLS.Leaf.Raw)
	}
	h.Write(s.validation.Fingerprint())
	if s.base.ClientAuth == tls.RequireAnyClientCert {
		h.Write([]byte{1})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// server starts the server side over h.
func (s *serverState) server(h *handshake) *conn {
	return &conn{Conn: tls.Server(h, s.base), stats: s.owner.stats, worker: h.worker}
}

// configFor is GetConfigForClient: it sees every hello, of resumed sessions too, chooses the
// certificate, and returns the configuration to go on with; nil is the base.
func (s *serverState) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	h := of(hello.Conn)
	h.hello, h.serverName, h.protocols = true, hello.ServerName, hello.SupportedProtos
	h.certificate = s.selection.choose(hello)
	var err error
	if h.tls, err = s.selection.staple(h.certificate, hello.Extensions, s.owner.stats, h.worker); err != nil {
		return nil, err
	}
	d := s.owner.config
	v := variant{keyLog: s.owner.keyLog.wants(h.Conn)}
	// crypto/tls fails where no protocol is shared; Envoy goes on without one.
	v.noALPN = len(hello.SupportedProtos) > 0 && len(d.alpn) > 0 && !overlap(hello.SupportedProtos, d.alpn)
	if (d.params.listed || d.preferClient) && !offers13(hello.SupportedVersions) {
		v.suite = s.suite(hello, h.certificate.ECDSA)
	}
	if v == (variant{}) {
		return nil, nil //nolint:nilnil // crypto/tls's way to say: the base.
	}
	return s.variant(v), nil
}

func offers13(versions []uint16) bool {
	return slices.Contains(versions, tls.VersionTLS13)
}

func overlap(a, b []string) bool {
	for _, x := range a {
		if slices.Contains(b, x) {
			return true
		}
	}
	return false
}

// variant returns the configuration of a variant, made on first use.
func (s *serverState) variant(v variant) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.variants[v]; c != nil {
		return c
	}
	c := s.base.Clone()
	c.GetConfigForClient = nil
	if v.suite != 0 {
		c.CipherSuites = []uint16{v.suite}
	}
	if v.noALPN {
		c.NextProtos = nil
	}
	if v.keyLog {
		c.KeyLogWriter = s.owner.keyLog
	}
	if s.variants == nil {
		s.variants = map[variant]*tls.Config{}
	}
	s.variants[v] = c
	return c
}

// suite is the cipher suite that BoringSSL would choose: our first that the client has too, its order
// deciding within a group, or, by prefer_client_ciphers, its first that we have.
func (s *serverState) suite(hello *tls.ClientHelloInfo, ecdsa bool) uint16 {
	fits := func(id uint16) bool {
		if rsaKeyExchange(id) {
			return !ecdsa
		}
		return wantsECDSA(id) == ecdsa
	}
	groups := s.owner.config.params.ciphers
	if s.owner.config.preferClient {
		groups = [][]uint16{s.owner.config.params.suites()}
	}
	for _, group := range groups {
		for _, id := range hello.CipherSuites {
			if slices.Contains(group, id) && fits(id) {
				return id
			}
		}
	}
	return 0
}

// verify is VerifyConnection: it runs on resumed sessions as well, so that what was trusted when the
// session began has to be trusted now.
func (s *serverState) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return nil // ClientAuth has seen to it
	}
	if !usable(&cs, false) {
		return errKeyUsage
	}
	p, err := s.validation.Verify(&secret.Request{Certificates: cs.PeerCertificates, Client: true, Now: time.Now()})
	if err != nil {
		return err
	}
	if p.Accepted != nil {
		s.owner.stats.failed(0, p.Accepted.Kind)
	}
	return nil
}

// peer is the peer that verify has accepted.
func (s *serverState) peer(cs *tls.ConnectionState) secret.Peer {
	if len(cs.PeerCertificates) == 0 {
		return secret.Peer{}
	}
	return s.validation.Known(cs.PeerCertificates, true, time.Now())
}

// usable tells whether the keyUsage of the peer's certificate, if it has one, allows what it was used
// for: to sign, or, with an RSA key exchange, to decrypt.
func usable(cs *tls.ConnectionState, peerIsServer bool) bool {
	leaf := cs.PeerCertificates[0]
	if leaf.KeyUsage == 0 {
		return true
	}
	if peerIsServer && rsaKeyExchange(cs.CipherSuite) {
		return leaf.KeyUsage&x509.KeyUsageKeyEncipherment != 0
	}
	return leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0
}

// error counts a handshake that err ended; text is its failureText.
func (s *sslStats) error(w stats.Worker, err error, text string) {
	var verify *secret.VerifyError
	switch {
	case errors.As(err, &verify):
		s.failed(w, verify.Kind)
	case strings.HasPrefix(err.Error(), byText[0].prefix):
		s.FailNoCertificate.Inc(w)
	case text == "", network.IsReset(err):
		// The connection ended: that is no error of TLS.
	default:
		s.ConnectionError.Inc(w)
	}
}

// answerJunk tells a client that does not speak TLS so, as BoringSSL does and crypto/tls does not.
func answerJunk(c net.Conn, err error, text string) {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && text == sslError(reasonWrongVersion, "") {
		_, _ = c.Write([]byte{21, 3, 1, 0, 2, 2, 70}) // alert: fatal, protocol_version
	}
}
