package secret

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// Validation is a validation_context: what a peer's certificate must be. It is immutable but for the
// cache in its Bundle.
type Validation struct {
	// Name is the secret's; "" for one that stands in a TLS context.
	Name string
	// Bundle is trusted_ca with its revocation lists; nil: chains are not verified.
	Bundle *Bundle
	// SPIFFE verifies instead of everything else, but for SANs; nil: it does not.
	SPIFFE *SPIFFE
	// SANs are alternatives, one of which must match; none: any certificate will do.
	SANs []SANMatcher
	// Hashes and SPKIs are alternatives: the SHA-256 of the certificate or of its public key.
	Hashes, SPKIs [][sha256.Size]byte
	// AcceptUntrusted is trust_chain_verification ACCEPT_UNTRUSTED: failures are counted alone.
	AcceptUntrusted bool
	// SuppressCAList leaves the authorities' names out of the request for a client's certificate.
	SuppressCAList bool

	from *tlspb.CertificateValidationContext
}

// CompileValidation compiles a validation_context; name is its secret's.
func CompileValidation(m *tlspb.CertificateValidationContext, name string) (*Validation, error) {
	return compileValidation(m, name, nil)
}

// Combine merges a combined_validation_context: def is its default, sds the secret, whose fields win
// and whose lists are appended, as in a protobuf merge. The secret's Bundle is shared if the result
// has the same authorities.
func Combine(def *tlspb.CertificateValidationContext, sds *Validation) (*Validation, error) {
	merged := proto.CloneOf(def)
	proto.Merge(merged, sds.from)
	return compileValidation(merged, sds.Name, sds.Bundle)
}

func compileValidation(m *tlspb.CertificateValidationContext, name string, share *Bundle) (*Validation, error) {
	if err := refuseValidationFields(m); err != nil {
		return nil, err
	}
	v := &Validation{
		Name: name, from: m,
		AcceptUntrusted: m.GetTrustChainVerification() == tlspb.CertificateValidationContext_ACCEPT_UNTRUSTED,
		SuppressCAList:  m.GetSuppressClientCaList(),
	}
	var err error
	if v.SANs, err = compileSANs(m); err != nil {
		return nil, err
	}
	if c := m.GetCustomValidatorConfig(); c != nil {
		if v.SPIFFE, err = compileSPIFFE(c, m.GetAllowExpiredCertificate()); err != nil {
			return nil, err
		}
		return v, nil
	}
	if v.Bundle, err = compileBundle(m, share); err != nil {
		return nil, err
	}
	if v.Bundle == nil {
		switch {
		case len(v.SANs) > 0:
			return nil, errors.New("SAN-based verification of peer certificates without trusted CA is insecure and not allowed")
		case m.GetAllowExpiredCertificate():
			return nil, errors.New("Certificate validity period is always ignored without trusted CA")
		}
	}
	return v, v.compileHashes(m)
}

func refuseValidationFields(m *tlspb.CertificateValidationContext) error {
	if m.GetCaCertificateProviderInstance() != nil {
		return errors.New("field CertificateValidationContext.ca_certificate_provider_instance is not supported")
	}
	// require_signed_certificate_timestamp is not implemented by Envoy either: it has no effect there.
	return nil
}

func (v *Validation) compileHashes(m *tlspb.CertificateValidationContext) error {
	for _, s := range m.GetVerifyCertificateHash() {
		plain := s
		if len(s) == 95 {
			plain = strings.ReplaceAll(s, ":", "")
		}
		b, err := hex.DecodeString(plain)
		if err != nil || len(b) != sha256.Size {
			return fmt.Errorf("Invalid hex-encoded SHA-256 %s", s)
		}
		v.Hashes = append(v.Hashes, [sha256.Size]byte(b))
	}
	for _, s := range m.GetVerifyCertificateSpki() {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != sha256.Size {
			return fmt.Errorf("Invalid base64-encoded SHA-256 %s", s)
		}
		v.SPKIs = append(v.SPKIs, [sha256.Size]byte(b))
	}
	return nil
}

// Checks tells whether a peer's certificate is looked at at all.
func (v *Validation) Checks() bool {
	return v != nil && (v.Bundle != nil || v.SPIFFE != nil || v.AcceptUntrusted || v.pins())
}

// RequiresPeer tells whether a peer without certificate is refused even where none is required: SANs,
// hashes and SPIFFE cannot hold without one.
func (v *Validation) RequiresPeer() bool {
	return v != nil && (v.SPIFFE != nil || !v.AcceptUntrusted && v.pins())
}

func (v *Validation) pins() bool { return len(v.SANs)+len(v.Hashes)+len(v.SPKIs) > 0 }

// Subjects are the authorities that a server names when it asks for a client's certificate.
func (v *Validation) Subjects() []*Bundle {
	if v == nil || v.SuppressCAList {
		return nil
	}
	return v.bundles()
}

func (v *Validation) bundles() []*Bundle {
	switch {
	case v.SPIFFE != nil:
		return v.SPIFFE.bundles()
	case v.Bundle != nil:
		return []*Bundle{v.Bundle}
	}
	return nil
}

// CheckDefault refuses what is wrong with the default of a combined_validation_context whatever the
// secret will be.
func CheckDefault(m *tlspb.CertificateValidationContext) error {
	v := &Validation{}
	if _, err := compileSANs(m); err != nil {
		return err
	}
	if c := m.GetCustomValidatorConfig(); c != nil {
		if _, err := compileSPIFFE(c, false); err != nil {
			return err
		}
	}
	if err := refuseValidationFields(m); err != nil {
		return err
	}
	return v.compileHashes(m)
}

// Fingerprint tells validation contexts apart that a session may not be carried between.
func (v *Validation) Fingerprint() []byte {
	if v == nil {
		return nil
	}
	h := sha256.New()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(v.from)
	if err == nil {
		h.Write(b)
	}
	if v.SPIFFE != nil {
		for _, name := range v.SPIFFE.names() {
			h.Write([]byte(name + "\x00"))
		}
	}
	for _, b := range v.bundles() { // of files the contents count
		h.Write(b.key.ca[:])
		h.Write(b.key.crl[:])
	}
	return h.Sum(nil)
}
