package secret

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// SPIFFE is envoy.tls.cert_validator.spiffe: authorities by trust domain.
type SPIFFE struct {
	domains map[string]*Bundle
}

const spiffeURL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"

func compileSPIFFE(c *corepb.TypedExtensionConfig, allowExpired bool) (*SPIFFE, error) {
	if c.GetTypedConfig().GetTypeUrl() != spiffeURL {
		return nil, fmt.Errorf("Failed to get certificate validator factory for %s", c.GetName())
	}
	m := &tlspb.SPIFFECertValidatorConfig{}
	if err := c.GetTypedConfig().UnmarshalTo(m); err != nil {
		return nil, err
	}
	// Envoy does not hold this message to its rules: trust_domains may be empty.
	s := &SPIFFE{domains: map[string]*Bundle{}}
	if m.GetTrustBundles() != nil {
		return s, s.readBundles(m.GetTrustBundles(), allowExpired)
	}
	for _, d := range m.GetTrustDomains() {
		if d.GetWorkloadTrustDomain() != "" {
			return nil, errors.New("field SPIFFECertValidatorConfig.TrustDomain.workload_trust_domain is not supported")
		}
		if _, dup := s.domains[d.GetName()]; dup {
			return nil, fmt.Errorf("Multiple trust bundles are given for one trust domain for %s, workload: ", d.GetName())
		}
		src, err := readRequired(d.GetTrustBundle())
		if err != nil {
			return nil, err
		}
		key := bundleKey{ca: sha256.Sum256(src.data), allowExpired: allowExpired, maxDepth: defaultDepth}
		b, err := newBundle(key, src, source{}, true)
		if err != nil {
			return nil, fmt.Errorf("Failed to load trusted CA certificate for %s", d.GetName())
		}
		s.domains[d.GetName()] = b
	}
	return s, nil
}

// readBundles reads a SPIFFE trust bundle map: {"trust_domains": {NAME: {"keys": [JWK…]}}}.
func (s *SPIFFE) readBundles(d *corepb.DataSource, allowExpired bool) error {
	src, err := readRequired(d)
	if err != nil {
		return err
	}
	var file struct {
		TrustDomains map[string]struct {
			Keys []struct {
				Use string   `json:"use"`
				X5C []string `json:"x5c"`
			} `json:"keys"`
		} `json:"trust_domains"`
	}
	if err := json.Unmarshal(src.data, &file); err != nil {
		return errors.New("Invalid JSON found in SPIFFE bundle")
	}
	if len(file.TrustDomains) == 0 {
		return errors.New("No trust domains found in SPIFFE bundle")
	}
	for name, domain := range file.TrustDomains {
		if len(domain.Keys) == 0 {
			return fmt.Errorf("No keys found in SPIFFE bundle for domain '%s'", name)
		}
		var certs []*x509.Certificate
		for _, k := range domain.Keys {
			if k.Use != "x509-svid" {
				return fmt.Errorf("missing or invalid 'use' field found in cert for domain '%s'", name)
			}
			for _, text := range k.X5C {
				der, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return fmt.Errorf("Invalid x509 object in certs for domain '%s'", name)
				}
				c, err := x509.ParseCertificate(der)
				if err != nil {
					return fmt.Errorf("Invalid x509 object in certs for domain '%s'", name)
				}
				certs = append(certs, c)
			}
		}
		key := bundleKey{ca: sumOf(certs), allowExpired: allowExpired, maxDepth: defaultDepth}
		s.domains[name] = bundleOf(key, src.path, certs)
	}
	return nil
}

// names are the trust domains, sorted.
func (s *SPIFFE) names() []string { return slices.Sorted(maps.Keys(s.domains)) }

func (s *SPIFFE) bundles() []*Bundle {
	names := s.names()
	out := make([]*Bundle, len(names))
	for i, name := range names {
		out[i] = s.domains[name]
	}
	return out
}

// precheck holds a leaf to the X.509-SVID rules that Envoy holds it to: no authority, and a keyUsage
// that is there and lets it sign neither certificates nor revocation lists.
func precheck(leaf *x509.Certificate) bool {
	return !leaf.IsCA && leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0
}

// bundle returns the authorities of the trust domain that the first URI names; nil: none.
func (s *SPIFFE) bundle(names []streaminfo.SAN) *Bundle {
	for i := range names {
		if names[i].Kind != streaminfo.SANURI {
			continue
		}
		rest, ok := strings.CutPrefix(names[i].Value, "spiffe://")
		if !ok {
			return nil
		}
		domain, _, _ := strings.Cut(rest, "/")
		return s.domains[domain]
	}
	return nil
}
