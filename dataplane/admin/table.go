package admin

// table lists the endpoints in the order of the help text: Envoy's by their paths, then ours. The texts
// are those of Envoy 1.40.
func table() []*endpoint {
	return []*endpoint{
		{path: "/", help: "Admin home page", serve: (*Admin).serveHome},
		{path: "/allocprofiler", help: "enable/disable the allocation profiler (if supported)", post: true, serve: (*Admin).serveAllocProfiler, params: []endpointParam{
			{"enable", "enable/disable the allocation profiler; One of (y, n)"},
		}},
		{path: "/certs", help: "print certs on machine", serve: (*Admin).serveCerts},
		{path: "/clusters", help: "upstream cluster status", serve: (*Admin).serveClusters, params: []endpointParam{
			{"filter", "Regular expression (Google re2) for filtering clusters by name"},
		}},
		{path: "/config_dump", help: "dump current Envoy configs", serve: (*Admin).serveConfigDump, params: []endpointParam{
			{"resource", "The resource to dump"},
			{"mask", "The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask"},
			{"name_regex", "Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask query parameters."},
			{"include_eds", "Dump currently loaded configuration including EDS. See the response definition for more information"},
		}},
		{path: "/contention", help: "dump current Envoy mutex contention stats (if enabled)", serve: (*Admin).serveContention},
		{path: "/cpuprofiler", help: "enable/disable the CPU profiler", post: true, serve: (*Admin).serveCPUProfiler, params: []endpointParam{
			{"enable", "enables the CPU profiler; One of (y, n)"},
		}},
		{path: "/drain_listeners", help: "drain listeners", post: true, serve: (*Admin).serveDrainListeners, params: []endpointParam{
			{"graceful", "When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is configurable via server options or CLI"},
			{"skip_exit", "When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect when this is set, since the drain period only delays stopping the listeners"},
			{"inboundonly", "Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to determine whether a listener is inbound or outbound."},
		}},
		{path: "/healthcheck/fail", help: "cause the server to fail health checks", post: true, serve: (*Admin).serveHealthcheckFail},
		{path: "/healthcheck/ok", help: "cause the server to pass health checks", post: true, serve: (*Admin).serveHealthcheckOK},
		{path: "/heap_dump", help: "dump current Envoy heap (if supported)", serve: (*Admin).serveHeapDump},
		{path: "/heapprofiler", help: "enable/disable the heap profiler", post: true, serve: (*Admin).serveHeapProfiler, params: []endpointParam{
			{"enable", "enable/disable the heap profiler; One of (y, n)"},
		}},
		{path: "/help", help: "print out list of admin commands", serve: (*Admin).serveHelp},
		{path: "/hot_restart_version", help: "print the hot restart compatibility version", serve: (*Admin).serveHotRestartVersion},
		{path: "/init_dump", help: "dump current Envoy init manager information (experimental)", serve: (*Admin).serveInitDump, params: []endpointParam{
			{"mask", "The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the unready targets of all listeners with /init_dump?mask=listener`"},
		}},
		{path: "/listeners", help: "print listener info", serve: (*Admin).serveListeners, params: []endpointParam{
			{"format", "File format to use; One of (text, json)"},
		}},
		{path: "/logging", help: "query/change logging levels", post: true, serve: (*Admin).serveLogging, params: []endpointParam{
			{"paths", "Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain logging is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning"},
			{"group", "Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a logger name."},
			{"level", "desired logging level, this will change all loggers's level; One of (, trace, debug, info, warning, error, critical, off)"},
		}},
		{path: "/memory", help: "print current allocation/heap usage", serve: (*Admin).serveMemory},
		{path: "/memory/tcmalloc", help: "print TCMalloc stats", serve: (*Admin).serveTcmalloc},
		{path: "/peak_heap_dump", help: "dump peak Envoy heap (if supported)", serve: (*Admin).servePeakHeapDump},
		{path: "/quitquitquit", help: "exit the server", post: true, serve: (*Admin).serveQuit},
		{path: "/ready", help: "print server state, return 200 if LIVE, otherwise return 503", serve: (*Admin).serveReady},
		{path: "/reopen_logs", help: "reopen access logs", post: true, serve: (*Admin).serveReopenLogs},
		{path: "/reset_counters", help: "reset all counters to zero", post: true, serve: (*Admin).serveResetCounters},
		{path: "/runtime", help: "print runtime values", serve: (*Admin).serveRuntime},
		{path: "/runtime_modify", help: "Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...", post: true, serve: (*Admin).serveRuntimeModify},
		{path: "/server_info", help: "print server version/status information", serve: (*Admin).serveServerInfo},
		{path: "/stats", help: "print server stats", serve: (*Admin).serveStatsPage, params: []endpointParam{
			{"usedonly", "Only include stats that have been written by system since restart"},
			{"filter", "Regular expression (Google re2) for filtering stats"},
			{"invert_filter", "Invert the filter regex"},
			{"format", "Format to use; One of (html, active-html, text, json)"},
			{"type", "Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)"},
			{"histogram_buckets", "Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)"},
		}},
		{path: "/stats/prometheus", help: "print server stats in prometheus format", serve: (*Admin).serveStatsPrometheus, params: []endpointParam{
			{"usedonly", "Only include stats that have been written by system since restart"},
			{"text_readouts", "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)"},
			{"filter", "Regular expression (Google re2) for filtering stats"},
			{"invert_filter", "Invert the filter regex"},
			{"histogram_buckets", "Histogram bucket display mode; One of (cumulative, summary)"},
		}},
		{path: "/stats/recentlookups", help: "Show recent stat-name lookups", serve: (*Admin).serveRecentLookups},
		{path: "/stats/recentlookups/clear", help: "clear list of stat-name lookups and counter", post: true, serve: (*Admin).serveRecentLookupsClear},
		{path: "/stats/recentlookups/disable", help: "disable recording of reset stat-name lookup names", post: true, serve: (*Admin).serveRecentLookupsDisable},
		{path: "/stats/recentlookups/enable", help: "enable recording of reset stat-name lookup names", post: true, serve: (*Admin).serveRecentLookupsEnable},
		{path: "/debug/pprof/", help: "profiles of the Go runtime, for go tool pprof", ours: true, prefix: true, serve: (*Admin).servePprof},
		{path: "/stats/process", help: "what the Go runtime and the process tell of themselves, in prometheus format", ours: true, serve: (*Admin).serveStatsProcess},
		{path: "/why", help: "the last failures that the proxy answered for, and why", ours: true, serve: (*Admin).serveWhy, params: []endpointParam{
			{"format", "File format to use; One of (text, json)"},
		}},
	}
}
