package runtime

// The runtime keys that change what this proxy does.
const (
	// StripFragment false makes a path with a fragment a path without it, where Envoy's default is 400.
	RejectPathWithFragment = "envoy.reloadable_features.http_reject_path_with_fragment"
	// MaintenanceMode + cluster name: the percentage of requests answered 503.
	MaintenanceMode      = "upstream.maintenance_mode."
	UseHTTPRetry         = "upstream.use_retry"
	BaseRetryBackoff     = "upstream.base_retry_backoff_ms"
	HealthyPanic         = "upstream.healthy_panic_threshold"
	ZoneRoutingEnabled   = "upstream.zone_routing.enabled"
	ZoneMinClusterSize   = "upstream.zone_routing.min_cluster_size"
	GlobalMaxConnections = "overload.global_downstream_max_connections"
	RegexMaxProgramError = "re2.max_program_size.error_level"
	RegexMaxProgramWarn  = "re2.max_program_size.warn_level"
)
