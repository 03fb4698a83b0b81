package workload

import (
	"net/netip"
	"testing"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// message encodes fields: strings and byte slices, ints as varints, nested messages as []byte.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		}
	}
	return b
}

func workload(t *testing.T, fields ...any) *Workload {
	t.Helper()
	name, w, err := Type().Decode(&anypb.Any{TypeUrl: URL, Value: message(fields...)})
	if err != nil || name != w.UID {
		t.Fatalf("Decode = %q, %v", name, err)
	}
	return w
}

func TestDecodeTakesWhatTelemetryNeeds(t *testing.T) {
	w := workload(t, 20, "Kubernetes//Pod/ns/p-1", 1, "p-1", 2, "ns", 3, []byte{10, 0, 0, 7}, 3, netip.MustParseAddr("fd00::7").AsSlice(),
		6, "td", 7, "sa", 10, "canon", 11, "v2", 12, 3, 13, "p", 18, "c1", 24, message(1, "r", 2, "z", 3, "s"),
		5, 1, 9, "node", 22, message(1, "ns/svc", 2, message(1, 80)))
	if w.UID != "Kubernetes//Pod/ns/p-1" || w.Name != "p-1" || w.Owner != "p" || w.Kind != Job || w.Namespace != "ns" || w.CanonicalName != "canon" ||
		w.CanonicalRevision != "v2" || w.Cluster != "c1" || w.Identity != "spiffe://td/ns/ns/sa/sa" || w.Region != "r" || w.Zone != "z" {
		t.Errorf("decoded %+v", w)
	}
	if len(w.Addresses) != 2 || w.Addresses[0] != netip.MustParseAddr("10.0.0.7") || w.Addresses[1] != netip.MustParseAddr("fd00::7") {
		t.Errorf("addresses %v", w.Addresses)
	}
}

func TestDecodeFillsInWhatIsElided(t *testing.T) {
	w := workload(t, 20, "u", 12, 9)
	if w.Namespace != "default" || w.Identity != "spiffe://cluster.local/ns/default/sa/default" || w.Kind != Deployment {
		t.Errorf("decoded %+v", w)
	}
}

func TestDecodeRefusesWhatIsNone(t *testing.T) {
	for name, b := range map[string][]byte{
		"an address of three bytes": message(20, "u", 3, []byte{1, 2, 3}),
		"cut":                       message(20, "u", 1, "name")[:6],
		"a bad locality":            message(20, "u", 24, []byte{0x0a, 9}),
	} {
		if _, _, err := Type().Decode(&anypb.Any{TypeUrl: URL, Value: b}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func resource(uid string, addrs ...string) *xds.Resource {
	w := &Workload{UID: uid, Name: uid}
	for _, a := range addrs {
		w.Addresses = append(w.Addresses, netip.MustParseAddr(a))
	}
	return &xds.Resource{Name: uid, Any: &anypb.Any{TypeUrl: URL, Value: []byte(uid)}, Value: w}
}

func TestIndexFollowsSnapshots(t *testing.T) {
	store := stats.NewStore(1)
	x := NewIndex(store)
	want := func(addr, uid string) {
		t.Helper()
		got := ""
		if w := x.Find(netip.MustParseAddr(addr)); w != nil {
			got = w.UID
		}
		if got != uid {
			t.Errorf("%s is %q, want %q", addr, got, uid)
		}
	}
	s := (&xds.Snapshot{}).With(URL, xds.Change{Put: []*xds.Resource{resource("a", "10.0.0.1", "fd00::1"), resource("b", "10.0.0.2")}})
	x.Apply(s)
	want("10.0.0.1", "a")
	want("::ffff:10.0.0.1", "a")
	want("fd00::1", "a")
	want("10.0.0.3", "")
	if n := store.Scope("workload_discovery").Gauge("total").Value(); n != 3 {
		t.Errorf("workload_discovery.total is %d, want 3", n)
	}
	s = s.With(URL, xds.Change{Put: []*xds.Resource{resource("a", "10.0.0.9")}})
	x.Apply(s)
	want("10.0.0.1", "")
	want("10.0.0.9", "a")
	// The address of b goes to c before b's end is told.
	s = s.With(URL, xds.Change{Put: []*xds.Resource{resource("c", "10.0.0.2")}})
	x.Apply(s)
	want("10.0.0.2", "c")
	s = s.With(URL, xds.Change{Remove: []string{"b"}})
	x.Apply(s)
	want("10.0.0.2", "c")
	s = s.With(URL, xds.Change{Remove: []string{"a", "c"}})
	x.Apply(s)
	want("10.0.0.2", "")
	if n := store.Scope("workload_discovery").Gauge("total").Value(); n != 0 {
		t.Errorf("workload_discovery.total is %d, want 0", n)
	}
}

func TestOfTwoThatComeTogetherTheFirstByUIDHasTheAddress(t *testing.T) {
	x := NewIndex(stats.NewStore(1))
	x.Apply((&xds.Snapshot{}).With(URL, xds.Change{Put: []*xds.Resource{resource("z", "10.0.0.1"), resource("a", "10.0.0.1"), resource("m", "10.0.0.1")}}))
	if w := x.Find(netip.MustParseAddr("10.0.0.1")); w == nil || w.UID != "a" {
		t.Errorf("found %+v", w)
	}
}

func TestNilIndexKnowsNothing(t *testing.T) {
	var x *Index
	x.Apply(&xds.Snapshot{})
	if x.Find(netip.MustParseAddr("10.0.0.1")) != nil {
		t.Error("a nil index found something")
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	x := NewIndex(stats.NewStore(1))
	x.Apply((&xds.Snapshot{}).With(URL, xds.Change{Put: []*xds.Resource{resource("a", "10.0.0.1")}}))
	addr := netip.MustParseAddr("10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { x.Find(addr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func extension(t *testing.T, m proto.Message) *corepb.TypedExtensionConfig {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &corepb.TypedExtensionConfig{Name: "metadata_discovery", TypedConfig: a}
}

func TestBootstrapExtension(t *testing.T) {
	ads, _ := structpb.NewStruct(map[string]any{"config_source": map[string]any{"ads": map[string]any{}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}})
	empty := &structpb.Struct{}
	const url = "type.googleapis.com/istio.workload.BootstrapExtension"
	for _, c := range []struct {
		name string
		ext  *corepb.TypedExtensionConfig
		ok   bool
		err  bool
		ref  xds.Ref
	}{
		{"as the agent writes it", extension(t, &udpapb.TypedStruct{TypeUrl: url, Value: ads}), true, false, xds.Ref{TypeURL: URL}},
		{"without config source", extension(t, &udpapb.TypedStruct{TypeUrl: url, Value: empty}), true, true, xds.Ref{}},
		{"another TypedStruct", extension(t, &udpapb.TypedStruct{TypeUrl: "type.googleapis.com/a.B", Value: empty}), false, false, xds.Ref{}},
		{"another message", extension(t, empty), false, false, xds.Ref{}},
		{"binary", &corepb.TypedExtensionConfig{TypedConfig: &anypb.Any{TypeUrl: url, Value: message(1, binary(t, &corepb.ConfigSource{
			ConfigSourceSpecifier: &corepb.ConfigSource_Ads{Ads: &corepb.AggregatedConfigSource{}}}))}}, true, false, xds.Ref{TypeURL: URL, Timeout: xds.DefaultFetchTimeout}},
	} {
		ref, ok, err := Bootstrap(c.ext)
		if ok != c.ok || (err != nil) != c.err || err == nil && ref != c.ref {
			t.Errorf("%s: %+v, %v, %v", c.name, ref, ok, err)
		}
	}
}

func binary(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
