package metadataexchange

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are below "metadata_exchange.", one set for the whole proxy, as Istio has them.
type Stats struct {
	ProtocolFound         stats.Counter `stat:"alpn_protocol_found"`
	ProtocolNotFound      stats.Counter `stat:"alpn_protocol_not_found"`
	HeaderNotFound        stats.Counter `stat:"header_not_found"`
	InitialHeaderNotFound stats.Counter `stat:"initial_header_not_found"`
	Added                 stats.Counter `stat:"metadata_added"`
}
