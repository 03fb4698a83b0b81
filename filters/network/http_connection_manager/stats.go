package hcm

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are a connection manager's, below "http.PREFIX."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats).
type Stats struct {
	CxActive                       stats.Gauge     `stat:"downstream_cx_active"`
	CxDelayedCloseTimeout          stats.Counter   `stat:"downstream_cx_delayed_close_timeout"`
	CxDestroy                      stats.Counter   `stat:"downstream_cx_destroy"`
	CxDestroyActiveRq              stats.Counter   `stat:"downstream_cx_destroy_active_rq"`
	CxDestroyLocal                 stats.Counter   `stat:"downstream_cx_destroy_local"`
	CxDestroyLocalActiveRq         stats.Counter   `stat:"downstream_cx_destroy_local_active_rq"`
	CxDestroyRemote                stats.Counter   `stat:"downstream_cx_destroy_remote"`
	CxDestroyRemoteActiveRq        stats.Counter   `stat:"downstream_cx_destroy_remote_active_rq"`
	CxDrainClose                   stats.Counter   `stat:"downstream_cx_drain_close"`
	CxHTTP1Active                  stats.Gauge     `stat:"downstream_cx_http1_active"`
	CxHTTP1SoftDrain               stats.Gauge     `stat:"downstream_cx_http1_soft_drain"`
	CxHTTP1Total                   stats.Counter   `stat:"downstream_cx_http1_total"`
	CxHTTP2Active                  stats.Gauge     `stat:"downstream_cx_http2_active"`
	CxHTTP2Total                   stats.Counter   `stat:"downstream_cx_http2_total"`
	CxHTTP3Active                  stats.Gauge     `stat:"downstream_cx_http3_active"`
	CxHTTP3Total                   stats.Counter   `stat:"downstream_cx_http3_total"`
	CxIdleTimeout                  stats.Counter   `stat:"downstream_cx_idle_timeout"`
	CxLengthMs                     stats.Histogram `stat:"downstream_cx_length_ms"`
	CxMaxDurationReached           stats.Counter   `stat:"downstream_cx_max_duration_reached"`
	CxMaxRequestsReached           stats.Counter   `stat:"downstream_cx_max_requests_reached"`
	CxOverloadDisableKeepalive     stats.Counter   `stat:"downstream_cx_overload_disable_keepalive"`
	CxProtocolError                stats.Counter   `stat:"downstream_cx_protocol_error"`
	CxRxBytesBuffered              stats.Gauge     `stat:"downstream_cx_rx_bytes_buffered"`
	CxRxBytesTotal                 stats.Counter   `stat:"downstream_cx_rx_bytes_total"`
	CxSSLActive                    stats.Gauge     `stat:"downstream_cx_ssl_active"`
	CxSSLTotal                     stats.Counter   `stat:"downstream_cx_ssl_total"`
	CxTotal                        stats.Counter   `stat:"downstream_cx_total"`
	CxTxBytesBuffered              stats.Gauge     `stat:"downstream_cx_tx_bytes_buffered"`
	CxTxBytesTotal                 stats.Counter   `stat:"downstream_cx_tx_bytes_total"`
	CxUpgradesActive               stats.Gauge     `stat:"downstream_cx_upgrades_active"`
	CxUpgradesTotal                stats.Counter   `stat:"downstream_cx_upgrades_total"`
	FlowControlPausedReadingTotal  stats.Counter   `stat:"downstream_flow_control_paused_reading_total"`
	FlowControlResumedReadingTotal stats.Counter   `stat:"downstream_flow_control_resumed_reading_total"`
	RqActive                       stats.Gauge     `stat:"downstream_rq_active"`
	RqCompleted                    stats.Counter   `stat:"downstream_rq_completed"`
	RqFailedPathNormalization      stats.Counter   `stat:"downstream_rq_failed_path_normalization"`
	RqHeaderTimeout                stats.Counter   `stat:"downstream_rq_header_timeout"`
	RqHTTP1Total                   stats.Counter   `stat:"downstream_rq_http1_total"`
	RqHTTP2Total                   stats.Counter   `stat:"downstream_rq_http2_total"`
	RqHTTP3Total                   stats.Counter   `stat:"downstream_rq_http3_total"`
	RqIdleTimeout                  stats.Counter   `stat:"downstream_rq_idle_timeout"`
	RqMaxDurationReached           stats.Counter   `stat:"downstream_rq_max_duration_reached"`
	RqNonRelativePath              stats.Counter   `stat:"downstream_rq_non_relative_path"`
	RqOverloadClose                stats.Counter   `stat:"downstream_rq_overload_close"`
	RqRedirectedWithNormalizedPath stats.Counter   `stat:"downstream_rq_redirected_with_normalized_path"`
	RqRejectedViaIPDetection       stats.Counter   `stat:"downstream_rq_rejected_via_ip_detection"`
	RqResponseBeforeRqComplete     stats.Counter   `stat:"downstream_rq_response_before_rq_complete"`
	RqRxReset                      stats.Counter   `stat:"downstream_rq_rx_reset"`
	RqTime                         stats.Histogram `stat:"downstream_rq_time"`
	RqTimeout                      stats.Counter   `stat:"downstream_rq_timeout"`
	RqTooLarge                     stats.Counter   `stat:"downstream_rq_too_large"`
	RqTooManyPrematureResets       stats.Counter   `stat:"downstream_rq_too_many_premature_resets"`
	RqTotal                        stats.Counter   `stat:"downstream_rq_total"`
	RqTxReset                      stats.Counter   `stat:"downstream_rq_tx_reset"`
	RqWSOnNonWSRoute               stats.Counter   `stat:"downstream_rq_ws_on_non_ws_route"`
	RsTooLarge                     stats.Counter   `stat:"rs_too_large"`
	Tracing                        TracingStats    `stat:"tracing."`
	Codes                          CodeStats       `stat:""`
}

// CodeStats are the responses by class; Envoy lists them before the first one.
type CodeStats struct {
	C1 stats.Counter `stat:"downstream_rq_1xx"`
	C2 stats.Counter `stat:"downstream_rq_2xx"`
	C3 stats.Counter `stat:"downstream_rq_3xx"`
	C4 stats.Counter `stat:"downstream_rq_4xx"`
	C5 stats.Counter `stat:"downstream_rq_5xx"`
}

// inc counts a response of this status.
func (c *CodeStats) inc(w stats.Worker, status int) {
	switch status / 100 {
	case 1:
		c.C1.Inc(w)
	case 2:
		c.C2.Inc(w)
	case 3:
		c.C3.Inc(w)
	case 4:
		c.C4.Inc(w)
	case 5:
		c.C5.Inc(w)
	}
}

// TracingStats say why requests were or were not traced.
type TracingStats struct {
	ClientEnabled  stats.Counter `stat:"client_enabled"`
	HealthCheck    stats.Counter `stat:"health_check"`
	NotTraceable   stats.Counter `stat:"not_traceable"`
	RandomSampling stats.Counter `stat:"random_sampling"`
	ServiceForced  stats.Counter `stat:"service_forced"`
}

// ListenerStats are the connection manager's in its listener's scope: "listener.ADDRESS.http.PREFIX.".
type ListenerStats struct {
	Completed stats.Counter `stat:"downstream_rq_completed"`
	Codes     CodeStats     `stat:""`
}
