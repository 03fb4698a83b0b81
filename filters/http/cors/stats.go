package cors

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are below "http.PREFIX.cors."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/cors_filter#statistics).
type Stats struct {
	OriginInvalid stats.Counter `stat:"origin_invalid"`
	OriginValid   stats.Counter `stat:"origin_valid"`
}
