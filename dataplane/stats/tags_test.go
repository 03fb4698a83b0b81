package stats

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// prometheus is a name as Prometheus shows it with these tags.
func (t *Tagger) prometheus(name string) string {
	name, tags := t.Extract(name)
	return metricName(name, nil) + "{" + labels(tags) + "}"
}

// testdata/tags.json is names of real stats of Envoy 1.40, with their metric and labels in Prometheus.
// Most were made by network RBAC filters, whose stat_prefix may be anything.
func TestDefaultTagsAreEnvoys(t *testing.T) {
	raw, err := os.ReadFile("testdata/tags.json")
	if err != nil {
		t.Fatal(err)
	}
	var names map[string][2]string
	if err := json.Unmarshal(raw, &names); err != nil {
		t.Fatal(err)
	}
	tagger := DefaultTagger()
	for name, want := range names {
		if got := tagger.prometheus(name); got != want[0]+want[1] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want[0]+want[1])
		}
	}
}

func config(t testing.TB, json string) *metricspb.StatsConfig {
	t.Helper()
	c := &metricspb.StatsConfig{}
	if err := protojson.Unmarshal([]byte(json), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What real Envoy 1.40 does with these configurations and names.
func TestTagsOfConfig(t *testing.T) {
	const cluster, http, listener, rq = "cluster.c1.rbac.allowed", "http.A.foo.rbac.allowed", "listener.1.2.3.4_5.x.rbac.allowed", "http.ing.downstream_rq_2xx"
	for name, test := range map[string]struct {
		config string
		flags  []Tag
		want   map[string]string
	}{
		"fixed values come with what is tried on every name": {
			`{"stats_tags":[{"tag_name":"env","fixed_value":"prod"},{"tag_name":"zone","fixed_value":"a\"b"},{"tag_name":"m","regex":"^cluster\\.((\\w+)\\.)"},{"tag_name":"u","regex":"(foo)\\."}]}`, nil, map[string]string{
				cluster:  `envoy_cluster_rbac_allowed{env="prod",zone="a\"b",envoy_cluster_name="c1",m="c1"}`,
				http:     `envoy_http__rbac_allowed{env="prod",zone="a\"b",u="foo",envoy_http_conn_manager_prefix="A"}`,
				rq:       `envoy_http_downstream_rq_xx{envoy_response_code_class="2",env="prod",zone="a\"b",envoy_http_conn_manager_prefix="ing"}`,
				listener: `envoy_listener_x_rbac_allowed{env="prod",zone="a\"b",envoy_listener_address="1.2.3.4_5"}`,
			},
		},
		"flags come before stats_tags": {
			`{"stats_tags":[{"tag_name":"env","fixed_value":"prod"}]}`, []Tag{{"cli", "v1"}, {"c2", "v:2"}}, map[string]string{
				cluster: `envoy_cluster_rbac_allowed{cli="v1",c2="v:2",env="prod",envoy_cluster_name="c1"}`,
				rq:      `envoy_http_downstream_rq_xx{envoy_response_code_class="2",cli="v1",c2="v:2",env="prod",envoy_http_conn_manager_prefix="ing"}`,
			},
		},
		"the first that finds a tag wins": {
			`{"stats_tags":[{"tag_name":"envoy.cluster_name","fixed_value":"prod"},{"tag_name":"u","regex":"(foo)\\."},{"tag_name":"u","regex":"(A)\\."}]}`, nil, map[string]string{
				cluster: `envoy_cluster_c1_rbac_allowed{envoy_cluster_name="prod"}`,
				http:    `envoy_http__rbac_allowed{envoy_cluster_name="prod",u="foo",envoy_http_conn_manager_prefix="A"}`,
			},
		},
		"a default tag is not overridden": {
			`{"stats_tags":[{"tag_name":"envoy.cluster_name","regex":"^cluster\\.((c)1)"}]}`, nil, map[string]string{
				cluster: `envoy_cluster_rbac_allowed{envoy_cluster_name="c1"}`,
			},
		},
		"but if that is allowed": {
			`{"allow_default_tag_overrides":true,"stats_tags":[{"tag_name":"m","regex":"^cluster\\.((\\w+)\\.)"},{"tag_name":"q","fixed_value":"x"},{"tag_name":"envoy.cluster_name","regex":"^cluster\\.((c)1)"},{"tag_name":"envoy.local_http_ratelimit_prefix","regex":"(d(2))"}]}`, nil, map[string]string{
				cluster:                                 `envoy_cluster_rbac_allowed{q="x",m="c1",envoy_cluster_name="c"}`,
				"cluster.d2.rbac.allowed":               `envoy_cluster_rbac_allowed{q="x",envoy_local_http_ratelimit_prefix="2",m="d2"}`,
				"d2.http_local_rate_limit.rbac.allowed": `envoy__http_local_rate_limit_rbac_allowed{q="x",envoy_local_http_ratelimit_prefix="2"}`,
			},
		},
		"a default tag by its name": {
			`{"use_all_default_tags":false,"stats_tags":[{"tag_name":"envoy.http_conn_manager_prefix"},{"tag_name":"envoy.response_code_class"},{"tag_name":"envoy.cluster_name"}]}`, nil, map[string]string{
				cluster:  `envoy_cluster_rbac_allowed{envoy_cluster_name="c1"}`,
				rq:       `envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ing"}`,
				listener: `envoy_listener_1_2_3_4_5_x_rbac_allowed{}`,
			},
		},
		"no group, no tag; a group that took no part is empty": {
			`{"stats_tags":[{"tag_name":"n","regex":"foo"},{"tag_name":"x","regex":"cluster(zz)?"},{"tag_name":"y","regex":"(c1\\.)(zz)?"},{"tag_name":"zz","regex":"()"}]}`, nil, map[string]string{
				cluster: `envoy_cluster_rbac_allowed{x="",y="",zz="",envoy_cluster_name="c1"}`,
				http:    `envoy_http_foo_rbac_allowed{zz="",envoy_http_conn_manager_prefix="A"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Compile(config(t, test.config), test.flags)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range test.want {
				if got := c.Tagger.prometheus(name); got != want {
					t.Errorf("%s:\n got %s\nwant %s", name, got, want)
				}
			}
		})
	}
}

func TestConfigIsRefusedByName(t *testing.T) {
	for json, want := range map[string]string{
		`{"stats_tags":[{"tag_name":"nonesuch"}]}`:                                                            "No regex specified for tag specifier and no default regex for name: 'nonesuch'",
		`{"stats_tags":[{"tag_name":"x","regex":""}]}`:                                                        "No regex specified for tag specifier and no default regex for name: 'x'",
		`{"stats_tags":[{"tag_name":"","regex":"(a)"}]}`:                                                      "tag_name cannot be empty",
		`{"stats_tags":[{"tag_name":"x","regex":"(a"}]}`:                                                      "Invalid regex '(a': The expression contained mismatched ( and ).",
		`{"stats_tags":[{"tag_name":"x","regex":"[a"}]}`:                                                      "Invalid regex '[a': The expression contained mismatched [ and ].",
		`{"stats_tags":[{"tag_name":"x","regex":"a(?=b)(c)"}]}`:                                               "stats_tags: tag x: regex 'a(?=b)(c)' is not supported: look-ahead",
		`{"stats_tags":[{"tag_name":"x","regex":"a(?!b)(c)"}]}`:                                               "stats_tags: tag x: regex 'a(?!b)(c)' is not supported: look-ahead",
		`{"stats_tags":[{"tag_name":"x","regex":"(a)\\1"}]}`:                                                  `stats_tags: tag x: regex '(a)\1' is not supported: back reference`,
		`{"stats_tags":[{"tag_name":"x","regex":"(?i)(a)"}]}`:                                                 "stats_tags: tag x: regex '(?i)(a)' is not supported: group option",
		`{"stats_tags":[{"tag_name":"x","regex":"(?:(a)|b)*"}]}`:                                              "stats_tags: tag x: regex '(?:(a)|b)*' is not supported: a repeated group",
		`{"stats_tags":[{"tag_name":"x","regex":"([]a])"}]}`:                                                  "stats_tags: tag x: regex '([]a])' is not supported: empty character class",
		`{"stats_tags":[{"tag_name":"x","regex":"(\\pL)"}]}`:                                                  `stats_tags: tag x: regex '(\pL)' is not supported: escape \p`,
		`{"stats_tags":[{"tag_name":"x","regex":"([[=a=]])"}]}`:                                               "stats_tags: tag x: regex '([[=a=]])' is not supported: collating element",
		`{"stats_matcher":{"inclusion_list":{"patterns":[{"safe_regex":{"regex":"a["}}]}}}`:                   "missing ]: [",
		`{"stats_matcher":{"inclusion_list":{"patterns":[{"safe_regex":{"regex":"X"},"ignore_case":true}]}}}`: "ignore_case has no effect for safe_regex.",
		`{"stats_matcher":{"exclusion_list":{"patterns":[{"custom":{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Empty"}}}]}}}`: "stats_config: field StringMatcher.custom is not supported",
	} {
		if _, err := Compile(config(t, json), nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", json, err, want)
		}
	}
}

func TestStatsTagFlag(t *testing.T) {
	for flag, want := range map[string]string{
		"foo": "misformatted stats-tag 'foo'", "fo.o:a.b": "misformatted stats-tag 'fo.o:a.b' contains invalid char in 'fo.o'",
		"x_y:1": "misformatted stats-tag 'x_y:1' contains invalid char in 'x_y'", "x:a.b": "misformatted stats-tag 'x:a.b' contains invalid char in 'a.b'",
		"x:": "misformatted stats-tag 'x:' contains invalid char in ''", "c2:v:2": "", ":b": "",
	} {
		switch _, err := ParseTag(flag); {
		case want == "" && err != nil, want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s: %v, want %s", flag, err, want)
		}
	}
}

// Istio's expression with look-ahead means what it meant: checked against what it says, step by step.
func TestLookaheadIsTranslated(t *testing.T) {
	const expr = `^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`
	got, err := compileECMA("x", expr)
	if err != nil {
		t.Fatal(err)
	}
	if firstToken(expr) != "listener" {
		t.Error("it is tried with the others that begin with a word")
	}
	rest := regexp.MustCompile(`^\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`)
	for _, name := range []string{
		"listener.http.1.2.x", "listener.a.http.1_2.x", "listener.a.http.x.http.3.y", "listenerx.http.3.y", "listener.http.http.4.y",
		"listener.http.q.http.[ab].y", "listener", "listener.http.", "listener.http..", "listener.1.2.3.4_5.http.0.0.0.0_80.z",
	} {
		var want []int // by hand: after the word a dot, then the fewest characters
		if strings.HasPrefix(name, "listener.") {
			for at := len("listener"); at <= len(name) && want == nil; at++ {
				if m := rest.FindStringSubmatchIndex(name[at:]); m != nil {
					want = []int{m[2] + at, m[3] + at}
				}
			}
		}
		m := got.FindStringSubmatchIndex(name)
		if (m == nil) != (want == nil) || m != nil && !slices.Equal(m[2:4], want) {
			t.Errorf("%s: %v, want %v", name, m, want)
		}
	}
}
