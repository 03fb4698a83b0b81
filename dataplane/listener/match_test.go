package listener

import (
	"net/netip"
	"strings"
	"testing"

	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func chains(t *testing.T, texts ...string) (out []*listenerpb.FilterChain) {
	t.Helper()
	for i, s := range texts {
		m := &listenerpb.FilterChainMatch{}
		if err := prototext.Unmarshal([]byte(s), m); err != nil {
			t.Fatal(err)
		}
		out = append(out, &listenerpb.FilterChain{Name: string(rune('a' + i)), FilterChainMatch: m})
	}
	return out
}

func conn(local, remote, sni, transport string, alpn ...string) *streaminfo.Connection {
	return &streaminfo.Connection{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote), DirectRemote: netip.MustParseAddrPort(remote),
		RequestedServerName: sni, TransportProtocol: transport, ApplicationProtocols: alpn}
}

func TestFilterChainPrecedence(t *testing.T) {
	const peer = "10.9.9.9:4444"
	tests := []struct {
		name   string
		chains []string
		conn   *streaminfo.Connection
		want   int
	}{
		{"port beats none", []string{``, `destination_port{value:80}`}, conn("10.0.0.1:80", peer, "", "raw_buffer"), 1},
		{"a port that is named does not fall back", []string{``, `destination_port{value:80} transport_protocol:"tls"`}, conn("10.0.0.1:80", peer, "", "raw_buffer"), none},
		{"longest prefix", []string{`prefix_ranges{address_prefix:"10.0.0.0" prefix_len{value:8}}`, `prefix_ranges{address_prefix:"10.0.0.1" prefix_len{value:32}}`}, conn("10.0.0.1:80", peer, "", ""), 1},
		{"longest prefix does not fall back", []string{`prefix_ranges{address_prefix:"10.0.0.0" prefix_len{value:8}}`, `prefix_ranges{address_prefix:"10.0.0.1" prefix_len{value:32}} server_names:"x"`}, conn("10.0.0.1:80", peer, "", ""), none},
		{"exact name", []string{`server_names:"*.a.b"`, `server_names:"x.a.b"`, ``}, conn("10.0.0.1:80", peer, "x.a.b", "tls"), 1},
		{"longest wildcard", []string{`server_names:"*.b"`, `server_names:"*.a.b"`}, conn("10.0.0.1:80", peer, "y.x.a.b", "tls"), 1},
		{"a wildcard is no suffix", []string{`server_names:"*.b"`}, conn("10.0.0.1:80", peer, "b", "tls"), none},
		{"names are lower case", []string{`server_names:"X.Y"`}, conn("10.0.0.1:80", peer, "x.y", "tls"), 0},
		{"transport", []string{`transport_protocol:"tls"`, `transport_protocol:"raw_buffer"`}, conn("10.0.0.1:80", peer, "", "raw_buffer"), 1},
		{"first offered protocol that is named", []string{`application_protocols:"h2"`, `application_protocols:"http/1.1"`}, conn("10.0.0.1:80", peer, "", "tls", "x", "http/1.1", "h2"), 1},
		{"no offered protocol is named", []string{`application_protocols:"h2"`, ``}, conn("10.0.0.1:80", peer, "", "tls", "x"), 1},
		{"direct source", []string{`direct_source_prefix_ranges{address_prefix:"10.9.0.0" prefix_len{value:16}}`, ``}, conn("10.0.0.1:80", peer, "", ""), 0},
		{"local source", []string{`source_type:SAME_IP_OR_LOOPBACK`, `source_type:EXTERNAL`, ``}, conn("10.0.0.1:80", "127.0.0.1:1", "", ""), 0},
		{"external source", []string{`source_type:SAME_IP_OR_LOOPBACK`, `source_type:EXTERNAL`, ``}, conn("10.0.0.1:80", peer, "", ""), 1},
		{"any source", []string{`source_type:SAME_IP_OR_LOOPBACK`, ``}, conn("10.0.0.1:80", peer, "", ""), 1},
		{"source range", []string{`source_prefix_ranges{address_prefix:"10.9.9.9" prefix_len{value:32}}`, ``}, conn("10.0.0.1:80", peer, "", ""), 0},
		{"source port", []string{`source_ports:4444`, ``}, conn("10.0.0.1:80", peer, "", ""), 0},
		{"other source port", []string{`source_ports:4445`, ``}, conn("10.0.0.1:80", peer, "", ""), 1},
		{"IPv6", []string{`prefix_ranges{address_prefix:"fd00::" prefix_len{value:8}}`}, conn("[fd00::1]:80", "[fd00::2]:1", "", ""), 0},
	}
	for _, tt := range tests {
		m, err := CompileMatch("l", chains(t, tt.chains...))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := m.Find(tt.conn); got != tt.want {
			t.Errorf("%s: chain %d, want %d", tt.name, got, tt.want)
		}
		if n := testing.AllocsPerRun(10, func() { m.Find(tt.conn) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

func TestFilterChainsThatMatchTheSameAreRefused(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{`server_names:"a" server_names:"b"`, `server_names:"b"`, "error adding listener 'l': filter chain 'b' has the same matching rules defined as 'a'"},
		{``, `address_suffix:"x"`, "unimplemented fields"},
		{``, `server_names:"a*.b"`, "partial wildcards"},
		{``, `prefix_ranges{address_prefix:"nope"}`, "invalid ip/mask combo"},
	} {
		_, err := CompileMatch("l", chains(t, tt.a, tt.b))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v", tt.a, tt.b, err)
		}
	}
}
