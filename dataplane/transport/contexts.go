package transport

import (
	"crypto/x509"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Contexts is the TLS contexts that are in use, for /certs. A nil Contexts collects nothing.
type Contexts struct {
	mu   sync.Mutex
	list []contextDumper // guarded by mu
}

type contextDumper interface {
	secrets() ([]*secret.Certificate, *secret.Validation)
}

func (c *Contexts) add(t contextDumper) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, t)
}

func (c *Contexts) remove(t contextDumper) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		if c.list[i] == t {
			c.list = append(c.list[:i], c.list[i+1:]...)
			return
		}
	}
}

// ContextDump is one TLS context as /certs shows it.
type ContextDump struct {
	CACert, CertChain []CertificateDump
}

// CertificateDump is one certificate as /certs shows it.
type CertificateDump struct {
	Path, SerialNumber      string
	SubjectAltNames         []streaminfo.SAN // DNS, URI and addresses
	DaysUntilExpiration     uint64
	ValidFrom, ExpiresAt    time.Time
	StapleFrom, StapleUntil time.Time // zero: no staple
}

// Dump lists the contexts.
func (c *Contexts) Dump(now time.Time) []ContextDump {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	list := append([]contextDumper(nil), c.list...)
	c.mu.Unlock()
	out := make([]ContextDump, 0, len(list))
	for _, t := range list {
		certs, v := t.secrets()
		d := ContextDump{}
		if v != nil && v.Bundle != nil {
			for _, x := range v.Bundle.Certificates {
				d.CACert = append(d.CACert, dump(x, v.Bundle.Path, now))
			}
		}
		for _, s := range certs {
			e := dump(s.TLS.Leaf, s.Path, now)
			if s.Staple != nil {
				e.StapleFrom, e.StapleUntil = s.Staple.ThisUpdate, s.Staple.NextUpdate
			}
			d.CertChain = append(d.CertChain, e)
		}
		out = append(out, d)
	}
	return out
}

func dump(x *x509.Certificate, path string, now time.Time) CertificateDump {
	d := CertificateDump{
		Path: path, SerialNumber: streaminfo.NewCertificate(x).Serial(),
		DaysUntilExpiration: daysUntil(x.NotAfter, now), ValidFrom: x.NotBefore, ExpiresAt: x.NotAfter,
	}
	for _, s := range streaminfo.SubjectAltNames(x.Extensions) {
		switch s.Kind {
		case streaminfo.SANDNS, streaminfo.SANURI, streaminfo.SANIP:
			d.SubjectAltNames = append(d.SubjectAltNames, s)
		}
	}
	return d
}

func daysUntil(t, now time.Time) uint64 {
	return uint64(max(t.Sub(now), 0) / (24 * time.Hour))
}

// DaysUntilFirstExpiry is server.days_until_first_cert_expiring: MaxUint32 where there is none.
func (c *Contexts) DaysUntilFirstExpiry(now time.Time) uint64 {
	first := uint64(1<<32 - 1)
	for _, d := range c.Dump(now) {
		for _, list := range [][]CertificateDump{d.CACert, d.CertChain} {
			for _, e := range list {
				first = min(first, e.DaysUntilExpiration)
			}
		}
	}
	return first
}

// SecondsUntilFirstStapleExpiry is server.seconds_until_first_ocsp_response_expiring; ok is false where
// there is no staple.
func (c *Contexts) SecondsUntilFirstStapleExpiry(now time.Time) (seconds uint64, ok bool) {
	for _, d := range c.Dump(now) {
		for _, e := range d.CertChain {
			if e.StapleUntil.IsZero() {
				continue
			}
			left := uint64(max(e.StapleUntil.Sub(now), 0) / time.Second)
			if !ok || left < seconds {
				seconds, ok = left, true
			}
		}
	}
	return seconds, ok
}

func (t *tlsDownstream) secrets() ([]*secret.Certificate, *secret.Validation) {
	s := t.state.Load()
	if s == nil {
		return nil, nil
	}
	certs := make([]*secret.Certificate, len(s.selection.all))
	for i, c := range s.selection.all {
		certs[i] = c.Certificate
	}
	return certs, s.validation
}
