package stats

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestUnusedStatsOfEvictableScopesGo(t *testing.T) {
	s := NewStore(1)
	scope := s.Evictable("istiocustom")
	tags := func(v string) []Tag { return []Tag{{"t", v}} }
	a, b := scope.CounterWithTags("ev", tags("a")), scope.CounterWithTags("ev", tags("b"))
	h := scope.HistogramWithTags("evh", tags("a"))
	g := scope.GaugeWithTags("build", tags("x"))
	idle := scope.Counter("idle")
	g.Set(1)
	kept := s.Scope("other").Counter("n")
	round := func(want string) {
		t.Helper()
		s.Flush()
		s.Evict()
		if got := strings.Join(names(s, KindCounter, KindGauge, KindHistogram), " "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	a.Inc(1)
	b.Inc(1)
	h.Record(1, 5)
	const ic = "istiocustom."
	round(ic + "build.t.x " + ic + "ev.t.a " + ic + "ev.t.b " + ic + "evh.t.a " + ic + "idle other.n")
	a.Inc(1)
	round(ic + "build.t.x " + ic + "ev.t.a other.n")
	if a.Evicted() || !b.Evicted() || !h.Evicted() || g.Evicted() || !idle.Evicted() || kept.Evicted() {
		t.Error("who is evicted knows it")
	}
	if again := scope.CounterWithTags("ev", tags("b")); again == b || again.Value() != 0 {
		t.Error("asked for again it begins at zero")
	}
	round(ic + "build.t.x " + ic + "ev.t.b other.n")
	scope.Close()
	round("other.n")
}

func TestStatIsNotEvictedWhileAnotherScopeHasIt(t *testing.T) {
	s := NewStore(1)
	one, two := s.Evictable("x"), s.Evictable("x")
	c := one.Counter("n")
	if two.Counter("n"); c.Evicted() {
		t.Error("evicted at once")
	}
	for range 3 {
		s.Evict()
	}
	if c.Evicted() || len(names(s, KindCounter)) != 1 {
		t.Error("evicted")
	}
}

func TestResolvingIsTheSameCounter(t *testing.T) {
	s := NewStore(1)
	scope := s.Evictable("")
	a := scope.CounterWithTags("n", []Tag{{"a", "1"}, {"b", ""}})
	if scope.CounterWithTags("n", []Tag{{"a", "1"}, {"b", ""}}) != a || scope.CounterWithTags("n", []Tag{{"a", "2"}, {"b", ""}}) == a {
		t.Error("a counter a combination")
	}
	if n := testing.AllocsPerRun(100, func() {
		if !a.Evicted() {
			a.Inc(1)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whoever asks again when a counter is evicted loses nothing but what falls between asking and counting.
func TestCountingWhileEvicting(t *testing.T) {
	s := NewStore(2)
	scope := s.Evictable("x")
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			var c *Counter
			for i := range 20000 {
				if c == nil || c.Evicted() {
					c = scope.CounterWithTags("n", []Tag{{"w", fmt.Sprint(i % 3)}})
				}
				c.Inc(Worker(w))
			}
		})
	}
	done := make(chan struct{})
	go func() { // ends when all have counted
		wg.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		default:
			s.Flush()
			s.Evict()
		}
	}
}

func TestLoneCountersShareCacheLines(t *testing.T) {
	s := NewStore(3)
	scope := s.Scope("x")
	a, b, g := scope.Counter("a"), scope.Counter("b"), scope.Gauge("g")
	for w := range Worker(4) {
		a.Add(w, 1)
		b.Add(w, 10)
		g.Add(w, 100)
		g.Sub(w, 1)
	}
	if a.Value() != 4 || b.Value() != 40 || g.Value() != 396 {
		t.Error(a.Value(), b.Value(), g.Value())
	}
	if &a.g.cells.Load().mem[0] != &b.g.cells.Load().mem[0] {
		t.Error("two slabs")
	}
}
