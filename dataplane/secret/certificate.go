package secret

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Certificate is a tls_certificate: a chain with its key, known to fit each other.
type Certificate struct {
	// Name is the secret's; "" for a certificate that stands in a TLS context.
	Name string
	// Path is where the chain was read: a file, "<inline>".
	Path string
	// TLS is for crypto/tls, without staple.
	TLS *tls.Certificate
	// Info is the leaf as logs, XFCC and filters read it.
	Info *streaminfo.Certificate
	// ServerNames are what the certificate is chosen for: its DNS names, or its common name if it has
	// no subject alternative names.
	ServerNames []string
	// ECDSA tells the kind of key from RSA.
	ECDSA bool
	// MustStaple is the leaf's TLS feature extension that requires a staple.
	MustStaple bool
	// Staple is the OCSP response, or nil.
	Staple *Staple
}

// CompileCertificate compiles a tls_certificate; name is its secret's.
func CompileCertificate(m *tlspb.TlsCertificate, name string) (*Certificate, error) {
	if err := refuseCertificateFields(m); err != nil {
		return nil, err
	}
	chain, err := readOptional(m.GetCertificateChain())
	if err != nil {
		return nil, err
	}
	key, err := readOptional(m.GetPrivateKey())
	if err != nil {
		return nil, err
	}
	if len(chain.data) == 0 {
		return nil, fmt.Errorf("Failed to load incomplete certificate from %s: certificate chain not set", chain.path)
	}
	if len(key.data) == 0 {
		return nil, fmt.Errorf("Failed to load incomplete private key from path: %s", key.path)
	}
	password, err := readSource(m.GetPassword())
	if err != nil {
		return nil, err
	}
	c := &Certificate{Name: name, Path: chain.path, TLS: &tls.Certificate{}}
	if err := c.loadChain(chain); err != nil {
		return nil, err
	}
	if err := c.loadKey(key, password.data); err != nil {
		return nil, err
	}
	if m.GetOcspStaple() != nil {
		if c.Staple, err = compileStaple(m.GetOcspStaple(), c.TLS.Leaf); err != nil {
			return nil, err
		}
	} else if c.MustStaple {
		return nil, errors.New("OCSP response is required for must-staple certificate")
	}
	return c, nil
}

func refuseCertificateFields(m *tlspb.TlsCertificate) error {
	switch {
	case m.GetPkcs12() != nil && m.GetCertificateChain() != nil:
		return errors.New("Certificate configuration can't have both pkcs12 and certificate_chain")
	case m.GetPkcs12() != nil && m.GetPrivateKey() != nil:
		return errors.New("Certificate configuration can't have both pkcs12 and private_key")
	case m.GetPkcs12() != nil && m.GetPrivateKeyProvider() != nil:
		return errors.New("Certificate configuration can't have both pkcs12 and private_key_provider")
	case m.GetPkcs12() != nil:
		return errors.New("field TlsCertificate.pkcs12 is not supported")
	case m.GetPrivateKeyProvider() != nil && !m.GetPrivateKeyProvider().GetFallback():
		return fmt.Errorf("Failed to load private key provider: %s", m.GetPrivateKeyProvider().GetProviderName())
	case m.GetTlsParams() != nil:
		return errors.New("field TlsCertificate.tls_params is not supported")
	}
	// signed_certificate_timestamp is not implemented by Envoy either. A private key provider with
	// fallback is one that is not available here: private_key is used then, as its comment says.
	return nil
}

// loadChain reads the chain as BoringSSL does: every certificate block, other blocks being passed over.
func (c *Certificate) loadChain(s source) error {
	failed := fmt.Errorf("Failed to load certificate chain from %s", s.path)
	for rest := s.data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !isCertificate(block.Type) {
			continue
		}
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return failed
		}
		if c.TLS.Leaf == nil {
			c.TLS.Leaf = x
		}
		c.TLS.Certificate = append(c.TLS.Certificate, x.Raw)
	}
	if c.TLS.Leaf == nil {
		return failed
	}
	c.Info = streaminfo.NewCertificate(c.TLS.Leaf)
	if err := c.checkKeyType(s.path, failed); err != nil {
		return err
	}
	c.readNames()
	return nil
}

func isCertificate(blockType string) bool {
	return blockType == "CERTIFICATE" || blockType == "X509 CERTIFICATE" || blockType == "TRUSTED CERTIFICATE"
}

// checkKeyType refuses what BoringSSL cannot serve or Envoy does not allow.
func (c *Certificate) checkKeyType(path string, failed error) error {
	leaf := c.TLS.Leaf
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return fmt.Errorf("Failed to load certificate chain from %s, only RSA certificates with 2048-bit or larger keys are supported", path)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return failed
		}
	case ed25519.PublicKey:
	default:
		return failed
	}
	c.ECDSA = true
	// An elliptic curve key can sign only.
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return failed
	}
	return nil
}

func (c *Certificate) readNames() {
	leaf := c.TLS.Leaf
	c.ServerNames = leaf.DNSNames
	hasSAN := false
	for _, e := range leaf.Extensions {
		switch {
		case e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}):
			hasSAN = true
		case e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}): // TLS feature (RFC 7633)
			var features []int
			if _, err := asn1.Unmarshal(e.Value, &features); err == nil {
				for _, f := range features {
					c.MustStaple = c.MustStaple || f == 5 // status_request
				}
			}
		}
	}
	if !hasSAN && leaf.Subject.CommonName != "" {
		c.ServerNames = []string{leaf.Subject.CommonName}
	}
}

func (c *Certificate) loadKey(s source, password []byte) error {
	key, err := parseKey(s.data, password)
	if err == nil {
		err = keyFits(c.TLS.Leaf.PublicKey, key)
	}
	if err != nil {
		return fmt.Errorf("Failed to load private key from %s, Cause: %w", s.path, err)
	}
	c.TLS.PrivateKey = key
	return nil
}

// What BoringSSL says of a key that is not the certificate's.
var (
	errKeyType   = errors.New("error:0b000073:X.509 certificate routines:OPENSSL_internal:KEY_TYPE_MISMATCH")
	errKeyValues = errors.New("error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH")
)

func keyFits(public any, key crypto.PrivateKey) error {
	type equaler interface{ Equal(crypto.PublicKey) bool }
	signer, ok := key.(crypto.Signer)
	if !ok {
		return errKeyType
	}
	mine := signer.Public()
	if fmt.Sprintf("%T", mine) != fmt.Sprintf("%T", public) {
		return errKeyType
	}
	if e, ok := mine.(equaler); !ok || !e.Equal(public) {
		return errKeyValues
	}
	return nil
}

// same tells whether two certificates are the same files.
func (c *Certificate) same(d *Certificate) bool {
	if len(c.TLS.Certificate) != len(d.TLS.Certificate) || !sameStaple(c.Staple, d.Staple) {
		return false
	}
	for i := range c.TLS.Certificate {
		if !bytes.Equal(c.TLS.Certificate[i], d.TLS.Certificate[i]) {
			return false
		}
	}
	return true
}

func sameStaple(a, b *Staple) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.DER, b.DER)
}
