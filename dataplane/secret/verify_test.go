package secret

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

func certs(ps ...*pkitest.Pair) []*x509.Certificate {
	var out []*x509.Certificate
	for _, p := range ps {
		out = append(out, p.Cert)
	}
	return out
}

func validation(t *testing.T, m *tlspb.CertificateValidationContext) *Validation {
	t.Helper()
	v, err := CompileValidation(m, "")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const failed = "verify cert failed: X509_verify_cert: certificate verification error at depth "

func TestChainErrorsAreBoringSSLs(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("ca2")
	now := time.Now()
	inter := pkitest.Leaf{CN: "int", CA: true, PathLen: -1}
	int1 := ca.Issue(inter)
	int2 := int1.Issue(pkitest.Leaf{CN: "int2", CA: true, PathLen: -1})
	noCA := ca.Issue(pkitest.Leaf{CN: "noca"})
	short := ca.Issue(pkitest.Leaf{CN: "short", CA: true, PathLen: 0})
	below := short.Issue(pkitest.Leaf{CN: "below", CA: true, PathLen: -1})
	named := ca.Issue(pkitest.Leaf{CN: "named", CA: true, PathLen: -1, PermittedDNS: []string{"ok.com"}})
	serving := ca.Issue(pkitest.Leaf{CN: "serving", CA: true, PathLen: -1, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	expired := ca.Issue(pkitest.Leaf{CN: "expired", CA: true, PathLen: -1, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM)})
	for name, f := range map[string]struct {
		peer []*x509.Certificate
		want string
	}{
		"good":               {certs(ca.Issue(pkitest.Leaf{})), ""},
		"with chain":         {certs(int2.Issue(pkitest.Leaf{}), int2, int1), ""},
		"chain out of order": {certs(int2.Issue(pkitest.Leaf{}), int1, int2), ""},
		"authority itself":   {certs(ca), ""},
		"leaf that may sign": {certs(ca.Issue(pkitest.Leaf{CA: true, PathLen: -1})), ""},
		"for clients":        {certs(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})), ""},
		"unknown":            {certs(rogue.Issue(pkitest.Leaf{})), "0: unable to get local issuer certificate"},
		"chain missing":      {certs(int1.Issue(pkitest.Leaf{})), "0: unable to get local issuer certificate"},
		"chain too short":    {certs(int2.Issue(pkitest.Leaf{}), int2), "1: unable to get local issuer certificate"},
		"self-signed":        {certs(pkitest.CA("self")), "0: self signed certificate"},
		"with own root":      {certs(rogue.Issue(pkitest.Leaf{}), rogue), "1: self signed certificate in certificate chain"},
		"expired":            {certs(ca.Issue(pkitest.Leaf{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})), "0: certificate has expired"},
		"future":             {certs(ca.Issue(pkitest.Leaf{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})), "0: certificate is not yet valid"},
		"expired chain":      {certs(expired.Issue(pkitest.Leaf{}), expired), "1: certificate has expired"},
		"for servers":        {certs(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})), "0: unsupported certificate purpose"},
		"for anything":       {certs(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})), "0: unsupported certificate purpose"},
		"chain for servers":  {certs(serving.Issue(pkitest.Leaf{}), serving), "1: unsupported certificate purpose"},
		"issued by a leaf":   {certs(noCA.Issue(pkitest.Leaf{}), noCA), "1: invalid CA certificate"},
		"path length":        {certs(below.Issue(pkitest.Leaf{}), below, short), "2: path length constraint exceeded"},
		"name constraint":    {certs(named.Issue(pkitest.Leaf{DNS: []string{"bad.com"}}), named), "0: permitted subtree violation"},
		"critical extension": {certs(ca.Issue(pkitest.Leaf{Extra: []pkix.Extension{critical}})), "0: unhandled critical extension"},
	} {
		p, err := v.Verify(&Request{Certificates: f.peer, Client: true, Now: now})
		switch {
		case f.want == "" && (err != nil || !p.Validated || p.Leaf == nil):
			t.Errorf("%s: %v, %+v", name, err, p)
		case f.want != "" && (err == nil || err.Error() != failed+f.want || err.Kind != FailChain):
			t.Errorf("%s: %v, want %s", name, err, f.want)
		}
	}
	if _, err := v.Verify(&Request{Certificates: certs(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})), Now: now}); err != nil {
		t.Errorf("a server's certificate towards a client: %v", err)
	}
}

func TestVerifyDepthCountsIntermediates(t *testing.T) {
	ca := pkitest.CA("ca")
	int1 := ca.Issue(pkitest.Leaf{CN: "int1", CA: true, PathLen: -1})
	int2 := int1.Issue(pkitest.Leaf{CN: "int2", CA: true, PathLen: -1})
	none, one, two := certs(ca.Issue(pkitest.Leaf{})), certs(int1.Issue(pkitest.Leaf{}), int1), certs(int2.Issue(pkitest.Leaf{}), int2, int1)
	for _, f := range []struct {
		depth uint32
		peer  []*x509.Certificate
		want  string // "": good
	}{
		{0, none, ""}, {0, one, "1"}, {0, two, "1"}, {1, none, ""}, {1, one, "1"}, {1, two, "1"}, {2, one, ""}, {2, two, "2"}, {3, two, ""},
	} {
		v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MaxVerifyDepth: wrapperspb.UInt32(f.depth)})
		_, err := v.Verify(&Request{Certificates: f.peer, Client: true, Now: time.Now()})
		if f.want == "" && err != nil || f.want != "" && (err == nil || err.Error() != failed+f.want+": unable to get local issuer certificate") {
			t.Errorf("depth %d, %d certificates: %v, want depth %q", f.depth, len(f.peer), err, f.want)
		}
	}
}

func TestPartialChainsEndAtAnyTrustedCertificate(t *testing.T) {
	ca := pkitest.CA("ca")
	int1 := ca.Issue(pkitest.Leaf{CN: "int1", CA: true, PathLen: -1})
	leaf := int1.Issue(pkitest.Leaf{})
	for name, trusted := range map[string]*pkitest.Pair{"intermediate": int1, "leaf": leaf} {
		v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(trusted.PEM)})
		if _, err := v.Verify(&Request{Certificates: certs(leaf), Client: true, Now: time.Now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpiredCertificatesMayBeAllowed(t *testing.T) {
	ca, rogue, now := pkitest.CA("ca"), pkitest.CA("rogue"), time.Now()
	inter := ca.Issue(pkitest.Leaf{CN: "int", CA: true, PathLen: -1, NotBefore: now.Add(-4 * time.Hour), NotAfter: now.Add(-3 * time.Hour)})
	v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), AllowExpiredCertificate: true})
	for name, peer := range map[string][]*x509.Certificate{
		// Both ran out before their authority began: there is no moment at which all were valid.
		"expired": certs(ca.Issue(pkitest.Leaf{NotBefore: now.Add(-3 * time.Hour), NotAfter: now.Add(-2 * time.Hour)})),
		"chain":   certs(inter.Issue(pkitest.Leaf{}), inter),
		"future":  certs(ca.Issue(pkitest.Leaf{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})),
	} {
		p, err := v.Verify(&Request{Certificates: peer, Client: true, Now: now})
		if err != nil || !p.Leaf.NotAfter().Equal(peer[0].NotAfter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Verify(&Request{Certificates: certs(rogue.Issue(pkitest.Leaf{})), Client: true, Now: now}); err == nil {
		t.Error("another authority's certificate was accepted")
	}
}

func TestRevocationLists(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	int1 := ca.Issue(pkitest.Leaf{CN: "int1", CA: true, PathLen: -1})
	good, bad, deep := ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{}), int1.Issue(pkitest.Leaf{})
	soon := time.Now().Add(time.Hour)
	const crl = ": certificate revocation check against provided CRLs failed: "
	for name, f := range map[string]struct {
		ca, crl  string
		leafOnly bool
		peer     []*x509.Certificate
		want     string
	}{
		"not revoked":               {ca.PEM, ca.CRL(soon, bad), false, certs(good), ""},
		"revoked":                   {ca.PEM, ca.CRL(soon, bad), false, certs(bad), "0" + crl + "certificate revoked"},
		"lists among authorities":   {ca.PEM + ca.CRL(soon, bad), "", false, certs(bad), "0" + crl + "certificate revoked"},
		"no list of the issuer":     {ca.PEM, ca.CRL(soon), false, certs(deep, int1), "0" + crl + "unable to get certificate CRL"},
		"lists of all":              {ca.PEM, ca.CRL(soon) + int1.CRL(soon), false, certs(deep, int1), ""},
		"issuer revoked":            {ca.PEM, ca.CRL(soon, int1) + int1.CRL(soon), false, certs(deep, int1), "1" + crl + "certificate revoked"},
		"leaf alone":                {ca.PEM, int1.CRL(soon), true, certs(deep, int1), ""},
		"leaf alone, issuer's gone": {ca.PEM, ca.CRL(soon, int1) + int1.CRL(soon), true, certs(deep, int1), ""},
		"leaf alone, no list":       {ca.PEM, ca.CRL(soon), true, certs(deep, int1), "0" + crl + "unable to get certificate CRL"},
		"list expired":              {ca.PEM, ca.CRL(time.Now().Add(-time.Minute)), false, certs(good), "0" + crl + "CRL has expired"},
		"list of another":           {ca.PEM, rogue.CRL(soon), false, certs(good), "0" + crl + "unable to get certificate CRL"},
		"forged list":               {ca.PEM, pkitest.CA("ca").CRL(soon), false, certs(good), "0" + crl + "CRL signature failure"},
		"file without list":         {ca.PEM, "junk", false, certs(good), "0" + crl + "unable to get certificate CRL"},
	} {
		m := &tlspb.CertificateValidationContext{TrustedCa: text(f.ca), OnlyVerifyLeafCertCrl: f.leafOnly}
		if f.crl != "" {
			m.Crl = text(f.crl)
		}
		_, err := validation(t, m).Verify(&Request{Certificates: f.peer, Client: true, Now: time.Now()})
		if f.want == "" && err != nil || f.want != "" && (err == nil || err.Error() != failed+f.want) {
			t.Errorf("%s: %v, want %s", name, err, f.want)
		}
	}
}

func TestSubjectAltNameMatchers(t *testing.T) {
	ca := pkitest.CA("ca")
	other, _ := asn1.Marshal([]asn1.RawValue{
		{Class: 2, Tag: 0, IsCompound: true, Bytes: append(must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 3, 4})), 0xa0, 3, 2, 1, 42)},
		{Class: 2, Tag: 2, Bytes: []byte("on.example.com")},
	})
	leaf := ca.Issue(pkitest.Leaf{
		DNS: []string{"a.example.com", "*.wild.org"}, URIs: []string{"spiffe://td/ns/a/sa/cli"}, Emails: []string{"x@y.z"}, IPs: []string{"10.0.0.1", "::1"},
	})
	withOther := ca.Issue(pkitest.Leaf{Extra: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: other}}})
	const dns, uri, email, ip, on = tlspb.SubjectAltNameMatcher_DNS, tlspb.SubjectAltNameMatcher_URI, tlspb.SubjectAltNameMatcher_EMAIL, tlspb.SubjectAltNameMatcher_IP_ADDRESS, tlspb.SubjectAltNameMatcher_OTHER_NAME
	exact := func(s string) *matcherpb.StringMatcher {
		return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: s}}
	}
	regex := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_SafeRegex{SafeRegex: &matcherpb.RegexMatcher{Regex: "spiffe://td/.*/cli"}}}
	half := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_SafeRegex{SafeRegex: &matcherpb.RegexMatcher{Regex: "spiffe://td/.*/cl"}}}
	suffix := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Suffix{Suffix: "wild.org"}}
	prefix := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Prefix{Prefix: "spiffe://td/"}}
	contains := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Contains{Contains: "/SA/"}, IgnoreCase: true}
	for _, f := range []struct {
		name string
		kind tlspb.SubjectAltNameMatcher_SanType
		m    *matcherpb.StringMatcher
		want bool
	}{
		{"DNS exact", dns, exact("a.example.com"), true},
		{"DNS exact ignores case", dns, exact("A.Example.COM"), true},
		{"DNS wildcard stands for one label", dns, exact("foo.wild.org"), true},
		{"not for two", dns, exact("a.b.wild.org"), false},
		{"nor for none", dns, exact("wild.org"), false},
		{"the wildcard itself", dns, exact("*.wild.org"), true},
		{"DNS suffix is of the text", dns, suffix, true},
		{"URI regex", uri, regex, true},
		{"URI regex is of the whole", uri, half, false},
		{"URI prefix", uri, prefix, true},
		{"URI contains, ignoring case", uri, contains, true},
		{"URI exact is no DNS name", uri, exact("a.example.com"), false},
		{"a DNS name is no URI", dns, exact("spiffe://td/ns/a/sa/cli"), false},
		{"email", email, exact("x@y.z"), true},
		{"IPv4", ip, exact("10.0.0.1"), true},
		{"IPv6", ip, exact("::1"), true},
		{"other address", ip, exact("10.0.0.2"), false},
		{"otherName of another certificate", on, exact("42"), false},
	} {
		v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MatchTypedSubjectAltNames: []*tlspb.SubjectAltNameMatcher{{SanType: f.kind, Matcher: f.m, Oid: "1.2.3.4"}}})
		_, err := v.Verify(&Request{Certificates: certs(leaf), Client: true, Now: time.Now()})
		if f.want != (err == nil) {
			t.Errorf("%s: %v", f.name, err)
		}
		const text = "verify cert failed: SAN matcher, certificate SANs are [a.example.com, *.wild.org, x@y.z, 10.0.0.1, ::1, spiffe://td/ns/a/sa/cli]"
		if err != nil && (err.Error() != text || err.Kind != FailSAN) {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MatchTypedSubjectAltNames: []*tlspb.SubjectAltNameMatcher{{SanType: on, Matcher: exact("42"), Oid: "1.2.3.4"}}})
	if _, err := v.Verify(&Request{Certificates: certs(withOther), Client: true, Now: time.Now()}); err != nil {
		t.Errorf("otherName: %v", err)
	}
	for s, want := range map[string]bool{"spiffe://td/ns/a/sa/cli": true, "foo.wild.org": true, "x@y.z": true, "::1": true, "nope": false} {
		v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MatchSubjectAltNames: []*matcherpb.StringMatcher{exact(s)}}) //nolint:staticcheck // SA1019
		if _, err := v.Verify(&Request{Certificates: certs(leaf), Client: true, Now: time.Now()}); want != (err == nil) {
			t.Errorf("untyped %q: %v", s, err)
		}
	}
}

func TestNamesThatAConnectionAsksFor(t *testing.T) {
	ca := pkitest.CA("ca")
	leaf := ca.Issue(pkitest.Leaf{DNS: []string{"srv.example.com"}, URIs: []string{"spiffe://td/a"}, IPs: []string{"127.0.0.1"}})
	v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM)})
	for _, f := range []struct {
		sans []string
		name string
		want string
	}{
		{[]string{"x", "SRV.example.com"}, "", ""},
		{[]string{"spiffe://td/a"}, "", ""},
		{[]string{"127.0.0.1"}, "", ""},
		{[]string{"nope.com", "b"}, "", "verify cert failed: verify SAN list, expected SANs: [nope.com, b], certificate SANs: [srv.example.com, 127.0.0.1, spiffe://td/a]"},
		{nil, "srv.example.com", ""},
		{nil, "nope", "verify cert failed: SAN matcher, certificate SANs are [srv.example.com, 127.0.0.1, spiffe://td/a]"},
	} {
		_, err := v.Verify(&Request{Certificates: certs(leaf), SANs: f.sans, ServerName: f.name, Now: time.Now()})
		if f.want == "" && err != nil || f.want != "" && (err == nil || err.Error() != f.want) {
			t.Errorf("%q %q: %v", f.sans, f.name, err)
		}
	}
}

func TestUntrustedPeersMayBeAccepted(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	v := validation(t, &tlspb.CertificateValidationContext{
		TrustedCa: text(ca.PEM), TrustChainVerification: tlspb.CertificateValidationContext_ACCEPT_UNTRUSTED,
		VerifyCertificateHash: []string{strings.Repeat("0", 64)},
	})
	for _, f := range []struct {
		peer *pkitest.Pair
		kind Failure
	}{{rogue, FailChain}, {ca, FailHash}} {
		p, err := v.Verify(&Request{Certificates: certs(f.peer.Issue(pkitest.Leaf{})), Client: true, Now: time.Now()})
		if err != nil || p.Validated || p.Accepted == nil || p.Accepted.Kind != f.kind {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if v.RequiresPeer() {
		t.Error("a certificate is required")
	}
}
