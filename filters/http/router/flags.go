package router

import "github.com/pillion-proxy/pillion/dataplane/streaminfo"

// The response flags that the router sets most.
const (
	flagNoRoute   = streaminfo.NoRouteFound
	flagNoCluster = streaminfo.NoClusterFound
	flagNoHealthy = streaminfo.NoHealthyUpstream
	flagTimeout   = streaminfo.UpstreamRequestTimeout
	flagOverflow  = streaminfo.UpstreamOverflow
	flagRetries   = streaminfo.UpstreamRetryLimitExceeded
)
