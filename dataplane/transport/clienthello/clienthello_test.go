package clienthello

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

type sample struct {
	name          string
	hello         []byte
	ja3, ja4, sni string
}

// samples are hellos with what Envoy 1.40's tls_inspector made of them.
func samples(t testing.TB) []sample {
	t.Helper()
	b, err := os.ReadFile("testdata/hellos.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		raw, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sample{f[0], raw, f[2], f[3], f[4]})
	}
	return out
}

func TestFingerprintsAreEnvoys(t *testing.T) {
	for _, s := range samples(t) {
		var h Hello
		if _, err := h.Parse(s.hello, 1<<16); err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		sni := strings.ToLower(h.ServerName)
		if sni == "" {
			sni = "-"
		}
		if h.JA3() != s.ja3 || h.JA4() != s.ja4 || sni != s.sni {
			t.Errorf("%s: %s %s %s\nwant %s %s %s", s.name, h.JA3(), h.JA4(), sni, s.ja3, s.ja4, s.sni)
		}
	}
}

// fragment cuts a hello of one record into records of n bytes.
func fragment(hello []byte, n int) []byte {
	var out []byte
	for body := hello[5:]; len(body) > 0; {
		k := min(n, len(body))
		out = append(out, 22, 3, 1, byte(k>>8), byte(k))
		out = append(out, body[:k]...)
		body = body[k:]
	}
	return out
}

func TestHelloMayArriveInAnyPieces(t *testing.T) {
	for _, s := range samples(t) {
		var want Hello
		if _, err := want.Parse(s.hello, 1<<16); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, 3, 7, 100, len(s.hello)} {
			whole := fragment(s.hello, n)
			var h Hello
			have := 0
			for tries := 0; ; tries++ {
				need, err := h.Parse(whole[:have], 1<<16)
				if err == nil {
					break
				}
				if !errors.Is(err, ErrMore) || need <= have || need > len(whole) || tries > len(whole) {
					t.Fatalf("%s in records of %d: %d of %d bytes: need %d: %v", s.name, n, have, len(whole), need, err)
				}
				have = need
			}
			if have != len(whole) || h.ServerName != want.ServerName || h.JA4() != want.JA4() || !slices.Equal(h.ALPN, want.ALPN) {
				t.Errorf("%s in records of %d: read after %d of %d bytes: %+v", s.name, n, have, len(whole), h)
			}
		}
		for i := range s.hello {
			if _, err := new(Hello).Parse(s.hello[:i], 1<<16); !errors.Is(err, ErrMore) {
				t.Fatalf("%s: %d bytes: %v", s.name, i, err)
			}
		}
	}
}

func TestWhatIsNoHelloIsRefusedAtOnce(t *testing.T) {
	good := samples(t)[0].hello
	edit := func(at int, b byte) []byte {
		out := bytes.Clone(good)
		out[at] = b
		return out
	}
	for name, f := range map[string]struct {
		in   []byte
		max  int
		want error
	}{
		"HTTP":            {[]byte("GET / HTTP/1.1"), 1 << 16, ErrNotTLS},
		"one byte":        {[]byte("G"), 1 << 16, ErrNotTLS},
		"an alert":        {[]byte("\x15\x03\x01\x00\x02\x02\x28"), 1 << 16, ErrNotTLS},
		"version":         {edit(1, 4), 1 << 16, ErrNotTLS},
		"SSL 2":           {[]byte("\x80\x2e\x01\x03\x01"), 1 << 16, ErrNotTLS},
		"another message": {edit(5, 2), 1 << 16, ErrBad},
		"empty record":    {[]byte("\x16\x03\x01\x00\x00"), 1 << 16, ErrBad},
		"huge record":     {[]byte("\x16\x03\x01\xff\xff"), 1 << 16, ErrBad},
		"huge message":    {[]byte("\x16\x03\x01\x40\x00\x01\x01\x00\x00"), 1 << 16, ErrTooLarge},
		"over the limit":  {good, 100, ErrTooLarge},
		"trailing byte":   {append(append(append([]byte{}, good[:3]...), byte((len(good)-4)>>8), byte(len(good)-4), 1, 0, byte((len(good)-8)>>8), byte(len(good)-8)), append(bytes.Clone(good[9:]), 0)...), 1 << 16, ErrBad},
	} {
		if _, err := new(Hello).Parse(f.in, f.max); !errors.Is(err, f.want) {
			t.Errorf("%s: %v, want %v", name, err, f.want)
		}
	}
}

func TestPlaintextIsNamedAsTheInspectorDoes(t *testing.T) {
	for in, want := range map[string]string{
		"GET / HTTP/1.1": "1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST", "CONNECT a": "1000009b:SSL routines:OPENSSL_internal:HTTPS_PROXY_REQUEST", "junk": "100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
	} {
		if got := Plaintext([]byte(in)); got != "TLS_error|error:"+want+":TLS_error_end" {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestParsingAgainAllocatesForNamesAlone(t *testing.T) {
	s := samples(t)[0] // no ALPN
	var h Hello
	if _, err := h.Parse(s.hello, 1<<16); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = h.Parse(s.hello, 1<<16) }); n > 1 {
		t.Errorf("%v allocations, want one for the server name", n)
	}
}

// seen is what crypto/tls makes of the bytes; nil if it refuses them.
func seen(in []byte) *tls.ClientHelloInfo {
	var info *tls.ClientHelloInfo
	c := tls.Server(&reader{Reader: bytes.NewReader(in)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		info = h
		return nil, io.EOF
	}})
	_ = c.HandshakeContext(context.Background())
	return info
}

// reader is a connection that only reads.
type reader struct{ io.Reader }

func (*reader) Write(p []byte) (int, error)      { return len(p), nil }
func (*reader) Close() error                     { return nil }
func (*reader) LocalAddr() net.Addr              { return nil }
func (*reader) RemoteAddr() net.Addr             { return nil }
func (*reader) SetDeadline(time.Time) error      { return nil }
func (*reader) SetReadDeadline(time.Time) error  { return nil }
func (*reader) SetWriteDeadline(time.Time) error { return nil }

func FuzzAgainstCryptoTLS(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.hello)
		f.Add(fragment(s.hello, 50))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var h Hello
		need, err := h.Parse(in, 1<<16)
		if errors.Is(err, ErrMore) && need <= len(in) {
			t.Fatalf("asks for %d of %d bytes", need, len(in))
		}
		if err == nil {
			_, _ = h.JA3(), h.JA4()
		}
		info := seen(in)
		if info == nil {
			return // we may take what it does not
		}
		if errors.Is(err, ErrNotTLS) || strings.Contains(info.ServerName, "\x00") {
			return // record versions, warnings before the hello, and NULs that crypto/tls lets pass
		}
		if err != nil {
			t.Fatalf("crypto/tls reads it: %v", err)
		}
		if info.ServerName != h.ServerName || !slices.Equal(info.SupportedProtos, h.ALPN) {
			t.Fatalf("name %q, protocols %q; crypto/tls has %q, %q", h.ServerName, h.ALPN, info.ServerName, info.SupportedProtos)
		}
		for i, v := range info.CipherSuites {
			if h.CipherSuites.At(i) != v {
				t.Fatalf("cipher %d: %x, want %x", i, h.CipherSuites.At(i), v)
			}
		}
		for i, v := range info.Extensions {
			if h.Extensions.At(i) != v {
				t.Fatalf("extension %d: %x, want %x", i, h.Extensions.At(i), v)
			}
		}
		for i, v := range info.SupportedCurves {
			if h.Curves.At(i) != uint16(v) {
				t.Fatalf("curve %d: %x, want %x", i, h.Curves.At(i), v)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := samples(b)[4]
	var h Hello
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.Parse(s.hello, 1<<16)
	}
}
