package cluster

import (
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// trafficStats are the stats below "cluster.NAME." that requests count. They are declared with the
// cluster and made when it is first used.
type trafficStats struct {
	pool.Stats
	LB          lb.Stats      `stat:""`
	RqCompleted stats.Counter `stat:"upstream_rq_completed"`
	// MatchCount is counted by name, as those of transport_socket_matches are: it is here to be listed.
	MatchCount stats.Counter `stat:"default.total_match_count"`
	Default    breakerStats  `stat:"circuit_breakers.default."`
	High       breakerStats  `stat:"circuit_breakers.high."`
}

// breakerStats tell which circuit breakers are open.
type breakerStats struct {
	CxOpen        stats.Gauge `stat:"cx_open"`
	CxPoolOpen    stats.Gauge `stat:"cx_pool_open"`
	RqOpen        stats.Gauge `stat:"rq_open"`
	RqPendingOpen stats.Gauge `stat:"rq_pending_open"`
	RqRetryOpen   stats.Gauge `stat:"rq_retry_open"`
}

// remainingStats are kept under track_remaining.
type remainingStats struct {
	Cx      stats.Gauge `stat:"remaining_cx"`
	CxPools stats.Gauge `stat:"remaining_cx_pools"`
	Pending stats.Gauge `stat:"remaining_pending"`
	Retries stats.Gauge `stat:"remaining_retries"`
	Rq      stats.Gauge `stat:"remaining_rq"`
}

// set shows the limits while nothing is in use.
func (r *remainingStats) set(t *Thresholds) {
	r.Cx.Set(uint64(t.Connections))
	r.CxPools.Set(uint64(t.Pools))
	r.Pending.Set(uint64(t.Pending))
	r.Retries.Set(uint64(t.Retries))
	r.Rq.Set(uint64(t.Requests))
}

// memberStats are the stats that a cluster has values of before anything uses it.
type memberStats struct {
	Change           stats.Counter `stat:"membership_change"`
	Degraded         stats.Gauge   `stat:"membership_degraded"`
	Excluded         stats.Gauge   `stat:"membership_excluded"`
	Healthy          stats.Gauge   `stat:"membership_healthy"`
	Total            stats.Gauge   `stat:"membership_total"`
	MaxHostWeight    stats.Gauge   `stat:"max_host_weight"`
	AssignmentStale  stats.Counter `stat:"assignment_stale"`
	AssignmentTimed  stats.Counter `stat:"assignment_timeout_received"`
	AssignmentCached stats.Counter `stat:"assignment_use_cached"`
	UpdateAttempt    stats.Counter `stat:"update_attempt"`
	UpdateEmpty      stats.Counter `stat:"update_empty"`
	UpdateFailure    stats.Counter `stat:"update_failure"`
	UpdateNoRebuild  stats.Counter `stat:"update_no_rebuild"`
	UpdateSuccess    stats.Counter `stat:"update_success"`
	Version          stats.Gauge   `stat:"version"`
	WarmingState     stats.Gauge   `stat:"warming_state"`
}

// edsStats are those of an EDS subscription beyond what memberStats has.
type edsStats struct {
	InitFetchTimeout stats.Counter     `stat:"init_fetch_timeout"`
	UpdateRejected   stats.Counter     `stat:"update_rejected"`
	UpdateTime       stats.Gauge       `stat:"update_time"`
	UpdateDuration   stats.Histogram   `stat:"update_duration"`
	VersionText      stats.TextReadout `stat:"version_text"`
}

// Timeouts are kept under track_cluster_stats.timeout_budgets.
type Timeouts struct {
	Percent       stats.Histogram `stat:"upstream_rq_timeout_budget_percent_used"`
	PerTryPercent stats.Histogram `stat:"upstream_rq_timeout_budget_per_try_percent_used"`
}

// Sizes are kept under track_cluster_stats.request_response_sizes.
type Sizes struct {
	RequestHeaders      stats.Histogram `stat:"upstream_rq_headers_size"`
	RequestHeaderCount  stats.Histogram `stat:"upstream_rq_headers_count"`
	RequestBody         stats.Histogram `stat:"upstream_rq_body_size"`
	ResponseHeaders     stats.Histogram `stat:"upstream_rs_headers_size"`
	ResponseHeaderCount stats.Histogram `stat:"upstream_rs_headers_count"`
	ResponseBody        stats.Histogram `stat:"upstream_rs_body_size"`
}

// managerStats are the stats below "cluster_manager.".
type managerStats struct {
	Active           stats.Gauge   `stat:"active_clusters"`
	Warming          stats.Gauge   `stat:"warming_clusters"`
	Added            stats.Counter `stat:"cluster_added"`
	Modified         stats.Counter `stat:"cluster_modified"`
	Removed          stats.Counter `stat:"cluster_removed"`
	Updated          stats.Counter `stat:"cluster_updated"`
	UpdatedViaMerge  stats.Counter `stat:"cluster_updated_via_merge"`
	MergeCancelled   stats.Counter `stat:"update_merge_cancelled"`
	OutOfMergeWindow stats.Counter `stat:"update_out_of_merge_window"`
}
