package transport

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
)

// openssl runs the command, for a few seconds at most.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "openssl", args...)
	c.Stdin = strings.NewReader("hello\n")
	out, _ := c.CombinedOutput()
	return string(out)
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
}

func TestOpenSSLClients(t *testing.T) {
	needOpenSSL(t)
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{CN: "srv", DNS: []string{"srv.example.com"}})
	rsa := ca.Issue(pkitest.Leaf{CN: "rsa", DNS: []string{"srv.example.com"}, RSA: 2048})
	cli := ca.Issue(pkitest.Leaf{CN: "cli"})
	dir := t.TempDir()
	for name, s := range map[string]string{"ca": ca.PEM, "crt": cli.PEM, "key": cli.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &tlspb.DownstreamTlsContext{CommonTlsContext: common1(srv, rsa)}
	m.CommonTlsContext.TlsParams = &tlspb.TlsParameters{CipherSuites: []string{"ECDHE-ECDSA-AES256-GCM-SHA384", "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", "ECDHE-RSA-AES128-GCM-SHA256"}}
	m.CommonTlsContext.AlpnProtocols = []string{"h2", "http/1.1"}
	m.CommonTlsContext.ValidationContextType = &tlspb.CommonTlsContext_ValidationContext{ValidationContext: trusted(ca)}
	s := newServer(t, newEnv(t), m)
	for _, f := range []struct {
		args string
		want []string
	}{
		{"-tls1_3", []string{"TLSv1.3", "subject=O = t, CN = srv", "Verify return code: 0 (ok)"}},
		{"-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384", []string{"Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"}},
		{"-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", []string{"Cipher is ECDHE-ECDSA-CHACHA20-POLY1305"}},
		{"-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", []string{"subject=O = t, CN = rsa", "Cipher is ECDHE-RSA-AES128-GCM-SHA256"}},
		{"-tls1_3 -sigalgs RSA-PSS+SHA256", []string{"subject=O = t, CN = rsa"}},
		{"-alpn http/1.1,h2", []string{"ALPN protocol: h2"}},
		{"-alpn nope", []string{"No ALPN negotiated"}},
		{"-tls1_1 -cipher DEFAULT@SECLEVEL=0", []string{"alert protocol version"}},
		{"-cert " + dir + "/crt -key " + dir + "/key", []string{"Acceptable client certificate CA names", "O = t, CN = ca", "TLSv1.3"}},
		{"-tls1_3 -groups P-384", []string{"alert handshake failure"}},
	} {
		args := append([]string{"s_client", "-connect", s.Addr().String(), "-servername", "srv.example.com", "-CAfile", dir + "/ca"}, strings.Fields(f.args)...)
		out := openssl(t, args...)
		for _, w := range f.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", f.args, w, out)
			}
		}
		s.info()
	}
}

func TestOpenSSLServers(t *testing.T) {
	needOpenSSL(t)
	ca := pkitest.CA("ca")
	srv, cli := ca.Issue(pkitest.Leaf{DNS: []string{"srv"}, RSA: 2048}), ca.Issue(pkitest.Leaf{CN: "cli"})
	dir := t.TempDir()
	for name, s := range map[string]string{"ca": ca.PEM, "crt": srv.PEM, "key": srv.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "openssl", "s_server", "-accept", addr, "-cert", dir+"/crt", "-key", dir+"/key", "-CAfile", dir+"/ca", "-Verify", "1", "-rev", "-quiet")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = c.Wait() }()
	for i := 0; ; i++ {
		n, err := net.Dial("tcp", addr)
		if err == nil {
			_ = n.Close()
			break
		}
		if i > 200 {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	m := verified(trusted(ca))
	m.TlsCertificates = []*tlspb.TlsCertificate{pair(cli)}
	for _, max := range []tlspb.TlsParameters_TlsProtocol{tlspb.TlsParameters_TLSv1_2, tlspb.TlsParameters_TLSv1_3} {
		m.TlsParams = &tlspb.TlsParameters{TlsMaximumProtocolVersion: max}
		e := newEnv(t)
		u := newUpstream(t, e, &tlspb.UpstreamTlsContext{CommonTlsContext: m, Sni: "srv", MaxSessionKeys: wrapperspb.UInt32(4)})
		for i := range 2 {
			c, info, err := connect(t, u, addr, Options{SANs: []string{"srv"}})
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = c.Write([]byte("abc\n"))
			b := make([]byte, 16)
			n, err := c.Read(b)
			if string(b[:n]) != "cba\n" {
				t.Errorf("%s: %q, %v", max, b[:n], err)
			}
			if !info.TLS.PeerValidated || info.TLS.Resumed != (i == 1) {
				t.Errorf("%s: %+v", max, info.TLS)
			}
			_ = c.Close()
		}
		if e.counter("ssl.sigalgs.rsa_pss_rsae_sha256") != 2 {
			t.Errorf("%s: signature algorithm is not counted", max)
		}
	}
}
