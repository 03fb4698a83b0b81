package transport

import (
	"crypto/tls"
	"strings"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// maxClientVersion is what Envoy's clients offer unless they are told otherwise.
const maxClientVersion = tls.VersionTLS12

// clientState is one generation of a context's secrets, ready for handshakes. Its sessions, like those
// of a serverState, do not outlive it.
type clientState struct {
	owner       *tlsUpstream
	certificate *secret.Certificate // nil: none
	validation  *secret.Validation  // nil: servers are not verified
	sessions    tls.ClientSessionCache

	mu      sync.RWMutex
	configs map[target]*tls.Config // guarded by mu
}

// target is what one connection's configuration depends on; lists are joined by NUL.
type target struct {
	serverName, sans, alpn string
	keyLog                 bool
}

// maxTargets bounds the configurations that are kept; a cluster with more names than that (auto_sni
// towards anywhere) makes them anew.
const maxTargets = 256

func newClientState(t *tlsUpstream, certs []*secret.Certificate, v *secret.Validation) *clientState {
	s := &clientState{owner: t, validation: v, configs: map[target]*tls.Config{}}
	if len(certs) > 0 {
		s.certificate = certs[0]
	}
	if n := t.config.sessions; n > 0 {
		s.sessions = tls.NewLRUClientSessionCache(n)
	}
	return s
}

// localInfo is our own certificate, or nil.
func (s *clientState) localInfo() *streaminfo.Certificate {
	if s.certificate == nil {
		return nil
	}
	return s.certificate.Info
}

// config returns the configuration for a target.
func (s *clientState) config(to target) *tls.Config {
	s.mu.RLock()
	c := s.configs[to]
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	c = s.make(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.configs) >= maxTargets {
		clear(s.configs)
	}
	s.configs[to] = c
	return c
}

func (s *clientState) make(to target) *tls.Config {
	u := s.owner.config
	v := &verifier{state: s}
	if to.sans != "" {
		v.sans = strings.Split(to.sans, "\x00")
	}
	if u.checkSNI {
		v.serverName = to.serverName
	}
	c := &tls.Config{
		MinVersion: u.params.min, MaxVersion: u.params.max,
		CipherSuites: u.params.suites(), CurvePreferences: u.params.curves,
		NextProtos:         u.alpn,
		ServerName:         to.serverName,
		ClientSessionCache: s.sessions,
		// verifier verifies, also where a session is resumed.
		InsecureSkipVerify: true, //nolint:gosec // G402: see VerifyConnection.
		VerifyConnection:   v.verify,
		// BoringSSL starts with full records too.
		DynamicRecordSizingDisabled: true,
		SessionTicketsDisabled:      s.sessions == nil,
	}
	if to.alpn != "" {
		c.NextProtos = strings.Split(to.alpn, "\x00")
	}
	if s.certificate != nil {
		// Whatever authorities the server names: Envoy sends its certificate.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.certificate.TLS, nil
		}
	}
	if to.keyLog {
		c.KeyLogWriter = s.owner.keyLog
	}
	return c
}

// verifier verifies servers for one target.
type verifier struct {
	state      *clientState
	sans       []string
	serverName string
}

// verify is VerifyConnection.
func (v *verifier) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	if !usable(&cs, true) {
		return errKeyUsage
	}
	if v.state.validation == nil {
		return nil
	}
	p, err := v.state.validation.Verify(&secret.Request{
		Certificates: cs.PeerCertificates, SANs: v.sans, ServerName: v.serverName, Now: time.Now(),
	})
	if err != nil {
		return err
	}
	if p.Accepted != nil {
		v.state.owner.stats.failed(0, p.Accepted.Kind)
	}
	return nil
}

// peer is the server that verify has accepted.
func (s *clientState) peer(cs *tls.ConnectionState) secret.Peer {
	if len(cs.PeerCertificates) == 0 {
		return secret.Peer{}
	}
	return s.validation.Known(cs.PeerCertificates, false, time.Now())
}
