package secret

import (
	"bytes"
	"crypto/x509"
	"time"
)

// crl is a revocation list with an index of what it revokes.
type crl struct {
	list    *x509.RevocationList
	revoked map[string]struct{} // by serial number
}

func parseCRL(der []byte) (crl, error) {
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		return crl{}, err
	}
	c := crl{list: l, revoked: make(map[string]struct{}, len(l.RevokedCertificateEntries))}
	for i := range l.RevokedCertificateEntries {
		c.revoked[string(l.RevokedCertificateEntries[i].SerialNumber.Bytes())] = struct{}{}
	}
	return c, nil
}

// checkRevocation holds a chain to the revocation lists: every certificate, or the first alone, must be
// on a current list of its issuer, and not be revoked there. It returns when the first list runs out.
func (b *Bundle) checkRevocation(chain []*x509.Certificate, now time.Time) (until time.Time, depth int, reason string) {
	if !b.checksCRLs {
		return time.Time{}, 0, ""
	}
	if b.key.leafOnly {
		chain = chain[:min(len(chain), 2)]
	}
	for i, c := range chain {
		if b.key.leafOnly && i > 0 {
			break
		}
		issuer := c // of the last one, which has to be its own
		if i+1 < len(chain) {
			issuer = chain[i+1]
		}
		l, reason := b.findCRL(c, issuer, now)
		if reason == "" {
			if _, ok := l.revoked[string(c.SerialNumber.Bytes())]; ok {
				reason = "certificate revoked"
			}
		}
		if reason != "" {
			return until, i, "certificate revocation check against provided CRLs failed: " + reason
		}
		if next := l.list.NextUpdate; !next.IsZero() && (until.IsZero() || next.Before(until)) {
			until = next
		}
	}
	return until, 0, ""
}

// findCRL finds a current list by which issuer may revoke c, or tells why there is none.
func (b *Bundle) findCRL(c, issuer *x509.Certificate, now time.Time) (*crl, string) {
	reason := "unable to get certificate CRL"
	for i := range b.crls {
		l := &b.crls[i]
		switch {
		case !bytes.Equal(l.list.RawIssuer, c.RawIssuer):
			continue
		case !bytes.Equal(issuer.RawSubject, c.RawIssuer):
			reason = "unable to get CRL issuer certificate"
		case now.Before(l.list.ThisUpdate):
			reason = "CRL is not yet valid"
		case !l.list.NextUpdate.IsZero() && now.After(l.list.NextUpdate):
			reason = "CRL has expired"
		case l.list.CheckSignatureFrom(issuer) != nil:
			reason = "CRL signature failure"
		default:
			return l, ""
		}
	}
	return nil, reason
}
