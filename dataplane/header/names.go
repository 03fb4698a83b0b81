package header

import "strconv"

// ID numbers a well-known header name, so that asking for it costs a bit test when it is absent.
type ID uint8

// The well-known names. Those of Envoy's own headers are listed in
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/headers.
const (
	_ ID = iota
	// Pseudo headers, which live in fields of Map. Host is another name of Authority.
	Method
	Path
	Authority
	Scheme
	Protocol
	Status
	Host

	Accept
	AcceptEncoding
	AccessControlRequestMethod
	AccessControlRequestHeaders
	AccessControlAllowOrigin
	AccessControlAllowMethods
	AccessControlAllowHeaders
	AccessControlAllowCredentials
	AccessControlExposeHeaders
	AccessControlMaxAge
	Age
	Authorization
	CacheControl
	Connection
	ContentEncoding
	ContentLength
	ContentType
	Cookie
	Date
	Etag
	Expect
	Expires
	GrpcAcceptEncoding
	GrpcMessage
	GrpcStatus
	GrpcTimeout
	HTTP2Settings
	IfMatch
	IfNoneMatch
	IfRange
	KeepAlive
	LastModified
	Location
	Origin
	Pragma
	ProxyConnection
	ProxyStatus
	Referer
	SetCookie
	Server
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	XB3Sampled
	XB3TraceID
	TraceParent
	XClientTraceID
	XRequestID
	XForwardedClientCert
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XEnvoyAttemptCount
	XEnvoyDecoratorOperation
	XEnvoyDegraded
	XEnvoyDownstreamServiceCluster
	XEnvoyDownstreamServiceNode
	XEnvoyExpectedRqTimeoutMs
	XEnvoyExternalAddress
	XEnvoyForceTrace
	XEnvoyHedgeOnPerTryTimeout
	XEnvoyImmediateHealthCheckFail
	XEnvoyInternal
	XEnvoyIPTags
	XEnvoyIsTimeoutRetry
	XEnvoyMaxRetries
	XEnvoyOriginalDstHost
	XEnvoyOriginalHost
	XEnvoyOriginalPath
	XEnvoyOverloaded
	XEnvoyRatelimited
	XEnvoyRetriableHeaderNames
	XEnvoyRetriableStatusCodes
	XEnvoyRetryGrpcOn
	XEnvoyRetryOn
	XEnvoyUpstreamAltStatName
	XEnvoyUpstreamCanary
	XEnvoyUpstreamHealthcheckedCluster
	XEnvoyUpstreamRqPerTryTimeoutMs
	XEnvoyUpstreamRqTimeoutAltResponse
	XEnvoyUpstreamRqTimeoutMs
	XEnvoyUpstreamServiceTime
	XEnvoyUpstreamStreamDurationMs
	XEnvoyPeerMetadata
	XEnvoyPeerMetadataID

	idCount
)

// names is indexed by ID.
var names = [idCount]string{
	Method: ":method", Path: ":path", Authority: ":authority", Scheme: ":scheme", Protocol: ":protocol",
	Status: ":status", Host: "host",
	Accept: "accept", AcceptEncoding: "accept-encoding",
	AccessControlRequestMethod: "access-control-request-method", AccessControlRequestHeaders: "access-control-request-headers",
	AccessControlAllowOrigin: "access-control-allow-origin", AccessControlAllowMethods: "access-control-allow-methods",
	AccessControlAllowHeaders: "access-control-allow-headers", AccessControlAllowCredentials: "access-control-allow-credentials",
	AccessControlExposeHeaders: "access-control-expose-headers", AccessControlMaxAge: "access-control-max-age",
	Age: "age", Expires: "expires", IfMatch: "if-match", IfNoneMatch: "if-none-match", IfRange: "if-range",
	LastModified: "last-modified", Pragma: "pragma", ProxyStatus: "proxy-status",
	Authorization: "authorization", CacheControl: "cache-control", Connection: "connection",
	ContentEncoding: "content-encoding", ContentLength: "content-length", ContentType: "content-type", Cookie: "cookie",
	Date: "date", Etag: "etag", Expect: "expect",
	GrpcAcceptEncoding: "grpc-accept-encoding", GrpcMessage: "grpc-message", GrpcStatus: "grpc-status", GrpcTimeout: "grpc-timeout",
	HTTP2Settings: "http2-settings", KeepAlive: "keep-alive", Location: "location", Origin: "origin", ProxyConnection: "proxy-connection",
	Referer: "referer", SetCookie: "set-cookie", Server: "server", TE: "te", Trailer: "trailer", TransferEncoding: "transfer-encoding",
	Upgrade: "upgrade", UserAgent: "user-agent", Vary: "vary", Via: "via",
	XB3Sampled: "x-b3-sampled", XB3TraceID: "x-b3-traceid", TraceParent: "traceparent", XClientTraceID: "x-client-trace-id",
	XRequestID: "x-request-id", XForwardedClientCert: "x-forwarded-client-cert", XForwardedFor: "x-forwarded-for",
	XForwardedHost: "x-forwarded-host", XForwardedPort: "x-forwarded-port", XForwardedProto: "x-forwarded-proto",
	XEnvoyAttemptCount: "x-envoy-attempt-count", XEnvoyDecoratorOperation: "x-envoy-decorator-operation",
	XEnvoyDegraded:                     "x-envoy-degraded",
	XEnvoyDownstreamServiceCluster:     "x-envoy-downstream-service-cluster",
	XEnvoyDownstreamServiceNode:        "x-envoy-downstream-service-node",
	XEnvoyExpectedRqTimeoutMs:          "x-envoy-expected-rq-timeout-ms",
	XEnvoyExternalAddress:              "x-envoy-external-address",
	XEnvoyForceTrace:                   "x-envoy-force-trace",
	XEnvoyHedgeOnPerTryTimeout:         "x-envoy-hedge-on-per-try-timeout",
	XEnvoyImmediateHealthCheckFail:     "x-envoy-immediate-health-check-fail",
	XEnvoyInternal:                     "x-envoy-internal",
	XEnvoyIPTags:                       "x-envoy-ip-tags",
	XEnvoyIsTimeoutRetry:               "x-envoy-is-timeout-retry",
	XEnvoyMaxRetries:                   "x-envoy-max-retries",
	XEnvoyOriginalDstHost:              "x-envoy-original-dst-host",
	XEnvoyOriginalHost:                 "x-envoy-original-host",
	XEnvoyOriginalPath:                 "x-envoy-original-path",
	XEnvoyOverloaded:                   "x-envoy-overloaded",
	XEnvoyRatelimited:                  "x-envoy-ratelimited",
	XEnvoyRetriableHeaderNames:         "x-envoy-retriable-header-names",
	XEnvoyRetriableStatusCodes:         "x-envoy-retriable-status-codes",
	XEnvoyRetryGrpcOn:                  "x-envoy-retry-grpc-on",
	XEnvoyRetryOn:                      "x-envoy-retry-on",
	XEnvoyUpstreamAltStatName:          "x-envoy-upstream-alt-stat-name",
	XEnvoyUpstreamCanary:               "x-envoy-upstream-canary",
	XEnvoyUpstreamHealthcheckedCluster: "x-envoy-upstream-healthchecked-cluster",
	XEnvoyUpstreamRqPerTryTimeoutMs:    "x-envoy-upstream-rq-per-try-timeout-ms",
	XEnvoyUpstreamRqTimeoutAltResponse: "x-envoy-upstream-rq-timeout-alt-response",
	XEnvoyUpstreamRqTimeoutMs:          "x-envoy-upstream-rq-timeout-ms",
	XEnvoyUpstreamServiceTime:          "x-envoy-upstream-service-time",
	XEnvoyUpstreamStreamDurationMs:     "x-envoy-upstream-stream-duration-ms",
	XEnvoyPeerMetadata:                 "x-envoy-peer-metadata",
	XEnvoyPeerMetadataID:               "x-envoy-peer-metadata-id",
}

// inlineRequest and inlineResponse are the names of which Envoy keeps one line, joining a repeated one by
// a comma when it is decoded (its inline headers, as seen on the binary).
var (
	inlineRequest = set(Accept, AcceptEncoding, AccessControlRequestMethod, AccessControlRequestHeaders, Authorization, CacheControl,
		Connection, ContentLength, ContentType, Expect, GrpcAcceptEncoding, GrpcTimeout, IfMatch, IfNoneMatch, IfRange, KeepAlive, Origin, Pragma,
		ProxyConnection, Referer, TE, TransferEncoding, Upgrade, UserAgent, Via, XClientTraceID, XRequestID, XForwardedClientCert,
		XForwardedFor, XForwardedHost, XForwardedPort, XForwardedProto, XEnvoyAttemptCount, XEnvoyDecoratorOperation,
		XEnvoyDownstreamServiceCluster, XEnvoyDownstreamServiceNode, XEnvoyExpectedRqTimeoutMs, XEnvoyExternalAddress, XEnvoyForceTrace,
		XEnvoyHedgeOnPerTryTimeout, XEnvoyInternal, XEnvoyIPTags, XEnvoyMaxRetries, XEnvoyOriginalPath, XEnvoyOriginalHost, XEnvoyRetriableHeaderNames,
		XEnvoyRetriableStatusCodes, XEnvoyRetryGrpcOn, XEnvoyRetryOn, XEnvoyUpstreamAltStatName, XEnvoyUpstreamRqPerTryTimeoutMs,
		XEnvoyUpstreamRqTimeoutAltResponse, XEnvoyUpstreamRqTimeoutMs)
	inlineResponse = set(Age, CacheControl, Connection, ContentLength, ContentType, ContentEncoding, Date, Etag, Server, Vary, Via, Location,
		XRequestID, GrpcStatus, GrpcMessage, KeepAlive, ProxyConnection, ProxyStatus, TransferEncoding, Upgrade, LastModified, Expires, XEnvoyDegraded,
		AccessControlAllowOrigin, AccessControlAllowMethods, AccessControlAllowHeaders, AccessControlAllowCredentials,
		AccessControlExposeHeaders, AccessControlMaxAge, XEnvoyUpstreamCanary, XEnvoyImmediateHealthCheckFail, XEnvoyRatelimited,
		XEnvoyAttemptCount, XEnvoyDecoratorOperation, XEnvoyUpstreamServiceTime, XEnvoyUpstreamHealthcheckedCluster)
)

func set(ids ...ID) (s [idCount]bool) {
	for _, id := range ids {
		s[id] = true
	}
	return s
}

// InlineRequest tells whether a request has one line of the header at most.
func (id ID) InlineRequest() bool { return inlineRequest[id] }

// InlineResponse is InlineRequest for responses.
func (id ID) InlineResponse() bool { return inlineResponse[id] }

// String returns the name, or "" for 0.
func (id ID) String() string { return names[id] }

func (id ID) pseudo() bool { return id != 0 && id <= Host }

// IDOf returns the number of a lower-case name, or 0 for one that is not well known.
func IDOf(name string) ID {
	if len(name) < 2 || len(name) > maxName {
		return 0
	}
	for h := hash(name); ; h = (h + 1) % uint(len(table)) {
		id := table[h]
		if id == 0 || names[id] == name {
			return id
		}
	}
}

const maxName = 40

// table is open addressing over names, a quarter full.
var table = makeTable()

func makeTable() (t [512]ID) {
	for id := ID(1); id < idCount; id++ {
		if len(names[id]) > maxName {
			panic("header: maxName is too small")
		}
		h := hash(names[id])
		for t[h] != 0 {
			h = (h + 1) % uint(len(t))
		}
		t[h] = id
	}
	return t
}

func hash(s string) uint {
	n := len(s)
	h := uint(n)*113 + uint(s[0])*37 + uint(s[n-1])*61 + uint(s[n/2])*11 + uint(s[n-2])
	return (h ^ h>>7) % 512
}

// StatusString returns n in decimal without allocating for the usual codes.
func StatusString(n int) string {
	if n >= 100 && n < 600 {
		const digits = 3
		at := (n - 100) * digits
		return statusDigits[at : at+digits]
	}
	return strconv.Itoa(n)
}

var statusDigits = func() string {
	b := make([]byte, 0, 1500)
	for n := 100; n < 600; n++ {
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}()
