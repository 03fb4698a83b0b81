package route

import "strings"

// isJoined tells the headers of which Envoy holds one value only: adding to one that is there makes
// "old,new" of it, where other headers get a line more. Seen by adding each to itself in Envoy 1.40.
func isJoined(name string, request bool) bool {
	if _, ok := joinedBoth[name]; ok {
		return true
	}
	if !request {
		_, ok := joinedResponse[name]
		return ok
	}
	if _, ok := joinedRequest[name]; ok {
		return true
	}
	const envoy = "x-envoy-"
	if !strings.HasPrefix(name, envoy) {
		return false
	}
	_, lines := linesOfEnvoy[name]
	return !lines
}

func setOf(names ...string) map[string]struct{} {
	set := make(map[string]struct{}, len(names))
	for _, n := range names {
		set[n] = struct{}{}
	}
	return set
}

var (
	joinedBoth = setOf("cache-control", "connection", "content-encoding", "content-length", "content-type", "keep-alive", "proxy-connection",
		"proxy-status", "transfer-encoding", "upgrade", "via", "x-envoy-attempt-count", "x-envoy-decorator-operation", "x-request-id")
	joinedRequest = setOf("accept", "accept-encoding", "access-control-request-headers", "access-control-request-method",
		"access-control-request-private-network", "authorization", "expect", "grpc-accept-encoding", "grpc-timeout", "if-match", "if-modified-since",
		"if-none-match", "if-range", "if-unmodified-since", "origin", "pragma", "referer", "te", "user-agent", "x-client-trace-id",
		"x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto")
	joinedResponse = setOf("access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
		"access-control-allow-origin", "access-control-allow-private-network", "access-control-expose-headers", "access-control-max-age", "age",
		"date", "etag", "expires", "grpc-message", "grpc-status", "last-modified", "location", "server", "vary", "x-envoy-degraded",
		"x-envoy-immediate-health-check-fail", "x-envoy-ratelimited", "x-envoy-upstream-canary", "x-envoy-upstream-healthchecked-cluster",
		"x-envoy-upstream-service-time")
	// linesOfEnvoy are Envoy's own headers that are none the less kept as lines.
	linesOfEnvoy = setOf("x-envoy-peer-metadata", "x-envoy-peer-metadata-id", "x-envoy-original-dst-host", "x-envoy-upstream-canary", "x-envoy-degraded",
		"x-envoy-immediate-health-check-fail", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-upstream-healthchecked-cluster",
		"x-envoy-overloaded", "x-envoy-local-overloaded", "x-envoy-cluster", "x-envoy-upstream-host", "x-envoy-auth-partial-body",
		"x-envoy-fault-abort-request", "x-envoy-rate-limited")
)
