package stats

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func names(s *Store, kinds ...Kind) (all []string) {
	for st := range s.All(kinds...) {
		all = append(all, string(st.Name()))
	}
	return all
}

// Names of nested scopes interleave: b of "a." comes between a.a.x and a.c.x.
func TestListIsByNameHoweverScopesNest(t *testing.T) {
	s := NewStore(1)
	var want []string
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "a-b", "a_b", "B", "aa", "c.d"}
	for range 300 {
		name := parts[rnd.IntN(len(parts))]
		for range rnd.IntN(4) {
			name += "." + parts[rnd.IntN(len(parts))]
		}
		if !slices.Contains(want, name) {
			want = append(want, name)
			prefix, last := cutLast(name)
			s.Scope(prefix).Counter(last)
			var x struct {
				A Counter `stat:"z.one"`
				B Gauge   `stat:"0"`
			}
			Bind(s.Scope(name), &x)
			want = append(want, name+".z.one")
		}
	}
	slices.Sort(want)
	if got := names(s, KindCounter); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	if got := names(s, KindGauge); !slices.IsSorted(got) {
		t.Error("gauges are not sorted")
	}
}

func TestStatsOfOneNameAreOne(t *testing.T) {
	s := NewStore(1)
	var x struct {
		C Counter   `stat:"n"`
		H Histogram `stat:"h"`
		G Gauge     `stat:"m"`
	}
	Bind(s.Scope("a"), &x)
	x.C.Add(1, 2)
	x.G.Add(1, 5)
	x.H.Record(1, 7)
	s.Scope("a").Counter("n").Add(1, 3)
	s.Scope("a").Gauge("n").Set(9)
	s.Scope("").Counter("a.n").Add(1, 100)
	s.Scope("a").Histogram("h").Record(1, 7)
	s.Flush()
	const h = "P0(7.033333333333333,7.033333333333333) P25(7.033333333333333,7.033333333333333) P50(7.033333333333333,7.033333333333333) P75(7.066666666666666,7.066666666666666)"
	if got := render(t, s, "/stats", false); !strings.HasPrefix(got, "a.m: 5\na.n: 105\na.n: 9\na.h: "+h) {
		t.Error(got)
	}
	got := render(t, s, "/stats/prometheus", false)
	for _, want := range []string{"# TYPE envoy_a_n counter\nenvoy_a_n{} 105\n# TYPE envoy_a_m", "# TYPE envoy_a_n gauge\nenvoy_a_n{} 9\n", "envoy_a_h_count{} 2\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestFamiliesAreInEnvoysOrder(t *testing.T) {
	s := NewStore(1)
	s.SetTagger(newTagger(nil))
	// The order in which Envoy 1.40 lists these counters.
	want := []string{"1x", "A.b", "a", "a.B", "a.b", "a.b.c", "a.c", "a b", "a-b", "a-b.c", "a-b_c", "a/b", "a_b", "a_b.c", "a|b", "z", "{x", "~x", "é"}
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(len(want)) {
		s.Scope("").Counter(want[i])
	}
	var b strings.Builder
	for _, n := range want {
		m := metricName(n, nil)
		fmt.Fprintf(&b, "# TYPE %s counter\n%s{} 0\n", m, m)
	}
	diff(t, "families", render(t, s, "/stats/prometheus", false), b.String())
}

func TestSeriesAreInEnvoysOrder(t *testing.T) {
	s := NewStore(1)
	istio(t, s)
	var x struct {
		A Counter `stat:"membership_total"`
		B Counter `stat:"bind_errors"`
	}
	want := "# TYPE envoy_cluster_bind_errors counter\n"
	clusters := []string{"A", "a.B", "a.b.c", "a.b-c", "a.b", "a.zz", "a b", "a-", "a-b", "a", "a_b", "b"}
	for _, n := range clusters {
		want += `envoy_cluster_bind_errors{cluster_name="` + n + `"} 0` + "\n"
	}
	for _, n := range slices.Backward(clusters) {
		Bind(s.Scope("cluster."+n+";"), &x)
	}
	diff(t, "clusters", render(t, s, "/stats/prometheus?filter=bind", false), want)

	// The dots in tags of their own do not count.
	want = "# TYPE envoy_fam counter\n"
	values := []string{"<x>&", "A", "a", "a b", "a-b", "a.B", "a.b", "a.b.c", "a_b", "a|b", "zé", "~"}
	for _, v := range values {
		want += fmt.Sprintf("envoy_fam{t=%q,u=\"1\"} 0\n", v)
	}
	for _, v := range slices.Backward(values) {
		s.Scope("").CounterWithTags("fam", []Tag{{"t", v}, {"u", "1"}})
	}
	diff(t, "tags", render(t, s, "/stats/prometheus?filter=^fam", false), want)
}

// One cluster's name begins the other's, so which is first depends on what follows.
func TestSeriesOfNestedNamesAreInOrder(t *testing.T) {
	s := NewStore(1)
	c, err := Compile(config(t, `{"use_all_default_tags":false,"stats_tags":[{"tag_name":"c","regex":"^cluster(\\.(.+))\\.m_"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Configure(c)
	var x struct {
		A Counter `stat:"m_a"`
		B Counter `stat:"m_b"`
	}
	Bind(s.Scope("cluster.a"), &x)
	Bind(s.Scope("cluster.a.b"), &x)
	Bind(s.Scope("cluster.a.x"), &x)
	want := ""
	for _, n := range []string{"m_a", "m_b"} {
		want += fmt.Sprintf("# TYPE envoy_cluster_%[1]s counter\nenvoy_cluster_%[1]s{c=\"a.b\"} 0\nenvoy_cluster_%[1]s{c=\"a\"} 0\nenvoy_cluster_%[1]s{c=\"a.x\"} 0\n", n)
	}
	diff(t, "prometheus", render(t, s, "/stats/prometheus", false), want)
}

func TestNamespacesAreTakenOff(t *testing.T) {
	s := NewStore(1)
	s.Scope("istiocustom").CounterWithTags("istio_requests_total", []Tag{{"reporter", "source"}, {"app", ""}}).Inc(1)
	s.Scope("istiocustom").Counter("1x")
	want := `istiocustom.istio_requests_total.reporter.source.app.: 1` + "\n"
	diff(t, "text", render(t, s, "/stats?usedonly", false), want)
	const line = `istio_requests_total{reporter="source",app=""} 1` + "\n"
	if got := render(t, s, "/stats/prometheus", false); !strings.Contains(got, "envoy_istiocustom_"+line) {
		t.Error(got)
	}
	s.CustomNamespace("istiocustom")
	diff(t, "prometheus", render(t, s, "/stats/prometheus", false), "# TYPE istio_requests_total counter\n"+line)
}

func TestScopeNamesAreCleaned(t *testing.T) {
	for name, want := range map[string]string{
		"a:b": "a_b.", "m::n": "m__n.", "http://foo/bar": "http_foo/bar.", "dot.": "dot.", "e://:/f:": "e__f_.", "": "", "[::1]_80": "[__1]_80.",
	} {
		if got := NewStore(1).Scope(name).Prefix(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestUsedOutlivesReset(t *testing.T) {
	s := NewStore(1)
	scope := s.Scope("a")
	scope.Counter("n").Add(1, 3)
	scope.Counter("nothing").Add(0, 0)
	scope.Gauge("g").Add(1, 0)
	scope.Gauge("zero").Set(0)
	scope.Gauge("kept").Set(4)
	scope.Counter("unused")
	scope.Gauge("unset")
	s.ResetCounters()
	diff(t, "after reset", render(t, s, "/stats?usedonly", false), "a.g: 0\na.kept: 4\na.n: 0\na.nothing: 0\na.zero: 0\n")
}

func TestExcludedStatsAreNotListed(t *testing.T) {
	s := NewStore(1)
	c, err := Compile(config(t, `{"stats_matcher":{"inclusion_list":{"patterns":[{"suffix":"_total"},{"exact":"h"}]}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Configure(c)
	var x someStats
	Bind(s.Scope("a"), &x)
	x.Active.Inc(1)
	x.Total.Inc(1)
	x.Time.Record(1, 1)
	s.Scope("").Histogram("h")
	s.Scope("").Histogram("i").Record(1, 3)
	diff(t, "text", render(t, s, "/stats", false), "a.cx_total: 1\nh: No recorded values\n")
	diff(t, "prometheus", render(t, s, "/stats/prometheus?filter=^a", false), "# TYPE envoy_a_cx_total counter\nenvoy_a_cx_total{} 1\n")
}

func TestListingWhileStatsComeAndGo(t *testing.T) {
	s := NewStore(2)
	istio(t, s)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var x someStats
				scope := s.Scope(fmt.Sprintf("cluster.%d-%d;", w, i%50))
				Bind(scope, &x)
				x.Total.Inc(Worker(w))
				x.Time.Record(Worker(w), uint64(i))
				x.Version.Set("v")
				scope.Counter("upstream_rq_200").Inc(Worker(w))
				scope.Close()
			}
		})
	}
	for range 50 {
		s.Flush()
		p, _ := ParseParams(query("usedonly&text_readouts"), false, false)
		for _, f := range []func(io.Writer, *Params) error{s.WriteText, s.WriteJSON, s.WritePrometheus, s.WriteProtobuf} {
			if err := f(io.Discard, p); err != nil {
				t.Error(err)
			}
		}
		s.ResetCounters()
	}
	close(stop)
	wg.Wait()
	if got := names(s, KindCounter, KindGauge, KindHistogram, KindTextReadout); len(got) != 0 {
		t.Errorf("%d stats are left: %v", len(got), got[0])
	}
}

func TestWritingStopsAtAnError(t *testing.T) {
	s, _ := mesh(50)
	p, _ := ParseParams(query(""), false, false)
	for _, f := range []func(io.Writer, *Params) error{s.WriteText, s.WriteJSON, s.WritePrometheus, s.WriteProtobuf} {
		if err := f(&failing{}, p); err != io.ErrClosedPipe {
			t.Error(err)
		}
	}
}

type failing struct{ bytes.Buffer }

func (f *failing) Write([]byte) (int, error) {
	if f.Len() > 0 {
		panic("written to after an error")
	}
	_, _ = f.WriteString("x")
	return 0, io.ErrClosedPipe
}

func TestFlushCallsHooksFirst(t *testing.T) {
	s := NewStore(1)
	h := s.Scope("").Histogram("h")
	s.OnFlush(func() { h.Record(0, 5) })
	s.Flush()
	for st := range s.All(KindHistogram) {
		st.Histogram(func(interval, cumulative *Bins) {
			if interval.Count() != 1 || cumulative.At(0) != (Bin{5, 0.1, 1}) || cumulative.Len() != 1 {
				t.Errorf("%v", cumulative)
			}
		})
	}
}

func TestTagged(t *testing.T) {
	s := NewStore(1)
	s.Scope("cluster.a").Counter("upstream_rq_200")
	s.Scope("x").CounterWithTags("n", []Tag{{"a.b", "c.d"}})
	for st := range s.All(KindCounter) {
		name, tags := st.Tagged()
		got := fmt.Sprint(st.Kind(), name, tags)
		if got != "0cluster.upstream_rq[{envoy.response_code 200} {envoy.cluster_name a}]" && got != "0x.n[{a.b c.d}]" {
			t.Error(got)
		}
	}
}
