package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// certificateLife is how long this control plane's certificates are valid. It lives no longer itself.
const certificateLife = 10 * 365 * 24 * time.Hour

// authority signs the sidecars' certificates. It is made anew with each control plane.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	root []byte

	mu sync.Mutex
	// issued keeps one certificate for each identity. Guarded by mu.
	issued map[string]*tlspb.Secret
}

func newAuthority(domain string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	template := certificate(1, pkix.Name{Organization: []string{domain}})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &authority{key: key, cert: cert, root: encode("CERTIFICATE", der), issued: map[string]*tlspb.Secret{}}, nil
}

func certificate(serial int64, name pkix.Name) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: name,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// secrets are what a sidecar of an identity needs: its certificate and the root.
func (a *authority) secrets(identity string) ([]proto.Message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := a.issued[identity]
	if own == nil {
		made, err := a.issue(identity)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", identity, err)
		}
		a.issued[identity], own = made, made
	}
	root := &tlspb.Secret{Name: rootSecret, Type: &tlspb.Secret_ValidationContext{
		ValidationContext: &tlspb.CertificateValidationContext{TrustedCa: inlineBytes(a.root)},
	}}
	return []proto.Message{own, root}, nil
}

func (a *authority) issue(identity string) (*tlspb.Secret, error) {
	id, err := url.Parse(identity)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate(int64(len(a.issued))+2, pkix.Name{})
	template.URIs = []*url.URL{id}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &tlspb.Secret{Name: certificateSecret, Type: &tlspb.Secret_TlsCertificate{TlsCertificate: &tlspb.TlsCertificate{
		CertificateChain: inlineBytes(encode("CERTIFICATE", der)),
		PrivateKey:       inlineBytes(encode("PRIVATE KEY", private)),
	}}}, nil
}

func inlineBytes(b []byte) *corepb.DataSource {
	return &corepb.DataSource{Specifier: &corepb.DataSource_InlineBytes{InlineBytes: b}}
}
