package secret

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

func TestPinnedCertificates(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	leaf, other := ca.Issue(pkitest.Leaf{}), rogue.Issue(pkitest.Leaf{})
	sum, spki := sha256.Sum256(leaf.Cert.Raw), sha256.Sum256(leaf.Cert.RawSubjectPublicKeyInfo)
	plain := hex.EncodeToString(sum[:])
	var colons []string
	for i := 0; i < len(plain); i += 2 {
		colons = append(colons, strings.ToUpper(plain[i:i+2]))
	}
	for name, m := range map[string]*tlspb.CertificateValidationContext{
		"hash":   {VerifyCertificateHash: []string{plain}},
		"colons": {VerifyCertificateHash: []string{strings.Join(colons, ":")}},
		"SPKI":   {VerifyCertificateSpki: []string{base64.StdEncoding.EncodeToString(spki[:])}},
		"either": {VerifyCertificateHash: []string{strings.Repeat("0", 64)}, VerifyCertificateSpki: []string{base64.StdEncoding.EncodeToString(spki[:])}},
	} {
		v := validation(t, m)
		if p, err := v.Verify(&Request{Certificates: certs(leaf), Client: true, Now: time.Now()}); err != nil || !p.Validated {
			t.Errorf("%s: %v", name, err)
		}
		_, err := v.Verify(&Request{Certificates: certs(other), Client: true, Now: time.Now()})
		if err == nil || err.Error() != "verify cert failed: cert hash and spki" || err.Kind != FailHash {
			t.Errorf("%s: %v", name, err)
		}
		if !v.Checks() || !v.RequiresPeer() {
			t.Errorf("%s: a client may stay without certificate", name)
		}
	}
}

func TestSPIFFE(t *testing.T) {
	ca, rogue := pkitest.CA("ca"), pkitest.CA("rogue")
	sign := x509.KeyUsageDigitalSignature
	bundle := []struct{ Use, X5C any }{}
	_ = bundle
	file := must(json.Marshal(map[string]any{"trust_domains": map[string]any{"td": map[string]any{"keys": []any{map[string]any{"use": "x509-svid", "x5c": []string{base64.StdEncoding.EncodeToString(ca.Cert.Raw)}}}}}}))
	inline := must(anypb.New(&tlspb.SPIFFECertValidatorConfig{TrustDomains: []*tlspb.SPIFFECertValidatorConfig_TrustDomain{{Name: "td", TrustBundle: text(ca.PEM)}}}))
	mapped := must(anypb.New(&tlspb.SPIFFECertValidatorConfig{TrustBundles: raw(file)}))
	for name, a := range map[string]*anypb.Any{"domains": inline, "bundles": mapped} {
		m := &tlspb.CertificateValidationContext{CustomValidatorConfig: &corepb.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: a}}
		m.MatchTypedSubjectAltNames = []*tlspb.SubjectAltNameMatcher{{SanType: tlspb.SubjectAltNameMatcher_URI, Matcher: &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Prefix{Prefix: "spiffe://td/a"}}}}
		v := validation(t, m)
		for what, f := range map[string]struct {
			peer *pkitest.Pair
			want string
		}{
			"good":          {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/a"}, KU: sign}), ""},
			"other domain":  {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://other/a"}, KU: sign}), "no trust bundle store"},
			"no URI":        {ca.Issue(pkitest.Leaf{DNS: []string{"a"}, KU: sign}), "no trust bundle store"},
			"no key usage":  {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/a"}}), "cert precheck"},
			"may sign":      {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/a"}, KU: sign | x509.KeyUsageCertSign}), "cert precheck"},
			"authority":     {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/a"}, KU: sign, CA: true, PathLen: -1}), "cert precheck"},
			"other's chain": {rogue.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/a"}, KU: sign}), "X509_verify_cert: certificate verification error at depth 0: unable to get local issuer certificate"},
			"other SAN":     {ca.Issue(pkitest.Leaf{URIs: []string{"spiffe://td/b"}, KU: sign}), "SAN match"},
		} {
			_, err := v.Verify(&Request{Certificates: certs(f.peer), Client: true, Now: time.Now()})
			if f.want == "" && err != nil || f.want != "" && (err == nil || err.Error() != "verify cert failed: "+f.want) {
				t.Errorf("%s: %s: %v, want %s", name, what, err, f.want)
			}
		}
		if !v.RequiresPeer() {
			t.Errorf("%s: no certificate is required", name)
		}
	}
}

func TestVerifiedChainsAreRememberedUntilTheyRunOut(t *testing.T) {
	ca, now := pkitest.CA("ca"), time.Now()
	leaf := certs(ca.Issue(pkitest.Leaf{NotAfter: now.Add(time.Minute)}))
	v := validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM)})
	r := &Request{Certificates: leaf, Client: true, Now: now}
	first, err := v.Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := x509.ParseCertificate(leaf[0].Raw)
	second, _ := v.Verify(&Request{Certificates: []*x509.Certificate{again}, Client: true, Now: now})
	if first.Leaf != second.Leaf || first.Issuer != second.Issuer || first.Issuer.Subject() != "CN=ca,O=t" {
		t.Error("the same certificate was read anew")
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Verify(r) }); n > 0 {
		t.Errorf("%v allocations for a known chain", n)
	}
	if _, err := v.Verify(&Request{Certificates: leaf, Client: true, Now: now.Add(2 * time.Minute)}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v: a remembered chain outlives its certificate", err)
	}
	serving := certs(ca.Issue(pkitest.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}))
	if _, err := v.Verify(&Request{Certificates: serving, Now: now}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(&Request{Certificates: serving, Client: true, Now: now}); err == nil {
		t.Error("what is good for a server was remembered for a client")
	}
}

func TestCombineMergesAsProtobufAndSharesTheAuthorities(t *testing.T) {
	ca := pkitest.CA("ca")
	sds, err := Compile(&tlspb.Secret{Name: "ROOTCA", Type: &tlspb.Secret_ValidationContext{ValidationContext: &tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM)}}})
	if err != nil {
		t.Fatal(err)
	}
	def := &tlspb.CertificateValidationContext{MatchSubjectAltNames: []*matcherpb.StringMatcher{{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: "spiffe://td/a"}}}} //nolint:staticcheck // SA1019
	v, err := Combine(def, sds.Validation)
	if err != nil || v.Bundle != sds.Validation.Bundle || len(v.SANs) != 4 || v.Name != "ROOTCA" {
		t.Fatalf("%+v, %v", v, err)
	}
	def.OnlyVerifyLeafCertCrl = true
	if v, _ = Combine(def, sds.Validation); v.Bundle == sds.Validation.Bundle {
		t.Error("other rules share the cache of chains")
	}
	if string(v.Fingerprint()) == string(sds.Validation.Fingerprint()) {
		t.Error("sessions would be shared")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
