package stats

import (
	"math"
	"sync"
	"testing"
)

type someStats struct {
	Total  Counter   `stat:"cx_total"`
	Active Gauge     `stat:"cx_active"`
	Time   Histogram `stat:"rq_time"`
	Inner  struct {
		Open Gauge `stat:"cx_open"`
	} `stat:"circuit_breakers.default."`
	Version TextReadout `stat:"version_text"`
}

func TestBindSharesStatsOfOneName(t *testing.T) {
	s := NewStore(2)
	var a, b someStats
	one, two := s.Scope("cluster.a"), s.Scope("cluster").Scope("a")
	Bind(one, &a)
	Bind(two, &b)
	a.Total.Inc(1)
	b.Total.Add(2, 4)
	if a.Total.Value() != 5 || b.Total.Value() != 5 {
		t.Errorf("%d and %d, want 5", a.Total.Value(), b.Total.Value())
	}
	if len(s.groups) != 1 {
		t.Errorf("%d groups, want one", len(s.groups))
	}
	one.Close()
	if len(s.groups) != 1 {
		t.Error("a stat is listed until its last scope is closed")
	}
	two.Close()
	two.Close()
	a.Total.Inc(1)
	if len(s.groups) != 0 || a.Total.Value() != 6 {
		t.Error("counting goes on after Close")
	}
}

func TestGaugeIsUsedOnceSet(t *testing.T) {
	s := NewStore(1)
	var a someStats
	Bind(s.Scope("x"), &a)
	a.Active.Inc(1)
	a.Active.Inc(0)
	a.Active.Dec(1)
	if v := a.Active.Value(); v != 1 {
		t.Errorf("active = %d", v)
	}
	a.Inner.Open.Set(0)
	if v := a.Inner.Open.Value(); v != 0 {
		t.Errorf("open = %d", v)
	}
	a.Inner.Open.Set(7)
	if v := a.Inner.Open.Value(); v != 7 {
		t.Errorf("open = %d", v)
	}
	a.Version.Set("v1")
	if a.Version.Value() != "v1" {
		t.Error(a.Version.Value())
	}
}

func TestZeroStatsCountNowhere(*testing.T) {
	var a someStats
	a.Total.Inc(3)
	a.Active.Dec(3)
	a.Time.Record(3, 1)
	a.Version.Set("x")
}

type exclude string

func (e exclude) Excluded(name string) bool { return name == string(e) }

func TestMatcherExcludes(t *testing.T) {
	s := NewStore(1)
	s.SetMatcher(exclude("a.cx_total"))
	var a someStats
	Bind(s.Scope("a"), &a)
	a.Total.Inc(1)
	a.Active.Inc(1)
	if a.Total.Value() != 0 || a.Active.Value() != 1 {
		t.Errorf("%d, %d", a.Total.Value(), a.Active.Value())
	}
	if c := s.Scope("a").Counter("cx_total"); c.Value() != 0 || len(s.groups) != 1 {
		t.Error("an excluded stat is not listed")
	}
}

func TestBinsAreTwoDigits(t *testing.T) {
	for v, want := range map[uint64][2]int{1: {0, 0}, 9: {0, 80}, 10: {1, 0}, 11: {1, 1}, 99: {1, 89}, 100: {2, 0}, 109: {2, 0}, 110: {2, 1}, 999: {2, 89}, 12345: {4, 2}, math.MaxUint64: {19, 8}} {
		if d, i := bin(v); d != want[0] || i != want[1] {
			t.Errorf("bin(%d) = %d, %d, want %v", v, d, i, want)
		}
	}
}

func TestCountingIsSafeAndDoesNotAllocate(t *testing.T) {
	s := NewStore(2)
	var a someStats
	Bind(s.Scope("x"), &a)
	codes := NewCodes(s.Scope("x"), "upstream_rq", true)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 1000 {
				a.Total.Inc(Worker(w))
				a.Time.Record(Worker(w), uint64(i))
				codes.Inc(Worker(w), 200)
			}
		})
	}
	wg.Wait()
	if a.Total.Value() != 3000 || s.Scope("x").Counter("upstream_rq_2xx").Value() != 3000 || s.Scope("x").Counter("upstream_rq_200").Value() != 3000 {
		t.Error("counts are lost")
	}
	if n := testing.AllocsPerRun(100, func() { a.Total.Inc(1); a.Time.Record(1, 5); codes.Inc(1, 200) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCounter(b *testing.B) {
	s := NewStore(2)
	var a someStats
	Bind(s.Scope("x"), &a)
	for b.Loop() {
		a.Total.Inc(1)
	}
}
