package lb

import (
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func fields(t *testing.T, json string) map[string]*structpb.Value {
	t.Helper()
	if json == "" {
		return nil
	}
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(json), s); err != nil {
		t.Fatal(err)
	}
	return s.GetFields()
}

// tagged makes hosts with this metadata in envoy.lb.
func tagged(t *testing.T, metadata ...string) *endpoint.HostSet {
	t.Helper()
	hosts := make([]*endpoint.Host, len(metadata))
	for i, m := range metadata {
		e := &endpoint.Endpoint{
			Address: endpoint.IPAddress(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)), Weight: 1,
			Metadata: streaminfo.Metadata{endpoint.LBMetadata: {Fields: fields(t, m)}},
		}
		hosts[i] = endpoint.NewHost("c", e, nil, time.Now())
	}
	return endpoint.NewHostSet(hosts, endpoint.SetOptions{})
}

func subsetConfig(s SubsetConfig) *Config {
	return &Config{Kind: Subset, Subset: &s, Child: &Config{PanicThreshold: 50}}
}

func TestSubsets(t *testing.T) {
	set := tagged(t,
		`{"v":"1","stage":"prod"}`,            // 0
		`{"v":"1","stage":"dev"}`,             // 1
		`{"v":"2","stage":"prod"}`,            // 2
		`{"v":2,"stage":"dev","x":["a","b"]}`, // 3
		`{}`,                                  // 4
	)
	selectors := []SubsetSelector{{Keys: []string{"v"}}, {Keys: []string{"stage", "v"}}}
	all := map[int]float64{0: .2, 1: .2, 2: .2, 3: .2, 4: .2}
	none := map[int]float64{-1: 1}
	for _, c := range []struct {
		name, criteria string
		config         SubsetConfig
		want           map[int]float64
	}{
		{"one key", `{"v":"1"}`, SubsetConfig{Selectors: selectors}, map[int]float64{0: .5, 1: .5}},
		{"two keys", `{"v":"1","stage":"dev"}`, SubsetConfig{Selectors: selectors}, map[int]float64{1: 1}},
		{"a number is no string", `{"v":2}`, SubsetConfig{Selectors: selectors}, map[int]float64{3: 1}},
		{"no such value", `{"v":"9"}`, SubsetConfig{Selectors: selectors, Fallback: FallbackNone}, none},
		{"no such key", `{"stage":"prod"}`, SubsetConfig{Selectors: selectors, Fallback: FallbackNone}, none},
		{"no criteria, no fallback", ``, SubsetConfig{Selectors: selectors, Fallback: FallbackNone}, none},
		{"any", `{"v":"9"}`, SubsetConfig{Selectors: selectors, Fallback: FallbackAny}, all},
		{"default", `{"v":"9"}`, SubsetConfig{Selectors: selectors, Fallback: FallbackDefault, Default: fields(t, `{"stage":"prod"}`)}, map[int]float64{0: .5, 2: .5}},
		{"default has none, panic", `{"v":"9"}`, SubsetConfig{Selectors: selectors, Fallback: FallbackDefault, Default: fields(t, `{"stage":"x"}`), PanicAny: true}, all},
		{"selector's fallback", `{"v":"9"}`, SubsetConfig{Fallback: FallbackAny, Selectors: []SubsetSelector{{Keys: []string{"v"}, Fallback: FallbackNone}}}, none},
		{"selector's any", `{"v":"9"}`, SubsetConfig{Fallback: FallbackNone, Selectors: []SubsetSelector{{Keys: []string{"v"}, Fallback: FallbackAny}}}, all},
		{"selector's default", `{"v":"9"}`, SubsetConfig{Fallback: FallbackNone, Default: fields(t, `{"v":"2"}`), Selectors: []SubsetSelector{{Keys: []string{"v"}, Fallback: FallbackDefault}}}, map[int]float64{2: 1}},
		{"fewer keys", `{"v":"1","stage":"nope"}`, SubsetConfig{Selectors: []SubsetSelector{{Keys: []string{"v"}}, {Keys: []string{"stage", "v"}, Fallback: FallbackKeys, FallbackKeys: []string{"v"}}}}, map[int]float64{0: .5, 1: .5}},
		{"fewer keys, then their fallback", `{"v":"9","stage":"nope"}`, SubsetConfig{Selectors: []SubsetSelector{{Keys: []string{"v"}, Fallback: FallbackAny}, {Keys: []string{"stage", "v"}, Fallback: FallbackKeys, FallbackKeys: []string{"v"}}}}, all},
		{"single host", `{"v":"1"}`, SubsetConfig{Selectors: []SubsetSelector{{Keys: []string{"v"}, Single: true}}}, map[int]float64{0: 1}},
		{"list as any", `{"x":"b"}`, SubsetConfig{ListAsAny: true, Selectors: []SubsetSelector{{Keys: []string{"x"}}}}, map[int]float64{3: 1}},
		{"list as itself", `{"x":["a","b"]}`, SubsetConfig{Selectors: []SubsetSelector{{Keys: []string{"x"}}}}, map[int]float64{3: 1}},
		{"redundant keys", `{"v":"1","other":"x"}`, SubsetConfig{RedundantKeys: true, Selectors: selectors}, map[int]float64{0: .5, 1: .5}},
		{"list of alternatives", `{"fallback_list":[{"v":"9"},{"v":"2"},{"v":"1"}]}`, SubsetConfig{FallbackList: true, Selectors: selectors}, map[int]float64{2: 1}},
		{"alternatives add to the rest", `{"stage":"dev","fallback_list":[{"v":"2"},{"v":"1"}]}`, SubsetConfig{FallbackList: true, Selectors: selectors}, map[int]float64{1: 1}},
		{"no alternatives", `{"v":"2","fallback_list":[]}`, SubsetConfig{FallbackList: true, Selectors: selectors}, map[int]float64{2: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := subsetConfig(c.config).New(testEnv(), set, nil)
			near(t, picks(l, &Context{Criteria: CompileCriteria(fields(t, c.criteria))}, set, 100), 100, 0, c.want)
		})
	}
}

func TestSubsetPickDoesNotAllocate(t *testing.T) {
	set := tagged(t, `{"v":"1","stage":"prod"}`, `{"v":"1","stage":"dev"}`)
	l := subsetConfig(SubsetConfig{Selectors: []SubsetSelector{{Keys: []string{"v"}}, {Keys: []string{"stage", "v"}, Fallback: FallbackKeys, FallbackKeys: []string{"v"}}}}).New(testEnv(), set, nil)
	for _, json := range []string{`{"v":"1","stage":"dev"}`, `{"v":"1","stage":"x"}`} {
		c := &Context{Criteria: CompileCriteria(fields(t, json)), Worker: 1}
		if n := testing.AllocsPerRun(100, func() { l.Pick(c) }); n != 0 {
			t.Errorf("%s: %v allocations", json, n)
		}
	}
}

func TestSubsetStats(t *testing.T) {
	e := testEnv()
	c := subsetConfig(SubsetConfig{Fallback: FallbackAny, Selectors: []SubsetSelector{{Keys: []string{"v"}}}})
	first := c.New(e, tagged(t, `{"v":"1"}`, `{"v":"2"}`), nil)
	if e.Stats.SubsetsActive.Value() != 2 || e.Stats.SubsetsCreated.Value() != 2 {
		t.Error("created", e.Stats.SubsetsCreated.Value())
	}
	l := c.New(e, tagged(t, `{"v":"2"}`, `{"v":"3"}`), first)
	if e.Stats.SubsetsActive.Value() != 2 || e.Stats.SubsetsCreated.Value() != 3 || e.Stats.SubsetsRemoved.Value() != 1 {
		t.Error("one came, one went", e.Stats.SubsetsActive.Value(), e.Stats.SubsetsCreated.Value(), e.Stats.SubsetsRemoved.Value())
	}
	l.Pick(&Context{})
	l.Pick(&Context{Criteria: CompileCriteria(fields(t, `{"v":"3"}`))})
	if e.Stats.SubsetsFallback.Value() != 1 || e.Stats.SubsetsSelected.Value() != 1 {
		t.Error("fallback, selected")
	}
}

func TestCriteriaMerge(t *testing.T) {
	route := CompileCriteria(fields(t, `{"v":"1","stage":"prod"}`))
	m := route.Merge(fields(t, `{"v":"2","a":true}`))
	want := []criterion{{"a", "true"}, {"stage", `"prod"`}, {"v", `"2"`}}
	if len(m.list) != 3 || m.list[0] != want[0] || m.list[1] != want[1] || m.list[2] != want[2] {
		t.Error(m.list)
	}
	if route.Merge(nil) != route || (*Criteria)(nil).Merge(fields(t, `{"v":"2"}`)).list[0].value != `"2"` || CompileCriteria(nil) != nil {
		t.Error("nothing to merge")
	}
}
