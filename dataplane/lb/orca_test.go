package lb

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

func TestLoadReports(t *testing.T) {
	c := &ClientConfig{ErrorPenalty: 2, Metrics: []string{"named_metrics.q"}}
	for _, x := range []struct {
		name, value string
		want        float64
	}{
		{"endpoint-load-metrics", "TEXT cpu_utilization=0.5,rps_fractional=10", 20},
		{"endpoint-load-metrics", "TEXT cpu_utilization=0.5,rps_fractional=10,eps=1.25", 10.0 / .75},
		{"endpoint-load-metrics", "TEXT cpu_utilization=0.5,application_utilization=0.25,rps_fractional=10", 40},
		{"endpoint-load-metrics", "TEXT named_metrics.q=2,cpu_utilization=0.5,rps_fractional=10", 5},
		{"endpoint-load-metrics", `JSON {"cpu_utilization":0.5,"rps_fractional":10}`, 20},
		{"endpoint-load-metrics-bin", "CQAAAAAAAOA/MQAAAAAAACRA", 20}, // cpu_utilization 0.5, rps_fractional 10
		{"endpoint-load-metrics", "TEXT cpu_utilization=0.5", 0},
		{"endpoint-load-metrics", "TEXT rps_fractional=10", 0},
		{"other", "x", 0},
	} {
		var h header.Map
		h.Reset()
		h.Add(x.name, x.value)
		r, err := LoadReport(&h)
		if err != nil {
			t.Errorf("%s: %v", x.value, err)
		}
		if w, ok := c.Weight(r); w != x.want || ok != (x.want > 0) {
			t.Errorf("%s: %v, want %v", x.value, w, x.want)
		}
	}
	for _, bad := range []string{"TEXT cpu_utilization=x", "CSV 1", "JSON {", "BIN *"} {
		var h header.Map
		h.Reset()
		h.Add("endpoint-load-metrics", bad)
		if _, err := LoadReport(&h); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestBoundedLoadSpillsToTheSameOtherHost(t *testing.T) {
	for _, k := range []Kind{RingHash, Maglev} {
		c := &Config{Kind: k, PanicThreshold: 50, Hash: HashConfig{MinRing: 1024, MaxRing: 1024, Table: 1009, BalanceFactor: 150}}
		set := hostSet(endpoint.SetOptions{}, repeat(4, h{})...)
		l := c.New(testEnv(), set, nil)
		ctx := &Context{HasHash: true, Hash: 0xdeadbeefcafe}
		first := l.Pick(ctx)
		// Of 8 requests at all, each of 4 hosts may have ceil(ceil(9 × 1.5) / 4) = 4.
		first.Stats.RqActive.Add(4)
		set.Hosts[(indexOf(set, first)+1)%4].Stats.RqActive.Add(4)
		if l.Pick(ctx) != first {
			t.Error("at its bound")
		}
		first.Stats.RqActive.Add(4)
		second := l.Pick(ctx)
		if second == first || second.Active() > 4 || l.Pick(ctx) != second {
			t.Error("over its bound")
		}
	}
}

func indexOf(set *endpoint.HostSet, h *endpoint.Host) int {
	for i := range set.Hosts {
		if set.Hosts[i] == h {
			return i
		}
	}
	return -1
}
