package lb

import (
	"fmt"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

const down = endpoint.FailedActiveHC

// level is one priority: how many hosts of which health.
func level(p uint32, healthy, degraded, unhealthy int) (out []h) {
	out = append(out, repeat(healthy, h{priority: p})...)
	out = append(out, repeat(degraded, h{priority: p, flags: endpoint.DegradedActiveHC})...)
	return append(out, repeat(unhealthy, h{priority: p, flags: down})...)
}

// The rows with factor 140 are those of Envoy's documentation on priority levels and degraded endpoints.
func TestPriorityLoads(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts []h
		want  string
	}{
		{"all healthy", append(level(0, 100, 0, 0), level(1, 100, 0, 0)...), "[100 0] [0 0] [false false]"},
		{"72 % are enough", append(level(0, 72, 0, 28), level(1, 72, 0, 28)...), "[100 0] [0 0] [false false]"},
		{"71 %", append(level(0, 71, 0, 29), level(1, 71, 0, 29)...), "[99 1] [0 0] [false false]"},
		{"50 %", append(level(0, 50, 0, 50), level(1, 50, 0, 50)...), "[70 30] [0 0] [false false]"},
		{"25 % and all", append(level(0, 25, 0, 75), level(1, 100, 0, 0)...), "[35 65] [0 0] [false false]"},
		{"25 % and 25 %: both in panic, by number", append(level(0, 25, 0, 75), level(1, 25, 0, 75)...), "[50 50] [0 0] [true true]"},
		{"none and 72 %", append(level(0, 0, 0, 100), level(1, 72, 0, 28)...), "[0 100] [0 0] [false false]"},
		{"three levels", append(append(level(0, 25, 0, 75), level(1, 0, 0, 100)...), level(2, 80, 0, 20)...), "[35 0 65] [0 0 0] [false false false]"},
		{"10 % healthy, 90 % degraded", append(level(0, 10, 90, 0), level(1, 0, 0, 0)...), "[14] [86] [false]"},
		{"degraded of 0 before 1's degraded, after 1's healthy", append(level(0, 5, 50, 45), level(1, 20, 80, 0)...), "[7 28] [65 0] [false false]"},
		{"one level in panic", append(level(0, 20, 0, 80), level(1, 50, 0, 50)...), "[29 71] [0 0] [true false]"},
		{"nobody", nil, "[100] [0] [true]"},
		{"excluded do not count", append(level(0, 50, 0, 0), repeat(50, h{flags: down | endpoint.PendingActiveHC})...), "[100] [0] [false]"},
	} {
		set := hostSet(endpoint.SetOptions{}, c.hosts...)
		l := newLoads(set, 50, nil)
		if got := fmt.Sprint(l.Healthy, l.Degraded, l.panic); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPriorityHealthByWeight(t *testing.T) {
	hosts := []h{{weight: 90, flags: down}, {weight: 10}, {priority: 1}}
	byNumber := newLoads(hostSet(endpoint.SetOptions{}, hosts...), 0, nil)
	byWeight := newLoads(hostSet(endpoint.SetOptions{WeightedPriorityHealth: true}, hosts...), 0, nil)
	if fmt.Sprint(byNumber.Healthy, byWeight.Healthy) != "[70 30] [14 86]" {
		t.Error(byNumber.Healthy, byWeight.Healthy)
	}
}

func TestPanicThreshold(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, level(0, 1, 0, 3)...)
	e := testEnv()
	c := &Config{PanicThreshold: 50}
	near(t, picks(c.New(e, set, nil), &Context{}, set, 400), 400, 0, map[int]float64{0: .25, 1: .25, 2: .25, 3: .25})
	if e.Stats.HealthyPanic.Value() != 400 {
		t.Error("lb_healthy_panic", e.Stats.HealthyPanic.Value())
	}
	c.Locality.FailTrafficOnPanic = true
	near(t, picks(c.New(e, set, nil), &Context{}, set, 10), 10, 0, map[int]float64{-1: 1})
	c = &Config{PanicThreshold: 20}
	near(t, picks(c.New(e, set, nil), &Context{}, set, 10), 10, 0, map[int]float64{0: 1})
	// healthy_panic_threshold 0: no panic, even if nobody is healthy.
	dead := hostSet(endpoint.SetOptions{}, level(0, 0, 0, 3)...)
	near(t, picks((&Config{}).New(e, dead, nil), &Context{}, dead, 10), 10, 0, map[int]float64{-1: 1})
	e.Runtime = runtime.New(runtime.Layer{Values: map[string]string{runtime.HealthyPanic: "100"}})
	near(t, picks((&Config{}).New(e, dead, nil), &Context{}, dead, 3), 3, 0, map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3})
}

type other struct{}

func (other) Load(set *endpoint.HostSet, usual *PriorityLoad) *PriorityLoad {
	if usual.Healthy[0] != 100 || len(set.Priorities) != 2 {
		return usual
	}
	return &PriorityLoad{Healthy: []uint32{0, 100}, Degraded: []uint32{0, 0}}
}

func TestRetryPriorityChangesTheLoad(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{}, h{priority: 1})
	l := (&Config{PanicThreshold: 50}).New(testEnv(), set, nil)
	near(t, picks(l, &Context{}, set, 10), 10, 0, map[int]float64{0: 1})
	near(t, picks(l, &Context{Priorities: other{}}, set, 10), 10, 0, map[int]float64{1: 1})
}

func TestLocalityWeights(t *testing.T) {
	key := func(z string) endpoint.LocalityKey { return endpoint.LocalityKey{Locality: endpoint.Locality{Zone: z}} }
	o := endpoint.SetOptions{Weights: map[endpoint.LocalityKey]uint32{key("a"): 1, key("b"): 3}}
	c := &Config{PanicThreshold: 50, Locality: LocalityConfig{Weighted: true}}
	set := hostSet(o, h{zone: "a"}, h{zone: "b"}, h{zone: "b"}, h{zone: "c"})
	near(t, picks(c.New(testEnv(), set, nil), &Context{}, set, 80), 80, 0, map[int]float64{0: .25, 1: .375, 2: .375})
	// Half of b is down: its weight is 3 × min(1, 1.4 × 0.5) = 2.1.
	half := hostSet(o, h{zone: "a"}, h{zone: "b"}, h{zone: "b", flags: down})
	near(t, picks(c.New(testEnv(), half, nil), &Context{}, half, 3100), 3100, .002, map[int]float64{0: 1 / 3.1, 1: 2.1 / 3.1})
	// Without weights the localities are one.
	none := hostSet(endpoint.SetOptions{}, h{zone: "a"}, h{zone: "b"}, h{zone: "b"})
	near(t, picks(c.New(testEnv(), none, nil), &Context{}, none, 30), 30, 0, map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3})
}

func TestZoneAwareRouting(t *testing.T) {
	local := func(list ...h) *endpoint.HostSet {
		return hostSet(endpoint.SetOptions{Local: &endpoint.Locality{Zone: "a"}}, list...)
	}
	zones := func(a, b, c int) (out []h) {
		return append(append(repeat(a, h{zone: "a"}), repeat(b, h{zone: "b"})...), repeat(c, h{zone: "c"})...)
	}
	share := func(t *testing.T, e *Env, c *Config, set *endpoint.HostSet) map[string]float64 {
		out := map[string]float64{}
		l := c.New(e, set, nil)
		for range 20_000 {
			if h := l.Pick(&Context{}); h != nil {
				out[h.Endpoint().Locality.Zone] += 1. / 20_000
			}
		}
		return out
	}
	config := func() *Config {
		return &Config{PanicThreshold: 50, Locality: LocalityConfig{RoutingEnabled: 100, MinClusterSize: 6}}
	}
	within := func(t *testing.T, got map[string]float64, a, b, c float64) {
		t.Helper()
		for z, want := range map[string]float64{"a": a, "b": b, "c": c} {
			if d := got[z] - want; d > .02 || d < -.02 {
				t.Errorf("zone %s got %.3f, want %.3f", z, got[z], want)
			}
		}
	}
	upstream := local(zones(2, 4, 4)...)
	e := testEnv()
	within(t, share(t, e, config(), upstream), .2, .4, .4) // no local cluster

	e.Local = local(zones(1, 5, 5)...)
	within(t, share(t, e, config(), upstream), 1, 0, 0) // 20 % upstream, 9 % of the proxies
	if e.Stats.ZoneRoutingAllDirectly.Value() != 20_000 {
		t.Error("lb_zone_routing_all_directly")
	}
	// 40 % of the proxies, 20 % upstream: half stays; the rest goes where there is room: b has 10, c 10.
	e.Local = local(zones(4, 3, 3)...)
	within(t, share(t, e, config(), upstream), .5, .25, .25)
	if n := e.Stats.ZoneRoutingSampled.Value() + e.Stats.ZoneRoutingCrossZone.Value(); n != 20_000 {
		t.Error("lb_zone_routing_sampled and _cross_zone", n)
	}
	// Only c has room: b has as many hosts as there are proxies.
	within(t, share(t, e, config(), local(zones(2, 3, 5)...)), .5, 0, .5)
	// c has twice the room of b.
	within(t, share(t, e, config(), local(zones(1, 4, 5)...)), .25, .25, .5)
	c := config()
	c.Locality.ForceLocal = 2
	within(t, share(t, e, c, upstream), 1, 0, 0)
	c.Locality.ForceLocal = 3 // there are but 2
	within(t, share(t, e, c, upstream), .5, .25, .25)
	c = config()
	c.Locality.RoutingEnabled = 0
	within(t, share(t, e, c, upstream), .2, .4, .4)
	c = config()
	c.Locality.MinClusterSize = 11
	within(t, share(t, e, c, upstream), .2, .4, .4)
	if e.Stats.ZoneClusterTooSmall.Value() != 1 {
		t.Error("lb_zone_cluster_too_small")
	}
	e.Local = local(append(zones(0, 3, 3), repeat(3, h{zone: "a", flags: down})...)...)
	within(t, share(t, e, config(), upstream), 1, 0, 0) // there is nobody to share the own zone with
	e.Local = local(zones(0, 3, 3)...)
	within(t, share(t, e, config(), upstream), .2, .4, .4)
	if e.Stats.LocalClusterNotOK.Value() == 0 {
		t.Error("lb_local_cluster_not_ok")
	}
}
