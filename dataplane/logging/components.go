package logging

import (
	"iter"
	"log/slog"
	"slices"
	"strings"
)

// names are Envoy's loggers in the order of their declaration, which is that of /logging.
var names = [...]string{
	"a2a", "admin", "ai_protocol_manager", "alternate_protocols_cache", "aws", "assert", "backtrace",
	"basic_auth", "cache_filter", "client", "config", "connection", "conn_handler", "compression",
	"credential_injector", "decompression", "dns", "dubbo", "envoy_bug", "ext_authz", "ext_proc", "rocketmq",
	"file", "filter", "forward_proxy", "geolocation", "grpc", "happy_eyeballs", "hc", "health_checker", "http",
	"http2", "hystrix", "init", "io", "jwt", "json_rpc", "kafka", "key_value_store", "lua", "local_rate_limit",
	"main", "matcher", "mcp", "misc", "mongo", "multi_connection", "notification", "oauth2", "quic",
	"quic_stream", "pool", "rate_limit_quota", "rbac", "rds", "redis", "router", "runtime", "stats", "secret",
	"sse", "tap", "testing", "thrift", "tracing", "upstream", "udp", "wasm", "websocket", "golang",
	"stats_sinks", "dynamic_modules", "ip_tagging",
}

// fallback is the component of what has none.
const fallback = "main"

// aliases are our names for what Envoy logs under another: a package's name is its component's.
var aliases = map[string]string{
	"accesslog": "file", "ads": "config", "bootstrap": "config", "buffer": "connection", "cluster": "upstream",
	"cors": "filter", "endpoint": "upstream", "explain": "main", "fault": "filter", "hcm": "http", "health": "hc",
	"http1": "http", "http_connection_manager": "http", "istio_stats": "filter", "jwt_authn": "jwt", "lb": "upstream",
	"listener": "config", "local_ratelimit": "local_rate_limit", "metadata_exchange": "filter", "network": "connection",
	"original_dst": "filter", "outlier": "upstream", "peer_metadata": "filter", "proxy": "main", "ratelimit": "filter",
	"route": "router", "server": "main", "tcp_proxy": "filter", "tls": "connection", "tls_inspector": "filter",
	"transport": "connection", "xds": "config",
}

// Components lists Envoy's loggers in the order of /logging.
func Components() []string { return slices.Clone(names[:]) }

// Known tells whether name is one of Components.
func Known(name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// All ranges over the components and their levels, in the order of /logging.
func (l *Logs) All() iter.Seq2[string, slog.Level] {
	return func(yield func(string, slog.Level) bool) {
		for i := range l.components {
			c := &l.components[i]
			if !yield(c.name, slog.Level(c.level.Load())) {
				return
			}
		}
	}
}

// SetAll sets every component's level.
func (l *Logs) SetAll(level slog.Level) {
	for i := range l.components {
		l.components[i].level.Store(int64(level))
	}
}

// SetLevel sets one component's level; false: there is no such component.
func (l *Logs) SetLevel(name string, level slog.Level) bool {
	i, ok := l.index[name]
	if ok {
		l.components[i].level.Store(int64(level))
	}
	return ok
}

// The levels, as slog's. LevelOff is above all.
const (
	LevelTrace    = slog.LevelDebug - 4
	LevelDebug    = slog.LevelDebug
	LevelInfo     = slog.LevelInfo
	LevelWarning  = slog.LevelWarn
	LevelError    = slog.LevelError
	LevelCritical = slog.LevelError + 4
	LevelOff      = slog.Level(1 << 20)
)

var levels = [...]struct {
	level slog.Level
	name  string
	short byte
}{
	{LevelTrace, "trace", 'T'}, {LevelDebug, "debug", 'D'}, {LevelInfo, "info", 'I'}, {LevelWarning, "warning", 'W'},
	{LevelError, "error", 'E'}, {LevelCritical, "critical", 'C'}, {LevelOff, "off", 'O'},
}

// Levels lists the names of the levels, the most talkative first.
func Levels() []string {
	out := make([]string, len(levels))
	for i := range levels {
		out[i] = levels[i].name
	}
	return out
}

// ParseLevel reads the name of a level, as /logging takes it.
func ParseLevel(name string) (slog.Level, bool) {
	for i := range levels {
		if levels[i].name == name {
			return levels[i].level, true
		}
	}
	return 0, false
}

// ParseFlagLevel reads the name of a level as the command line takes it, which knows "warn" too.
func ParseFlagLevel(name string) (slog.Level, bool) {
	if name == "warn" {
		name = "warning"
	}
	return ParseLevel(name)
}

// LevelName is Envoy's name for a level; one between two has the lower one's.
func LevelName(l slog.Level) string { return levels[levelIndex(l)].name }

func levelIndex(l slog.Level) int {
	i := 0
	for i+1 < len(levels) && levels[i+1].level <= l {
		i++
	}
	return i
}

// isComponent tells the attribute that chooses the logger.
func isComponent(a slog.Attr) bool {
	return a.Key == "component" && a.Value.Kind() == slog.KindString && !strings.ContainsRune(a.Value.String(), ' ')
}
