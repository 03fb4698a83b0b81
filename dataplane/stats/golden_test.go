package stats

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// kitchen is what a real Envoy 1.40 said in one state, with a configuration that has a bit of
// everything: testdata/kitchen*.json.gz.
type kitchen struct {
	StatsConfig json.RawMessage `json:"stats_config"`
	Paths       map[string]string
	Protobuf    []byte
}

func readKitchen(t testing.TB, name string) (k kitchen, config *metricspb.StatsConfig) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&k); err != nil {
		t.Fatal(err)
	}
	if string(k.StatsConfig) != "null" {
		config = &metricspb.StatsConfig{}
		if err := protojson.Unmarshal(k.StatsConfig, config); err != nil {
			t.Fatal(err)
		}
	}
	return k, config
}

// known is one stat as Envoy showed it.
type known struct {
	name             string
	kind             Kind
	used             bool
	value            uint64
	text             string
	totals, interval []Bin
}

// stats reads them from what JSON says.
func (k kitchen) stats(t testing.TB) (all []known) {
	t.Helper()
	used := map[string]bool{}
	read := func(path string) (stats []struct {
		Name       string
		Value      json.RawMessage
		Histograms struct {
			Details []struct {
				Name              string
				Totals, Intervals []struct {
					Lower float64 `json:"lower_bound"`
					Count uint64
				}
			}
		}
	}) {
		out := struct{ Stats any }{&stats}
		if err := json.Unmarshal([]byte(k.Paths[path]), &out); err != nil {
			t.Fatal(path, err)
		}
		return stats
	}
	for kind, name := range map[Kind]string{KindCounter: "Counters", KindGauge: "Gauges", KindTextReadout: "TextReadouts"} {
		for _, s := range read("/stats?format=json&type=" + name + "&usedonly") {
			used[s.Name] = true
		}
		for _, s := range read("/stats?format=json&type=" + name) {
			known := known{name: s.Name, kind: kind, used: used[s.Name]}
			if kind == KindTextReadout {
				_ = json.Unmarshal(s.Value, &known.text)
			} else if err := json.Unmarshal(s.Value, &known.value); err != nil {
				t.Fatal(s.Name, err)
			}
			all = append(all, known)
		}
	}
	for _, s := range read("/stats?format=json&histogram_buckets=detailed") {
		for _, h := range s.Histograms.Details {
			known := known{name: h.Name, kind: KindHistogram}
			for _, b := range h.Totals {
				known.totals = append(known.totals, Bin{Lower: b.Lower, Count: b.Count})
			}
			for _, b := range h.Intervals {
				known.interval = append(known.interval, Bin{Lower: b.Lower, Count: b.Count})
			}
			all = append(all, known)
		}
	}
	return all
}

// explicit finds the tags of the stats that were made with tags.
var explicit = regexp.MustCompile(`^(?:(req)\.code\.(.*)\.t\.2\.(.*)|(ms)\.t\.(.*))$`)

// fill makes the stats of all in s, as singles or as structs, and gives them their values.
func fill(t testing.TB, s *Store, all []known, structs bool) {
	t.Helper()
	root := s.Scope("")
	bind := map[string]any{}
	if structs {
		bind = bindStructs(root, all)
	}
	for round := range 2 {
		for i := range all {
			k := &all[i]
			into := bind[fmt.Sprint(k.kind, k.name)]
			if into == nil {
				into = single1(root, k)
			}
			k.set(into, round)
		}
		s.Flush()
	}
}

func single1(root *Scope, k *known) any {
	switch m := explicit.FindStringSubmatch(k.name); {
	case m != nil && k.kind == KindCounter:
		return root.CounterWithTags(m[1], []Tag{{"code", m[2]}, {"t.2", m[3]}})
	case m != nil:
		return root.HistogramWithTags(m[4], []Tag{{"t", m[5]}})
	case k.kind == KindCounter:
		return root.Counter(k.name)
	case k.kind == KindGauge:
		return root.Gauge(k.name)
	case k.kind == KindHistogram:
		return root.Histogram(k.name)
	}
	return root.TextReadout(k.name)
}

func (k *known) set(into any, round int) {
	switch into := into.(type) {
	case *Counter:
		if round == 0 && k.used {
			into.Add(1, k.value)
		}
	case *Gauge:
		if round == 0 && k.used {
			into.Set(k.value)
		}
	case *TextReadout:
		if round == 0 && k.used {
			into.Set(k.text)
		}
	case *Histogram:
		last := map[float64]uint64{}
		for _, b := range k.interval {
			last[b.Lower] = b.Count
			for range b.Count * uint64(round) {
				into.Record(2, uint64(b.Lower+0.5))
			}
		}
		for _, b := range k.totals {
			for range (b.Count - last[b.Lower]) * uint64(1-round) {
				into.Record(1, uint64(b.Lower+0.5))
			}
		}
	}
}

// bindStructs makes a struct of all stats of one prefix.
func bindStructs(root *Scope, all []known) map[string]any {
	types := []reflect.Type{KindCounter: reflect.TypeFor[Counter](), KindGauge: reflect.TypeFor[Gauge](), KindHistogram: reflect.TypeFor[Histogram](), KindTextReadout: reflect.TypeFor[TextReadout]()}
	fields := map[string][]reflect.StructField{}
	bind := map[string]any{}
	for _, k := range all {
		if prefix, name := cutLast(k.name); !explicit.MatchString(k.name) {
			fields[prefix] = append(fields[prefix], reflect.StructField{
				Name: fmt.Sprintf("F%d", len(fields[prefix])), Type: types[k.kind], Tag: reflect.StructTag(`stat:"` + name + `"`),
			})
		}
	}
	for prefix, f := range fields {
		v := reflect.New(reflect.StructOf(f))
		Bind(root.Scope(prefix), v.Interface())
		for i := range f {
			kind := []string{"Counter", "Gauge", "Histogram", "TextReadout"}
			for at, n := range kind {
				if f[i].Type.Name() == n {
					name := f[i].Tag.Get("stat")
					if prefix != "" {
						name = prefix + "." + name
					}
					bind[fmt.Sprint(Kind(at), name)] = v.Elem().Field(i).Addr().Interface()
				}
			}
		}
	}
	return bind
}

func cutLast(name string) (prefix, last string) {
	at := strings.LastIndexByte(name, '.')
	return name[:max(at, 0)], name[at+1:]
}

func TestStatsAreShownAsEnvoyShowsThem(t *testing.T) {
	for _, file := range []string{"kitchen.json.gz", "kitchen_istio.json.gz"} {
		for _, structs := range []bool{false, true} {
			t.Run(fmt.Sprint(file, structs), func(t *testing.T) {
				k, config := readKitchen(t, file)
				s := NewStore(3)
				c, err := Compile(config, nil)
				if err != nil {
					t.Fatal(err)
				}
				s.Configure(c)
				fill(t, s, k.stats(t), structs)
				for path, want := range k.Paths {
					diff(t, path, render(t, s, path, false), want)
				}
				if got := render(t, s, "/stats/prometheus?filter=^(req|ms)&invert_filter", true); got != string(k.Protobuf) {
					t.Errorf("protobuf: %d bytes differ from Envoy's %d", len(got), len(k.Protobuf))
				}
			})
		}
	}
}
