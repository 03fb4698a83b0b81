package pool

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are a cluster's traffic stats below "cluster.NAME."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/upstream/cluster_manager/cluster_stats).
// The pool counts connections, the router requests.
type Stats struct {
	BindErrors                     stats.Counter   `stat:"bind_errors"`
	OriginalDSTHostInvalid         stats.Counter   `stat:"original_dst_host_invalid"`
	RetryOrShadowAbandoned         stats.Counter   `stat:"retry_or_shadow_abandoned"`
	CxActive                       stats.Gauge     `stat:"upstream_cx_active"`
	CxCloseNotify                  stats.Counter   `stat:"upstream_cx_close_notify"`
	CxConnectAttemptsExceeded      stats.Counter   `stat:"upstream_cx_connect_attempts_exceeded"`
	CxConnectFail                  stats.Counter   `stat:"upstream_cx_connect_fail"`
	CxConnectMs                    stats.Histogram `stat:"upstream_cx_connect_ms"`
	CxConnectTimeout               stats.Counter   `stat:"upstream_cx_connect_timeout"`
	CxConnectWith0RTT              stats.Counter   `stat:"upstream_cx_connect_with_0_rtt"`
	CxDestroy                      stats.Counter   `stat:"upstream_cx_destroy"`
	CxDestroyLocal                 stats.Counter   `stat:"upstream_cx_destroy_local"`
	CxDestroyLocalWithActiveRq     stats.Counter   `stat:"upstream_cx_destroy_local_with_active_rq"`
	CxDestroyRemote                stats.Counter   `stat:"upstream_cx_destroy_remote"`
	CxDestroyRemoteWithActiveRq    stats.Counter   `stat:"upstream_cx_destroy_remote_with_active_rq"`
	CxDestroyWithActiveRq          stats.Counter   `stat:"upstream_cx_destroy_with_active_rq"`
	CxHTTP1Total                   stats.Counter   `stat:"upstream_cx_http1_total"`
	CxHTTP2Total                   stats.Counter   `stat:"upstream_cx_http2_total"`
	CxHTTP3Total                   stats.Counter   `stat:"upstream_cx_http3_total"`
	CxIdleTimeout                  stats.Counter   `stat:"upstream_cx_idle_timeout"`
	CxLengthMs                     stats.Histogram `stat:"upstream_cx_length_ms"`
	CxMaxDurationReached           stats.Counter   `stat:"upstream_cx_max_duration_reached"`
	CxMaxRequests                  stats.Counter   `stat:"upstream_cx_max_requests"`
	CxNoneHealthy                  stats.Counter   `stat:"upstream_cx_none_healthy"`
	CxOverflow                     stats.Counter   `stat:"upstream_cx_overflow"`
	CxPoolOverflow                 stats.Counter   `stat:"upstream_cx_pool_overflow"`
	CxPreconnectSkipped            stats.Counter   `stat:"upstream_cx_preconnect_skipped"`
	CxProtocolError                stats.Counter   `stat:"upstream_cx_protocol_error"`
	CxRxBytesBuffered              stats.Gauge     `stat:"upstream_cx_rx_bytes_buffered"`
	CxRxBytesTotal                 stats.Counter   `stat:"upstream_cx_rx_bytes_total"`
	CxTotal                        stats.Counter   `stat:"upstream_cx_total"`
	CxTxBytesBuffered              stats.Gauge     `stat:"upstream_cx_tx_bytes_buffered"`
	CxTxBytesTotal                 stats.Counter   `stat:"upstream_cx_tx_bytes_total"`
	FlowControlBackedUpTotal       stats.Counter   `stat:"upstream_flow_control_backed_up_total"`
	FlowControlDrainedTotal        stats.Counter   `stat:"upstream_flow_control_drained_total"`
	FlowControlPausedReadingTotal  stats.Counter   `stat:"upstream_flow_control_paused_reading_total"`
	FlowControlResumedReadingTotal stats.Counter   `stat:"upstream_flow_control_resumed_reading_total"`
	HTTP3Broken                    stats.Counter   `stat:"upstream_http3_broken"`
	InternalRedirectFailedTotal    stats.Counter   `stat:"upstream_internal_redirect_failed_total"`
	InternalRedirectSucceededTotal stats.Counter   `stat:"upstream_internal_redirect_succeeded_total"`
	QueueOverloaded                stats.Counter   `stat:"upstream_queue_overloaded"`
	Rq0rtt                         stats.Counter   `stat:"upstream_rq_0rtt"`
	RqActive                       stats.Gauge     `stat:"upstream_rq_active"`
	RqActiveOverflow               stats.Counter   `stat:"upstream_rq_active_overflow"`
	RqCancelled                    stats.Counter   `stat:"upstream_rq_cancelled"`
	RqMaintenanceMode              stats.Counter   `stat:"upstream_rq_maintenance_mode"`
	RqMaxDurationReached           stats.Counter   `stat:"upstream_rq_max_duration_reached"`
	RqPendingActive                stats.Gauge     `stat:"upstream_rq_pending_active"`
	RqPendingFailureEject          stats.Counter   `stat:"upstream_rq_pending_failure_eject"`
	RqPendingOverflow              stats.Counter   `stat:"upstream_rq_pending_overflow"`
	RqPendingTotal                 stats.Counter   `stat:"upstream_rq_pending_total"`
	RqPerCx                        stats.Histogram `stat:"upstream_rq_per_cx"`
	RqPerTryIdleTimeout            stats.Counter   `stat:"upstream_rq_per_try_idle_timeout"`
	RqPerTryTimeout                stats.Counter   `stat:"upstream_rq_per_try_timeout"`
	RqRetry                        stats.Counter   `stat:"upstream_rq_retry"`
	RqRetryBackoffExponential      stats.Counter   `stat:"upstream_rq_retry_backoff_exponential"`
	RqRetryBackoffRatelimited      stats.Counter   `stat:"upstream_rq_retry_backoff_ratelimited"`
	RqRetryLimitExceeded           stats.Counter   `stat:"upstream_rq_retry_limit_exceeded"`
	RqRetryOverflow                stats.Counter   `stat:"upstream_rq_retry_overflow"`
	RqRetrySuccess                 stats.Counter   `stat:"upstream_rq_retry_success"`
	RqRxReset                      stats.Counter   `stat:"upstream_rq_rx_reset"`
	RqRxResetNoError               stats.Counter   `stat:"upstream_rq_rx_reset_no_error"`
	RqTimeout                      stats.Counter   `stat:"upstream_rq_timeout"`
	RqTotal                        stats.Counter   `stat:"upstream_rq_total"`
	RqTxReset                      stats.Counter   `stat:"upstream_rq_tx_reset"`
}
