package listener

import "github.com/pillion-proxy/pillion/dataplane/stats"

// Stats are one listener's, below "listener.ADDRESS."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/listeners/stats).
type Stats struct {
	Accepted                stats.Histogram `stat:"connections_accepted_per_socket_event"`
	CxActive                stats.Gauge     `stat:"downstream_cx_active"`
	CxDestroy               stats.Counter   `stat:"downstream_cx_destroy"`
	CxLengthMs              stats.Histogram `stat:"downstream_cx_length_ms"`
	CxOverflow              stats.Counter   `stat:"downstream_cx_overflow"`
	CxOverloadReject        stats.Counter   `stat:"downstream_cx_overload_reject"`
	CxTotal                 stats.Counter   `stat:"downstream_cx_total"`
	CxConnectTimeout        stats.Counter   `stat:"downstream_cx_transport_socket_connect_timeout"`
	GlobalCxOverflow        stats.Counter   `stat:"downstream_global_cx_overflow"`
	ListenerFilterError     stats.Counter   `stat:"downstream_listener_filter_error"`
	ListenerFilterClosed    stats.Counter   `stat:"downstream_listener_filter_remote_close"`
	PreCxActive             stats.Gauge     `stat:"downstream_pre_cx_active"`
	PreCxTimeout            stats.Counter   `stat:"downstream_pre_cx_timeout"`
	ExtensionConfigMissing  stats.Counter   `stat:"extension_config_missing"`
	NetworkExtensionMissing stats.Counter   `stat:"network_extension_config_missing"`
	NoFilterChainMatch      stats.Counter   `stat:"no_filter_chain_match"`
}

// WorkerStats are a listener's by worker, below "listener.ADDRESS.worker_N.".
type WorkerStats struct {
	CxActive stats.Gauge   `stat:"downstream_cx_active"`
	CxTotal  stats.Counter `stat:"downstream_cx_total"`
}

// ManagerStats are all listeners', below "listener_manager.".
type ManagerStats struct {
	Added          stats.Counter `stat:"listener_added"`
	CreateFailure  stats.Counter `stat:"listener_create_failure"`
	CreateSuccess  stats.Counter `stat:"listener_create_success"`
	InPlaceUpdated stats.Counter `stat:"listener_in_place_updated"`
	Modified       stats.Counter `stat:"listener_modified"`
	Removed        stats.Counter `stat:"listener_removed"`
	Stopped        stats.Counter `stat:"listener_stopped"`
	ChainsDraining stats.Gauge   `stat:"total_filter_chains_draining"`
	Active         stats.Gauge   `stat:"total_listeners_active"`
	Draining       stats.Gauge   `stat:"total_listeners_draining"`
	Warming        stats.Gauge   `stat:"total_listeners_warming"`
	WorkersStarted stats.Gauge   `stat:"workers_started"`
	WorkersPinned  stats.Gauge   `stat:"workers_pinned"`
}
