package main

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// serverStats are the stats below "server."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/statistics). Gauges are
// brought up to date at every flush.
type serverStats struct {
	Uptime             stats.Gauge     `stat:"uptime"`
	Concurrency        stats.Gauge     `stat:"concurrency"`
	MemoryAllocated    stats.Gauge     `stat:"memory_allocated"`
	MemoryHeapSize     stats.Gauge     `stat:"memory_heap_size"`
	MemoryPhysicalSize stats.Gauge     `stat:"memory_physical_size"`
	Live               stats.Gauge     `stat:"live"`
	State              stats.Gauge     `stat:"state"`
	ParentConnections  stats.Gauge     `stat:"parent_connections"`
	TotalConnections   stats.Gauge     `stat:"total_connections"`
	Version            stats.Gauge     `stat:"version"`
	DaysUntilExpiry    stats.Gauge     `stat:"days_until_first_cert_expiring"`
	SecondsUntilOCSP   stats.Gauge     `stat:"seconds_until_first_ocsp_response_expiring"`
	HotRestartEpoch    stats.Gauge     `stat:"hot_restart_epoch"`
	RecentLookups      stats.Gauge     `stat:"stats_recent_lookups"`
	FIPS               stats.Gauge     `stat:"compilation_settings.fips_mode"`
	DebugAssertions    stats.Counter   `stat:"debug_assertion_failures"`
	EnvoyBugs          stats.Counter   `stat:"envoy_bug_failures"`
	EnvoyNotifications stats.Counter   `stat:"envoy_notifications"`
	DroppedFlushes     stats.Counter   `stat:"dropped_stat_flushes"`
	DynamicUnknown     stats.Counter   `stat:"dynamic_unknown_fields"`
	StaticUnknown      stats.Counter   `stat:"static_unknown_fields"`
	WIPProtos          stats.Counter   `stat:"wip_protos"`
	InitializationTime stats.Histogram `stat:"initialization_time_ms"`
}

// watchdogStats exist for every dispatcher of Envoy's. Nothing here can stall one: they stay 0.
type watchdogStats struct {
	MegaMiss stats.Counter `stat:"watchdog_mega_miss"`
	Miss     stats.Counter `stat:"watchdog_miss"`
}

// runtimeStats are the stats below "runtime.".
type runtimeStats struct {
	AdminOverrides   stats.Gauge   `stat:"admin_overrides_active"`
	FeatureSeen      stats.Gauge   `stat:"deprecated_feature_seen_since_process_start"`
	NumKeys          stats.Gauge   `stat:"num_keys"`
	NumLayers        stats.Gauge   `stat:"num_layers"`
	FeatureUse       stats.Counter `stat:"deprecated_feature_use"`
	LoadError        stats.Counter `stat:"load_error"`
	LoadSuccess      stats.Counter `stat:"load_success"`
	OverrideExists   stats.Counter `stat:"override_dir_exists"`
	OverrideNotExist stats.Counter `stat:"override_dir_not_exists"`
}

// neverExpires is days_until_first_cert_expiring without certificates.
const neverExpires = 1<<32 - 1

func (s *server) makeStats() error {
	s.store = stats.NewStore(s.workers)
	var flags []stats.Tag
	for _, t := range s.flags.StatsTags {
		name, value, _ := strings.Cut(t, ":")
		flags = append(flags, stats.Tag{Name: name, Value: value})
	}
	cfg, err := stats.Compile(s.bootstrap.Stats.Config, flags)
	if err != nil {
		return err
	}
	s.store.Configure(cfg)
	g := &serverStats{}
	stats.Bind(s.store.Scope("server"), g)
	s.gauges = g
	g.Concurrency.Set(uint64(s.workers))
	g.DaysUntilExpiry.Set(neverExpires)
	g.StaticUnknown.Add(0, uint64(len(s.bootstrap.Unknown)))
	g.Version.Set(versionGauge(s.bootstrap.Stats.ServerVersion))
	g.State.Set(2)
	dispatchers := []string{"main_thread", "workers", "server.main_thread"}
	for w := range s.workers {
		dispatchers = append(dispatchers, "server.worker_"+strconv.Itoa(w))
	}
	for _, name := range dispatchers {
		stats.Bind(s.store.Scope(name), &watchdogStats{})
	}
	return nil
}

// versionGauge is server.version: the first six hexadecimal digits of the revision.
func versionGauge(override *uint64) uint64 {
	if override != nil {
		return *override
	}
	n, _ := strconv.ParseUint(revision()[:6], 16, 64)
	return n
}

// initialized records how long starting took.
func (g *serverStats) initialized(took time.Duration) {
	g.InitializationTime.Record(0, uint64(took.Milliseconds()))
}

// flush brings the gauges of the process up to date.
func (s *server) flush() {
	g := s.gauges
	state := s.proxy.State()
	g.State.Set(uint64(state))
	g.Live.Set(b2u(state == 0))
	g.Uptime.Set(uint64(time.Since(s.started).Seconds()))
	g.TotalConnections.Set(uint64(max(s.proxy.Listeners.Connections(), 0)))
	allocated, heap := heapUse()
	g.MemoryAllocated.Set(allocated)
	g.MemoryHeapSize.Set(heap)
	g.MemoryPhysicalSize.Set(residentSize())
	now := time.Now()
	g.DaysUntilExpiry.Set(s.proxy.Contexts.DaysUntilFirstExpiry(now))
	if seconds, ok := s.proxy.Contexts.SecondsUntilFirstStapleExpiry(now); ok {
		g.SecondsUntilOCSP.Set(seconds)
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// heapUse is what the process has allocated of memory, and has reserved for that.
func heapUse() (allocated, heap uint64) {
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64(), m[1].Value.Uint64() - m[2].Value.Uint64()
}

// residentSize is what of the process is in memory, in bytes.
func residentSize() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[1], 10, 64)
	return n * uint64(os.Getpagesize())
}
