package metadataexchange

import (
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
	"github.com/pillion-proxy/pillion/filters/common/peer"
	"github.com/pillion-proxy/pillion/xds"
)

const alpn = "istio-peer-exchange"

func typedStruct(t *testing.T, fields map[string]any) *anypb.Any {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	a, err := anypb.New(&udpapb.TypedStruct{TypeUrl: "type.googleapis.com/" + typeName, Value: s})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func server(t *testing.T, name string) *filter.Server {
	t.Helper()
	m, err := structpb.NewStruct(map[string]any{
		"NAME": name + "-0", "NAMESPACE": "default", "WORKLOAD_NAME": name, "CLUSTER_ID": "Kubernetes", "SECRET": "not told",
		"OWNER":  "kubernetes://apis/apps/v1/namespaces/default/deployments/" + name,
		"LABELS": map[string]any{"app": name, "version": "v1", "service.istio.io/canonical-name": name, "service.istio.io/canonical-revision": "v1", "role": "tester"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &filter.Server{Stats: stats.NewStore(1), Node: filter.Node{ID: "sidecar~10.0.0.1~" + name + "-0.default~default.svc.cluster.local", Metadata: m}}
}

func config(t *testing.T, fields map[string]any) *Config {
	t.Helper()
	c, err := parse(typedStruct(t, fields))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var usual = map[string]any{"protocol": alpn, "enable_discovery": true}

// pair is the two ends of a connection over loopback.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	for _, c := range []net.Conn{c, s} {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// accept takes one end through the listener's filter.
func accept(t *testing.T, s *filter.Server, c *Config, nc net.Conn, protocol string) *network.Conn {
	t.Helper()
	factory, err := c.Build(&filter.Context{Server: s})
	if err != nil {
		t.Fatal(err)
	}
	conn := &network.Conn{}
	conn.Start(nc)
	conn.Info.Remote = netip.MustParseAddrPort("10.0.0.7:4711")
	if protocol != "" {
		conn.Info.TLS = &streaminfo.TLS{ALPN: protocol}
	}
	if factory(conn).OnNewConnection(conn) != network.Continue {
		t.Fatal("the filter stops connections")
	}
	return conn
}

// connect takes one end through the cluster's filter.
func connect(t *testing.T, s *filter.Server, c *Config, nc net.Conn, protocol string) (net.Conn, *streaminfo.Upstream) {
	t.Helper()
	f, err := c.BuildUpstream(s, "outbound|9000||echo")
	if err != nil {
		t.Fatal(err)
	}
	u := &streaminfo.Upstream{Remote: netip.MustParseAddrPort("10.0.0.8:9000")}
	if protocol != "" {
		u.TLS = &streaminfo.TLS{ALPN: protocol}
	}
	out, err := f.OnConnect(nc, u)
	if err != nil {
		t.Fatal(err)
	}
	return out, u
}

func wantRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b[:n], err, want)
	}
}

func wantPeer(t *testing.T, s *streaminfo.FilterState, downstream bool, workload string) {
	t.Helper()
	p, known := peer.FindIn(s, downstream)
	switch {
	case !known:
		t.Fatal("nothing is known of the peer")
	case workload == "" && p != nil:
		t.Fatalf("the peer is %v, want none", p.FilterStateString())
	case workload != "" && (p == nil || p.Workload != workload):
		t.Fatalf("the peer is %v, want %s", p, workload)
	}
}

func wantStats(t *testing.T, s *filter.Server, want map[string]uint64) {
	t.Helper()
	scope := s.Stats.Scope("metadata_exchange")
	for _, name := range []string{"alpn_protocol_found", "alpn_protocol_not_found", "header_not_found", "initial_header_not_found", "metadata_added"} {
		if n := value(s.Stats, scope.Prefix()+name); n != want[name] {
			t.Errorf("%s is %d, want %d", name, n, want[name])
		}
	}
}

func value(s *stats.Store, name string) uint64 {
	for st := range s.All(stats.KindCounter) {
		if string(st.Name()) == name {
			return st.Value()
		}
	}
	return 0
}

func TestBothEndsLearnOfEachOtherAndTheApplicationSeesItsOwnBytes(t *testing.T) {
	a, b := pair(t)
	one, two := server(t, "client"), server(t, "echo")
	up, info := connect(t, one, config(t, usual), a, alpn)
	down := accept(t, two, config(t, usual), b, alpn)
	if _, err := up.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	wantRead(t, down, "hello")
	if _, err := down.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	wantRead(t, up, "world")
	wantPeer(t, &info.FilterState, false, "echo")
	wantPeer(t, &down.Info.FilterState, true, "client")
	wantStats(t, one, map[string]uint64{"alpn_protocol_found": 1, "metadata_added": 1})
	p, _ := peer.FindIn(&down.Info.FilterState, true)
	if p.Instance != "client-0" || p.Type != peer.Deployment || p.Cluster != "Kubernetes" || p.App != "client" || p.Version != "v1" || p.Canonical != "client" || p.Revision != "v1" || len(p.Labels) != 0 {
		t.Errorf("the peer is %s", p.FilterStateString())
	}
	if err := up.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := down.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after a half close: %d, %v", n, err)
	}
}

func TestServerMaySpeakFirst(t *testing.T) {
	a, b := pair(t)
	up, _ := connect(t, server(t, "client"), config(t, usual), a, alpn)
	down := accept(t, server(t, "echo"), config(t, usual), b, alpn)
	_, _ = down.Write([]byte("welcome"))
	wantRead(t, up, "welcome")
}

func TestAdditionalLabelsAreToldAndRead(t *testing.T) {
	a, b := pair(t)
	c := config(t, map[string]any{"protocol": alpn, "additional_labels": []any{"role", "app"}})
	up, info := connect(t, server(t, "client"), c, a, alpn)
	down := accept(t, server(t, "echo"), c, b, alpn)
	_, _ = down.Write([]byte("x"))
	wantRead(t, up, "x")
	p, _ := peer.FindIn(&info.FilterState, false)
	if len(p.Labels) != 1 || p.Labels[0] != (peer.Label{Name: "role", Value: "tester"}) {
		t.Errorf("labels %v", p.Labels)
	}
}

func TestPreambleInPieces(t *testing.T) {
	s := server(t, "echo")
	frame := preamble(peer.FromNode(&server(t, "client").Node, nil), "id")
	a, b := pair(t)
	down := accept(t, s, config(t, usual), b, alpn)
	go func() {
		for _, c := range append(frame, "hello"...) {
			if _, err := a.Write([]byte{c}); err != nil {
				return
			}
		}
	}()
	wantRead(t, down, "hello")
	wantPeer(t, &down.Info.FilterState, true, "client")
}

func TestDeadlineWithinAPreambleLosesNothing(t *testing.T) {
	frame := append(preamble(peer.FromNode(&server(t, "client").Node, nil), "id"), "hello"...)
	a, b := pair(t)
	down := accept(t, server(t, "echo"), config(t, usual), b, alpn)
	_, _ = a.Write(frame[:20])
	_ = down.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := down.Read(make([]byte, 10)); n != 0 || !network.IsTimeout(err) {
		t.Fatalf("read %d, %v", n, err)
	}
	_ = down.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, _ = a.Write(frame[20:])
	wantRead(t, down, "hello")
	wantPeer(t, &down.Info.FilterState, true, "client")
}

func TestWhatIsNoPreamble(t *testing.T) {
	any := func(m *anypb.Any) string {
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(frameOf(len(body))) + string(body)
	}
	for _, c := range []struct {
		name, sent, seen string
		stats            map[string]uint64
	}{
		{"an application", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", map[string]uint64{"initial_header_not_found": 1}},
		{"less than a header", "hi", "hi", map[string]uint64{"initial_header_not_found": 1}},
		{"nothing", "", "", nil},
		{"a body that is no Any", string(frameOf(3)) + "\xff\xff\xff" + "app", "\xff\xff\xffapp", map[string]uint64{"header_not_found": 1}},
		{"another message", any(&anypb.Any{TypeUrl: "type.googleapis.com/a.B"}), any(&anypb.Any{TypeUrl: "type.googleapis.com/a.B"})[headerSize:], map[string]uint64{"header_not_found": 1}},
		{"more than is kept", string(frameOf(maxFrame+1)) + "app", "app", map[string]uint64{"header_not_found": 1}},
		{"a body that is cut", string(frameOf(30)) + "part", "", nil},
		{"a peer that tells nothing", any(&anypb.Any{TypeUrl: structURL}) + "app", "app", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := server(t, "echo")
			a, b := pair(t)
			down := accept(t, s, config(t, usual), b, alpn)
			_, _ = io.WriteString(a, c.sent)
			_ = a.CloseWrite()
			if got, err := io.ReadAll(down); err != nil || string(got) != c.seen {
				t.Fatalf("the application sees %q, %v, want %q", got, err, c.seen)
			}
			wantPeer(t, &down.Info.FilterState, true, "")
			want := map[string]uint64{"alpn_protocol_found": 1, "metadata_added": 1}
			for k, v := range c.stats {
				want[k] = v
			}
			wantStats(t, s, want)
		})
	}
}

func frameOf(n int) []byte {
	return []byte{0x3d, 0x23, 0x04, 0x67, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

func TestOtherProtocolsAreLeftAlone(t *testing.T) {
	for _, protocol := range []string{"", "istio", "h2"} {
		s := server(t, "echo")
		a, b := pair(t)
		down := accept(t, s, config(t, usual), b, protocol)
		up, info := connect(t, s, config(t, usual), a, protocol)
		if up != net.Conn(a) || down.TCP() == nil {
			t.Errorf("%q: connections are wrapped", protocol)
		}
		wantPeer(t, &down.Info.FilterState, true, "")
		wantPeer(t, &info.FilterState, false, "")
		wantStats(t, s, map[string]uint64{"alpn_protocol_not_found": 2})
	}
}

func discovered(s *filter.Server) {
	s.Workloads = workload.NewIndex(s.Stats)
	put := func(name, addr string) *xds.Resource {
		return &xds.Resource{Name: name, Any: &anypb.Any{Value: []byte(name)}, Value: &workload.Workload{UID: name, Owner: name, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}}
	}
	s.Workloads.Apply((&xds.Snapshot{}).With(workload.URL, xds.Change{Put: []*xds.Resource{put("caller", "10.0.0.7"), put("called", "10.0.0.8")}}))
}

func TestPeersWithoutPreambleAreDiscoveredByAddress(t *testing.T) {
	s := server(t, "echo")
	discovered(s)
	a, b := pair(t)
	down := accept(t, s, config(t, usual), b, "")
	_, info := connect(t, s, config(t, usual), a, "")
	wantPeer(t, &down.Info.FilterState, true, "caller")
	wantPeer(t, &info.FilterState, false, "called")
	wantStats(t, s, map[string]uint64{"alpn_protocol_not_found": 2, "metadata_added": 2})
	// A waypoint asks the downstream connection for the upstream's peer.
	if p, _ := peer.FindIn(&down.Info.FilterState, false); p != nil {
		t.Errorf("the upstream's peer is known before there is one: %v", p)
	}
	down.Stream = &streaminfo.Info{Upstream: streaminfo.Upstream{Host: "10.0.0.8:9000"}}
	wantPeer(t, &down.Info.FilterState, false, "called")
}

func TestDiscoveryIsAskedOnlyIfEnabled(t *testing.T) {
	s := server(t, "echo")
	discovered(s)
	_, b := pair(t)
	down := accept(t, s, config(t, map[string]any{"protocol": alpn}), b, "")
	wantPeer(t, &down.Info.FilterState, true, "")
}

// The frame's head and the length are those of a capture (reference/admin-samples/mx-sample.txt), whose
// node has an ID of 69 characters.
func TestPreambleIsAsIstioWritesIt(t *testing.T) {
	p := &peer.Peer{Instance: "productpage-v1-0", Namespace: "default", Workload: "productpage-v1", Type: peer.Deployment, Cluster: "Kubernetes",
		Canonical: "productpage", Revision: "v1", App: "productpage", Version: "v1"}
	frame := preamble(p, strings.Repeat("x", 69))
	const head = "3d230467000002120a2a747970652e676f6f676c65617069732e636f6d2f676f6f676c652e70726f746f6275662e53747275637412e3030afb020a15782d656e766f792d706565722d6d65746164617461"
	if got := hex.EncodeToString(frame); len(frame) != 538 || !strings.HasPrefix(got, head) {
		t.Errorf("the frame has %d bytes: %s", len(frame), got)
	}
}

func TestParse(t *testing.T) {
	binary := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), alpn)
	binary = protowire.AppendVarint(protowire.AppendTag(binary, 2, protowire.VarintType), 1)
	binary = protowire.AppendString(protowire.AppendTag(binary, 3, protowire.BytesType), "role")
	c, err := parse(&anypb.Any{TypeUrl: "type.googleapis.com/" + typeName, Value: binary})
	if err != nil || c.protocol != alpn || !c.discovery || len(c.labels) != 1 || c.labels[0] != "role" {
		t.Errorf("binary: %+v, %v", c, err)
	}
	if c := config(t, map[string]any{"protocol": alpn, "enableDiscovery": true}); !c.discovery {
		t.Error("camel case is not read")
	}
	for name, fields := range map[string]map[string]any{
		"protocol is required":     {"enable_discovery": true},
		"MetadataExchange.unheard": {"protocol": alpn, "unheard": 1},
	} {
		if _, err := parse(typedStruct(t, fields)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v", fields, err)
		}
	}
	if _, err := parse(&anypb.Any{TypeUrl: "type.googleapis.com/" + typeName, Value: []byte{0x0a, 9}}); err == nil {
		t.Error("cut bytes are taken")
	}
}

func TestRegistryFindsBothDirections(t *testing.T) {
	r := filter.NewRegistry(Extension, Upstream)
	if _, _, err := r.Network("istio.metadata_exchange", typedStruct(t, usual)); err != nil {
		t.Error(err)
	}
	s := server(t, "x")
	f, err := r.Upstream(s)("istio.metadata_exchange", typedStruct(t, usual))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Build("c", s.Stats.Scope("cluster.c")); err != nil {
		t.Error(err)
	}
	_, err = r.Upstream(s)("f", &anypb.Any{TypeUrl: "type.googleapis.com/a.B"})
	if err == nil || err.Error() != "Didn't find a registered implementation for 'f' with type URL: 'a.B'" {
		t.Errorf("unknown type: %v", err)
	}
}

func TestReadPastThePreambleDoesNotAllocate(t *testing.T) {
	a, b := pair(t)
	up, _ := connect(t, server(t, "client"), config(t, usual), a, alpn)
	down := accept(t, server(t, "echo"), config(t, usual), b, alpn)
	_, _ = down.Write([]byte("x"))
	wantRead(t, up, "x")
	one := make([]byte, 1)
	if n := testing.AllocsPerRun(50, func() {
		_, _ = b.Write(one)
		if _, err := up.Read(one); err != nil && err != os.ErrClosed {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
