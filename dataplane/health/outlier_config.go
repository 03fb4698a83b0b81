package health

import (
	"errors"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Outlier is a compiled cluster.v3.OutlierDetection. It is immutable.
type Outlier struct {
	values        [settings]uint64
	Split         bool // split_external_local_origin_errors
	AlwaysOne     bool // always_eject_one_host
	UnejectOnPass bool // successful_active_health_check_uneject_host
	Degraded      bool // detect_degraded_hosts
}

// setting is a number that a runtime key may change.
type setting uint8

const (
	consecutive5xx setting = iota
	consecutiveGateway
	consecutiveLocal
	interval // ms, like all times here
	baseEjectionTime
	maxEjectionTime
	maxEjectionTimeJitter
	maxEjectionPercent
	successRateHosts
	successRateVolume
	successRateStdev
	failureThreshold
	failureHosts
	failureVolume
	enforcing5xx
	enforcingGateway
	enforcingLocal
	enforcingSuccessRate
	enforcingLocalSuccessRate
	enforcingFailure
	enforcingLocalFailure
	settings
)

// keys are Envoy's runtime keys
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/upstream/cluster_manager/cluster_runtime).
var keys = [settings]string{
	consecutive5xx: "outlier_detection.consecutive_5xx", consecutiveGateway: "outlier_detection.consecutive_gateway_failure",
	consecutiveLocal: "outlier_detection.consecutive_local_origin_failure",
	interval:         "outlier_detection.interval_ms", baseEjectionTime: "outlier_detection.base_ejection_time_ms",
	maxEjectionTime: "outlier_detection.max_ejection_time_ms", maxEjectionTimeJitter: "outlier_detection.max_ejection_time_jitter_ms",
	maxEjectionPercent: "outlier_detection.max_ejection_percent",
	successRateHosts:   "outlier_detection.success_rate_minimum_hosts", successRateVolume: "outlier_detection.success_rate_request_volume",
	successRateStdev: "outlier_detection.success_rate_stdev_factor",
	failureThreshold: "outlier_detection.failure_percentage_threshold", failureHosts: "outlier_detection.failure_percentage_minimum_hosts",
	failureVolume: "outlier_detection.failure_percentage_request_volume",
	enforcing5xx:  "outlier_detection.enforcing_consecutive_5xx", enforcingGateway: "outlier_detection.enforcing_consecutive_gateway_failure",
	enforcingLocal:       "outlier_detection.enforcing_consecutive_local_origin_failure",
	enforcingSuccessRate: "outlier_detection.enforcing_success_rate", enforcingLocalSuccessRate: "outlier_detection.enforcing_local_origin_success_rate",
	enforcingFailure: "outlier_detection.enforcing_failure_percentage", enforcingLocalFailure: "outlier_detection.enforcing_failure_percentage_local_origin",
}

// get returns a setting's value in force.
func (o *Outlier) get(r *runtime.Loader, s setting) uint64 { return r.Uint(keys[s], o.values[s]) }

func (o *Outlier) duration(r *runtime.Loader, s setting) time.Duration {
	return time.Duration(o.get(r, s)) * time.Millisecond
}

// CompileOutlier compiles p, which has been validated; nil is none.
func CompileOutlier(p *clusterpb.OutlierDetection) (*Outlier, error) {
	if p == nil {
		return nil, nil
	}
	if len(p.GetMonitors()) > 0 {
		return nil, errors.New("field OutlierDetection.monitors is not supported")
	}
	o := &Outlier{
		Split: p.GetSplitExternalLocalOriginErrors(), AlwaysOne: p.GetAlwaysEjectOneHost().GetValue(),
		UnejectOnPass: true, Degraded: p.GetDetectDegradedHosts().GetValue(),
	}
	if u := p.GetSuccessfulActiveHealthCheckUnejectHost(); u != nil {
		o.UnejectOnPass = u.GetValue()
	}
	for s, v := range map[setting]struct {
		set *wrapperspb.UInt32Value
		def uint64
	}{
		consecutive5xx: {p.GetConsecutive_5Xx(), 5}, consecutiveGateway: {p.GetConsecutiveGatewayFailure(), 5},
		consecutiveLocal:   {p.GetConsecutiveLocalOriginFailure(), 5},
		maxEjectionPercent: {p.GetMaxEjectionPercent(), 10},
		successRateHosts:   {p.GetSuccessRateMinimumHosts(), 5}, successRateVolume: {p.GetSuccessRateRequestVolume(), 100},
		successRateStdev: {p.GetSuccessRateStdevFactor(), 1900},
		failureThreshold: {p.GetFailurePercentageThreshold(), 85}, failureHosts: {p.GetFailurePercentageMinimumHosts(), 5},
		failureVolume: {p.GetFailurePercentageRequestVolume(), 50},
		enforcing5xx:  {p.GetEnforcingConsecutive_5Xx(), 100}, enforcingGateway: {p.GetEnforcingConsecutiveGatewayFailure(), 0},
		enforcingLocal:       {p.GetEnforcingConsecutiveLocalOriginFailure(), 100},
		enforcingSuccessRate: {p.GetEnforcingSuccessRate(), 100}, enforcingLocalSuccessRate: {p.GetEnforcingLocalOriginSuccessRate(), 100},
		enforcingFailure: {p.GetEnforcingFailurePercentage(), 0}, enforcingLocalFailure: {p.GetEnforcingFailurePercentageLocalOrigin(), 0},
	} {
		o.values[s] = v.def
		if v.set != nil {
			o.values[s] = uint64(v.set.GetValue())
		}
	}
	base := milliseconds(p.GetBaseEjectionTime(), 30*time.Second)
	most := milliseconds(p.GetMaxEjectionTime(), max(300*time.Second, base))
	if most < base {
		return nil, errors.New("outlier detector's max_ejection_time cannot be smaller than base_ejection_time")
	}
	o.values[interval] = uint64(milliseconds(p.GetInterval(), 10*time.Second).Milliseconds())
	o.values[baseEjectionTime], o.values[maxEjectionTime] = uint64(base.Milliseconds()), uint64(most.Milliseconds())
	o.values[maxEjectionTimeJitter] = uint64(milliseconds(p.GetMaxEjectionTimeJitter(), 0).Milliseconds())
	return o, nil
}
