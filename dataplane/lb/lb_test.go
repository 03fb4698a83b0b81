package lb

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

func testEnv() *Env {
	e := &Env{Stats: &Stats{}, Workers: 2, Runtime: runtime.New()}
	stats.Bind(stats.NewStore(2).Scope("cluster.x"), e.Stats)
	return e
}

// h is a host in shorthand: its address is 10.0.0.<place in the list>.
type h struct {
	weight   uint32
	priority uint32
	zone     string
	flags    endpoint.Flag
	active   int
}

func hostSet(o endpoint.SetOptions, list ...h) *endpoint.HostSet {
	hosts := make([]*endpoint.Host, len(list))
	for i, x := range list {
		e := &endpoint.Endpoint{
			Address: endpoint.IPAddress(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)),
			Weight:  max(x.weight, 1), Priority: x.priority, Locality: endpoint.Locality{Zone: x.zone},
		}
		hosts[i] = endpoint.NewHost("c", e, nil, time.Now())
		hosts[i].SetFlags(x.flags, x.flags)
		hosts[i].Stats.RqActive.Add(int64(x.active))
	}
	return endpoint.NewHostSet(hosts, o)
}

func setFrom(s *endpoint.Spec, local *endpoint.Locality) *endpoint.HostSet {
	var hosts []*endpoint.Host
	o := endpoint.SetOptions{Local: local, Overprovisioning: s.Overprovisioning, Weights: map[endpoint.LocalityKey]uint32{}}
	for _, l := range s.Localities {
		o.Weights[endpoint.LocalityKey{Priority: l.Priority, Locality: l.Locality}] = l.Weight
		for _, e := range l.Endpoints {
			hosts = append(hosts, endpoint.NewHost("c", e, nil, time.Now()))
		}
	}
	return endpoint.NewHostSet(hosts, o)
}

// picks counts n picks by the place of the host in the set; -1 is none.
func picks(l LoadBalancer, c *Context, set *endpoint.HostSet, n int) map[int]int {
	out := map[int]int{}
	for range n {
		out[slices.Index(set.Hosts, l.Pick(c))]++
	}
	return out
}

func repeat(n int, x h) []h { return slices.Repeat([]h{x}, n) }

// near checks shares against wanted parts of the whole, within tolerance of the whole.
func near(t *testing.T, got map[int]int, n int, tolerance float64, want map[int]float64) {
	t.Helper()
	for i, w := range want {
		if g := float64(got[i]) / float64(n); math.Abs(g-w) > tolerance {
			t.Errorf("host %d got %.3f, want %.3f (%v)", i, g, w, got)
		}
	}
	for i, g := range got {
		if _, ok := want[i]; !ok {
			t.Errorf("host %d got %d", i, g)
		}
	}
}

func TestRoundRobinTakesEachInTurn(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, repeat(3, h{})...)
	l := (&Config{PanicThreshold: 50}).New(testEnv(), set, nil)
	for _, w := range []stats.Worker{1, 2} {
		near(t, picks(l, &Context{Worker: w}, set, 300), 300, 0, map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3})
	}
}

func TestRoundRobinByWeightIsExactOverAPeriod(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{weight: 10}, h{weight: 20}, h{weight: 70})
	l := (&Config{PanicThreshold: 50}).New(testEnv(), set, nil)
	near(t, picks(l, &Context{}, set, 10), 10, 0, map[int]float64{0: .1, 1: .2, 2: .7})
}

func TestScheduleIsEarliestDeadlineFirst(t *testing.T) {
	s := newSchedule([]float64{1, 2, 1})
	var got []int
	for i := range uint64(8) {
		got = append(got, s.at(i))
	}
	// Deadlines: host 1 at 1/2 and 1, hosts 0 and 2 at 1.
	if want := []int{1, 0, 2, 1, 1, 0, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestScheduleOfUnwieldyWeightsIsSpreadEvenly(t *testing.T) {
	weights := []float64{0, 0.123, 7.7, 0, 1e3, 33, 0}
	s := newSchedule(weights)
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	const n = 100_000
	got := make([]int, len(weights))
	for i := range uint64(n) {
		got[s.at(i)]++
	}
	for i, w := range weights {
		if want := w / sum * n; math.Abs(float64(got[i])-want) > 5 {
			t.Errorf("%d: %d of %.1f", i, got[i], want)
		}
	}
	if newSchedule([]float64{0, 0}) != nil {
		t.Error("no weights")
	}
}

func TestLeastRequestPrefersTheIdleOfTwo(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{active: 9}, h{active: 0}, h{active: 9})
	c := &Config{Kind: LeastRequest, PanicThreshold: 50, LeastRequest: LeastRequestConfig{Choices: 2, Bias: Double{Default: 1}}}
	// The idle one loses only where it is not among the two: (2/3)².
	near(t, picks(c.New(testEnv(), set, nil), &Context{Random: 1}, set, 30_000), 30_000, .01, map[int]float64{0: 2. / 9, 1: 5. / 9, 2: 2. / 9})
	c.LeastRequest.FullScan = true
	near(t, picks(c.New(testEnv(), set, nil), &Context{}, set, 100), 100, 0, map[int]float64{1: 1})
	c.LeastRequest.FullScan = false
	c.LeastRequest.Choices = 50
	near(t, picks(c.New(testEnv(), set, nil), &Context{Random: 1}, set, 1000), 1000, 0, map[int]float64{1: 1})
}

func TestLeastRequestByWeightAndLoad(t *testing.T) {
	c := &Config{Kind: LeastRequest, PanicThreshold: 50, LeastRequest: LeastRequestConfig{Choices: 2, Bias: Double{Default: 1}}}
	idle := hostSet(endpoint.SetOptions{}, h{weight: 1}, h{weight: 3})
	near(t, picks(c.New(testEnv(), idle, nil), &Context{}, idle, 40), 40, 0, map[int]float64{0: .25, 1: .75})
	// Weights 1 and 3, divided by 1 and 3.
	busy := hostSet(endpoint.SetOptions{}, h{weight: 1}, h{weight: 3, active: 2})
	near(t, picks(c.New(testEnv(), busy, nil), &Context{Random: 1}, busy, 40_000), 40_000, .02, map[int]float64{0: .5, 1: .5})
	c.LeastRequest.Bias.Default = 0
	near(t, picks(c.New(testEnv(), busy, nil), &Context{}, busy, 40), 40, 0, map[int]float64{0: .25, 1: .75})
	c.LeastRequest.Bias.Default = 2 // 1 and 3/9
	near(t, picks(c.New(testEnv(), busy, nil), &Context{Random: 1}, busy, 40_000), 40_000, .03, map[int]float64{0: .75, 1: .25})
}

func TestRandomKnowsNoWeights(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{weight: 1}, h{weight: 100})
	l := (&Config{Kind: Random, PanicThreshold: 50}).New(testEnv(), set, nil)
	near(t, picks(l, &Context{Random: 1}, set, 20_000), 20_000, .02, map[int]float64{0: .5, 1: .5})
}

type not struct{ host *endpoint.Host }

func (n not) ShouldSelectAnother(h *endpoint.Host) bool { return h == n.host }

func TestPredicateTurnsHostsDownSoManyTimes(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, repeat(2, h{})...)
	for _, k := range []Kind{RoundRobin, RingHash, Maglev} {
		l := (&Config{Kind: k, PanicThreshold: 50, Hash: HashConfig{MinRing: 8, MaxRing: 8, Table: 13}}).New(testEnv(), set, nil)
		c := &Context{Predicate: not{set.Hosts[0]}, HostSelectionAttempts: 10, HasHash: true}
		for i := range uint64(50) {
			c.Hash = i * 0x9e3779b97f4a7c15
			if l.Pick(c) != set.Hosts[1] {
				t.Fatalf("policy %d: the host that was turned down", k)
			}
		}
		one := hostSet(endpoint.SetOptions{}, h{})
		c.Predicate = not{one.Hosts[0]}
		if l := (&Config{Kind: k, PanicThreshold: 50, Hash: HashConfig{MinRing: 8, MaxRing: 8, Table: 13}}).New(testEnv(), one, nil); l.Pick(c) != one.Hosts[0] {
			t.Error("after the last attempt it is taken all the same")
		}
	}
}

func TestPicksDoNotAllocate(t *testing.T) {
	zones := endpoint.SetOptions{Weights: map[endpoint.LocalityKey]uint32{{Locality: endpoint.Locality{Zone: "a"}}: 1, {Locality: endpoint.Locality{Zone: "b"}}: 2}}
	for _, k := range []Kind{RoundRobin, LeastRequest, Random, RingHash, Maglev} {
		for _, w := range []uint32{1, 5} {
			set := hostSet(zones, h{zone: "a"}, h{zone: "b", weight: w}, h{zone: "b"})
			config := &Config{Kind: k, PanicThreshold: 50, LeastRequest: LeastRequestConfig{Choices: 2, Bias: Double{Default: 1}}, Hash: HashConfig{MinRing: 64, MaxRing: 64, Table: 101, BalanceFactor: 120}}
			for _, config.Locality.Weighted = range []bool{false, true} {
				l := config.New(testEnv(), set, nil)
				c := &Context{Worker: 1, HasHash: true}
				if n := testing.AllocsPerRun(1000, func() { c.Hash += 77; l.Pick(c) }); n != 0 {
					t.Errorf("policy %d, weight %d, localities %v: %v allocations", k, w, config.Locality.Weighted, n)
				}
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, k := range []Kind{RoundRobin, LeastRequest, Random} {
		for _, w := range []uint32{1, 5} {
			b.Run(fmt.Sprintf("policy=%d/weight=%d", k, w), func(b *testing.B) {
				set := hostSet(endpoint.SetOptions{}, append(repeat(9, h{}), h{weight: w})...)
				l := (&Config{Kind: k, PanicThreshold: 50, LeastRequest: LeastRequestConfig{Choices: 2, Bias: Double{Default: 1}}}).New(testEnv(), set, nil)
				c := &Context{Worker: 1}
				for b.Loop() {
					l.Pick(c)
				}
			})
		}
	}
}
