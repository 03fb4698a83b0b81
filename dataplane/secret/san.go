package secret

import (
	"encoding/asn1"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// SANMatcher matches one kind of subject alternative name.
type SANMatcher struct {
	kind    int
	oid     string // otherName alone
	text    matcher.String
	dnsName string // not "": an exact DNS matcher, which knows wildcards
}

// Match tells whether the name matches.
func (m *SANMatcher) Match(s *streaminfo.SAN) bool {
	if s.Kind != m.kind || m.kind == streaminfo.SANOtherName && s.OID != m.oid {
		return false
	}
	if m.dnsName != "" {
		return DNSNameMatches(m.dnsName, s.Value)
	}
	return m.text.Match(s.Value)
}

func compileSANs(m *tlspb.CertificateValidationContext) ([]SANMatcher, error) {
	var out []SANMatcher
	for _, t := range m.GetMatchTypedSubjectAltNames() {
		kind, err := sanKind(t)
		if err != nil {
			return nil, err
		}
		s, err := compileSAN(kind, t.GetMatcher())
		if err != nil {
			return nil, err
		}
		s.oid = t.GetOid()
		out = append(out, s)
	}
	if len(out) > 0 {
		return out, nil // the deprecated field is ignored then, as its comment says
	}
	//nolint:staticcheck // SA1019: istiod sends the deprecated field.
	for _, t := range m.GetMatchSubjectAltNames() {
		for _, kind := range []int{streaminfo.SANDNS, streaminfo.SANURI, streaminfo.SANEmail, streaminfo.SANIP} {
			s, err := compileSAN(kind, t)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func sanKind(t *tlspb.SubjectAltNameMatcher) (int, error) {
	switch t.GetSanType() {
	case tlspb.SubjectAltNameMatcher_DNS:
		return streaminfo.SANDNS, nil
	case tlspb.SubjectAltNameMatcher_URI:
		return streaminfo.SANURI, nil
	case tlspb.SubjectAltNameMatcher_EMAIL:
		return streaminfo.SANEmail, nil
	case tlspb.SubjectAltNameMatcher_IP_ADDRESS:
		return streaminfo.SANIP, nil
	case tlspb.SubjectAltNameMatcher_OTHER_NAME:
		if !validOID(t.GetOid()) {
			return 0, fmt.Errorf("Failed to create SAN matcher for OTHER_NAME with OID: %s", t.GetOid())
		}
		return streaminfo.SANOtherName, nil
	}
	return 0, fmt.Errorf("SAN type %s is not supported", t.GetSanType())
}

func validOID(s string) bool {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return false
		}
		oid = append(oid, n)
	}
	_, err := asn1.Marshal(oid)
	return err == nil
}

func compileSAN(kind int, m *matcherpb.StringMatcher) (SANMatcher, error) {
	text, err := matcher.CompileString(m, matcher.Options{})
	if err != nil {
		return SANMatcher{}, err
	}
	s := SANMatcher{kind: kind, text: text}
	if _, exact := m.GetMatchPattern().(*matcherpb.StringMatcher_Exact); exact && kind == streaminfo.SANDNS {
		s.dnsName = m.GetExact()
	}
	return s, nil
}

// DNSNameMatches tells whether a certificate's DNS name stands for the name: case does not matter, and
// "*." stands for one label (RFC 6125, 6.4.3). Other wildcards stand for nothing.
func DNSNameMatches(name, certificate string) bool {
	if strings.EqualFold(name, certificate) {
		return true
	}
	suffix, ok := strings.CutPrefix(certificate, "*.")
	if !ok || suffix == "" {
		return false
	}
	label, rest, ok := strings.Cut(name, ".")
	return ok && label != "" && strings.EqualFold(rest, suffix)
}

// matchesAny tells whether one of the names matches one of the matchers.
func matchesAny(ms []SANMatcher, names []streaminfo.SAN) bool {
	for i := range names {
		for j := range ms {
			if ms[j].Match(&names[i]) {
				return true
			}
		}
	}
	return false
}

// inList tells whether one of the names is one of those a connection asks for (auto_san_validation): a
// DNS name, a URI or an address.
func inList(list []string, names []streaminfo.SAN) bool {
	for _, want := range list {
		ip, err := netip.ParseAddr(want)
		for i := range names {
			switch n := &names[i]; n.Kind {
			case streaminfo.SANDNS:
				if DNSNameMatches(want, n.Value) {
					return true
				}
			case streaminfo.SANURI:
				if n.Value == want {
					return true
				}
			case streaminfo.SANIP:
				if err == nil && n.Value == ip.String() {
					return true
				}
			}
		}
	}
	return false
}
