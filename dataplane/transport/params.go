package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// params is TlsParameters, defaults filled in.
type params struct {
	min, max uint16
	// ciphers are the cipher suites of TLS 1.2 and before in order of preference, those in a group
	// being equal; listed tells that they are not the default.
	ciphers [][]uint16
	listed  bool
	curves  []tls.CurveID
}

// The defaults, which all contexts share; immutable. The curves are what Envoy 1.40 negotiates, although
// its documentation leaves the first out.
var (
	defaultCiphers = [][]uint16{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
	}
	defaultCurves = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
)

// suites is the ciphers as one list.
func (p *params) suites() []uint16 {
	var out []uint16
	for _, g := range p.ciphers {
		out = append(out, g...)
	}
	return out
}

func compileParams(m *tlspb.TlsParameters, defaultMax uint16) (params, error) {
	p := params{
		min: version(m.GetTlsMinimumProtocolVersion(), tls.VersionTLS12),
		max: version(m.GetTlsMaximumProtocolVersion(), defaultMax),
	}
	switch {
	case len(m.GetSignatureAlgorithms()) > 0:
		// crypto/tls always offers its own list.
		return p, errors.New("field TlsParameters.signature_algorithms is not supported")
	case len(m.GetCompliancePolicies()) > 0:
		return p, errors.New("field TlsParameters.compliance_policies is not supported")
	}
	if err := p.compileCiphers(m.GetCipherSuites()); err != nil {
		return p, err
	}
	return p, p.compileCurves(m.GetEcdhCurves())
}

func version(v tlspb.TlsParameters_TlsProtocol, auto uint16) uint16 {
	switch v {
	case tlspb.TlsParameters_TLSv1_0:
		return tls.VersionTLS10
	case tlspb.TlsParameters_TLSv1_1:
		return tls.VersionTLS11
	case tlspb.TlsParameters_TLSv1_2:
		return tls.VersionTLS12
	case tlspb.TlsParameters_TLSv1_3:
		return tls.VersionTLS13
	}
	return auto
}

// compileCiphers reads BoringSSL's cipher list: names, and groups "[A|B]" of equal preference. Its
// operators and aliases are refused, as unknown ciphers are.
func (p *params) compileCiphers(list []string) error {
	if len(list) == 0 {
		p.ciphers = defaultCiphers
		return nil
	}
	p.listed = true
	all := strings.Join(list, ":")
	var bad []string
	seen := map[uint16]bool{}
	for item := range strings.SplitSeq(all, ":") {
		names := []string{item}
		if inner, ok := strings.CutPrefix(item, "["); ok {
			inner, _ = strings.CutSuffix(inner, "]")
			names = strings.Split(inner, "|")
		}
		var group []uint16
		for _, name := range names {
			id := cipherID(name)
			switch {
			case name == "":
			case id == 0:
				bad = append(bad, strings.TrimLeft(name, "-!+"))
			case !seen[id]:
				seen[id] = true
				group = append(group, id)
			}
		}
		if len(group) > 0 {
			p.ciphers = append(p.ciphers, group)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("Failed to initialize cipher suites %s. The following ciphers were rejected when tried individually: %s",
			all, strings.Join(bad, ", "))
	}
	return nil
}

// compileCurves maps ecdh_curves to the set that crypto/tls is given; it prefers by its own order.
func (p *params) compileCurves(names []string) error {
	if len(names) == 0 {
		p.curves = defaultCurves
		return nil
	}
	for _, list := range names {
		for name := range strings.SplitSeq(list, ":") {
			id := curveID(name)
			if id == 0 {
				return fmt.Errorf("Failed to initialize ECDH curves %s", strings.Join(names, ":"))
			}
			p.curves = append(p.curves, id)
		}
	}
	return nil
}

// compileALPN checks the protocol names.
func compileALPN(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		if len(n) > 255 {
			return nil, errors.New("Invalid ALPN protocol string")
		}
		if n != "" {
			out = append(out, n)
		}
	}
	return out, nil
}
