package cluster

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// Spec is the whole of a cluster's configuration. It is immutable.
type Spec struct {
	// Err is why it could not be decoded a second time; the cluster has no hosts then.
	Err error

	ConnectTimeout time.Duration
	BufferLimit    int
	Metadata       streaminfo.Metadata

	LB *lb.Config
	// OverrideStatuses are the health statuses in which an override host is taken.
	OverrideStatuses lb.StatusSet
	// Assignment is load_assignment; nil: none.
	Assignment  *endpoint.Assignment
	DNS         *DNS
	OriginalDst OriginalDstConfig
	// Children are the clusters of an aggregate.
	Children []string

	HealthChecks []*health.Check
	Outlier      *health.Outlier // nil: none
	// Breakers are the thresholds of the default and of the high priority.
	Breakers [2]Thresholds
	// HostConnections is per_host_thresholds.max_connections of either priority; 0 is no limit.
	HostConnections [2]uint32

	HTTP      HTTP
	TCP       TCP
	Transport transport.UpstreamConfig
	// PassesOn tells that Transport passes the client's connection on.
	PassesOn   bool
	Matches    []TransportMatch
	Filters    []FilterConfig
	Bind       *Bind // nil: the bootstrap's
	Keepalive  *Keepalive
	Eyeballs   Eyeballs
	Preconnect float64

	// WaitForWarm holds the cluster back until its names are resolved.
	WaitForWarm bool
	// IgnoreNewHosts leaves hosts out of the reckoning until they were checked.
	IgnoreNewHosts bool
	// CloseOnHostChange drains all connections when hosts come or go; CloseOnHealthFailure a host's when
	// it fails its health checks. IgnoreHealthOnRemoval removes hosts at once, even while they pass.
	CloseOnHostChange, CloseOnHealthFailure, IgnoreHealthOnRemoval bool
	// PerDownstream gives each downstream connection pools of its own.
	PerDownstream bool
	// TrackTimeouts, TrackSizes and TrackEndpoints are track_cluster_stats.
	TrackTimeouts, TrackSizes, TrackEndpoints bool
}

func failedSpec(err error) *Spec {
	return &Spec{Err: err, LB: &lb.Config{}, ConnectTimeout: defaultConnectTimeout, Transport: transport.RawUpstream{}}
}

// Thresholds are circuit breakers of one priority.
type Thresholds struct {
	Connections, Pending, Requests, Retries, Pools uint32
	// Budget replaces Retries; nil: it does not.
	Budget *Budget
	// Track keeps the remaining_* gauges.
	Track bool
}

// Budget is a retry budget.
type Budget struct {
	pool.RetryBudget
	// Interval is how long a request counts after it began; 0: only while it runs.
	Interval time.Duration
}

// HTTP is how the cluster speaks HTTP: HttpProtocolOptions, or the older fields in its place.
type HTTP struct {
	// Protocol is what is spoken, unless FollowDownstream is set.
	Protocol pool.Protocol
	// FollowDownstream speaks what the client speaks, as far as the options allow.
	FollowDownstream, AllowHTTP2 bool
	HTTP1                        pool.HTTP1Options
	HTTP2                        pool.HTTP2Options

	IdleTimeout       time.Duration // 0: never
	MaxDuration       time.Duration // 0: never
	MaxDurationJitter float64       // part of MaxDuration
	MaxHeaders        int
	MaxHeadersBytes   int
	// MaxStreamDuration bounds requests; 0: it does not.
	MaxStreamDuration time.Duration
	MaxRequests       uint64 // 0: no limit
	// AutoSNI takes the SNI from SNIHeader; AutoSAN verifies the peer's name against it.
	AutoSNI, AutoSAN bool
	SNIHeader        string // "": the host
	// Extra is what Options.HTTP made of the router's part.
	Extra any
}

// Choose is the protocol to speak for a client that speaks downstream.
func (h *HTTP) Choose(downstream streaminfo.Protocol) pool.Protocol {
	if !h.FollowDownstream {
		return h.Protocol
	}
	if h.AllowHTTP2 && (downstream == streaminfo.HTTP2 || downstream == streaminfo.HTTP3) {
		return pool.HTTP2
	}
	return pool.HTTP1
}

// TCP is what tcp_proxy asks of the cluster.
type TCP struct {
	// IdleTimeout is TcpProtocolOptions.idle_timeout; HasIdle tells 0, which is never, from unset.
	IdleTimeout time.Duration
	HasIdle     bool
}

// TransportMatch is a transport socket for hosts whose metadata match.
type TransportMatch struct {
	Name string
	// Match is the values wanted in the host's envoy.transport_socket_match.
	Match     map[string]string
	Transport transport.UpstreamConfig
	PassesOn  bool
}

// DNS is how names are resolved.
type DNS struct {
	Refresh, Jitter time.Duration
	// FailureBase and FailureMax bound the back-off after failures; 0: Refresh is used.
	FailureBase, FailureMax time.Duration
	RespectTTL              bool
	MinTTL                  time.Duration
	Family                  dns.Family
	Resolver                dns.Config
}

// OriginalDstConfig is how an ORIGINAL_DST cluster finds the address.
type OriginalDstConfig struct {
	// Header overrides the address; "": none does. Metadata is asked before it.
	Header   string
	Metadata *lb.MetadataKey
	// Port takes the place of the address's; 0: it does not.
	Port    uint16
	Cleanup time.Duration
}

// Keepalive is tcp_keepalive; negative values leave the system's defaults.
type Keepalive struct {
	Idle, Interval time.Duration
	Probes         int
}

// Eyeballs is happy_eyeballs_config.
type Eyeballs struct {
	Family EyeballsFamily
	// Count is how many of the first family come before the other's turn.
	Count int
}

// EyeballsFamily is which family of addresses is tried first.
type EyeballsFamily uint8

// The families. FirstFamily is that of the first address.
const (
	FirstFamily EyeballsFamily = iota
	V4Family
	V6Family
)
