package endpoint

import "strings"

// Flag is a set of reasons why a host is not simply healthy.
type Flag uint32

// The health flags of Envoy 1.40, in the order in which /clusters prints them.
const (
	FailedActiveHC Flag = 1 << iota
	FailedOutlierCheck
	FailedEDSHealth
	DegradedActiveHC
	DegradedEDSHealth
	PendingDynamicRemoval
	PendingActiveHC
	ExcludedViaImmediateHCFail
	ActiveHCTimeout
	EDSStatusDraining
	DegradedOutlierDetection
)

var flagNames = [...]string{
	"/failed_active_hc", "/failed_outlier_check", "/failed_eds_health", "/degraded_active_hc",
	"/degraded_eds_health", "/pending_dynamic_removal", "/pending_active_hc",
	"/excluded_via_immediate_hc_fail", "/active_hc_timeout", "/eds_status_draining",
	"/degraded_outlier_detection",
}

const (
	unhealthyFlags = FailedActiveHC | FailedOutlierCheck | FailedEDSHealth | EDSStatusDraining
	degradedFlags  = DegradedActiveHC | DegradedEDSHealth | DegradedOutlierDetection
	excludedFlags  = PendingActiveHC | ExcludedViaImmediateHCFail | EDSStatusDraining
	edsFlags       = FailedEDSHealth | DegradedEDSHealth | EDSStatusDraining
)

// String is the flags as /clusters prints them: "healthy", or "/failed_active_hc/failed_eds_health".
func (f Flag) String() string {
	if f == 0 {
		return "healthy"
	}
	var b strings.Builder
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	return b.String()
}

// Healthy tells whether load balancers take the host as a healthy one.
func (f Flag) Healthy() bool { return f&(unhealthyFlags|degradedFlags) == 0 }

// Degraded tells whether the host serves only when there are too few healthy ones.
func (f Flag) Degraded() bool { return f&unhealthyFlags == 0 && f&degradedFlags != 0 }

// Excluded tells whether the host is left out where the share of healthy hosts is reckoned.
func (f Flag) Excluded() bool { return f&excludedFlags != 0 }

// Flag is what an EDS status means for a host.
func (s Status) Flag() Flag {
	switch s {
	case Unhealthy, Timeout:
		return FailedEDSHealth
	case Draining:
		return EDSStatusDraining
	case Degraded:
		return DegradedEDSHealth
	default:
		return 0
	}
}
