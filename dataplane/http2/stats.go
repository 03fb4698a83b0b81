package http2

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are the codec's: below "http2." for all listeners together, below "cluster.NAME.http2." for a
// cluster (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats#http2-codec-statistics).
type Stats struct {
	CookiesTotalBytesTooLarge       stats.Counter `stat:"cookies_total_bytes_too_large"`
	DeferredStreamClose             stats.Gauge   `stat:"deferred_stream_close"`
	DroppedHeadersWithUnderscores   stats.Counter `stat:"dropped_headers_with_underscores"`
	GoawaySent                      stats.Counter `stat:"goaway_sent"`
	HeaderListSizeTooLarge          stats.Counter `stat:"header_list_size_too_large"`
	HeaderOverflow                  stats.Counter `stat:"header_overflow"`
	HeadersCbNoStream               stats.Counter `stat:"headers_cb_no_stream"`
	InboundEmptyFramesFlood         stats.Counter `stat:"inbound_empty_frames_flood"`
	InboundPriorityFramesFlood      stats.Counter `stat:"inbound_priority_frames_flood"`
	InboundWindowUpdateFramesFlood  stats.Counter `stat:"inbound_window_update_frames_flood"`
	KeepaliveTimeout                stats.Counter `stat:"keepalive_timeout"`
	MetadataEmptyFrames             stats.Counter `stat:"metadata_empty_frames"`
	Nghttp2DownstreamConnections    stats.Counter `stat:"nghttp2_downstream_connections"`
	Nghttp2UpstreamConnections      stats.Counter `stat:"nghttp2_upstream_connections"`
	Oghttp2DownstreamConnections    stats.Counter `stat:"oghttp2_downstream_connections"`
	Oghttp2UpstreamConnections      stats.Counter `stat:"oghttp2_upstream_connections"`
	OutboundControlFlood            stats.Counter `stat:"outbound_control_flood"`
	OutboundControlFramesActive     stats.Gauge   `stat:"outbound_control_frames_active"`
	OutboundFlood                   stats.Counter `stat:"outbound_flood"`
	OutboundFramesActive            stats.Gauge   `stat:"outbound_frames_active"`
	PendingSendBytes                stats.Gauge   `stat:"pending_send_bytes"`
	RequestsRejectedWithUnderscores stats.Counter `stat:"requests_rejected_with_underscores_in_headers"`
	RxMessagingError                stats.Counter `stat:"rx_messaging_error"`
	RxReset                         stats.Counter `stat:"rx_reset"`
	StreamRefusedErrors             stats.Counter `stat:"stream_refused_errors"`
	StreamsActive                   stats.Gauge   `stat:"streams_active"`
	Trailers                        stats.Counter `stat:"trailers"`
	TxFlushTimeout                  stats.Counter `stat:"tx_flush_timeout"`
	TxReset                         stats.Counter `stat:"tx_reset"`

	// Envoy has these and records nothing by default.
	CookieCount    stats.Histogram `stat:"cookie_count"`
	CookieSize     stats.Histogram `stat:"cookie_size"`
	HeaderCount    stats.Histogram `stat:"header_count"`
	HeaderListSize stats.Histogram `stat:"header_list_size"`
}
