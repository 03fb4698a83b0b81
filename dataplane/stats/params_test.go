package stats

import (
	"strings"
	"testing"
)

// What Envoy 1.40 answers, and which of two wrong parameters it complains about.
func TestBadParams(t *testing.T) {
	const (
		bad     = "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n"
		native  = "invalid native_histogram_max_buckets value: must be a positive integer"
		kind    = "invalid &type= param"
		hidden  = "usage: /stats?hidden=(include|only|exclude)\n\n"
		format  = "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n"
		filter  = "Invalid re2 regex: missing ]: ["
		noProto = "unsupported prometheusnative histogram type when not using protobuf exposition format"
	)
	for q, want := range map[string]string{
		"histogram_buckets=foo": bad, "type=counters": kind, "hidden=foo": hidden, "format=TEXT": format, "filter=[": filter,
		"native_histogram_max_buckets=0": native, "native_histogram_max_buckets=-1": native, "native_histogram_max_buckets=4294967296": native,
		"filter=[&histogram_buckets=foo&type=foo&format=foo&hidden=foo&native_histogram_max_buckets=x": filter,
		"histogram_buckets=foo&type=foo&format=foo&hidden=foo&native_histogram_max_buckets=x":          bad,
		"native_histogram_max_buckets=x&type=foo&format=foo&hidden=foo":                                native,
		"type=foo&format=foo&hidden=foo":                                                               kind, "format=foo&hidden=foo": hidden,
		"histogram_buckets=prometheusnative":                   "Invalid histogram_buckets type for non prometheus stats type",
		"format=html&histogram_buckets=prometheusnative":       "Invalid histogram_buckets type for non prometheus stats type",
		"format=prometheus&histogram_buckets=disjoint":         "unsupported prometheus histogram bucket mode",
		"format=prometheus&histogram_buckets=detailed":         "unsupported prometheus histogram bucket mode",
		"format=prometheus&histogram_buckets=prometheusnative": noProto,
		"filter=a(?=b)": "Invalid re2 regex: invalid perl operator: (?=", "filter=(": "Invalid re2 regex: missing ): (",
		"filter=*": "Invalid re2 regex: no argument for repetition operator: *", "filter=a{2000}": "Invalid re2 regex: invalid repetition size: {2000}",
		`filter=\q`: `Invalid re2 regex: invalid escape sequence: \q`, "filter=(?P<n": "Invalid re2 regex: invalid named capture group: (?P<n",
		"filter=\xc3(": "Invalid re2 regex: invalid UTF-8",
		"":             "", "type=&format=&filter=&histogram_buckets=&hidden=&native_histogram_max_buckets=": "", "histogram_buckets=none&type=All&hidden=include": "",
		"nonesuch=1&pretty": "", "native_histogram_max_buckets=4294967295": "",
	} {
		switch _, err := ParseParams(query(q), false, false); {
		case err == nil && want != "", err != nil && err.Error() != want:
			t.Errorf("%s: %v, want %s", q, err, want)
		}
	}
	if _, err := ParseParams(query("histogram_buckets=disjoint&format=json"), true, false); err == nil || err.Error() != "unsupported prometheus histogram bucket mode" {
		t.Error("/stats/prometheus is Prometheus whatever format says:", err)
	}
	if _, err := ParseParams(query("histogram_buckets=prometheusnative"), true, true); err != nil {
		t.Error(err)
	}
}

func TestParamsChooseStats(t *testing.T) {
	s := NewStore(1)
	scope := s.Scope("cluster.a")
	scope.Counter("n").Inc(1)
	scope.Gauge("g").Set(2)
	scope.Gauge("unset")
	scope.TextReadout("t").Set("x\"\\\n")
	scope.Histogram("h")
	const text = "cluster.a.t: \"x\"\\\n\"\n"
	for path, want := range map[string]string{
		"/stats":                                         text + "cluster.a.g: 2\ncluster.a.n: 1\ncluster.a.unset: 0\ncluster.a.h: No recorded values\n",
		"/stats?usedonly=false":                          text + "cluster.a.g: 2\ncluster.a.n: 1\n",
		"/stats?type=Gauges":                             "cluster.a.g: 2\ncluster.a.unset: 0\n",
		"/stats?type=TextReadouts":                       text,
		"/stats?filter=a.[gh]$":                          "cluster.a.g: 2\ncluster.a.h: No recorded values\n",
		"/stats?filter=a.[ghut]&invert_filter=false":     "cluster.a.n: 1\n",
		"/stats?hidden=only":                             "",
		"/stats?hidden=only&format=json":                 `{"stats":[]}`,
		"/stats?hidden=only&format=prometheus":           "",
		"/stats?filter=nonesuch&format=json":             `{"stats":[]}`,
		"/stats?histogram_buckets=detailed&filter=h$":    "cluster.a.h: No recorded values\n",
		"/stats?format=json&type=TextReadouts":           `{"stats":[{"name":"cluster.a.t","value":"x\"\\\n"}]}`,
		"/stats/prometheus?filter=nonesuch":              "",
		"/stats?format=prometheus&type=Gauges&filter=n$": "# TYPE envoy_cluster_n counter\nenvoy_cluster_n{envoy_cluster_name=\"a\"} 1\n",
		"/stats/prometheus?text_readouts&filter=t$":      "# TYPE envoy_cluster_unset gauge\nenvoy_cluster_unset{envoy_cluster_name=\"a\"} 0\n# TYPE envoy_cluster_t gauge\nenvoy_cluster_t{envoy_cluster_name=\"a\",text_value=\"x\\\"\\\\\\n\"} 0\n",
	} {
		want = strings.ReplaceAll(want, `x\"\\\n"}`, `x\"\\\n"}`)
		diff(t, path, render(t, s, path, false), want)
	}
}

func TestProtobufIsAskedFor(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "text/plain": false, "application/openmetrics-text": false, "application/vnd.google.protobuf;q=0": true,
		"text/plain, application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": true,
	} {
		if AcceptsProtobuf(accept) != want {
			t.Error(accept)
		}
	}
}

func TestMatcher(t *testing.T) {
	for json, want := range map[string]string{
		`{"reject_all":true}`:  "",
		`{"reject_all":false}`: "aa.x aab.x Bar.x server.live",
		`{"inclusion_list":{"patterns":[{"exact":"aa.x"},{"prefix":"BAR.","ignore_case":true},{"contains":"ab."},{"safe_regex":{"regex":"server.l"}}]}}`: "aa.x aab.x Bar.x",
		`{"inclusion_list":{"patterns":[{"safe_regex":{"regex":"aa.*"}},{"suffix":"LIVE","ignore_case":true}]}}`:                                         "aa.x aab.x server.live",
		`{"inclusion_list":{"patterns":[{"exact":"AA.X","ignore_case":true},{"contains":"AR.","ignore_case":true}]}}`:                                    "aa.x Bar.x",
		`{"exclusion_list":{"patterns":[{"safe_regex":{"regex":"[^a].*"}}]}}`:                                                                            "aa.x aab.x",
	} {
		c, err := Compile(config(t, `{"stats_matcher":`+json+`}`), nil)
		if err != nil {
			t.Fatal(json, err)
		}
		var got []string
		for _, n := range []string{"aa.x", "aab.x", "Bar.x", "server.live"} {
			if c.Matcher == nil || !c.Matcher.Excluded(n) {
				got = append(got, n)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", json, got, want)
		}
	}
}
