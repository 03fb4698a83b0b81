package stats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// readHistograms reads what real Envoy 1.40 was fed, as histograms h00, h01 …: what they recorded before
// the first flush, and before the second; its histogram_bucket_settings; and what it said.
func readHistograms(t *testing.T) (sets [][2][]uint64, config *metricspb.StatsConfig, says map[string]json.RawMessage) {
	t.Helper()
	raw, err := os.ReadFile("testdata/histograms.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &says); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(says["sets"], &sets); err != nil {
		t.Fatal(err)
	}
	config = &metricspb.StatsConfig{}
	if err := protojson.Unmarshal([]byte(`{"histogram_bucket_settings":`+string(says["settings"])+`}`), config); err != nil {
		t.Fatal(err)
	}
	return sets, config, says
}

func query(q string) func(string) (string, bool) {
	params := map[string]string{}
	for pair := range strings.SplitSeq(q, "&") {
		if k, v, _ := strings.Cut(pair, "="); pair != "" {
			if _, ok := params[k]; !ok {
				params[k] = v
			}
		}
	}
	return func(name string) (string, bool) { v, ok := params[name]; return v, ok }
}

// render answers a request for a path, with protobuf if that is asked for.
func render(t *testing.T, s *Store, path string, protobuf bool) string {
	t.Helper()
	path, q, _ := strings.Cut(path, "?")
	p, err := ParseParams(query(q), path == "/stats/prometheus", protobuf)
	if err != nil {
		return err.Error()
	}
	var b bytes.Buffer
	switch {
	case p.Format == FormatPrometheus && protobuf:
		err = s.WriteProtobuf(&b, p)
	case p.Format == FormatPrometheus:
		err = s.WritePrometheus(&b, p)
	case p.Format == FormatJSON:
		err = s.WriteJSON(&b, p)
	default:
		err = s.WriteText(&b, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// diff shows the first line that differs.
func diff(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			from := max(at-60, 0)
			t.Errorf("%s: line %d, column %d:\n got …%s\nwant …%s", what, i+1, at, a[min(from, len(a)):min(at+100, len(a))], b[min(from, len(b)):min(at+100, len(b))])
			return
		}
	}
}

func TestHistogramsAreShownAsEnvoyShowsThem(t *testing.T) {
	sets, config, says := readHistograms(t)
	s := NewStore(2)
	c, err := Compile(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Configure(c)
	scope := s.Scope("")
	for round := range 2 {
		for i, set := range sets {
			h := scope.Histogram(fmt.Sprintf("h%02d", i))
			for j, v := range set[round] {
				h.Record(Worker(j%3), v)
			}
		}
		s.Flush()
	}
	for what, path := range map[string]string{
		"text": "/stats", "text_cumulative": "/stats?histogram_buckets=cumulative", "text_disjoint": "/stats?histogram_buckets=disjoint",
		"text_detailed": "/stats?histogram_buckets=detailed", "json": "/stats?format=json",
		"json_cumulative": "/stats?format=json&histogram_buckets=cumulative",
		"json_disjoint":   "/stats?format=json&histogram_buckets=disjoint",
		"json_detailed":   "/stats?format=json&histogram_buckets=detailed",
		"prometheus":      "/stats/prometheus", "prometheus_summary": "/stats/prometheus?histogram_buckets=summary",
	} {
		var want string
		if err := json.Unmarshal(says[what], &want); err != nil {
			t.Fatal(what, err)
		}
		diff(t, what, render(t, s, path, false), want)
	}
	for what, path := range map[string]string{
		"proto": "", "proto_summary": "histogram_buckets=summary", "native": "histogram_buckets=prometheusnative",
		"native&native_histogram_max_buckets=3":   "histogram_buckets=prometheusnative&native_histogram_max_buckets=3",
		"native&native_histogram_max_buckets=12":  "histogram_buckets=prometheusnative&native_histogram_max_buckets=12",
		"native&native_histogram_max_buckets=160": "histogram_buckets=prometheusnative&native_histogram_max_buckets=160",
	} {
		var want []byte
		if err := json.Unmarshal(says[what], &want); err != nil {
			t.Fatal(what, err)
		}
		if got := render(t, s, "/stats/prometheus?"+path, true); got != string(want) {
			t.Errorf("%s: %d bytes differ from Envoy's %d", what, len(got), len(want))
		}
	}
}
