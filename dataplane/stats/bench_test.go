package stats

import (
	"fmt"
	"io"
	"reflect"
	"runtime"
	"testing"
)

// mesh makes a store as a sidecar in a mesh of this many services has it: for each a struct of a
// hundred stats, of which a tenth are used.
func mesh(services int) (*Store, []any) {
	s := NewStore(2)
	var fields []reflect.StructField
	for i := range 100 {
		kind := []reflect.Type{reflect.TypeFor[Counter](), reflect.TypeFor[Counter](), reflect.TypeFor[Counter](), reflect.TypeFor[Gauge]()}[i%4]
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: kind, Tag: reflect.StructTag(fmt.Sprintf(`stat:"upstream_something_that_counts_%02d"`, i))})
	}
	t := reflect.StructOf(fields)
	keep := []any{s}
	for i := range services {
		v := reflect.New(t)
		Bind(s.Scope(fmt.Sprintf("cluster.outbound|9080||service-%d.some-namespace.svc.cluster.local;", i)), v.Interface())
		for f := 0; f < 100; f += 10 {
			if c, ok := v.Elem().Field(f).Addr().Interface().(*Counter); ok {
				c.Add(1, uint64(i)+1)
			}
		}
		keep = append(keep, v.Interface())
	}
	return s, keep
}

func istio(t testing.TB, s *Store) {
	_, c := readKitchen(t, "kitchen_istio.json.gz")
	compiled, err := Compile(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Configure(compiled)
}

func BenchmarkScrape100k(b *testing.B) {
	s, _ := mesh(1000)
	istio(b, s)
	p, _ := ParseParams(query(""), false, false)
	used, _ := ParseParams(query("usedonly&filter=something"), false, false)
	for name, f := range map[string]func() error{
		"prometheus":          func() error { return s.WritePrometheus(io.Discard, p) },
		"prometheus-usedonly": func() error { return s.WritePrometheus(io.Discard, used) },
		"text":                func() error { return s.WriteText(io.Discard, p) },
		"json":                func() error { return s.WriteJSON(io.Discard, p) },
		"protobuf":            func() error { return s.WriteProtobuf(io.Discard, p) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s, _ := mesh(1000)
			istio(b, s)
			b.StartTimer()
			_ = s.WritePrometheus(io.Discard, p)
		}
	})
	b.Run("after-a-change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s.Scope("x").Counter(fmt.Sprint(i))
			_ = s.WritePrometheus(io.Discard, p)
		}
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
	}
	before := heap()
	s, keep := mesh(1000)
	b.ReportMetric(float64(heap()-before)/100000, "B/stat-of-a-struct")
	istio(b, s)
	p, _ := ParseParams(query(""), false, false)
	before2 := heap()
	_ = s.WritePrometheus(io.Discard, p)
	b.ReportMetric(float64(heap()-before2)/100000, "B/stat-more-after-scrape")
	before = heap()
	scope := s.Scope("cluster.x")
	for i := range 10000 {
		scope.Counter(fmt.Sprintf("upstream_rq_%d", i)).Inc(1)
	}
	b.ReportMetric(float64(heap()-before)/10000, "B/single-counter")
	before = heap()
	ev := s.Evictable("istiocustom")
	tags := []Tag{}
	for i := range 20 {
		tags = append(tags, Tag{fmt.Sprintf("destination_something_%d", i), "some-value-of-it"})
	}
	for i := range 10000 {
		tags[7].Value = fmt.Sprint("workload-", i)
		ev.CounterWithTags("istio_requests_total", tags).Inc(1)
	}
	b.ReportMetric(float64(heap()-before)/10000, "B/counter-with-20-tags")
	before = heap()
	for i := range 1000 {
		h := scope.Histogram(fmt.Sprintf("upstream_rq_time%d", i))
		for v := range 50 {
			h.Record(1, uint64(v*7))
			h.Record(2, uint64(v*7))
		}
	}
	s.Flush()
	b.ReportMetric(float64(heap()-before)/1000, "B/histogram-3-decades")
	runtime.KeepAlive(keep)
}
