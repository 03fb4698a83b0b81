package pool

import (
	"context"
	"net"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Config is what a pool is made from. The cluster fills it for each host and Options.
type Config struct {
	// Dial makes one connection, transport socket included, and fills u. It honours ctx, and counts
	// nothing. Its Error has Reason LocalConnectionFailure, RemoteConnectionFailure or ConnectionTimeout.
	Dial func(ctx context.Context, o Options, u *streaminfo.Upstream) (net.Conn, *Error)
	// Options are the pool's key.
	Options Options
	// Stats, Breakers and Host are the cluster's, the priority's and the host's.
	Stats    *Stats
	Breakers *Breakers
	Host     *HostStats
	// Workers is how many shards there are, main not counted.
	Workers int
	// ConnectTimeout bounds Dial.
	ConnectTimeout time.Duration
	// IdleTimeout closes connections without streams; 0 never. MaxDuration drains connections of that
	// age; 0 never. MaxRequests is max_requests_per_connection; 0 is no limit.
	IdleTimeout, MaxDuration time.Duration
	MaxRequests              uint64
	// BufferLimit is per_connection_buffer_limit_bytes.
	BufferLimit int
	// MaxResponseHeadersBytes and MaxResponseHeadersCount bound a response's head; 0 is the default
	// (60 KiB, 100).
	MaxResponseHeadersBytes, MaxResponseHeadersCount int
	HTTP1                                            HTTP1Options
	HTTP2                                            HTTP2Options
	// Watcher tells when peers of idle connections hang up; nil: nobody does.
	Watcher *network.Watcher
	// PreconnectRatio is per_upstream_preconnect_ratio; 0 is 1.
	PreconnectRatio float64
	// MaxDurationJitter lengthens MaxDuration by up to so much of it (max_connection_duration_jitter).
	MaxDurationJitter float64
	// HostConnections is per_host_thresholds.max_connections; 0 is no limit.
	HostConnections uint32
	// OnIdle, if not nil, may be called when the pool has neither connection nor request left: its holder
	// forgets it then.
	OnIdle func()
}

// HTTP1Options is core.v3.Http1ProtocolOptions as the upstream side uses it.
type HTTP1Options struct {
	// KeepCase asks for the names' case to be kept (preserve_case); ProperCase writes Proper-Case names.
	KeepCase, ProperCase bool
	EnableTrailers       bool
	AllowChunkedLength   bool
	SendFullyQualified   bool
	Stats                *http1.Stats // nil counts nowhere
}

// HTTP2Options is core.v3.Http2ProtocolOptions, defaults filled in.
type HTTP2Options struct {
	HpackTableSize                                uint32
	MaxConcurrentStreams                          uint32
	InitialStreamWindow, InitialConnectionWindow  uint32
	AllowConnect, AllowMetadata                   bool
	MaxOutboundFrames, MaxOutboundControlFrames   uint32
	MaxConsecutiveInboundFramesWithEmptyPayload   uint32
	MaxInboundPriorityFramesPerStream             uint32
	MaxInboundWindowUpdateFramesPerDataFrameSent  uint32
	StreamErrorOnInvalidHTTPMessaging             bool
	KeepaliveInterval, KeepaliveTimeout, IdlePing time.Duration
	KeepaliveJitter                               float64
	MaxHeaderFieldSize                            uint32
	DisableHuffman                                bool
}
