package health

import (
	datapb "github.com/envoyproxy/go-control-plane/envoy/data/cluster/v3"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// OutlierStats are the stats below "cluster.NAME.outlier_detection.".
type OutlierStats struct {
	Active                         stats.Gauge   `stat:"ejections_active"`
	Consecutive5xx                 stats.Counter `stat:"ejections_consecutive_5xx"` // deprecated, as is SuccessRate and Total
	DetectedConsecutive5xx         stats.Counter `stat:"ejections_detected_consecutive_5xx"`
	DetectedConsecutiveGateway     stats.Counter `stat:"ejections_detected_consecutive_gateway_failure"`
	DetectedConsecutiveLocalOrigin stats.Counter `stat:"ejections_detected_consecutive_local_origin_failure"`
	DetectedDegradation            stats.Counter `stat:"ejections_detected_degradation"`
	DetectedFailurePercentage      stats.Counter `stat:"ejections_detected_failure_percentage"`
	DetectedLocalFailurePercentage stats.Counter `stat:"ejections_detected_local_origin_failure_percentage"`
	DetectedLocalSuccessRate       stats.Counter `stat:"ejections_detected_local_origin_success_rate"`
	DetectedSuccessRate            stats.Counter `stat:"ejections_detected_success_rate"`
	EnforcedConsecutive5xx         stats.Counter `stat:"ejections_enforced_consecutive_5xx"`
	EnforcedConsecutiveGateway     stats.Counter `stat:"ejections_enforced_consecutive_gateway_failure"`
	EnforcedConsecutiveLocalOrigin stats.Counter `stat:"ejections_enforced_consecutive_local_origin_failure"`
	EnforcedFailurePercentage      stats.Counter `stat:"ejections_enforced_failure_percentage"`
	EnforcedLocalFailurePercentage stats.Counter `stat:"ejections_enforced_local_origin_failure_percentage"`
	EnforcedLocalSuccessRate       stats.Counter `stat:"ejections_enforced_local_origin_success_rate"`
	EnforcedSuccessRate            stats.Counter `stat:"ejections_enforced_success_rate"`
	EnforcedTotal                  stats.Counter `stat:"ejections_enforced_total"`
	Overflow                       stats.Counter `stat:"ejections_overflow"`
	SuccessRate                    stats.Counter `stat:"ejections_success_rate"`
	Total                          stats.Counter `stat:"ejections_total"`
}

// kind is why a host is ejected, with what goes with it.
type kind struct {
	event              datapb.OutlierEjectionType
	enforcing          setting
	detected, enforced func(*OutlierStats) *stats.Counter
}

var (
	kind5xx = &kind{datapb.OutlierEjectionType_CONSECUTIVE_5XX, enforcing5xx,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedConsecutive5xx },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedConsecutive5xx }}
	kindGateway = &kind{datapb.OutlierEjectionType_CONSECUTIVE_GATEWAY_FAILURE, enforcingGateway,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedConsecutiveGateway },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedConsecutiveGateway }}
	kindLocal = &kind{datapb.OutlierEjectionType_CONSECUTIVE_LOCAL_ORIGIN_FAILURE, enforcingLocal,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedConsecutiveLocalOrigin },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedConsecutiveLocalOrigin }}
	kindRate = &kind{datapb.OutlierEjectionType_SUCCESS_RATE, enforcingSuccessRate,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedSuccessRate },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedSuccessRate }}
	kindLocalRate = &kind{datapb.OutlierEjectionType_SUCCESS_RATE_LOCAL_ORIGIN, enforcingLocalSuccessRate,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedLocalSuccessRate },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedLocalSuccessRate }}
	kindFailure = &kind{datapb.OutlierEjectionType_FAILURE_PERCENTAGE, enforcingFailure,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedFailurePercentage },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedFailurePercentage }}
	kindLocalFailure = &kind{datapb.OutlierEjectionType_FAILURE_PERCENTAGE_LOCAL_ORIGIN, enforcingLocalFailure,
		func(s *OutlierStats) *stats.Counter { return &s.DetectedLocalFailurePercentage },
		func(s *OutlierStats) *stats.Counter { return &s.EnforcedLocalFailurePercentage }}
)
