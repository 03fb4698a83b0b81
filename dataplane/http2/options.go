package http2

import (
	"time"

	"golang.org/x/net/http2"
)

// Options is core.v3.Http2ProtocolOptions with its defaults filled in: what both halves obey. Make it by
// DefaultOptions or Compile.
type Options struct {
	// HpackTableSize bounds the header tables of both directions.
	HpackTableSize                               uint32
	MaxConcurrentStreams                         uint32
	InitialStreamWindow, InitialConnectionWindow uint32
	// AllowConnect lets requests be extended CONNECTs (RFC 8441); AllowMetadata is refused by Compile.
	AllowConnect, AllowMetadata bool
	// MaxOutboundFrames and MaxOutboundControlFrames bound what waits to be written.
	MaxOutboundFrames, MaxOutboundControlFrames  uint32
	MaxConsecutiveInboundFramesWithEmptyPayload  uint32
	MaxInboundPriorityFramesPerStream            uint32
	MaxInboundWindowUpdateFramesPerDataFrameSent uint32
	// StreamErrorOnInvalidHTTPMessaging ends the stream alone where a message is not valid; without it the
	// connection ends.
	StreamErrorOnInvalidHTTPMessaging             bool
	KeepaliveInterval, KeepaliveTimeout, IdlePing time.Duration
	// KeepaliveJitter is a fraction of the interval.
	KeepaliveJitter float64
	// MaxHeaderFieldSize bounds one name or value on the wire.
	MaxHeaderFieldSize uint32
	DisableHuffman     bool
	DisallowObsText    bool
	// StreamResetBurst and StreamResetRate bound the RST_STREAMs that a server takes: a bucket of tokens,
	// and how many come back in a second.
	StreamResetBurst, StreamResetRate uint64
	// Custom is custom_settings_parameters.
	Custom []http2.Setting
}

// DefaultOptions is Http2ProtocolOptions as Envoy takes an empty one.
func DefaultOptions() Options {
	return Options{
		HpackTableSize: 4096, MaxConcurrentStreams: 1024, InitialStreamWindow: 16 << 20, InitialConnectionWindow: 24 << 20,
		MaxOutboundFrames: 10_000, MaxOutboundControlFrames: 1000, MaxConsecutiveInboundFramesWithEmptyPayload: 1,
		MaxInboundPriorityFramesPerStream: 100, MaxInboundWindowUpdateFramesPerDataFrameSent: 10,
		KeepaliveJitter: 0.15, MaxHeaderFieldSize: 64 << 10, StreamResetBurst: 1000, StreamResetRate: 33,
	}
}

// ServerOptions are what a listener asks of its connections. It is immutable.
type ServerOptions struct {
	Options
	MaxHeaderBytes, MaxHeaders int // 0: the defaults
	Underscores                UnderscoreAction
	// PrematureResets is overload.premature_reset_total_stream_count, PrematureLifetime
	// overload.premature_reset_min_stream_lifetime_seconds; 0 are 500 and a second.
	PrematureResets   int
	PrematureLifetime time.Duration
	// PrefaceTimeout bounds the preface and the first SETTINGS, FrameTimeout a header block and any frame
	// but DATA; 0 is 10 s, less than 0 none.
	PrefaceTimeout, FrameTimeout time.Duration
	// HeaderBudget bounds the header bytes that all open streams of a connection hold together; 0 is
	// 4 MiB. Streams over it are refused.
	HeaderBudget int
	Stats        *Stats // nil counts nowhere
}

// ClientOptions are what a cluster asks of its connections. It is immutable.
type ClientOptions struct {
	Options
	MaxHeaderBytes, MaxHeaders int    // 0: the defaults
	Stats                      *Stats // nil counts nowhere
}

// UnderscoreAction is what becomes of header names with underscores
// (HttpProtocolOptions.headers_with_underscores_action).
type UnderscoreAction uint8

// The actions.
const (
	UnderscoreAllow UnderscoreAction = iota
	UnderscoreReject
	UnderscoreDrop
)

const (
	defaultPrematureResets   = 500
	defaultPrematureLifetime = time.Second
	defaultTimeout           = 10 * time.Second
	defaultHeaderBudget      = 4 << 20
)

func orDefault[T int | time.Duration](n, def T) T {
	if n == 0 {
		return def
	}
	return n
}
