package transport

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// tlsStats are Envoy's `ssl.` stats of a listener or a cluster.
type tlsStats struct {
	Handshake         stats.Counter `stat:"ssl.handshake"`
	SessionReused     stats.Counter `stat:"ssl.session_reused"`
	NoCertificate     stats.Counter `stat:"ssl.no_certificate"`
	ConnectionError   stats.Counter `stat:"ssl.connection_error"`
	FailNoCertificate stats.Counter `stat:"ssl.fail_verify_no_cert"`
	FailChain         stats.Counter `stat:"ssl.fail_verify_error"`
	FailSAN           stats.Counter `stat:"ssl.fail_verify_san"`
	FailHash          stats.Counter `stat:"ssl.fail_verify_cert_hash"`
	StapleRequests    stats.Counter `stat:"ssl.ocsp_staple_requests"`
	StapleResponses   stats.Counter `stat:"ssl.ocsp_staple_responses"`
	StapleOmitted     stats.Counter `stat:"ssl.ocsp_staple_omitted"`
	StapleFailed      stats.Counter `stat:"ssl.ocsp_staple_failed"`
}

// factoryStats are those of Envoy's socket factories; both kinds have all three.
type factoryStats struct {
	Updated            stats.Counter `stat:"ssl_context_update_by_sds"`
	DownstreamNotReady stats.Counter `stat:"downstream_context_secrets_not_ready"`
	UpstreamNotReady   stats.Counter `stat:"upstream_context_secrets_not_ready"`
}

// sslStats is all stats of one TLS context.
type sslStats struct {
	tlsStats
	factory factoryStats
	// scope is the listener's or the cluster's, factoryScope our own.
	scope, factoryScope *stats.Scope

	// What was negotiated is counted under names that exist once they occur. Each slot is filled on
	// first use.
	ciphers    [len(ciphers12) + 4]atomic.Pointer[stats.Counter]
	versions   [4]atomic.Pointer[stats.Counter]
	curves     [6]atomic.Pointer[stats.Counter]
	signatures [5]atomic.Pointer[stats.Counter]
}

func newSSLStats(scope *stats.Scope, factory string) *sslStats {
	s := &sslStats{scope: scope, factoryScope: scope.Scope(factory)}
	stats.Bind(scope, &s.tlsStats)
	stats.Bind(s.factoryScope, &s.factory)
	return s
}

func (s *sslStats) close() { s.factoryScope.Close() }

// negotiated counts a finished handshake.
func (s *sslStats) negotiated(w stats.Worker, cs *tls.ConnectionState) {
	s.Handshake.Inc(w)
	if cs.DidResume {
		s.SessionReused.Inc(w)
	}
	s.count(w, s.ciphers[:], cipherSlot(cs.CipherSuite), "ssl.ciphers.", cipherName(cs.CipherSuite))
	s.count(w, s.versions[:], int(cs.Version)-tls.VersionTLS10, "ssl.versions.", versionName(cs.Version))
	s.count(w, s.curves[:], curveSlot(cs.CurveID), "ssl.curves.", curveName(cs.CurveID))
	if len(cs.PeerCertificates) == 0 {
		s.NoCertificate.Inc(w)
		return
	}
	slot, name := signature(cs.PeerCertificates[0])
	s.count(w, s.signatures[:], slot, "ssl.sigalgs.", name)
}

func (s *sslStats) count(w stats.Worker, slots []atomic.Pointer[stats.Counter], slot int, prefix, name string) {
	if slot < 0 || slot >= len(slots) {
		return
	}
	c := slots[slot].Load()
	if c == nil {
		c = s.scope.Counter(prefix + name)
		slots[slot].Store(c)
	}
	c.Inc(w)
}

func cipherSlot(id uint16) int {
	for i := range ciphers12 {
		if ciphers12[i].id == id {
			return i
		}
	}
	return len(ciphers12) + int(id) - int(tls.TLS_AES_128_GCM_SHA256)
}

func curveSlot(c tls.CurveID) int {
	switch c {
	case tls.X25519MLKEM768:
		return 0
	case tls.X25519:
		return 1
	case tls.CurveP256:
		return 2
	case tls.CurveP384:
		return 3
	case tls.CurveP521:
		return 4
	}
	return -1
}

// signature is the algorithm that a peer with this key signs by. crypto/tls does not tell which one was
// used: it is the first that both sides have.
func signature(c *x509.Certificate) (slot int, name string) {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P384():
			return 1, "ecdsa_secp384r1_sha384"
		case elliptic.P521():
			return 2, "ecdsa_secp521r1_sha512"
		}
		return 0, "ecdsa_secp256r1_sha256"
	case ed25519.PublicKey:
		return 3, "ed25519"
	}
	return 4, "rsa_pss_rsae_sha256"
}

// failed counts a peer's certificate that was not accepted.
func (s *sslStats) failed(w stats.Worker, kind secret.Failure) {
	switch kind {
	case secret.FailChain:
		s.FailChain.Inc(w)
	case secret.FailSAN:
		s.FailSAN.Inc(w)
	case secret.FailHash:
		s.FailHash.Inc(w)
	}
}

// expirations sets the gauges of when certificates run out.
func (s *sslStats) expirations(certs []*secret.Certificate, v *secret.Validation) {
	for _, c := range certs {
		s.expiration(c.Name, "unnamed_cert_", c.TLS.Leaf.NotAfter)
	}
	if v != nil && v.Bundle != nil {
		first := v.Bundle.Certificates[0].NotAfter
		for _, c := range v.Bundle.Certificates {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		s.expiration(v.Name, "unnamed_ca_cert_", first)
	}
}

// emptyName is what Envoy makes of a name that is "": the start of its SHA-256.
const emptyName = "e3b0c442"

func (s *sslStats) expiration(name, unnamed string, at time.Time) {
	if name == "" {
		name = unnamed + emptyName
	}
	s.scope.Gauge("ssl.certificate." + name + ".expiration_unix_time_seconds").Set(uint64(max(at.Unix(), 0)))
}
