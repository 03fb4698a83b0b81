// Package http2 is the HTTP/2 codec: ServerConn reads requests and writes responses on a downstream
// connection, ClientConn the other way round on an upstream one. Both own the state machines of RFC 9113
// and share one core; frames are parsed where they lie in the connection's buffer.
//
// It is strict where leniency lets two parsers disagree or a peer spend our time, and answers as Envoy
// does where that is safe.
package http2

import "golang.org/x/net/http2"

// ErrCode is an error code of RFC 9113 section 7.
type ErrCode = http2.ErrCode

// The limits that Envoy has by default, and those of the protocol.
const (
	// DefaultMaxHeaderBytes is max_request_headers_kb in bytes.
	DefaultMaxHeaderBytes = 60 << 10
	// DefaultMaxHeaders is max_headers_count, pseudo headers and cookie crumbs included.
	DefaultMaxHeaders = 100

	frameHeaderLen = 9
	// maxFrameSize is what we read and write at most: the protocol's default, which Envoy keeps too.
	maxFrameSize = 16 << 10
	// initialWindow is every window before SETTINGS (RFC 9113 section 6.9.2).
	initialWindow = 65535
	maxWindow     = 1<<31 - 1
	maxStreamID   = 1<<31 - 1
	// maxSettings is how many entries one SETTINGS frame may have.
	maxSettings = 32
	// maxPending is how many bytes may wait to be written before writers wait as well.
	maxPending = 128 << 10
	// maxInformational bounds the 1xx responses before a final one.
	maxInformational = 8192
)

// preface is what a client sends first (RFC 9113 section 3.4).
const preface = http2.ClientPreface

// Details are Envoy's response code details of streams that the codec ended.
const (
	DetailInvalidHeader    = "http2.invalid.header.field"
	DetailMessaging        = "http2.violation.of.messaging.rule"
	DetailTooManyHeaders   = "http2.too_many_headers"
	DetailHeaderListTooBig = "http2.header_list_size_too_large"
	DetailUnderscore       = "http2.unexpected_underscore"
	DetailRemoteReset      = "http2.remote_reset"
	DetailRemoteRefused    = "http2.remote_refuse"
	DetailOutboundFlood    = "http2.outbound_frames_flood"
	DetailEmptyFrames      = "http2.inbound_empty_frames_flood"
	DetailPriorityFlood    = "http2.inbound_priority_frames_flood"
	DetailWindowFlood      = "http2.inbound_window_update_frames_flood"
	// DetailPrematureResets is a connection that opened and reset too many streams.
	DetailPrematureResets = "too_many_premature_resets"
	detailCodec           = "codec_error"
)
