package secret

import (
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Failure is the kind of a failed verification: which of Envoy's fail_verify_* counters it goes to.
type Failure uint8

// The kinds.
const (
	FailChain Failure = iota + 1 // fail_verify_error
	FailSAN                      // fail_verify_san
	FailHash                     // fail_verify_cert_hash
)

// VerifyError says why a peer's certificate was not accepted, in Envoy's words.
type VerifyError struct {
	Kind Failure
	Text string
}

// Error is "verify cert failed: " and the reason.
func (e *VerifyError) Error() string { return "verify cert failed: " + e.Text }

// Request is a peer's certificate to be verified.
type Request struct {
	// Certificates are what the peer sent, its own first; there is at least one.
	Certificates []*x509.Certificate
	// Client tells that the peer is a client: its certificate must be good for that.
	Client bool
	// SANs, if any, asks for one of these names besides what is configured (auto_san_validation).
	SANs []string
	// ServerName, if not "", asks for this DNS name instead of the configured ones
	// (auto_sni_san_validation).
	ServerName string
	Now        time.Time
}

// Peer is a verified peer.
type Peer struct {
	// Leaf is its certificate, Issuer what signed that; nil if that was not verified.
	Leaf, Issuer *streaminfo.Certificate
	// Validated tells that something was verified.
	Validated bool
	// Accepted is what was wrong, where AcceptUntrusted let it pass.
	Accepted *VerifyError
}

// Verify holds a peer's certificate to the validation context. A nil Validation accepts everything.
func (v *Validation) Verify(r *Request) (Peer, *VerifyError) {
	p := Peer{}
	if v == nil {
		p.Leaf = streaminfo.NewCertificate(r.Certificates[0])
		return p, nil
	}
	err := v.verify(r, &p)
	if p.Leaf == nil {
		p.Leaf = streaminfo.NewCertificate(r.Certificates[0])
	}
	if err != nil && v.AcceptUntrusted {
		p.Accepted, p.Validated = err, false
		return p, nil
	}
	return p, err
}

// Known is the peer that Verify accepted a moment ago, with what it found out then.
func (v *Validation) Known(certs []*x509.Certificate, client bool, now time.Time) Peer {
	var p Peer
	b := v.bundleFor(certs[0])
	if b != nil {
		if c := b.cached(keyOf(&Request{Certificates: certs, Client: client}), now); c != nil {
			return Peer{Leaf: c.Leaf, Issuer: c.Issuer, Validated: !v.AcceptUntrusted || v.verifyNames(&Request{Certificates: certs}) == nil}
		}
	}
	p.Leaf = streaminfo.NewCertificate(certs[0])
	// Without authorities a hash may have been verified; with some, it was not accepted for itself.
	p.Validated = v != nil && b == nil && len(v.Hashes)+len(v.SPKIs) > 0 && v.pinned(certs[0])
	return p
}

func (v *Validation) bundleFor(leaf *x509.Certificate) *Bundle {
	switch {
	case v == nil:
		return nil
	case v.SPIFFE != nil:
		return v.SPIFFE.bundle(streaminfo.SubjectAltNames(leaf.Extensions))
	}
	return v.Bundle
}

func (v *Validation) verify(r *Request, p *Peer) *VerifyError {
	if v.SPIFFE != nil {
		return v.verifySPIFFE(r, p)
	}
	if v.Bundle != nil {
		c, err := v.Bundle.verify(r)
		if err != nil {
			return err
		}
		p.Leaf, p.Issuer, p.Validated = c.Leaf, c.Issuer, true
	}
	if err := v.verifyNames(r); err != nil {
		return err
	}
	if len(v.Hashes)+len(v.SPKIs) > 0 {
		if !v.pinned(r.Certificates[0]) {
			return &VerifyError{FailHash, "cert hash and spki"}
		}
		p.Validated = true
	}
	return nil
}

func (v *Validation) verifyNames(r *Request) *VerifyError {
	matchers := v.SANs
	list := r.SANs
	if len(matchers) == 0 && len(list) == 0 && r.ServerName == "" {
		return nil
	}
	names := streaminfo.SubjectAltNames(r.Certificates[0].Extensions)
	if len(list) > 0 && !inList(list, names) {
		return &VerifyError{FailSAN, "verify SAN list, expected SANs: [" + strings.Join(list, ", ") + "], certificate SANs: [" + joinNames(names) + "]"}
	}
	ok := true
	if r.ServerName != "" {
		ok = hasDNSName(r.ServerName, names)
	} else if len(matchers) > 0 {
		ok = matchesAny(matchers, names)
	}
	if !ok {
		return &VerifyError{FailSAN, "SAN matcher, certificate SANs are [" + joinNames(names) + "]"}
	}
	return nil
}

func hasDNSName(want string, names []streaminfo.SAN) bool {
	for i := range names {
		if names[i].Kind == streaminfo.SANDNS && DNSNameMatches(want, names[i].Value) {
			return true
		}
	}
	return false
}

func joinNames(names []streaminfo.SAN) string {
	var b strings.Builder
	for i := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(names[i].Value)
	}
	return b.String()
}

func (v *Validation) pinned(leaf *x509.Certificate) bool {
	if len(v.Hashes) > 0 {
		sum := sha256.Sum256(leaf.Raw)
		for i := range v.Hashes {
			if v.Hashes[i] == sum {
				return true
			}
		}
	}
	if len(v.SPKIs) > 0 {
		sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
		for i := range v.SPKIs {
			if v.SPKIs[i] == sum {
				return true
			}
		}
	}
	return false
}

func (v *Validation) verifySPIFFE(r *Request, p *Peer) *VerifyError {
	leaf := r.Certificates[0]
	if !precheck(leaf) {
		return &VerifyError{FailChain, "cert precheck"}
	}
	names := streaminfo.SubjectAltNames(leaf.Extensions)
	b := v.SPIFFE.bundle(names)
	if b == nil {
		return &VerifyError{FailChain, "no trust bundle store"}
	}
	c, err := b.verify(r)
	if err != nil {
		return err
	}
	p.Leaf, p.Issuer, p.Validated = c.Leaf, c.Issuer, true
	if len(v.SANs) > 0 && !matchesAny(v.SANs, names) {
		return &VerifyError{FailSAN, "SAN match"}
	}
	return nil
}
