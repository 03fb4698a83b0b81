package stats

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// testdata/samples is what /stats of a real Envoy 1.40 said under istiod, copied from
// reference/admin-samples: a gateway's with Istio's own matcher, and all stats of a sidecar.

func sample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/samples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

// parseText reads /stats back. Counters are taken for gauges; a histogram has the one value that its
// P0 tells, and the same interval.
func parseText(t *testing.T, text string) (all []known) {
	t.Helper()
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			t.Fatalf("%q", line)
		}
		k := known{name: name, kind: KindGauge, used: true}
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err == nil:
			k.value = n
		case value[0] == '"':
			k.kind, k.text = KindTextReadout, value[1:len(value)-1]
		default:
			k.kind = KindHistogram
			if m := regexp.MustCompile(`^P0\(([\d.]+),`).FindStringSubmatch(value); m != nil {
				v, _ := strconv.ParseFloat(m[1], 64)
				k.totals = []Bin{{Lower: float64(uint64(v)), Count: 1}}
				k.interval = k.totals
			}
		}
		all = append(all, k)
	}
	return all
}

func TestSamplesOfAGateway(t *testing.T) {
	s := NewStore(2)
	istio(t, s)
	fill(t, s, parseText(t, sample(t, "stats.txt")), true)
	for file, path := range map[string]string{
		"stats.txt": "/stats", "stats_json.json": "/stats?format=json",
		"stats_type_histograms.txt":            "/stats?usedonly&type=Histograms",
		"stats_type_histograms_cumulative.txt": "/stats?usedonly&type=Histograms&histogram_buckets=cumulative",
		"stats_type_histograms_disjoint.txt":   "/stats?usedonly&type=Histograms&histogram_buckets=disjoint",
	} {
		diff(t, file, moving.ReplaceAllString(render(t, s, path, false), "$1"), moving.ReplaceAllString(sample(t, file), "$1"))
	}
	s = NewStore(2)
	fill(t, s, parseText(t, sample(t, "stats_usedonly.txt")), false)
	diff(t, "usedonly", render(t, s, "/stats?usedonly", false), sample(t, "stats_usedonly.txt"))
	diff(t, "detailed", render(t, s, "/stats?usedonly&format=json&histogram_buckets=detailed", false), sample(t, "stats_json_hist_detailed.json"))
}

// moving is the stats that moved on between one request and the next.
var moving = regexp.MustCompile(`((?:stats_recent_lookups|memory_[a-z]+|uptime)(?:": |: |","value":))\d+`)

// The values moved on between the two requests: what is compared is names, kinds, labels and order.
func TestSamplesInPrometheus(t *testing.T) {
	for text, prometheus := range map[string]string{
		"stats.txt": "stats_prometheus.txt", "allstats_stats.txt.gz": "allstats_stats_prometheus.txt.gz",
	} {
		want := sample(t, prometheus)
		counters := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) counter$`).FindAllStringSubmatch(want, -1) {
			counters[m[1]] = true
		}
		s := NewStore(2)
		istio(t, s)
		all := parseText(t, sample(t, text))
		for i := range all {
			metric, _, _ := strings.Cut(s.tagger.Load().prometheus(all[i].name), "{")
			if counters[metric] {
				all[i].kind = KindCounter
			}
		}
		fill(t, s, all, true)
		value := regexp.MustCompile(`(?m)\} \S+$`)
		diff(t, prometheus, value.ReplaceAllString(render(t, s, "/stats/prometheus", false), "} 0"), value.ReplaceAllString(want, "} 0"))
	}
}
