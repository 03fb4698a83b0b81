// Package pkitest makes certificates for tests.
package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"time"
)

// Leaf says what a certificate shall be. The zero value is one for a P-256 key that is valid for an
// hour around now, without names but CN "leaf".
type Leaf struct {
	CN                  string
	DNS, URIs, Emails   []string
	IPs                 []string
	EKU                 []x509.ExtKeyUsage
	KU                  x509.KeyUsage
	CA                  bool
	PathLen             int // -1: none; only with CA
	NotBefore, NotAfter time.Time
	RSA                 int // bits; 0: no RSA key
	Curve               elliptic.Curve
	Ed25519             bool
	Extra               []pkix.Extension
	PermittedDNS        []string
}

// Pair is a certificate with its key.
type Pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// PEM is the certificate, KeyPEM the key (PKCS #8).
	PEM, KeyPEM string
}

// number is a fresh serial number: eleven hexadecimal digits, so that their padding shows.
func number() *big.Int { return big.NewInt(1<<40 + mrand.Int64N(1<<40)) }

// CA makes a self-signed authority.
func CA(name string) *Pair {
	return issue(nil, Leaf{CN: name, CA: true, PathLen: -1})
}

// Issue makes a certificate signed by p.
func (p *Pair) Issue(l Leaf) *Pair { return issue(p, l) }

func issue(by *Pair, l Leaf) *Pair {
	if l.CN == "" {
		l.CN = "leaf"
	}
	if l.CA && l.KU == 0 {
		l.KU = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	now := time.Now()
	if l.NotBefore.IsZero() {
		l.NotBefore = now.Add(-time.Hour)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = now.Add(time.Hour)
	}
	t := &x509.Certificate{
		SerialNumber: number(),
		Subject:      pkix.Name{CommonName: l.CN, Organization: []string{"t"}},
		NotBefore:    l.NotBefore, NotAfter: l.NotAfter,
		DNSNames: l.DNS, EmailAddresses: l.Emails, ExtKeyUsage: l.EKU, KeyUsage: l.KU,
		BasicConstraintsValid: l.CA, IsCA: l.CA, ExtraExtensions: l.Extra, PermittedDNSDomains: l.PermittedDNS,
	}
	if l.CA {
		t.MaxPathLen, t.MaxPathLenZero = l.PathLen, l.PathLen == 0
	}
	for _, s := range l.URIs {
		u, err := url.Parse(s)
		check(err)
		t.URIs = append(t.URIs, u)
	}
	for _, s := range l.IPs {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(s)) //nolint:forbidigo // x509 wants net.IP.
	}
	key := newKey(l)
	parent, signer := t, key
	if by != nil {
		parent, signer = by.Cert, by.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	check(err)
	c, err := x509.ParseCertificate(der)
	check(err)
	k, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	return &Pair{
		Cert: c, Key: key,
		PEM:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		KeyPEM: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k})),
	}
}

func newKey(l Leaf) crypto.Signer {
	switch {
	case l.RSA > 0:
		k, err := rsa.GenerateKey(rand.Reader, l.RSA)
		check(err)
		return k
	case l.Ed25519:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		check(err)
		return k
	}
	curve := l.Curve
	if curve == nil {
		curve = elliptic.P256()
	}
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	check(err)
	return k
}

// TLS is the pair for crypto/tls, with the given intermediates.
func (p *Pair) TLS(chain ...*Pair) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key, Leaf: p.Cert}
	for _, i := range chain {
		c.Certificate = append(c.Certificate, i.Cert.Raw)
	}
	return c
}

// Pool holds p alone.
func (p *Pair) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Cert)
	return pool
}

// CRL is a revocation list of p's, PEM, valid until next.
func (p *Pair) CRL(next time.Time, revoked ...*Pair) string {
	l := &x509.RevocationList{Number: number(), ThisUpdate: next.Add(-2 * time.Hour), NextUpdate: next}
	for _, r := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: l.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, p.Cert, p.Key)
	check(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
