package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// verify finds a chain from the peer's certificate to an authority. A chain that was found before is
// good until something in it runs out: the signatures of its certificates are not computed again.
func (b *Bundle) verify(r *Request) (*Chain, *VerifyError) {
	k := keyOf(r)
	if c := b.cached(k, r.Now); c != nil {
		return c, nil
	}
	chains, err := b.build(r)
	if err != nil {
		return nil, err
	}
	var first *VerifyError
	for _, chain := range chains {
		c, err := b.accept(chain, r)
		if err == nil {
			b.remember(k, c)
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func keyOf(r *Request) chainKey {
	if len(r.Certificates) == 1 {
		return chainKey{sha256.Sum256(r.Certificates[0].Raw), !r.Client}
	}
	return chainKey{sumOf(r.Certificates), !r.Client}
}

func sumOf(certs []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range certs {
		h.Write(c.Raw) // DER tells its own length: nothing needs to stand between two
	}
	h.Sum(sum[:0])
	return sum
}

// build has crypto/x509 find the chains.
func (b *Bundle) build(r *Request) ([][]*x509.Certificate, *VerifyError) {
	o := x509.VerifyOptions{Roots: b.Pool, CurrentTime: r.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if len(r.Certificates) > 1 {
		o.Intermediates = x509.NewCertPool()
		for _, c := range r.Certificates[1:] {
			o.Intermediates.AddCert(b.timeless(c))
		}
	}
	chains, err := b.timeless(r.Certificates[0]).Verify(o)
	if err != nil {
		return nil, b.explain(err, r)
	}
	return chains, nil
}

// timeless is c, valid at any time if allow_expired_certificate says so: crypto/x509 has no such wish.
func (b *Bundle) timeless(c *x509.Certificate) *x509.Certificate {
	if !b.key.allowExpired {
		return c
	}
	always := *c
	always.NotBefore, always.NotAfter = time.Time{}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	return &always
}

// accept holds a chain to what crypto/x509 does not know of: purposes as BoringSSL reads them, the
// configured depth, revocation lists.
func (b *Bundle) accept(chain []*x509.Certificate, r *Request) (*Chain, *VerifyError) {
	// The anchor counts, but one of depth 1 is always allowed (X509_STORE_CTX's older reading of depth).
	if limit := max(b.key.maxDepth, 1); len(chain)-1 > limit {
		return nil, chainError(limit, "unable to get local issuer certificate")
	}
	for i, c := range chain {
		if !goodFor(c, r.Client) {
			return nil, chainError(i, "unsupported certificate purpose")
		}
	}
	until, depth, reason := b.checkRevocation(chain, r.Now)
	if reason != "" {
		return nil, chainError(depth, reason)
	}
	if !b.key.allowExpired {
		for _, c := range chain {
			if until.IsZero() || c.NotAfter.Before(until) {
				until = c.NotAfter
			}
		}
	}
	if until.IsZero() {
		until = r.Now.Add(24 * time.Hour)
	}
	// A chain may be of timeless copies: the certificate that is shown is the peer's own.
	out := &Chain{Leaf: streaminfo.NewCertificate(r.Certificates[0]), until: until}
	if len(chain) > 1 {
		out.Issuer = streaminfo.NewCertificate(chain[1])
	}
	return out, nil
}

// goodFor tells whether a certificate's extended key usage, if it has one, names the peer's role.
// anyExtendedKeyUsage is not enough, as in BoringSSL.
func goodFor(c *x509.Certificate, client bool) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	want := x509.ExtKeyUsageServerAuth
	if client {
		want = x509.ExtKeyUsageClientAuth
	}
	for _, u := range c.ExtKeyUsage {
		if u == want {
			return true
		}
	}
	return false
}

func chainError(depth int, reason string) *VerifyError {
	return &VerifyError{FailChain, fmt.Sprintf("X509_verify_cert: certificate verification error at depth %d: %s", depth, reason)}
}

// explain says what crypto/x509 found as BoringSSL would.
func (b *Bundle) explain(err error, r *Request) *VerifyError {
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &invalid):
		depth := depthOf(invalid.Cert, r)
		switch invalid.Reason {
		case x509.Expired:
			if r.Now.Before(invalid.Cert.NotBefore) {
				return chainError(depth, "certificate is not yet valid")
			}
			return chainError(depth, "certificate has expired")
		case x509.NotAuthorizedToSign:
			return chainError(depth, "invalid CA certificate")
		case x509.TooManyIntermediates:
			return chainError(depth, "path length constraint exceeded")
		case x509.CANotAuthorizedForThisName, x509.UnconstrainedName:
			return chainError(0, "permitted subtree violation")
		}
		return chainError(depth, invalid.Error())
	case errors.As(err, &critical):
		for i, c := range r.Certificates {
			if len(c.UnhandledCriticalExtensions) > 0 {
				return chainError(i, "unhandled critical extension")
			}
		}
		return chainError(0, "unhandled critical extension")
	}
	return b.explainUnknown(r)
}

func depthOf(c *x509.Certificate, r *Request) int {
	for i, d := range r.Certificates {
		if bytes.Equal(c.Raw, d.Raw) {
			return i
		}
	}
	return len(r.Certificates)
}

// explainUnknown follows the peer's certificates to where the next one is missing.
func (b *Bundle) explainUnknown(r *Request) *VerifyError {
	current := r.Certificates[0]
	for depth := 0; ; depth++ {
		if bytes.Equal(current.RawIssuer, current.RawSubject) {
			if depth == 0 {
				return chainError(0, "self signed certificate")
			}
			return chainError(depth, "self signed certificate in certificate chain")
		}
		for _, a := range b.Certificates {
			if issued(a, current) && !signed(a, current) {
				return chainError(depth, "certificate signature failure")
			}
		}
		var next *x509.Certificate
		for _, c := range r.Certificates[1:] {
			if issued(c, current) && signed(c, current) && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0) {
				next = c
				break
			}
		}
		switch {
		case next == nil, depth > len(r.Certificates):
			return chainError(depth, "unable to get local issuer certificate")
		case !next.BasicConstraintsValid || !next.IsCA:
			return chainError(depth+1, "invalid CA certificate")
		}
		current = next
	}
}

// signed tells whether c's signature is by issuer's key, whatever the issuer may sign.
func signed(issuer, c *x509.Certificate) bool {
	return issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// issued tells whether the names and key identifiers say that issuer issued c.
func issued(issuer, c *x509.Certificate) bool {
	if !bytes.Equal(issuer.RawSubject, c.RawIssuer) {
		return false
	}
	return len(c.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId)
}
