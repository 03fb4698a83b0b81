package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// listen accepts connections and hands them to the returned channel.
func listen(t *testing.T, network, address string) (net.Listener, chan net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conns := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return l, conns
}

// clusterAt is a STATIC cluster called c with one host, given as an Address in JSON, and more fields.
func clusterAt(address, fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"name":"c","load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":` + address + `}}]}]}` + fields + `}`
}

func at(l net.Listener) string {
	a := netip.MustParseAddrPort(l.Addr().String())
	return fmt.Sprintf(`{"socket_address":{"address":"%s","port_value":%d}}`, a.Addr(), a.Port())
}

// dial makes a connection by the configuration of the pool that the cluster asks for.
func dial(t *testing.T, f *fixture, o pool.Options) (net.Conn, *streaminfo.Upstream, *pool.Error) {
	t.Helper()
	c := f.get("c")
	h := c.Pick(&lb.Context{})
	cfg := c.Pool(h, o).(*testPool).cfg
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	u := &streaminfo.Upstream{}
	n, err := cfg.Dial(ctx, o, u)
	if n != nil {
		t.Cleanup(func() { _ = n.Close() })
	}
	return n, u, err
}

func TestDialReachesHosts(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	f := newFixture(t, nil).put(clusterAt(at(l), `"upstream_connection_options":{"tcp_keepalive":{"keepalive_time":77,"keepalive_interval":7,"keepalive_probes":3}}`)).apply()
	n, u, err := dial(t, f, pool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if u.Remote.String() != l.Addr().String() || u.Local.String() != n.LocalAddr().String() {
		t.Errorf("%+v", u)
	}
	raw, rerr := n.(*net.TCPConn).SyscallConn()
	if rerr != nil {
		t.Fatal(rerr)
	}
	_ = raw.Control(func(fd uintptr) {
		for name, want := range map[int]int{unix.TCP_KEEPIDLE: 77, unix.TCP_KEEPINTVL: 7, unix.TCP_KEEPCNT: 3} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name); got != want {
				t.Errorf("option %d: %d, %v", name, got, err)
			}
		}
	})
	path := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", path)
	f = newFixture(t, nil).put(clusterAt(`{"pipe":{"path":"`+path+`"}}`, ``)).apply()
	if _, u, err := dial(t, f, pool.Options{}); err != nil || u.RemotePipe != path {
		t.Error(u, err)
	}
}

func TestDialErrorsAreEnvoys(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	refused := at(l)
	_ = l.Close()
	for _, c := range []struct {
		cluster   string
		reason    pool.Reason
		transport string
		binds     uint64
	}{
		{clusterAt(refused, ``), pool.RemoteConnectionFailure, "delayed_connect_error:_Connection_refused", 0},
		{clusterAt(`{"pipe":{"path":"/no/such/socket"}}`, ``), pool.RemoteConnectionFailure, "immediate_connect_error:_No_such_file_or_directory", 0},
		{clusterAt(refused, `"upstream_bind_config":{"source_address":{"address":"203.0.113.1","port_value":0}}`), pool.LocalConnectionFailure, "", 1},
		{clusterAt(`{"envoy_internal_address":{"server_listener_name":"l"}}`, ``), pool.LocalConnectionFailure, "", 0},
	} {
		f := newFixture(t, nil).put(c.cluster).apply()
		_, _, err := dial(t, f, pool.Options{})
		if err == nil || err.Reason != c.reason || err.Transport != c.transport {
			t.Errorf("%s: %v", c.cluster, err)
		}
		f.want("c.bind_errors", c.binds)
	}
}

func TestDialBindsToTheSource(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	for fields, want := range map[string]string{
		`"upstream_bind_config":{"source_address":{"address":"127.0.0.6","port_value":0}}`:                                                                             "127.0.0.6",
		`"upstream_bind_config":{"source_address":{"address":"::1","port_value":0},"extra_source_addresses":[{"address":{"address":"127.0.0.7","port_value":0}}]}`:     "127.0.0.7",
		`"upstream_bind_config":{"source_address":{"address":"0.0.0.0","port_value":0},"socket_options":[{"level":6,"name":1,"int_value":1,"state":"STATE_PREBIND"}]}`: "127.0.0.1",
		`"upstream_bind_config":{"source_address":{"address":"127.0.0.8","port_value":0},"freebind":true}`:                                                             "127.0.0.8",
	} {
		f := newFixture(t, nil).put(clusterAt(at(l), fields)).apply()
		_, u, err := dial(t, f, pool.Options{})
		if err != nil || u.Local.Addr().String() != want {
			t.Errorf("%s: %v %v", fields, u.Local, err)
		}
	}
	bind, err := CompileBind(clusterProto(t, with(`"upstream_bind_config":{"source_address":{"address":"127.0.0.9","port_value":0}}`)).GetUpstreamBindConfig(), "Bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(o *ManagerOptions) { o.Bind = bind }).put(clusterAt(at(l), ``)).apply()
	if _, u, err := dial(t, f, pool.Options{}); err != nil || u.Local.Addr().String() != "127.0.0.9" {
		t.Error("the bootstrap's", u.Local, err)
	}
}

func TestHappyEyeballs(t *testing.T) {
	addr := func(list ...string) (out []endpoint.Address) {
		for _, a := range list {
			out = append(out, endpoint.IPAddress(netip.MustParseAddrPort(a)))
		}
		return out
	}
	all := addr("10.0.0.1:80", "10.0.0.2:80", "[::1]:80", "[::2]:80", "10.0.0.3:80")
	for _, c := range []struct {
		e    Eyeballs
		want []endpoint.Address
	}{
		{Eyeballs{Count: 1}, addr("10.0.0.1:80", "[::1]:80", "10.0.0.2:80", "[::2]:80", "10.0.0.3:80")},
		{Eyeballs{Family: V6Family, Count: 2}, addr("[::1]:80", "[::2]:80", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")},
		{Eyeballs{Family: V4Family, Count: 9}, addr("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "[::1]:80", "[::2]:80")},
	} {
		if got := order(all, c.e); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	dead, _ := listen(t, "tcp", "127.0.0.1:0")
	_ = dead.Close()
	f := newFixture(t, nil).put(`{"name":"c","load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":` + at(dead) + `,"additional_addresses":[{"address":` + at(dead) + `},{"address":` + at(l) + `}]}}]}]}}`).apply()
	start := time.Now()
	if _, u, err := dial(t, f, pool.Options{}); err != nil || u.Remote.String() != l.Addr().String() || time.Since(start) > time.Second {
		t.Error("the address that answers", u.Remote, err)
	}
	f.put(`{"name":"c","load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[{"endpoint":{"address":` + at(dead) + `,"additional_addresses":[{"address":` + at(dead) + `}]}}]}]}}`).apply()
	if _, _, err := dial(t, f, pool.Options{}); err == nil || err.Transport != "delayed_connect_error:_Connection_refused" {
		t.Error(err)
	}
}

// socketKind is a transport socket that tells its name to the peer.
type socketKind struct {
	transport.RawUpstream
	name string
	seen *transport.Options
}

func (s socketKind) Build(transport.Env) (transport.Upstream, error) {
	if s.name == "broken" {
		return nil, errors.New("no certificate")
	}
	return s, nil
}

func (s socketKind) Handshake(_ context.Context, c net.Conn, o transport.Options, u *streaminfo.Upstream) (net.Conn, error) {
	*s.seen = o
	if s.name == "bad" {
		_ = c.Close()
		u.TransportFailureReason = "TLS_error:_bad"
		return nil, errors.New("bad")
	}
	u.DetectedClose = s.name
	return c, nil
}

func TestTransportSocketIsChosenByMetadata(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	var seen transport.Options
	options := Options{Transport: func(p *corepb.TransportSocket) (transport.UpstreamConfig, error) {
		name := p.GetName()
		if p == nil {
			name = "own"
		}
		return socketKind{name: name, seen: &seen}, nil
	}}
	cluster := func(endpointMetadata, localityMetadata string) string {
		socket := func(name string) string {
			return `"transport_socket":{"name":"` + name + `","typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}`
		}
		return `{"name":"c","metadata":{"filter_metadata":{"m":{}}},"transport_socket_matches":[{"name":"one","match":{"mode":"istio"},` + socket("istio") + `},{"name":"two","match":{"mode":"bad"},` + socket("bad") + `},{"name":"three","match":{"mode":"broken"},` + socket("broken") + `}],
			"load_assignment":{"cluster_name":"c","endpoints":[{"metadata":{"filter_metadata":{"envoy.transport_socket_match":` + localityMetadata + `}},"lb_endpoints":[{"metadata":{"filter_metadata":{"envoy.transport_socket_match":` + endpointMetadata + `}},"endpoint":{"address":` + at(l) + `}}]}]}}`
	}
	for _, c := range []struct{ endpoint, locality, want, stat string }{
		{`{"mode":"istio"}`, `{}`, "istio", "one"},
		{`{"mode":"other"}`, `{"mode":"istio"}`, "istio", "one"},
		{`{}`, `{}`, "own", "default"},
		{`{"mode":"bad"}`, `{}`, "", "two"},
		{`{"mode":"broken"}`, `{}`, "", "three"},
	} {
		f := newFixture(t, nil)
		a, err := anypb.New(clusterProto(t, cluster(c.endpoint, c.locality)))
		if err != nil {
			t.Fatal(err)
		}
		_, v, err := Type(options).Decode(a)
		if err != nil {
			t.Fatal(err)
		}
		f.s = f.s.With(clusterURL, change(v, a))
		f.apply()
		_, u, derr := dial(t, f, pool.Options{ServerName: "sni", ALPN: "a,b", SANs: "x"})
		if c.want == "" {
			if derr == nil || derr.Reason != pool.RemoteConnectionFailure || derr.Transport == "" {
				t.Errorf("%s: %v", c.endpoint, derr)
			}
		} else if derr != nil || u.DetectedClose != c.want || seen.ServerName != "sni" || len(seen.ALPN) != 2 || seen.SANs[0] != "x" || seen.HostMetadata == nil || seen.ClusterMetadata == nil {
			t.Errorf("%s: %v %v %+v", c.endpoint, u.DetectedClose, derr, seen)
		}
		f.want("c."+c.stat+".total_match_count", 1)
	}
}

type prefixFilter struct{}

func (prefixFilter) Build(string, *stats.Scope) (network.UpstreamFilter, error) {
	return prefixFilter{}, nil
}

func (prefixFilter) OnConnect(c net.Conn, _ *streaminfo.Upstream) (net.Conn, error) {
	_, err := c.Write([]byte("hello"))
	return c, err
}

func TestUpstreamFiltersSeeNewConnections(t *testing.T) {
	l, conns := listen(t, "tcp", "127.0.0.1:0")
	a, err := anypb.New(clusterProto(t, clusterAt(at(l), `"filters":[{"name":"f","typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}]`)))
	if err != nil {
		t.Fatal(err)
	}
	_, v, err := Type(Options{Filter: func(string, *anypb.Any) (FilterConfig, error) { return prefixFilter{}, nil }}).Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, nil)
	f.s = f.s.With(clusterURL, change(v, a))
	f.apply()
	if _, _, err := dial(t, f, pool.Options{}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	peer := <-conns
	_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := peer.Read(b); err != nil || string(b) != "hello" {
		t.Error(string(b), err)
	}
}

func TestInternalAddressIsDialledInside(t *testing.T) {
	var got string
	f := newFixture(t, func(o *ManagerOptions) {
		o.Internal = func(_ context.Context, listener, id string, _ *transport.Options) (net.Conn, error) {
			got = listener + " " + id
			c, _ := net.Pipe()
			return c, nil
		}
	}).put(clusterAt(`{"envoy_internal_address":{"server_listener_name":"l","endpoint_id":"10.0.0.1:80"}}`, ``)).apply()
	if _, _, err := dial(t, f, pool.Options{}); err != nil || got != "l 10.0.0.1:80" {
		t.Error(got, err)
	}
}

func TestDialForTCPCounts(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	f := newFixture(t, nil).put(clusterAt(at(l), `"circuit_breakers":{"thresholds":[{"max_connections":1}]}`)).apply()
	c := f.get("c")
	h := c.Pick(&lb.Context{})
	n, err := c.Dial(t.Context(), h, pool.Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	f.want("c.upstream_cx_active", 1)
	f.want("c.circuit_breakers.default.cx_open", 1)
	if _, err := c.Dial(t.Context(), h, pool.Options{}, 1); err == nil || err.Reason != pool.Overflow {
		t.Error(err)
	}
	n.Finish(true)
	f.want("c.upstream_cx_active", 0)
	f.want("c.circuit_breakers.default.cx_open", 0)
	f.want("c.upstream_cx_overflow", 1)
}

func TestPoolOptions(t *testing.T) {
	f := newFixture(t, nil).put(with(`"http2_protocol_options":{},"connection_pool_per_downstream_connection":true`)).apply()
	c := f.get("c")
	o := c.PoolOptions(c.Pick(&lb.Context{}), streaminfo.HTTP11, true, &streaminfo.Connection{ID: 7})
	if o != (pool.Options{Protocol: pool.HTTP2, High: true, Downstream: 7}) {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(f.get("c").Owner(c.Pick(&lb.Context{})).Name(), "c") {
		t.Error("owner")
	}
}
