package admin

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// httpStats are the interface's below "http.admin.", the names of a connection manager
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats). Those that
// never move are there because Envoy lists them.
type httpStats struct {
	CxActive                stats.Gauge     `stat:"downstream_cx_active"`
	CxDelayedCloseTimeout   stats.Counter   `stat:"downstream_cx_delayed_close_timeout"`
	CxDestroy               stats.Counter   `stat:"downstream_cx_destroy"`
	CxDestroyActiveRq       stats.Counter   `stat:"downstream_cx_destroy_active_rq"`
	CxDestroyLocal          stats.Counter   `stat:"downstream_cx_destroy_local"`
	CxDestroyLocalActiveRq  stats.Counter   `stat:"downstream_cx_destroy_local_active_rq"`
	CxDestroyRemote         stats.Counter   `stat:"downstream_cx_destroy_remote"`
	CxDestroyRemoteActiveRq stats.Counter   `stat:"downstream_cx_destroy_remote_active_rq"`
	CxDrainClose            stats.Counter   `stat:"downstream_cx_drain_close"`
	CxHTTP1Active           stats.Gauge     `stat:"downstream_cx_http1_active"`
	CxHTTP1SoftDrain        stats.Gauge     `stat:"downstream_cx_http1_soft_drain"`
	CxHTTP1Total            stats.Counter   `stat:"downstream_cx_http1_total"`
	CxHTTP2Active           stats.Gauge     `stat:"downstream_cx_http2_active"`
	CxHTTP2Total            stats.Counter   `stat:"downstream_cx_http2_total"`
	CxHTTP3Active           stats.Gauge     `stat:"downstream_cx_http3_active"`
	CxHTTP3Total            stats.Counter   `stat:"downstream_cx_http3_total"`
	CxIdleTimeout           stats.Counter   `stat:"downstream_cx_idle_timeout"`
	CxLengthMs              stats.Histogram `stat:"downstream_cx_length_ms"`
	CxMaxDuration           stats.Counter   `stat:"downstream_cx_max_duration_reached"`
	CxMaxRequests           stats.Counter   `stat:"downstream_cx_max_requests_reached"`
	CxOverloadKeepAlive     stats.Counter   `stat:"downstream_cx_overload_disable_keepalive"`
	CxProtocolError         stats.Counter   `stat:"downstream_cx_protocol_error"`
	CxRxBuffered            stats.Gauge     `stat:"downstream_cx_rx_bytes_buffered"`
	CxRxBytes               stats.Counter   `stat:"downstream_cx_rx_bytes_total"`
	CxSSLActive             stats.Gauge     `stat:"downstream_cx_ssl_active"`
	CxSSLTotal              stats.Counter   `stat:"downstream_cx_ssl_total"`
	CxTotal                 stats.Counter   `stat:"downstream_cx_total"`
	CxTxBuffered            stats.Gauge     `stat:"downstream_cx_tx_bytes_buffered"`
	CxTxBytes               stats.Counter   `stat:"downstream_cx_tx_bytes_total"`
	CxUpgradesActive        stats.Gauge     `stat:"downstream_cx_upgrades_active"`
	CxUpgradesTotal         stats.Counter   `stat:"downstream_cx_upgrades_total"`
	PausedReading           stats.Counter   `stat:"downstream_flow_control_paused_reading_total"`
	ResumedReading          stats.Counter   `stat:"downstream_flow_control_resumed_reading_total"`
	RqActive                stats.Gauge     `stat:"downstream_rq_active"`
	RqFailedNormalization   stats.Counter   `stat:"downstream_rq_failed_path_normalization"`
	RqHeaderTimeout         stats.Counter   `stat:"downstream_rq_header_timeout"`
	RqHTTP1Total            stats.Counter   `stat:"downstream_rq_http1_total"`
	RqHTTP2Total            stats.Counter   `stat:"downstream_rq_http2_total"`
	RqHTTP3Total            stats.Counter   `stat:"downstream_rq_http3_total"`
	RqIdleTimeout           stats.Counter   `stat:"downstream_rq_idle_timeout"`
	RqMaxDuration           stats.Counter   `stat:"downstream_rq_max_duration_reached"`
	RqNonRelativePath       stats.Counter   `stat:"downstream_rq_non_relative_path"`
	RqOverloadClose         stats.Counter   `stat:"downstream_rq_overload_close"`
	RqRedirectedPath        stats.Counter   `stat:"downstream_rq_redirected_with_normalized_path"`
	RqRejectedIP            stats.Counter   `stat:"downstream_rq_rejected_via_ip_detection"`
	RqResponseBefore        stats.Counter   `stat:"downstream_rq_response_before_rq_complete"`
	RqRxReset               stats.Counter   `stat:"downstream_rq_rx_reset"`
	RqTime                  stats.Histogram `stat:"downstream_rq_time"`
	RqTimeout               stats.Counter   `stat:"downstream_rq_timeout"`
	RqTooLarge              stats.Counter   `stat:"downstream_rq_too_large"`
	RqPrematureResets       stats.Counter   `stat:"downstream_rq_too_many_premature_resets"`
	RqTotal                 stats.Counter   `stat:"downstream_rq_total"`
	RqTxReset               stats.Counter   `stat:"downstream_rq_tx_reset"`
	RqWSOnNonWS             stats.Counter   `stat:"downstream_rq_ws_on_non_ws_route"`
	RsTooLarge              stats.Counter   `stat:"rs_too_large"`
	codeStats
}

// codeStats count responses, below "http.admin." and below "listener.admin.http.admin.".
type codeStats struct {
	Class1    stats.Counter `stat:"downstream_rq_1xx"`
	Class2    stats.Counter `stat:"downstream_rq_2xx"`
	Class3    stats.Counter `stat:"downstream_rq_3xx"`
	Class4    stats.Counter `stat:"downstream_rq_4xx"`
	Class5    stats.Counter `stat:"downstream_rq_5xx"`
	Completed stats.Counter `stat:"downstream_rq_completed"`
}

func (s *codeStats) count(code int) {
	if code >= 200 {
		s.Completed.Inc(0)
	}
	switch code / 100 {
	case 1:
		s.Class1.Inc(0)
	case 2:
		s.Class2.Inc(0)
	case 3:
		s.Class3.Inc(0)
	case 4:
		s.Class4.Inc(0)
	case 5:
		s.Class5.Inc(0)
	}
}

// listenerStats are the interface's below "listener.admin.".
type listenerStats struct {
	Accepted             stats.Histogram `stat:"connections_accepted_per_socket_event"`
	CxActive             stats.Gauge     `stat:"downstream_cx_active"`
	CxDestroy            stats.Counter   `stat:"downstream_cx_destroy"`
	CxLengthMs           stats.Histogram `stat:"downstream_cx_length_ms"`
	CxOverflow           stats.Counter   `stat:"downstream_cx_overflow"`
	CxOverloadReject     stats.Counter   `stat:"downstream_cx_overload_reject"`
	CxTotal              stats.Counter   `stat:"downstream_cx_total"`
	CxConnectTimeout     stats.Counter   `stat:"downstream_cx_transport_socket_connect_timeout"`
	GlobalCxOverflow     stats.Counter   `stat:"downstream_global_cx_overflow"`
	ListenerFilterError  stats.Counter   `stat:"downstream_listener_filter_error"`
	ListenerFilterClosed stats.Counter   `stat:"downstream_listener_filter_remote_close"`
	PreCxActive          stats.Gauge     `stat:"downstream_pre_cx_active"`
	PreCxTimeout         stats.Counter   `stat:"downstream_pre_cx_timeout"`
	NoFilterChainMatch   stats.Counter   `stat:"no_filter_chain_match"`
}

// threadStats are those of the main thread, below "listener.admin.main_thread.".
type threadStats struct {
	CxActive stats.Gauge   `stat:"downstream_cx_active"`
	CxTotal  stats.Counter `stat:"downstream_cx_total"`
}

type adminStats struct {
	http     httpStats
	listener listenerStats
	codes    codeStats
	thread   threadStats
}

func (a *Admin) bindStats() {
	bind := func(prefix string, into any) {
		s := a.o.Stats.Scope(prefix)
		stats.Bind(s, into)
		a.scopes = append(a.scopes, s)
	}
	bind("http.admin", &a.stats.http)
	bind("listener.admin", &a.stats.listener)
	bind("listener.admin.http.admin", &a.stats.codes)
	bind("listener.admin.main_thread", &a.stats.thread)
}

// open counts a connection in.
func (s *adminStats) open() {
	s.listener.Accepted.Record(0, 1)
	s.listener.PreCxActive.Add(0, 0)
	s.listener.CxTotal.Inc(0)
	s.listener.CxActive.Inc(0)
	s.thread.CxTotal.Inc(0)
	s.thread.CxActive.Inc(0)
	s.http.CxTotal.Inc(0)
	s.http.CxActive.Inc(0)
}

// protocol counts what the connection speaks, once that is known.
func (s *adminStats) protocol(c *conn) {
	if c.http2 {
		s.http.CxHTTP2Total.Inc(0)
		s.http.CxHTTP2Active.Inc(0)
		return
	}
	s.http.CxHTTP1Total.Inc(0)
	s.http.CxHTTP1Active.Inc(0)
}

// close counts a connection out.
func (s *adminStats) close(c *conn) {
	s.moved(c)
	length := uint64(time.Since(c.started).Milliseconds())
	s.listener.CxActive.Dec(0)
	s.listener.CxDestroy.Inc(0)
	s.listener.CxLengthMs.Record(0, length)
	s.thread.CxActive.Dec(0)
	s.http.CxActive.Dec(0)
	s.http.CxDestroy.Inc(0)
	s.http.CxLengthMs.Record(0, length)
	if c.local {
		s.http.CxDestroyLocal.Inc(0)
	} else {
		s.http.CxDestroyRemote.Inc(0)
	}
	switch {
	case !c.spoke:
	case c.http2:
		s.http.CxHTTP2Active.Dec(0)
	default:
		s.http.CxHTTP1Active.Dec(0)
	}
}

// moved counts the bytes that have gone through the connection since the last call.
func (s *adminStats) moved(c *conn) {
	s.http.CxRxBytes.Add(0, c.received.Swap(0))
	s.http.CxTxBytes.Add(0, c.sent.Swap(0))
}

// begin counts a request in, and finish counts its response.
func (s *adminStats) begin(http2 bool) {
	s.http.RqTotal.Inc(0)
	s.http.RqActive.Inc(0)
	if http2 {
		s.http.RqHTTP2Total.Inc(0)
	} else {
		s.http.RqHTTP1Total.Inc(0)
	}
}

func (s *adminStats) finish(code int, took time.Duration) {
	s.http.RqActive.Dec(0)
	s.http.RqTime.Record(0, uint64(took.Milliseconds()))
	s.respond(code)
}

// respond counts a response, an informational one too.
func (s *adminStats) respond(code int) {
	s.http.count(code)
	s.codes.count(code)
}
