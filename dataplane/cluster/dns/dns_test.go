package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// server is a name server on loopback, UDP and TCP on one port.
type server struct {
	t    *testing.T
	addr netip.AddrPort
	// zone holds the records by "name type": "1.2.3.4/60", or "name/60" for a CNAME; "servfail", "drop",
	// "truncate" are what they say.
	mu    sync.Mutex
	zone  map[string][]string
	asked []string
}

// listenBoth finds a port that is free in both protocols.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if udp, err := net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return tcp, udp
		}
		_ = tcp.Close()
	}
	t.Fatal("there is no free port")
	return nil, nil
}

func newServer(t *testing.T, zone map[string][]string) *server {
	t.Helper()
	tcp, udp := listenBoth(t)
	s := &server{t: t, zone: zone, addr: netip.MustParseAddrPort(udp.LocalAddr().String())}
	t.Cleanup(func() { _ = udp.Close(); _ = tcp.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			if r := s.answer(b[:n], "udp"); r != nil {
				forged := append([]byte(nil), r...)
				forged[0]++ // somebody else's, with other addresses
				forged[len(forged)-1] ^= 0xff
				_, _ = udp.WriteTo(forged, from)
				_, _ = udp.WriteTo(r, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var l [2]byte
			_, _ = io.ReadFull(c, l[:])
			b := make([]byte, binary.BigEndian.Uint16(l[:]))
			_, _ = io.ReadFull(c, b)
			r := s.answer(b, "tcp")
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
			_ = c.Close()
		}
	}()
	return s
}

func (s *server) answer(query []byte, network string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		s.t.Error(err)
		return nil
	}
	q := m.Questions[0]
	key := q.Name.String() + " " + strings.TrimPrefix(q.Type.String(), "Type")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, network+" "+key)
	m.Response, m.Additionals = true, nil
	records, ok := s.zone[key]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	name := q.Name
	for _, r := range records {
		value, ttl, _ := strings.Cut(r, "/")
		h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}
		for _, d := range ttl {
			h.TTL = h.TTL*10 + uint32(d-'0')
		}
		a, err := netip.ParseAddr(value)
		switch {
		case value == "drop":
			return nil
		case value == "servfail":
			m.RCode = dnsmessage.RCodeServerFailure
		case value == "truncate":
			m.Truncated = network == "udp"
		case err != nil:
			name = dnsmessage.MustNewName(value)
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: name}})
		case a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		default:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	out, err := m.Pack()
	if err != nil {
		s.t.Error(err)
	}
	return out
}

func (s *server) queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func answers(list ...string) (out []Answer) {
	for _, x := range list {
		a, ttl, _ := strings.Cut(x, "/")
		d, _ := time.ParseDuration(ttl)
		out = append(out, Answer{netip.MustParseAddr(a), d})
	}
	return out
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLookup(t *testing.T) {
	s := newServer(t, map[string][]string{
		"a.example. A":       {"1.2.3.4/60", "1.2.3.5/30"},
		"a.example. AAAA":    {"2001:db8::1/60"},
		"v4.example. A":      {"1.2.3.4/60"},
		"v4.example. AAAA":   {},
		"c.example. A":       {"d.example./10", "e.example./90", "1.2.3.4/60"},
		"fail.example. A":    {"servfail"},
		"fail.example. AAAA": {},
		"big.example. A":     {"truncate", "1.2.3.4/1"},
		"x.corp.example. A":  {"9.9.9.9/5"},
		"UPPER.example. A":   {"1.1.1.1/5"},
		"x.a.b. A":           {"8.8.8.8/5"},
		"x.a.b.svc.local. A": {"7.7.7.7/5"},
	})
	conf := write(t, "search svc.local corp.example\noptions ndots:3\n")
	hosts := write(t, "10.0.0.1 box Box.Example # comment\n::7 box\nbad line\n")
	for _, c := range []struct {
		name   string
		family Family
		want   []Answer
		err    string
	}{
		{"a.example", V4Only, answers("1.2.3.4/60s", "1.2.3.5/30s"), ""},
		{"a.example", V6Only, answers("2001:db8::1/60s"), ""},
		{"a.example", Auto, answers("2001:db8::1/60s"), ""},
		{"a.example", V4Preferred, answers("1.2.3.4/60s", "1.2.3.5/30s"), ""},
		{"a.example", All, answers("2001:db8::1/60s", "1.2.3.4/60s", "1.2.3.5/30s"), ""},
		{"v4.example", Auto, answers("1.2.3.4/60s"), ""},
		{"v4.example", V6Only, nil, "no such host"},
		{"c.example", V4Only, answers("1.2.3.4/10s"), ""},
		{"none.example", V4Only, nil, "no such host"},
		{"fail.example", V4Only, nil, "server says ServerFailure"},
		{"fail.example", Auto, nil, "server says ServerFailure"},
		{"big.example", V4Only, answers("1.2.3.4/1s"), ""},
		{"x", V4Only, answers("9.9.9.9/5s"), ""},
		{"x.", V4Only, nil, "no such host"},
		{"UPPER.example", V4Only, answers("1.1.1.1/5s"), ""},
		{"x.a.b", V4Only, answers("7.7.7.7/5s"), ""},
		{"x.a.b.", V4Only, answers("8.8.8.8/5s"), ""},
		{"box", All, answers("10.0.0.1/5s", "::7/5s"), ""},
		{"BOX.example", V4Only, answers("10.0.0.1/5s"), ""},
		{"box.example", V6Only, nil, "no such host"},
		{"localhost", Auto, answers("::1/5s"), ""},
		{"localhost", V4Only, answers("127.0.0.1/5s"), ""},
		{"1.2.3.4", V6Only, answers("1.2.3.4/5s"), ""},
		{"[::1]", V4Only, answers("::1/5s"), ""},
	} {
		r := New(Config{Servers: []netip.AddrPort{s.addr}, ResolvConf: conf, Hosts: hosts, Tries: 1})
		got, err := r.Lookup(t.Context(), c.name, c.family)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s, %d: %v %v, want %v %s", c.name, c.family, got, err, c.want, c.err)
		}
		if err != nil && errors.Is(err, ErrNotFound) != (c.err == "no such host") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestNextServerAndTCP(t *testing.T) {
	silent := newServer(t, map[string][]string{"a.example. A": {"drop"}})
	good := newServer(t, map[string][]string{"a.example. A": {"1.2.3.4/60"}})
	r := New(Config{Servers: []netip.AddrPort{silent.addr, good.addr}, ResolvConf: "none", Timeout: 50 * time.Millisecond, Tries: 1})
	if got, err := r.Lookup(t.Context(), "a.example", V4Only); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	r = New(Config{Servers: []netip.AddrPort{silent.addr}, ResolvConf: "none", Timeout: 20 * time.Millisecond, Tries: 2})
	if _, err := r.Lookup(t.Context(), "a.example", V4Only); err == nil || errors.Is(err, ErrNotFound) {
		t.Error("no server answered", err)
	}
	if n := len(silent.queries()); n != 3 {
		t.Error("tries", n)
	}
	r = New(Config{Servers: []netip.AddrPort{good.addr}, ResolvConf: "none", TCP: true})
	if _, err := r.Lookup(t.Context(), "a.example", V4Only); err != nil || !slices.Contains(good.queries(), "tcp a.example. A") {
		t.Error(good.queries(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(Config{Servers: []netip.AddrPort{silent.addr}, ResolvConf: "none"}).Lookup(ctx, "a.example", V4Only); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestResolvConf(t *testing.T) {
	c := parseResolvConf("# x\nnameserver 10.0.0.1 ; y\nnameserver fe80::1%eth0\nnameserver bad\ndomain a.\nsearch b. c\noptions ndots:5 timeout:2 attempts:3 rotate use-vc edns0\n")
	want := resolvConf{
		servers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("[fe80::1%eth0]:53")}, given: true,
		search: []string{"b", "c"}, ndots: 5, timeout: 2 * time.Second, tries: 3, rotate: true, tcp: true,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v", c)
	}
	if c := parseResolvConf(""); c.servers[0].String() != "127.0.0.1:53" || c.ndots != 1 {
		t.Errorf("%+v", c)
	}
}
