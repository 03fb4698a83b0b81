package endpoint

// Monitor hears what became of requests to a host: outlier detection.
type Monitor interface {
	// PutCode takes the status of a response.
	PutCode(code int)
	// PutDegraded takes a response with x-envoy-degraded.
	PutDegraded()
	// PutResult takes everything else: connects, timeouts, ends of TCP connections.
	PutResult(r Result)
	// SuccessRates are the last interval's, in percent, -1 where there were too few requests: of
	// responses, and of local origin.
	SuccessRates() (external, local float64)
}

// Result is what happened between the proxy and a host, other than a response.
type Result uint8

// The results, as Envoy's outlier detection tells them apart.
const (
	// ConnectSuccess is a connection over which a request will go: its outcome follows.
	ConnectSuccess Result = iota
	// ConnectSuccessFinal is a connection of a protocol without requests.
	ConnectSuccessFinal
	ConnectFailed
	// LocalTimeout is a request that took too long.
	LocalTimeout
	// RequestFailed and RequestSuccess are outcomes that have no status: a reset, a non-HTTP exchange.
	RequestFailed
	RequestSuccess
)
