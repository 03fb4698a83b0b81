package stats

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reference extracts the default tags in the plainest way: every rule is a regular expression, tried
// on every name, and what it takes out is marked byte by byte.
func reference() func(name string) string {
	type rule struct {
		tag, except string
		first       bool
		expr        *regexp.Regexp
	}
	var rules []rule
	for _, d := range defaultRegexes {
		rules = append(rules, rule{d.tag, d.except, firstToken(d.expr) == "", regexp.MustCompile(d.expr)})
	}
	for _, d := range defaultTokens {
		e := "^" + regexp.QuoteMeta(d.pattern) + "$"
		e = strings.ReplaceAll(e, `\.\*\*$`, `(?:\.[^.]*)+$`)
		e = strings.ReplaceAll(e, `\.\*\*`, `(?:\.[^.]*)*`)
		e = strings.ReplaceAll(e, `\*`, `[^.]*`)
		e = strings.ReplaceAll(e, `\$`, `([^.]*)`)
		rules = append(rules, rule{d.tag, "", strings.HasPrefix(d.pattern, "$"), regexp.MustCompile(`(?s)` + e)})
	}
	tokens := len(defaultRegexes)
	return func(name string) string {
		var tags []string
		var found []string
		cut := make([]bool, len(name))
		for _, first := range []bool{true, false} {
			for i, r := range rules {
				m := r.expr.FindStringSubmatchIndex(name)
				if r.first != first || m == nil || slices.Contains(found, r.tag) {
					continue
				}
				value, from, to := name[m[len(m)-2]:m[len(m)-1]], m[2], m[3]
				if i < tokens && len(m) > 6 {
					value = name[m[4]:m[5]]
				}
				if r.except != "" && value == r.except {
					continue
				}
				if i >= tokens {
					to++ // no pattern has its value at the end
				}
				for at := from; at < to; at++ {
					cut[at] = true
				}
				found = append(found, r.tag)
				tags = append(tags, fmt.Sprintf("%s=%q", r.tag, value))
			}
		}
		var rest strings.Builder
		for i := range len(name) {
			if !cut[i] {
				rest.WriteByte(name[i])
			}
		}
		return fmt.Sprint(rest.String(), tags)
	}
}

// Names of the words that the rules are about, in any order.
func TestDefaultTagsAgreeWithReference(t *testing.T) {
	words := strings.Fields(`cluster listener http mongo vhost tcp udp auth clientssl ratelimit thrift redis server sds grpc proxy_proto
		listener_manager worker_1 worker_x rbac policy versions v1 ssl ciphers curves sigalgs certificate TLSv1.3 health_check name rds
		scoped_rds dynamodb table operation error capacity __partition_id=abcdefg collection callsite query cmd user_agent fault ext_authz
		vcluster route admin 127.0.0.1_80 [fe80__1]_443 upstream_rq_200 downstream_rq_2xx allowed shadow_denied local_rate_limit
		http_local_rate_limit connection_limit dns_filter a b-c d/e`)
	words = append(words, "", "*")
	tagger, ref := DefaultTagger(), reference()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		var name []string
		for range 1 + rnd.IntN(8) {
			name = append(name, words[rnd.IntN(len(words))])
		}
		if got, want := shown(tagger, strings.Join(name, ".")), ref(strings.Join(name, ".")); got != want {
			t.Fatalf("%q:\n got %s\nwant %s", strings.Join(name, "."), got, want)
		}
	}
}

func shown(tagger *Tagger, name string) string {
	rest, tags := tagger.Extract(name)
	var shown []string
	for _, tag := range tags {
		shown = append(shown, fmt.Sprintf("%s=%q", tag.Name, tag.Value))
	}
	return fmt.Sprint(rest, shown)
}

func FuzzDefaultTags(f *testing.F) {
	for _, name := range []string{
		"cluster.a.upstream_rq_200", "http.A.dynamodb.table.T.capacity.Op.__partition_id=1234567", "mongo.M.collection.C.callsite.S.query.total",
		"listener.[fe80__1]_80.http.A.downstream_rq_2xx", "listener.1.2.3.4_80.worker_3.x", "vhost.V.route.R.x", "http.A.rbac.PRE.policy.P.allowed",
		"proxy_proto.p.versions.v1.found", "listener.admin.http.admin.x", "cluster", "cluster.", "http..a", "cluster.rbac.x", "a.rbac.", ".rbac.x",
		"cluster.x.ssl.ciphers.A-B", "cluster.c.grpc.S.M.0", "sds.a.b", "http.A.rds.a/b.c.x", "mongo.a.collection.b.query.query.x",
	} {
		f.Add(name)
	}
	tagger, ref := DefaultTagger(), reference()
	f.Fuzz(func(t *testing.T, name string) {
		if strings.ContainsAny(name, "\n\r") {
			t.Skip()
		}
		if got, want := shown(tagger, name), ref(name); got != want {
			t.Errorf("%q:\n got %s\nwant %s", name, got, want)
		}
	})
}

// What is accepted compiles, and extraction survives it.
func FuzzTagRegex(f *testing.F) {
	_, c := readKitchen(f, "kitchen_istio.json.gz")
	for _, t := range c.GetStatsTags() {
		f.Add(t.GetRegex(), "cluster.a;.upstream_rq_200")
	}
	f.Add(`^listener(?=\.).*?\.(([^.]+)\.)`, "listener.a.b.c")
	f.Add(`[[:digit:]\w]+(a|b)(c)?`, "xac")
	f.Fuzz(func(t *testing.T, expr, name string) {
		if re, err := compileECMA("x", expr); err == nil {
			newTagger([]extractor{{tag: "x", first: firstToken(expr), expr: re}}).Extract(name)
		}
	})
}
