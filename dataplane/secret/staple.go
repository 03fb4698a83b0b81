package secret

import (
	"crypto/x509"
	"errors"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/crypto/ocsp"
)

// Staple is an OCSP response that is sent with a certificate.
type Staple struct {
	DER                    []byte
	ThisUpdate, NextUpdate time.Time
}

// Expired tells whether the response may no longer be sent.
func (s *Staple) Expired(now time.Time) bool {
	return !s.NextUpdate.IsZero() && now.After(s.NextUpdate)
}

func compileStaple(d *corepb.DataSource, leaf *x509.Certificate) (*Staple, error) {
	if _, ok := d.GetSpecifier().(*corepb.DataSource_InlineString); ok {
		return nil, errors.New("OCSP staple cannot be provided via inline_string")
	}
	s, err := readSource(d)
	if err != nil {
		return nil, err
	}
	if len(s.data) == 0 {
		return nil, nil //nolint:nilnil // an empty staple is no staple, as in Envoy.
	}
	// The responder's signature is for the client to check: without an issuer it is not looked at.
	r, err := ocsp.ParseResponse(s.data, nil)
	var status ocsp.ResponseError
	switch {
	case errors.As(err, &status):
		return nil, errors.New("OCSP response was unsuccessful")
	case err != nil && err.Error() == "OCSP response contains bad number of responses":
		return nil, errors.New("OCSP Response must be for one certificate only")
	case err != nil:
		return nil, errors.New("Data contained more than a single OCSP response")
	case r.SerialNumber == nil || r.SerialNumber.Cmp(leaf.SerialNumber) != 0:
		return nil, errors.New("OCSP response does not match its TLS certificate")
	}
	return &Staple{DER: s.data, ThisUpdate: r.ThisUpdate, NextUpdate: r.NextUpdate}, nil
}
