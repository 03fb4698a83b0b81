package router

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are a router's, below "http.PREFIX."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#statistics).
type Stats struct {
	NoCluster                                   stats.Counter `stat:"no_cluster"`
	NoRoute                                     stats.Counter `stat:"no_route"`
	PassthroughInternalRedirectBadLocation      stats.Counter `stat:"passthrough_internal_redirect_bad_location"`
	PassthroughInternalRedirectNoRoute          stats.Counter `stat:"passthrough_internal_redirect_no_route"`
	PassthroughInternalRedirectPredicate        stats.Counter `stat:"passthrough_internal_redirect_predicate"`
	PassthroughInternalRedirectTooManyRedirects stats.Counter `stat:"passthrough_internal_redirect_too_many_redirects"`
	PassthroughInternalRedirectUnsafeScheme     stats.Counter `stat:"passthrough_internal_redirect_unsafe_scheme"`
	RqDirectResponse                            stats.Counter `stat:"rq_direct_response"`
	RqOverloadLocalReply                        stats.Counter `stat:"rq_overload_local_reply"`
	RqRedirect                                  stats.Counter `stat:"rq_redirect"`
	RqResetAfterResponseStarted                 stats.Counter `stat:"rq_reset_after_downstream_response_started"`
	RqTotal                                     stats.Counter `stat:"rq_total"`
}
