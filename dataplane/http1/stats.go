package http1

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are the codec's own stats, below "http1."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats#http1-codec-statistics).
type Stats struct {
	DroppedHeadersWithUnderscores   stats.Counter `stat:"dropped_headers_with_underscores"`
	MetadataNotSupported            stats.Counter `stat:"metadata_not_supported_error"`
	RequestsRejectedWithUnderscores stats.Counter `stat:"requests_rejected_with_underscores_in_headers"`
	ResponseFlood                   stats.Counter `stat:"response_flood"`
}
