package secret

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

func text(s string) *corepb.DataSource {
	return &corepb.DataSource{Specifier: &corepb.DataSource_InlineString{InlineString: s}}
}

func raw(b []byte) *corepb.DataSource {
	return &corepb.DataSource{Specifier: &corepb.DataSource_InlineBytes{InlineBytes: b}}
}

func file(name string) *corepb.DataSource {
	return &corepb.DataSource{Specifier: &corepb.DataSource_Filename{Filename: name}}
}

func pair(p *pkitest.Pair) *tlspb.TlsCertificate {
	return &tlspb.TlsCertificate{CertificateChain: text(p.PEM), PrivateKey: text(p.KeyPEM)}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The texts are what Envoy 1.40 says.
func TestBadCertificatesAreRefusedInEnvoysWords(t *testing.T) {
	ca := pkitest.CA("ca")
	a, b, rsa := ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{RSA: 2048})
	junk := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	der, _ := pem.Decode([]byte(a.KeyPEM))
	for name, f := range map[string]struct {
		m    *tlspb.TlsCertificate
		want string
	}{
		"key of another": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(b.KeyPEM)},
			"Failed to load private key from <inline>, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH"},
		"key of another kind": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(rsa.KeyPEM)},
			"Failed to load private key from <inline>, Cause: error:0b000073:X.509 certificate routines:OPENSSL_internal:KEY_TYPE_MISMATCH"},
		"no PEM": {&tlspb.TlsCertificate{CertificateChain: text("junk"), PrivateKey: text(a.KeyPEM)},
			"Failed to load certificate chain from <inline>"},
		"broken second certificate": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM + junk), PrivateKey: text(a.KeyPEM)},
			"Failed to load certificate chain from <inline>"},
		"file without certificate": {&tlspb.TlsCertificate{CertificateChain: file("certificate.go"), PrivateKey: text(a.KeyPEM)},
			"Failed to load certificate chain from certificate.go"},
		"missing file": {&tlspb.TlsCertificate{CertificateChain: file("nosuch"), PrivateKey: text(a.KeyPEM)},
			"Failed to load incomplete certificate from nosuch: certificate chain not set"},
		"no chain": {&tlspb.TlsCertificate{PrivateKey: text(a.KeyPEM)},
			"Failed to load incomplete certificate from : certificate chain not set"},
		"no key": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM)},
			"Failed to load incomplete private key from path: "},
		"key without PEM": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text("junk")},
			"Failed to load private key from <inline>, Cause: error:0900006e:PEM routines:OPENSSL_internal:NO_START_LINE"},
		"key as DER": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: raw(der.Bytes)},
			"Failed to load private key from <inline>, Cause: error:0900006e:PEM routines:OPENSSL_internal:NO_START_LINE"},
		"small RSA key": {pair(ca.Issue(pkitest.Leaf{RSA: 1024})),
			"Failed to load certificate chain from <inline>, only RSA certificates with 2048-bit or larger keys are supported"},
		"elliptic key that may not sign": {pair(ca.Issue(pkitest.Leaf{KU: 1 << 2})),
			"Failed to load certificate chain from <inline>"},
		"encrypted key, no password": {&tlspb.TlsCertificate{CertificateChain: text(testdata(t, "p256.crt")), PrivateKey: text(testdata(t, "encrypted.pkcs8.key"))},
			"Failed to load private key from <inline>, Cause: error:09000068:PEM routines:OPENSSL_internal:BAD_PASSWORD_READ"},
		"encrypted key, wrong password": {&tlspb.TlsCertificate{CertificateChain: text(testdata(t, "p256.crt")), PrivateKey: text(testdata(t, "encrypted.pkcs8.key")), Password: text("no")},
			"Failed to load private key from <inline>, Cause: error:1e000065:Cipher functions:OPENSSL_internal:BAD_DECRYPT"},
		"private key provider": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKeyProvider: &tlspb.PrivateKeyProvider{ProviderName: "cryptomb"}},
			"Failed to load private key provider: cryptomb"},
		"pkcs12":      {&tlspb.TlsCertificate{Pkcs12: text("x")}, "field TlsCertificate.pkcs12 is not supported"},
		"tls_params":  {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(a.KeyPEM), TlsParams: &tlspb.TlsParameters{}}, "field TlsCertificate.tls_params is not supported"},
		"both forms":  {&tlspb.TlsCertificate{Pkcs12: text("x"), CertificateChain: text("x")}, "Certificate configuration can't have both pkcs12 and certificate_chain"},
		"OCSP string": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(a.KeyPEM), OcspStaple: text("x")}, "OCSP staple cannot be provided via inline_string"},
		"OCSP junk":   {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(a.KeyPEM), OcspStaple: raw([]byte("AAA"))}, "Data contained more than a single OCSP response"},
		"OCSP of another": {&tlspb.TlsCertificate{CertificateChain: text(a.PEM), PrivateKey: text(a.KeyPEM), OcspStaple: raw([]byte(testdata(t, "p256.ocsp")))},
			"OCSP response does not match its TLS certificate"},
	} {
		_, err := CompileCertificate(f.m, "")
		if err == nil || err.Error() != f.want {
			t.Errorf("%s: %v, want %s", name, err, f.want)
		}
	}
}

func TestCertificateSourcesAndKeyForms(t *testing.T) {
	ca := pkitest.CA("ca")
	a := ca.Issue(pkitest.Leaf{DNS: []string{"a.b", "*.c.d"}})
	dir := t.TempDir()
	write(t, dir, "crt", a.PEM)
	write(t, dir, "key", a.KeyPEM)
	t.Setenv("PILLION_TEST_KEY", a.KeyPEM)
	env := &corepb.DataSource{Specifier: &corepb.DataSource_EnvironmentVariable{EnvironmentVariable: "PILLION_TEST_KEY"}}
	for name, m := range map[string]*tlspb.TlsCertificate{
		"files":             {CertificateChain: file(dir + "/crt"), PrivateKey: file(dir + "/key")},
		"bytes":             {CertificateChain: raw([]byte(a.PEM)), PrivateKey: raw([]byte(a.KeyPEM))},
		"environment":       {CertificateChain: text(a.PEM), PrivateKey: env},
		"key in the chain":  {CertificateChain: text(a.KeyPEM + a.PEM + ca.PEM), PrivateKey: text(a.KeyPEM)},
		"unneeded password": {CertificateChain: text(a.PEM), PrivateKey: text(a.KeyPEM), Password: text("pw")},
		"PKCS #8, AES":      {CertificateChain: file("testdata/p256.crt"), PrivateKey: file("testdata/encrypted.pkcs8.key"), Password: text("pw")},
		"PKCS #8, 3DES":     {CertificateChain: file("testdata/p256.crt"), PrivateKey: file("testdata/encrypted.des3.key"), Password: text("pw")},
		"old encrypted PEM": {CertificateChain: file("testdata/rsa.crt"), PrivateKey: file("testdata/encrypted.pem.key"), Password: text("pw")},
		"SEC 1":             {CertificateChain: file("testdata/p256.crt"), PrivateKey: file("testdata/p256.sec1.key")},
		"staple":            {CertificateChain: file("testdata/p256.crt"), PrivateKey: file("testdata/p256.sec1.key"), OcspStaple: file("testdata/p256.ocsp")},
		"Ed25519":           pair(ca.Issue(pkitest.Leaf{Ed25519: true})),
	} {
		if _, err := CompileCertificate(m, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := CompileCertificate(pair(a), "x")
	if err != nil || strings.Join(c.ServerNames, " ") != "a.b *.c.d" || !c.ECDSA || c.Path != "<inline>" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, _ = CompileCertificate(pair(ca.Issue(pkitest.Leaf{CN: "only.cn"})), ""); strings.Join(c.ServerNames, " ") != "only.cn" {
		t.Errorf("names %q: without SAN the common name counts", c.ServerNames)
	}
	if c, _ = CompileCertificate(pair(ca.Issue(pkitest.Leaf{CN: "cn", URIs: []string{"spiffe://a/b"}})), ""); len(c.ServerNames) != 0 {
		t.Errorf("names %q: with a SAN it does not", c.ServerNames)
	}
}

func TestBadValidationContextsAreRefusedInEnvoysWords(t *testing.T) {
	ca := pkitest.CA("ca")
	junk := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	exact := &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: "x"}}
	san := func(kind tlspb.SubjectAltNameMatcher_SanType, oid string) []*tlspb.SubjectAltNameMatcher {
		return []*tlspb.SubjectAltNameMatcher{{SanType: kind, Oid: oid, Matcher: exact}}
	}
	spiffe := func(d ...*tlspb.SPIFFECertValidatorConfig_TrustDomain) *tlspb.CertificateValidationContext {
		a, _ := anypb.New(&tlspb.SPIFFECertValidatorConfig{TrustDomains: d})
		return &tlspb.CertificateValidationContext{CustomValidatorConfig: &corepb.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: a}}
	}
	bundles := func(s string) *tlspb.CertificateValidationContext {
		a, _ := anypb.New(&tlspb.SPIFFECertValidatorConfig{TrustBundles: text(s)})
		return &tlspb.CertificateValidationContext{CustomValidatorConfig: &corepb.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: a}}
	}
	td := &tlspb.SPIFFECertValidatorConfig_TrustDomain{Name: "td", TrustBundle: text(ca.PEM)}
	other, _ := anypb.New(&corepb.DataSource{})
	for name, f := range map[string]struct {
		m    *tlspb.CertificateValidationContext
		want string
	}{
		"no PEM":         {&tlspb.CertificateValidationContext{TrustedCa: text("junk")}, "Failed to load trusted CA certificates from <inline>"},
		"broken second":  {&tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM + junk)}, "Failed to load trusted CA certificates from <inline>"},
		"no CA in file":  {&tlspb.CertificateValidationContext{TrustedCa: file("bundle.go")}, "Failed to load trusted CA certificates from bundle.go"},
		"missing file":   {&tlspb.CertificateValidationContext{TrustedCa: file("nosuch")}, "Invalid path: nosuch"},
		"empty":          {&tlspb.CertificateValidationContext{TrustedCa: text("")}, "DataSource cannot be empty"},
		"CRL without CA": {&tlspb.CertificateValidationContext{Crl: text("x")}, "Failed to load CRL from <inline> without trusted CA"},
		"hash":           {&tlspb.CertificateValidationContext{VerifyCertificateHash: []string{strings.Repeat("z", 64)}}, "Invalid hex-encoded SHA-256 " + strings.Repeat("z", 64)},
		"SPKI":           {&tlspb.CertificateValidationContext{VerifyCertificateSpki: []string{strings.Repeat("!", 44)}}, "Invalid base64-encoded SHA-256 " + strings.Repeat("!", 44)},
		"SAN without CA": {&tlspb.CertificateValidationContext{MatchTypedSubjectAltNames: san(tlspb.SubjectAltNameMatcher_DNS, "")}, "SAN-based verification of peer certificates without trusted CA is insecure and not allowed"},
		"untyped SAN without CA": {&tlspb.CertificateValidationContext{MatchSubjectAltNames: []*matcherpb.StringMatcher{exact}}, //nolint:staticcheck // SA1019
			"SAN-based verification of peer certificates without trusted CA is insecure and not allowed"},
		"expired without CA": {&tlspb.CertificateValidationContext{AllowExpiredCertificate: true}, "Certificate validity period is always ignored without trusted CA"},
		"otherName, no OID":  {&tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MatchTypedSubjectAltNames: san(tlspb.SubjectAltNameMatcher_OTHER_NAME, "")}, "Failed to create SAN matcher for OTHER_NAME with OID: "},
		"otherName, bad OID": {&tlspb.CertificateValidationContext{TrustedCa: text(ca.PEM), MatchTypedSubjectAltNames: san(tlspb.SubjectAltNameMatcher_OTHER_NAME, "1.x")}, "Failed to create SAN matcher for OTHER_NAME with OID: 1.x"},
		"provider":           {&tlspb.CertificateValidationContext{CaCertificateProviderInstance: &tlspb.CertificateProviderPluginInstance{InstanceName: "x"}}, "field CertificateValidationContext.ca_certificate_provider_instance is not supported"},
		"unknown validator":  {&tlspb.CertificateValidationContext{CustomValidatorConfig: &corepb.TypedExtensionConfig{Name: "v", TypedConfig: other}}, "Failed to get certificate validator factory for v"},
		"SPIFFE twice":       {spiffe(td, td), "Multiple trust bundles are given for one trust domain for td, workload: "},
		"SPIFFE junk":        {spiffe(&tlspb.SPIFFECertValidatorConfig_TrustDomain{Name: "td", TrustBundle: text("junk")}), "Failed to load trusted CA certificate for td"},
		"SPIFFE workload":    {spiffe(&tlspb.SPIFFECertValidatorConfig_TrustDomain{Name: "td", TrustBundle: text(ca.PEM), WorkloadTrustDomain: "w"}), "field SPIFFECertValidatorConfig.TrustDomain.workload_trust_domain is not supported"},
		"map, no JSON":       {bundles("junk"), "Invalid JSON found in SPIFFE bundle"},
		"map, empty":         {bundles("{}"), "No trust domains found in SPIFFE bundle"},
		"map, no keys":       {bundles(`{"trust_domains":{"td":{"keys":[]}}}`), "No keys found in SPIFFE bundle for domain 'td'"},
		"map, use":           {bundles(`{"trust_domains":{"td":{"keys":[{"use":"jwt-svid"}]}}}`), "missing or invalid 'use' field found in cert for domain 'td'"},
		"map, certificate":   {bundles(`{"trust_domains":{"td":{"keys":[{"use":"x509-svid","x5c":["AAAA"]}]}}}`), "Invalid x509 object in certs for domain 'td'"},
	} {
		_, err := CompileValidation(f.m, "")
		if err == nil || err.Error() != f.want {
			t.Errorf("%s: %v, want %s", name, err, f.want)
		}
	}
}

func TestCompileRefusesWhatIsNoSecret(t *testing.T) {
	for name, f := range map[string]struct {
		m    *tlspb.Secret
		want string
	}{
		"empty": {&tlspb.Secret{Name: "x"}, "Secret type not implemented"},
		"short ticket key": {&tlspb.Secret{Type: &tlspb.Secret_SessionTicketKeys{SessionTicketKeys: &tlspb.TlsSessionTicketKeys{Keys: []*corepb.DataSource{text("AAA")}}}},
			"Incorrect TLS session ticket key length. Length 3, expected length 80."},
		"no ticket key": {&tlspb.Secret{Type: &tlspb.Secret_SessionTicketKeys{SessionTicketKeys: &tlspb.TlsSessionTicketKeys{}}},
			"Proto constraint validation failed (SecretValidationError.SessionTicketKeys: embedded message failed validation | caused by TlsSessionTicketKeysValidationError.Keys: value must contain at least 1 item(s))"},
	} {
		if _, err := Compile(f.m); err == nil || err.Error() != f.want {
			t.Errorf("%s: %v, want %s", name, err, f.want)
		}
	}
	s, err := Compile(&tlspb.Secret{Name: "g", Type: &tlspb.Secret_GenericSecret{GenericSecret: &tlspb.GenericSecret{
		Secret: text("v"), Secrets: map[string]*corepb.DataSource{"k": text("w")},
	}}})
	if err != nil || string(s.Generic.Value) != "v" || string(s.Generic.Values["k"]) != "w" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestRedactLeavesNoSecret(t *testing.T) {
	ca := pkitest.CA("ca")
	c := pair(ca)
	c.Password = text("pw")
	in := &tlspb.Secret{Name: "x", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: c}}
	a, _ := anypb.New(in)
	out := &tlspb.Secret{}
	if err := RedactAny(a).UnmarshalTo(out); err != nil {
		t.Fatal(err)
	}
	got := out.GetTlsCertificate()
	if got.GetPrivateKey().GetInlineString() != Redacted || got.GetPassword().GetInlineString() != Redacted {
		t.Errorf("%v", got)
	}
	if got.GetCertificateChain().GetInlineString() != ca.PEM {
		t.Error("the chain is no secret")
	}
	if !proto.Equal(in.GetTlsCertificate(), c) || c.GetPassword().GetInlineString() != "pw" {
		t.Error("the secret itself was redacted")
	}
	g := Redact(&tlspb.Secret{Type: &tlspb.Secret_GenericSecret{GenericSecret: &tlspb.GenericSecret{Secret: raw([]byte("s")), Secrets: map[string]*corepb.DataSource{"k": text("s")}}}})
	if strings.Contains(g.String(), `"s"`) {
		t.Errorf("%v", g)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
