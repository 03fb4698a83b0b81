package transport

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// serverCertificate is a certificate as a server sends it, with and without its staple.
type serverCertificate struct {
	*secret.Certificate
	stapled *tls.Certificate // nil: there is no staple
}

// selection chooses among a server's certificates, by the name that the client asks for and by what its
// hello can verify. It is immutable.
type selection struct {
	all   []*serverCertificate
	exact map[string][]*serverCertificate // lower case
	// wildcard is by what follows "*.".
	wildcard map[string][]*serverCertificate
	fullScan bool
	policy   tlspb.DownstreamTlsContext_OcspStaplePolicy
}

func newSelection(certs []*secret.Certificate, fullScan bool, policy tlspb.DownstreamTlsContext_OcspStaplePolicy) *selection {
	s := &selection{
		exact: map[string][]*serverCertificate{}, wildcard: map[string][]*serverCertificate{},
		fullScan: fullScan, policy: policy,
	}
	for _, c := range certs {
		sc := &serverCertificate{Certificate: c}
		if c.Staple != nil {
			with := *c.TLS
			with.OCSPStaple = c.Staple.DER
			sc.stapled = &with
		}
		s.all = append(s.all, sc)
		for _, name := range c.ServerNames {
			name = strings.ToLower(name)
			if suffix, ok := strings.CutPrefix(name, "*."); ok {
				s.wildcard[suffix] = append(s.wildcard[suffix], sc)
			} else {
				s.exact[name] = append(s.exact[name], sc)
			}
		}
	}
	return s
}

// choose picks the certificate for a hello: of those for its name the first with an ECDSA key that the
// client can verify, else the first with another; without one for its name the first of all, or, by
// full_scan_certs_on_sni_mismatch, the best of all.
func (s *selection) choose(hello *tls.ClientHelloInfo) *serverCertificate {
	if len(s.all) == 1 {
		return s.all[0]
	}
	if name := strings.ToLower(hello.ServerName); name != "" {
		if c := s.exact[name]; len(c) > 0 {
			return best(c, hello)
		}
		if _, suffix, ok := strings.Cut(name, "."); ok {
			if c := s.wildcard[suffix]; len(c) > 0 {
				return best(c, hello)
			}
		}
	}
	if s.fullScan {
		return best(s.all, hello)
	}
	return s.all[0]
}

func best(certs []*serverCertificate, hello *tls.ClientHelloInfo) *serverCertificate {
	if len(certs) == 1 {
		return certs[0]
	}
	var rsa *serverCertificate
	for _, c := range certs {
		if supports(hello, c) {
			if c.ECDSA {
				return c
			}
			if rsa == nil {
				rsa = c
			}
		}
	}
	if rsa != nil {
		return rsa
	}
	return certs[0]
}

// supports tells whether the client can verify the certificate's key, whatever its names.
func supports(hello *tls.ClientHelloInfo, c *serverCertificate) bool {
	if hello.ServerName == "" {
		return hello.SupportsCertificate(c.TLS) == nil
	}
	// SupportsCertificate looks at the names as well, which have been chosen by here.
	nameless := *hello
	nameless.ServerName = ""
	return nameless.SupportsCertificate(c.TLS) == nil
}

// statusRequest is the extension by which a client asks for a staple.
const statusRequest = 5

// staple decides whether the certificate goes with its staple, as ocsp_staple_policy says.
func (s *selection) staple(c *serverCertificate, extensions []uint16, st *sslStats, w stats.Worker) (*tls.Certificate, error) {
	if !slices.Contains(extensions, statusRequest) {
		return c.TLS, nil
	}
	st.StapleRequests.Inc(w)
	policy := s.policy
	if c.MustStaple {
		policy = tlspb.DownstreamTlsContext_MUST_STAPLE
	}
	switch {
	case c.stapled != nil && !c.Staple.Expired(time.Now()):
		st.StapleResponses.Inc(w)
		return c.stapled, nil
	case policy == tlspb.DownstreamTlsContext_MUST_STAPLE,
		policy == tlspb.DownstreamTlsContext_STRICT_STAPLING && c.stapled != nil:
		st.StapleFailed.Inc(w)
		return nil, errStaple
	}
	st.StapleOmitted.Inc(w)
	return c.TLS, nil
}
