package streaminfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"sync/atomic"
	"time"
)

// Certificate is what operators, XFCC and RBAC ask of a certificate. Everything is worked out on the
// first question and kept, so that a certificate nobody asks about costs nothing; one Certificate may
// serve many connections. All methods may be called on nil, which is no certificate: they answer "".
type Certificate struct {
	x    *x509.Certificate
	text atomic.Pointer[CertificateText]
	sum  atomic.Pointer[certificateSum]
	pem  atomic.Pointer[string]
}

// CertificateText is the parts of a certificate that are text. Names are as RFC 2253 has them, the
// serial number is lower-case hexadecimal.
type CertificateText struct {
	Subject, Issuer, Serial                            string
	URISANs, DNSSANs, IPSANs, EmailSANs, OtherNameSANs []string
	// SANs are all subject alternative names in the certificate's order; what has no text is "".
	SANs []string
}

type certificateSum struct{ sha1, sha256 string }

// NewCertificate makes a Certificate of a parsed one.
func NewCertificate(x *x509.Certificate) *Certificate { return &Certificate{x: x} }

// TextCertificate makes a Certificate that knows its names alone: for peers that another proxy has
// authenticated, and for tests.
func TextCertificate(t CertificateText) *Certificate {
	c := &Certificate{}
	c.text.Store(&t)
	return c
}

// X509 is the parsed certificate, or nil.
func (c *Certificate) X509() *x509.Certificate {
	if c == nil {
		return nil
	}
	return c.x
}

// Text returns the names and the serial number.
func (c *Certificate) Text() *CertificateText {
	if c == nil {
		return &CertificateText{}
	}
	if t := c.text.Load(); t != nil {
		return t
	}
	t := &CertificateText{
		Subject: distinguishedName(c.x.RawSubject),
		Issuer:  distinguishedName(c.x.RawIssuer),
		Serial:  serial(c.x.SerialNumber),
	}
	t.readSANs(c.x.Extensions)
	c.text.Store(t)
	return t
}

// Subject is the subject's name: "CN=a,O=b".
func (c *Certificate) Subject() string { return c.Text().Subject }

// Issuer is the issuer's name.
func (c *Certificate) Issuer() string { return c.Text().Issuer }

// Serial is the serial number in lower-case hexadecimal.
func (c *Certificate) Serial() string { return c.Text().Serial }

// URISANs are the URIs among the subject alternative names.
func (c *Certificate) URISANs() []string { return c.Text().URISANs }

// DNSSANs are the DNS names among the subject alternative names.
func (c *Certificate) DNSSANs() []string { return c.Text().DNSSANs }

// IPSANs are the addresses among the subject alternative names.
func (c *Certificate) IPSANs() []string { return c.Text().IPSANs }

// EmailSANs are the mail addresses among the subject alternative names.
func (c *Certificate) EmailSANs() []string { return c.Text().EmailSANs }

// OtherNameSANs are the values of the otherNames among the subject alternative names.
func (c *Certificate) OtherNameSANs() []string { return c.Text().OtherNameSANs }

// FingerprintSHA1 is the SHA-1 of the certificate in lower-case hexadecimal.
func (c *Certificate) FingerprintSHA1() string { return c.sums().sha1 }

// FingerprintSHA256 is the SHA-256 of the certificate in lower-case hexadecimal.
func (c *Certificate) FingerprintSHA256() string { return c.sums().sha256 }

func (c *Certificate) sums() *certificateSum {
	if c == nil || c.x == nil {
		return &certificateSum{}
	}
	if s := c.sum.Load(); s != nil {
		return s
	}
	one, two := sha1.Sum(c.x.Raw), sha256.Sum256(c.x.Raw)
	s := &certificateSum{hex.EncodeToString(one[:]), hex.EncodeToString(two[:])}
	c.sum.Store(s)
	return s
}

// PEM is the certificate as PEM, URL-encoded as XFCC and %DOWNSTREAM_PEER_CERT% have it.
func (c *Certificate) PEM() string {
	if c == nil || c.x == nil {
		return ""
	}
	if p := c.pem.Load(); p != nil {
		return *p
	}
	p := escapePEM.Replace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.x.Raw})))
	c.pem.Store(&p)
	return p
}

// escapePEM is immutable: a strings.Replacer may be used by many goroutines.
var escapePEM = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

// NotBefore is the start of the validity period; zero if there is no certificate.
func (c *Certificate) NotBefore() time.Time {
	if c == nil || c.x == nil {
		return time.Time{}
	}
	return c.x.NotBefore
}

// NotAfter is the end of the validity period; zero if there is no certificate.
func (c *Certificate) NotAfter() time.Time {
	if c == nil || c.x == nil {
		return time.Time{}
	}
	return c.x.NotAfter
}

// PeerChainPEM is the whole chain that the peer sent, its own certificate first, as URL-encoded PEM.
func (t *TLS) PeerChainPEM() string {
	if t == nil {
		return ""
	}
	var b strings.Builder
	for _, c := range t.PeerChain {
		b.WriteString(c.PEM())
	}
	return b.String()
}

// serial prints n with an even number of digits, as BoringSSL does.
func serial(n *big.Int) string {
	s := n.Text(16)
	digits := strings.TrimPrefix(s, "-")
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
