package stats

import (
	"regexp"
	"strings"
	"sync"
)

// Envoy's default tags. What they find, and that regular expressions come before patterns of tokens,
// was compared with Envoy 1.40 name by name (testdata/tags.json).

// Parts of the expressions below.
const (
	token     = `[^.]+`
	ipAndPort = `(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+`
	tlsSide   = `^(?:listener|cluster)\..*?\.ssl\.`
	tlsName   = `(\.([\w-]+))$`
)

// defaultRegexes find what tokens cannot: values with dots, and values at the end of a token.
var defaultRegexes = [...]struct{ tag, expr, needs, except string }{
	{"envoy.response_code", `_rq(_(\d{3}))$`, "_rq_", ""},
	{"envoy.response_code_class", `_rq_((\d))xx$`, "_rq_", ""},
	{"envoy.dynamo_partition_id", `^http\.` + token + `\.dynamodb\.table\.` + token + `\.capacity\.` + token + `(\.__partition_id=(\w{7}))$`, ".dynamodb.table.", ""},
	{"envoy.dynamo_operation", `^http\.` + token + `\.dynamodb.(?:operation|table\.` + token + `\.capacity)(\.(` + token + `))(?:\.|$)`, ".dynamodb.", ""},
	{"envoy.dynamo_table", `^http\.` + token + `\.dynamodb.(?:table|error)\.((` + token + `)\.)`, ".dynamodb.", ""},
	{"envoy.ssl_cipher", `^listener\..*?\.ssl\.ciphers` + tlsName, ".ssl.ciphers.", ""},
	{"envoy.ssl_curve", tlsSide + `curves` + tlsName, ".ssl.curves.", ""},
	{"envoy.ssl_sigalg", tlsSide + `sigalgs` + tlsName, ".ssl.sigalgs.", ""},
	{"envoy.ssl_version", tlsSide + `versions(\.(TLSv\d\.\d))$`, ".ssl.versions.", ""},
	{"envoy.tls_certificate", tlsSide + `certificate\.((` + token + `)\.).*$`, ".ssl.certificate.", ""},
	{"cipher_suite", `^cluster\.` + token + `\.ssl\.ciphers` + tlsName, ".ssl.ciphers.", ""},
	{"envoy.health_check_name", `^cluster\.` + token + `\.health_check(\.name\.(` + token + `))\..+`, ".health_check.", ""},
	{"envoy.http_conn_manager_prefix", `^listener\..*?\.http\.((` + token + `)\.)`, ".http.", ""},
	{"envoy.worker_id", `^(?:listener\.(?:` + ipAndPort + `|` + token + `)|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)`, ".worker_", ""},
	{"envoy.listener_address", `^listener\.((` + ipAndPort + `|` + token + `)\.)`, "", "admin"},
	{"envoy.rds_route_config", `^http\.` + token + `\.rds\.(([\w./-]+)\.)\w+?$`, ".rds.", ""},
	{"envoy.scoped_rds_config", `^http\.` + token + `\.scoped_rds\.(([\w.-]+)\.)\w+?$`, ".scoped_rds.", ""},
	{"envoy.rbac_policy_name", `^http\.` + token + `\.rbac\.(?:` + token + `\.)?policy\.((` + token + `)\.)(?:allowed|shadow_allowed|denied|shadow_denied)$`, ".policy.", ""},
	{"envoy.rbac_http_prefix", `^http\.` + token + `\.rbac\.((` + token + `)\.)`, ".rbac.", "policy"},
	{"envoy.proxy_protocol_prefix", `^proxy_proto\.((` + token + `)\.).+$`, "", "versions"},
	{"envoy.proxy_protocol_version", `^proxy_proto\.((?:` + token + `\.)?versions\.v(\d)\.)\w+$`, "versions.", ""},
	{"envoy.xds_resource_name", `^sds\.((` + token + `)\.).+`, "", ""},
}

var defaultTokens = [...]struct{ tag, pattern string }{
	{"envoy.mongo_callsite", "mongo.*.collection.*.callsite.$.query.**"},
	{"envoy.mongo_collection", "mongo.*.collection.$.**.query.*"},
	{"envoy.mongo_cmd", "mongo.*.cmd.$.**"},
	{"envoy.grpc_bridge_method", "cluster.*.grpc.*.$.**"},
	{"envoy.http_user_agent", "http.*.user_agent.$.**"},
	{"envoy.virtual_cluster", "vhost.*.vcluster.$.**"},
	{"envoy.fault_downstream_cluster", "http.*.fault.$.**"},
	{"envoy.grpc_bridge_service", "cluster.*.grpc.$.**"},
	{"envoy.tcp_prefix", "tcp.$.**"},
	{"envoy.udp_prefix", "udp.$.**"},
	{"envoy.clientssl_prefix", "auth.clientssl.$.**"},
	{"envoy.ratelimit_prefix", "ratelimit.$.**"},
	{"envoy.cluster_name", "cluster.$.**"},
	{"envoy.ext_authz_prefix", "cluster.*.ext_authz.$.**"},
	{"envoy.ext_authz_prefix", "http.*.ext_authz.$.**"},
	{"envoy.http_conn_manager_prefix", "http.$.**"},
	{"envoy.virtual_host", "vhost.$.**"},
	{"envoy.mongo_prefix", "mongo.$.**"},
	{"envoy.route", "vhost.*.route.$.**"},
	{"envoy.thrift_prefix", "thrift.$.**"},
	{"envoy.redis_prefix", "redis.$.**"},
	{"envoy.rbac_prefix", "$.rbac.**"},
	{"envoy.local_http_ratelimit_prefix", "$.http_local_rate_limit.**"},
	{"envoy.local_network_ratelimit_prefix", "local_rate_limit.$.**"},
	{"envoy.local_listener_ratelimit_prefix", "listener_local_ratelimit.$.**"},
	{"envoy.dns_filter_prefix", "dns_filter.$.**"},
	{"envoy.connection_limit_prefix", "connection_limit.$.**"},
	{"envoy.google_grpc_client_prefix", "grpc.$.**"},
}

// defaultExtractors compiles the tables once.
var defaultExtractors = sync.OnceValue(func() []extractor {
	var all []extractor
	for _, d := range defaultRegexes {
		all = append(all, extractor{
			tag: d.tag, first: firstToken(d.expr), needs: d.needs, except: d.except, expr: regexp.MustCompile(d.expr),
		})
	}
	for _, d := range defaultTokens {
		tokens := strings.Split(d.pattern, ".")
		e := extractor{tag: d.tag, first: tokens[0], tokens: tokens}
		if e.first == "$" {
			e.first = ""
		}
		all = append(all, e)
	}
	return all
})

// DefaultTagger finds Envoy's default tags and no others.
func DefaultTagger() *Tagger { return newTagger(defaultExtractors()) }

// firstToken is the token that all names begin with that expr can match, if it says so plainly:
// "^word\." or "^word(?=\.)". Such expressions are tried after all others, and for those names only.
func firstToken(expr string) string {
	rest, ok := strings.CutPrefix(expr, "^")
	if !ok {
		return ""
	}
	n := 0
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	if word, rest := rest[:n], rest[n:]; strings.HasPrefix(rest, `\.`) || strings.HasPrefix(rest, `(?=\.)`) {
		return word
	}
	return ""
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
