package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	pires "github.com/pires/go-proxyproto"
)

func TestParse(t *testing.T) {
	const v2 = signature2
	v4, v6 := "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x6f\x00\xde", strings.Repeat("\x00", 15)+"\x01"+strings.Repeat("\x00", 15)+"\x02\x00\x6f\x00\xde"
	for name, f := range map[string]struct {
		in          string
		source, dst string // "": local
		n           int    // 0: all of it
		tlvs        string
		err         error
	}{
		"v1":                    {in: "PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\n", source: "1.2.3.4:111", dst: "5.6.7.8:222"},
		"v1 with data":          {in: "PROXY TCP6 ::1 ::2 111 222\r\nGET", source: "[::1]:111", dst: "[::2]:222", n: 28},
		"v1 unknown":            {in: "PROXY UNKNOWN\r\n"},
		"v1 unknown, addresses": {in: "PROXY UNKNOWN ::1 ::2 1 2\r\n"},
		"v1 cut":                {in: "PROXY TCP4 1.2.3.4", err: ErrMore},
		"v1 cut early":          {in: "PRO", err: ErrMore},
		"nothing":               {in: "", err: ErrMore},
		"v1 without CR":         {in: "PROXY TCP4 1.2.3.4 5.6.7.8 111 222\n", err: ErrBad},
		"v1 too long":           {in: "PROXY TCP4 " + strings.Repeat("1", 100), err: ErrBad},
		"v1 wrong family":       {in: "PROXY TCP4 ::1 ::2 111 222\r\n", err: ErrBad},
		"v1 two spaces":         {in: "PROXY TCP4  1.2.3.4 5.6.7.8 111 222\r\n", err: ErrBad},
		"v1 port":               {in: "PROXY TCP4 1.2.3.4 5.6.7.8 111 65536\r\n", err: ErrBad},
		"v1 sixth part":         {in: "PROXY TCP4 1.2.3.4 5.6.7.8 111 222 3\r\n", err: ErrBad},
		"v1 zone":               {in: "PROXY TCP6 fe80::1%eth0 ::2 111 222\r\n", err: ErrBad},
		"other":                 {in: "GET / HTTP/1.1\r\n", err: ErrNone},
		"v2 IPv4":               {in: v2 + "\x21\x11\x00\x0c" + v4, source: "1.2.3.4:111", dst: "5.6.7.8:222"},
		"v2 IPv6":               {in: v2 + "\x21\x21\x00\x24" + v6 + "x", source: "[::1]:111", dst: "[::2]:222", n: 52},
		"v2 TLVs":               {in: v2 + "\x21\x11\x00\x13" + v4 + "\xe1\x00\x01a\xe2\x00\x00", source: "1.2.3.4:111", dst: "5.6.7.8:222", tlvs: "e1=a e2="},
		"v2 broken TLV":         {in: v2 + "\x21\x11\x00\x0f" + v4 + "\xe1\x00\x01", err: ErrBad},
		"v2 local":              {in: v2 + "\x20\x11\x00\x03abc"},
		"v2 unspecified":        {in: v2 + "\x21\x00\x00\x00"},
		"v2 Unix":               {in: v2 + "\x21\x31\x00\x00", err: ErrUnsupported},
		"v2 UDP":                {in: v2 + "\x21\x12\x00\x0c" + v4, err: ErrUnsupported},
		"v2 command":            {in: v2 + "\x22\x11\x00\x0c" + v4, err: ErrUnsupported},
		"v2 version":            {in: v2 + "\x11\x11\x00\x0c" + v4, err: ErrBad},
		"v2 short":              {in: v2 + "\x21\x11\x00\x0b" + v4, err: ErrBad},
		"v2 cut":                {in: v2 + "\x21\x11\x00\x0c\x01", err: ErrMore},
		"v2 cut in signature":   {in: v2[:5], err: ErrMore},
		"v2 broken signature":   {in: "\r\n\r\n\x00\r\nQUIX", err: ErrNone},
	} {
		h, n, err := Parse([]byte(f.in))
		if !errors.Is(err, f.err) {
			t.Errorf("%s: %v, want %v", name, err, f.err)
			continue
		}
		if f.err != nil {
			continue
		}
		want := f.n
		if want == 0 {
			want = len(f.in)
		}
		if n != want || h.Local != (f.source == "") || !h.Local && (h.Source.String() != f.source || h.Destination.String() != f.dst) {
			t.Errorf("%s: %d bytes, %+v", name, n, h)
		}
		var tlvs []string
		Each(h.TLVs, func(kind byte, value []byte) bool {
			tlvs = append(tlvs, string("0123456789abcdef"[kind>>4])+string("0123456789abcdef"[kind&15])+"="+string(value))
			return true
		})
		if got := strings.Join(tlvs, " "); got != f.tlvs {
			t.Errorf("%s: TLVs %q, want %q", name, got, f.tlvs)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, f := range []struct{ a, b, want string }{
		{"1.2.3.4:5", "6.7.8.9:10", "1.2.3.4:5"}, {"[::1]:5", "[::2]:10", "[::1]:5"}, {"[::ffff:1.2.3.4]:5", "6.7.8.9:10", "1.2.3.4:5"}, {"1.2.3.4:5", "[::2]:10", "[::ffff:1.2.3.4]:5"},
	} {
		a, b := netip.MustParseAddrPort(f.a), netip.MustParseAddrPort(f.b)
		for _, out := range [][]byte{AppendV1(nil, a, b), AppendV2(nil, a, b, []TLV{{4, []byte("x")}})} {
			h, n, err := Parse(out)
			if err != nil || n != len(out) || h.Source.String() != f.want || h.Version == 2 && string(h.TLVs) != "\x04\x00\x01x" {
				t.Errorf("%q: %+v, %v", out, h, err)
			}
		}
	}
	for _, out := range [][]byte{AppendV1(nil, netip.AddrPort{}, netip.AddrPort{}), AppendV2(nil, netip.AddrPort{}, netip.AddrPort{}, []TLV{{4, nil}})} {
		if h, n, err := Parse(out); err != nil || n != len(out) || !h.Local {
			t.Errorf("%q: %+v, %v", out, h, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	a, b := netip.MustParseAddrPort("1.2.3.4:5"), netip.MustParseAddrPort("[::1]:6")
	f.Add(AppendV1(nil, a, a))
	f.Add(AppendV1(nil, b, b))
	f.Add(AppendV2(nil, a, a, []TLV{{1, []byte("h2")}, {0xe0, nil}}))
	f.Add(AppendV2(nil, b, b, nil))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, n, err := Parse(in)
		if err != nil {
			return
		}
		if n <= 0 || n > len(in) {
			t.Fatalf("a header of %d bytes in %d", n, len(in))
		}
		// No prefix of a header is one: a reader never stops too early.
		for i := range n {
			if _, _, err := Parse(in[:i]); err == nil {
				t.Fatalf("%q is a header, and its first %d bytes too", in[:n], i)
			}
		}
		// What we take, go-proxyproto reads alike.
		other, err := pires.Read(bufio.NewReader(bytes.NewReader(in[:n])))
		if err != nil {
			if !h.Local {
				t.Skip("the other one is stricter")
			}
			return
		}
		if h.Local || other.Command.IsLocal() || other.SourceAddr == nil {
			return
		}
		src, dst, ok := other.TCPAddrs()
		if !ok || src.AddrPort().Addr().Unmap() != h.Source.Addr().Unmap() || src.AddrPort().Port() != h.Source.Port() || dst.AddrPort().Port() != h.Destination.Port() {
			t.Fatalf("%q: %+v, but %v", in, h, other)
		}
	})
}
