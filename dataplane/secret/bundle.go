package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// defaultDepth is max_verify_depth's default.
const defaultDepth = 100

// Bundle is a set of trusted authorities with their revocation lists. It is immutable but for the cache
// of chains that it has verified, which nothing outlives: other authorities are another Bundle.
type Bundle struct {
	// Path is where the authorities were read: a file, "<inline>".
	Path string
	// Pool and Certificates are the authorities.
	Pool         *x509.CertPool
	Certificates []*x509.Certificate

	key  bundleKey
	crls []crl
	// checksCRLs tells that certificates must be covered by a revocation list.
	checksCRLs bool

	mu    sync.Mutex
	cache map[chainKey]*Chain // guarded by mu
}

// bundleKey is everything that a Bundle is made from: equal keys are equal Bundles.
type bundleKey struct {
	ca, crl                [sha256.Size]byte // of the files; zero: none
	allowExpired, leafOnly bool
	maxDepth               int
}

// Chain is a chain that led to an authority.
type Chain struct {
	// Leaf is the peer's certificate, the same for all its connections; Issuer is what signed it, nil
	// where the peer's certificate is an authority itself.
	Leaf, Issuer *streaminfo.Certificate
	// until is when the first certificate or revocation list of the chain runs out.
	until time.Time
}

type chainKey struct {
	sum    [sha256.Size]byte
	server bool
}

func compileBundle(m *tlspb.CertificateValidationContext, share *Bundle) (*Bundle, error) {
	key := bundleKey{
		allowExpired: m.GetAllowExpiredCertificate(),
		leafOnly:     m.GetOnlyVerifyLeafCertCrl(),
		maxDepth:     defaultDepth,
	}
	if d := m.GetMaxVerifyDepth(); d != nil {
		key.maxDepth = int(d.GetValue())
	}
	var ca, crls source
	var err error
	switch {
	case m.GetTrustedCa() != nil:
		ca, err = readRequired(m.GetTrustedCa())
	case m.GetSystemRootCerts() != nil:
		ca, err = systemRoots()
	}
	if err != nil {
		return nil, err
	}
	if m.GetCrl() != nil {
		if crls, err = readRequired(m.GetCrl()); err != nil {
			return nil, err
		}
		if ca.data == nil {
			return nil, fmt.Errorf("Failed to load CRL from %s without trusted CA", crls.path)
		}
		key.crl = sha256.Sum256(crls.data)
	}
	if ca.data == nil {
		return nil, nil //nolint:nilnil // no authorities: chains are not verified.
	}
	key.ca = sha256.Sum256(ca.data)
	if share != nil && share.key == key {
		return share, nil
	}
	return newBundle(key, ca, crls, m.GetTrustedCa() != nil)
}

// systemRoots finds the system's file of authorities, where Go's crypto/x509 looks for it too.
func systemRoots() (source, error) {
	names := []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	}
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		names = []string{f}
	}
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && len(data) > 0 {
			return source{data: data, path: name}, nil
		}
	}
	return source{}, errors.New("field CertificateValidationContext.system_root_certs: the system has no root certificates")
}

// newBundle parses the authorities; strict has one that is broken refuse all.
func newBundle(key bundleKey, ca, crls source, strict bool) (*Bundle, error) {
	certs, lists, err := readAuthorities(ca.data, strict)
	if err != nil || len(certs) == 0 {
		return nil, fmt.Errorf("Failed to load trusted CA certificates from %s", ca.path)
	}
	b := bundleOf(key, ca.path, certs)
	b.crls, b.checksCRLs = lists, len(lists) > 0
	if crls.data != nil {
		// As in Envoy, what is no revocation list in the file is passed over, and then no certificate
		// has the list that it must have.
		_, more, err := readAuthorities(crls.data, true)
		if err != nil {
			return nil, fmt.Errorf("Failed to load CRL from %s", crls.path)
		}
		b.crls, b.checksCRLs = append(b.crls, more...), true
	}
	return b, nil
}

func bundleOf(key bundleKey, path string, certs []*x509.Certificate) *Bundle {
	b := &Bundle{Path: path, Pool: x509.NewCertPool(), key: key}
	for _, c := range certs {
		if !contains(b.Certificates, c) {
			b.Certificates = append(b.Certificates, c)
			b.Pool.AddCert(b.timeless(c))
		}
	}
	return b
}

func contains(certs []*x509.Certificate, c *x509.Certificate) bool {
	for _, d := range certs {
		if bytes.Equal(c.Raw, d.Raw) {
			return true
		}
	}
	return false
}

func readAuthorities(data []byte, strict bool) (certs []*x509.Certificate, crls []crl, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs, crls, nil
		}
		switch {
		case isCertificate(block.Type):
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil && strict {
				return nil, nil, err
			}
			if err == nil {
				certs = append(certs, c)
			}
		case block.Type == "X509 CRL":
			l, err := parseCRL(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			crls = append(crls, l)
		}
	}
}

// maxCached bounds the chains that are remembered: with more clients than that the cache starts anew.
const maxCached = 4096

// cached returns a chain that was verified before and still holds.
func (b *Bundle) cached(k chainKey, now time.Time) *Chain {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.cache[k]
	if c == nil || now.After(c.until) {
		return nil
	}
	return c
}

func (b *Bundle) remember(k chainKey, c *Chain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cache == nil || len(b.cache) >= maxCached {
		b.cache = map[chainKey]*Chain{}
	}
	b.cache[k] = c
}
