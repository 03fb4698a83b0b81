package cluster

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// stats.txt is what envoy-1.40 lists of a STATIC cluster without traffic.
func TestStatsOfAClusterAreEnvoys(t *testing.T) {
	data, err := os.ReadFile("testdata/stats.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(data))
	slices.Sort(want)
	f := newFixture(t, nil).put(with(``)).apply()
	names := func() (out []string) {
		for s := range f.store.All(stats.KindCounter, stats.KindGauge, stats.KindHistogram, stats.KindTextReadout) {
			if name, ok := strings.CutPrefix(string(s.Name()), "cluster.c."); ok {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
	check := func(when string) {
		got := names()
		for _, n := range want {
			if !slices.Contains(got, n) {
				t.Errorf("%s: %s is missing", when, n)
			}
		}
		for _, n := range got {
			if !slices.Contains(want, n) {
				t.Errorf("%s: Envoy has no %s", when, n)
			}
		}
	}
	check("untouched")
	f.get("c").Pick(&lb.Context{})
	check("touched")
}
