package streaminfo

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T, name string) *Certificate {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	x, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return NewCertificate(x)
}

// What is wanted here was printed by Envoy 1.40 for the same certificates.

func TestNamesArePrintedAsBoringSSLDoes(t *testing.T) {
	c := load(t, "names.crt")
	want := `O=\F0\9F\98\80,O=t61,O=bmp\E2\82\AC,unstructuredName=unstruct,2.5.4.97=#0C056F72676964,description=desc,name=nm,initials=ini,` +
		`generationQualifier=III,dnQualifier=dq,pseudonym=ps,1.3.6.1.4.1.311.60.2.1.3=#13025553,businessCategory=bc,postalCode=123,` +
		`1.2.3.4=#0C027A7A,street=main st,title=ti,GN=given,SN=sur,DC=foo,serialNumber=12,emailAddress=e@f,UID=u1+CN=multi,OU=tab\09nl\0A\7F,` +
		`OU=\ lead trail\ ,OU=\#hash,OU=x\"y\<z\>\;\\q,O=a\,b\+c=d,L=M\C3\BCn,ST=Bay ern,C=DE`
	if got := c.Subject(); got != want {
		t.Errorf("subject\n got %s\nwant %s", got, want)
	}
	if got := c.Issuer(); got != "CN=ca,O=t" {
		t.Errorf("issuer %q", got)
	}
	if got := c.Serial(); got != "0ff1" {
		t.Errorf("serial %q, want an even number of digits", got)
	}
	want = `a.com|q;u=o te|spiffe://td/a%20b,c;d"e|||spiffe://td/2`
	if got := strings.Join(c.Text().SANs, "|"); got != want {
		t.Errorf("SANs %q, want %q: kinds without text have a place", got, want)
	}
}

func TestSubjectAltNamesByKind(t *testing.T) {
	c := load(t, "client.crt")
	for _, f := range []struct {
		name string
		got  []string
		want string
	}{
		{"URI", c.URISANs(), "spiffe://td/ns/a/sa/cli"},
		{"DNS", c.DNSSANs(), "cli.example.com"},
		{"IP", c.IPSANs(), "10.0.0.1,::1"},
		{"email", c.EmailSANs(), "x@y.z"},
		{"otherName", load(t, "othername.crt").OtherNameSANs(), "user@dom,42"},
	} {
		if got := strings.Join(f.got, ","); got != f.want {
			t.Errorf("%s: %q, want %q", f.name, got, f.want)
		}
	}
	if got := c.FingerprintSHA1(); got != "a625d47df2fb30ec84dc84135787508067f756d2" {
		t.Errorf("SHA-1 %q", got)
	}
	if got := c.FingerprintSHA256(); got != "59c5747df6d225df117483dbe192a338f73bbfc7c9c0643f102d9e43db7a0a03" {
		t.Errorf("SHA-256 %q", got)
	}
}

func TestPEMIsURLEncoded(t *testing.T) {
	got := load(t, "client.crt").PEM()
	for _, want := range []string{"-----BEGIN%20CERTIFICATE-----%0AMIIB4jCCAYigAwIBAgIUS86khROWv%2FAbpuEKEmInKXOd8skwCgYIKoZIzj0EAwIw%0A", "YpZA1NOh%0A-----END%20CERTIFICATE-----%0A"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if i := strings.IndexAny(got, "+/= \n"); i >= 0 {
		t.Errorf("%q is not encoded", got[i])
	}
}

func TestNoCertificateAnswersNothing(t *testing.T) {
	var c *Certificate
	if c.Subject()+c.PEM()+c.FingerprintSHA256()+c.Serial() != "" || c.URISANs() != nil || !c.NotAfter().IsZero() || c.X509() != nil {
		t.Error("a nil certificate has something to say")
	}
	var tls *TLS
	if tls.PeerChainPEM() != "" {
		t.Error("a nil connection has a chain")
	}
}

func TestCertificateIsReadOnce(t *testing.T) {
	c := load(t, "client.crt")
	c.Subject()
	c.FingerprintSHA256()
	c.PEM()
	if n := testing.AllocsPerRun(100, func() {
		_ = c.Subject()
		_ = c.URISANs()
		_ = c.FingerprintSHA256()
		_ = c.PEM()
	}); n != 0 {
		t.Errorf("%v allocations for what is known", n)
	}
	x := TextCertificate(CertificateText{URISANs: []string{"a"}})
	if !slices.Equal(x.URISANs(), []string{"a"}) || x.FingerprintSHA256() != "" || x.PEM() != "" {
		t.Error("a certificate of names alone does not keep to its names")
	}
}
