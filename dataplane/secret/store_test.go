package secret

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

func newStore(t *testing.T) (*Store, *stats.Store) {
	t.Helper()
	st := stats.NewStore(1)
	s := NewStore(st, slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	return s, st
}

func resource(t *testing.T, m *tlspb.Secret, source string, static bool) *xds.Resource {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	typ := Type()
	name, v, err := typ.Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &xds.Resource{Name: name, Any: a, Value: v, Source: source, Static: static}
}

func tlsSecret(name string, c *tlspb.TlsCertificate) *tlspb.Secret {
	return &tlspb.Secret{Name: name, Type: &tlspb.Secret_TlsCertificate{TlsCertificate: c}}
}

func ref(name, source string) xds.Ref {
	return xds.Ref{TypeURL: xds.SecretURL, Name: name, Source: source}
}

func TestStorePublishesBySourceAndTellsOfChanges(t *testing.T) {
	s, _ := newStore(t)
	ca := pkitest.CA("ca")
	h := s.Handle(ref("default", "grpc:sds-grpc"))
	defer h.Release()
	told := 0
	cancel := h.Subscribe(func() { told++ })
	if h.Load() != nil {
		t.Error("a secret before there was one")
	}
	one := resource(t, tlsSecret("default", pair(ca.Issue(pkitest.Leaf{}))), "grpc:sds-grpc", false)
	snap := (&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{one}})
	s.Apply(snap)
	s.Apply(snap)
	if told != 1 || h.Load() != one.Value {
		t.Errorf("told %d times of one change", told)
	}
	two := resource(t, tlsSecret("default", pair(ca.Issue(pkitest.Leaf{}))), "grpc:sds-grpc", false)
	snap = snap.With(xds.SecretURL, xds.Change{Put: []*xds.Resource{two}})
	s.Apply(snap)
	if told != 2 || h.Load() != two.Value {
		t.Errorf("told %d times of two changes", told)
	}
	cancel()
	s.Apply(snap.With(xds.SecretURL, xds.Change{Remove: []string{"default"}}))
	if h.Load() != two.Value {
		t.Error("a secret in use went away with its resource")
	}
	if other := s.Handle(ref("default", "")); other.Load() != nil {
		t.Error("the same name of another source is the same secret")
	}
}

func TestStaticSecretsHaveTheirOwnSource(t *testing.T) {
	s, _ := newStore(t)
	r := resource(t, tlsSecret("x", pair(pkitest.CA("ca").Issue(pkitest.Leaf{}))), "", true)
	s.Apply((&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{r}}))
	got, err := Ref(&tlspb.SdsSecretConfig{Name: "x"})
	if err != nil || got.Source != Static {
		t.Fatalf("%+v, %v", got, err)
	}
	if s.Handle(got).Load() != r.Value {
		t.Error("the static secret is not found")
	}
	got, err = Ref(&tlspb.SdsSecretConfig{Name: "x", SdsConfig: &corepb.ConfigSource{ConfigSourceSpecifier: &corepb.ConfigSource_Ads{Ads: &corepb.AggregatedConfigSource{}}}})
	if err != nil || got.Source != "" || got.Timeout != 15*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnusedHandlesAreForgotten(t *testing.T) {
	s, _ := newStore(t)
	s.Handle(ref("a", "")).Release()
	if len(s.entries) != 0 {
		t.Errorf("%d entries", len(s.entries))
	}
}

// move puts a file in the place of another in one stroke, as kubelets and Envoy's users do.
func move(t *testing.T, dir, name, content string) {
	t.Helper()
	write(t, dir, ".new", content)
	if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfSecretsAreReloadedAndAGoodPairIsNeverReplacedByABadOne(t *testing.T) {
	s, st := newStore(t)
	ca := pkitest.CA("ca")
	old, fresh := ca.Issue(pkitest.Leaf{CN: "old"}), ca.Issue(pkitest.Leaf{CN: "fresh"})
	dir := t.TempDir()
	write(t, dir, "crt", old.PEM)
	write(t, dir, "key", old.KeyPEM)
	r := resource(t, tlsSecret("f", &tlspb.TlsCertificate{CertificateChain: file(dir + "/crt"), PrivateKey: file(dir + "/key")}), "path:x", false)
	changed := make(chan struct{}, 10)
	h := s.Handle(ref("f", "path:x"))
	h.Subscribe(func() { changed <- struct{}{} })
	s.Apply((&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{r}}))
	<-changed
	failures := st.Scope("sds.f").Counter("key_rotation_failed")
	move(t, dir, "key", fresh.KeyPEM) // does not fit the certificate
	wait(t, "a failed rotation", func() bool { return failures.Value() == 1 })
	if got := h.Load().Certificate.Info.Subject(); got != "CN=old,O=t" {
		t.Errorf("%s serves", got)
	}
	move(t, dir, "crt", fresh.PEM)
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Fatal("the new pair was not noticed")
	}
	if got := h.Load().Certificate.Info.Subject(); got != "CN=fresh,O=t" {
		t.Errorf("%s serves", got)
	}
}

func TestWatchedDirectoryReloadsOnTheSwapOfALink(t *testing.T) {
	s, _ := newStore(t)
	dir := t.TempDir()
	for i, ca := range []*pkitest.Pair{pkitest.CA("one"), pkitest.CA("two")} {
		v := filepath.Join(dir, []string{"v0", "v1"}[i])
		if err := os.Mkdir(v, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, v, "ca", ca.PEM)
	}
	if err := os.Symlink("v0", dir+"/data"); err != nil {
		t.Fatal(err)
	}
	m := &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: &tlspb.CertificateValidationContext{
		TrustedCa: file(dir + "/data/ca"), WatchedDirectory: &corepb.WatchedDirectory{Path: dir},
	}}}
	r := resource(t, m, "", false)
	h := s.Handle(ref("ca", ""))
	s.Apply((&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{r}}))
	subject := func() string { return h.Load().Validation.Bundle.Certificates[0].Subject.CommonName }
	if subject() != "one" {
		t.Fatal(subject())
	}
	if err := os.Symlink("v1", dir+"/new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/new", dir+"/data"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the new authority", func() bool { return subject() == "two" })
}

func TestTrustBundleFilesAreWatchedWhereverTheyStand(t *testing.T) {
	s, _ := newStore(t)
	dir := t.TempDir()
	bundle := func(domain string) string {
		return `{"trust_domains":{"` + domain + `":{"keys":[{"use":"x509-svid","x5c":["` + base64.StdEncoding.EncodeToString(pkitest.CA("ca").Cert.Raw) + `"]}]}}}`
	}
	write(t, dir, "b", bundle("one"))
	a := must(anypb.New(&tlspb.SPIFFECertValidatorConfig{TrustBundles: file(dir + "/b")}))
	v := validation(t, &tlspb.CertificateValidationContext{CustomValidatorConfig: &corepb.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: a}})
	h := s.Private(v)
	if h == nil {
		t.Fatal("no file is watched")
	}
	move(t, dir, "b", "junk")
	move(t, dir, "b", bundle("two"))
	wait(t, "the new bundle", func() bool { return h.Load().Validation.SPIFFE.domains["two"] != nil })
	h.Release()
	if len(s.watcher.dirs) != 0 {
		t.Error("the file of a released context is watched")
	}
	if s.Private(validation(t, &tlspb.CertificateValidationContext{TrustedCa: text(pkitest.CA("ca").PEM)})) != nil {
		t.Error("a context without such a file has a handle")
	}
}

func TestFilesOfStaticSecretsAreNotWatched(t *testing.T) {
	s, _ := newStore(t)
	dir := t.TempDir()
	write(t, dir, "ca", pkitest.CA("ca").PEM)
	m := &tlspb.Secret{Name: "ca", Type: &tlspb.Secret_ValidationContext{ValidationContext: &tlspb.CertificateValidationContext{TrustedCa: file(dir + "/ca")}}}
	s.Apply((&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{resource(t, m, "", true)}}))
	if s.watcher != nil {
		t.Error("a watcher was started")
	}
}

func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
