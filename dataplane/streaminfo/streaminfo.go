// Package streaminfo holds what is known about a connection and a stream while it goes through the
// proxy: addresses, timings, counts, flags, details, metadata. Access logs, header formatters,
// matchers and RBAC read it.
package streaminfo

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

// Protocol is the protocol of a stream on one side.
type Protocol uint8

// The protocols, as %PROTOCOL% prints them.
const (
	ProtocolNone Protocol = iota
	HTTP10
	HTTP11
	HTTP2
	HTTP3
)

// String is "HTTP/1.1" and so on, or "" for none.
func (p Protocol) String() string {
	return [...]string{"", "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"}[p]
}

// Metadata is dynamic or configured metadata: a Struct by namespace (config.core.v3.Metadata).
// What comes from configuration is immutable.
type Metadata map[string]*structpb.Struct

// Info is one stream's: one HTTP request, or one TCP connection through tcp_proxy. It is owned by the
// stream's goroutine; the request body's pump writes the fields marked so.
type Info struct {
	Start time.Time
	// The moments of a stream's life as time since Start; 0 is not yet. Names as in Envoy's
	// StreamInfo timing: Rx is receiving, Tx is sending.
	LastDownstreamRx, FirstUpstreamTx, LastUpstreamTx    time.Duration // the pump's
	FirstUpstreamRx, FirstUpstreamRxBody, LastUpstreamRx time.Duration
	FirstDownstreamTx, LastDownstreamTx, RequestComplete time.Duration

	Protocol     Protocol
	ResponseCode int // 0: none
	Flags        Flag
	// Details is the response code details; ConnectionTermination the connection's, where a network
	// filter ended it.
	Details, ConnectionTermination string

	// BytesReceived and BytesSent count body bytes as %BYTES_RECEIVED% and %BYTES_SENT% do; the rest
	// is what their operators say. Wire counts include framing.
	BytesReceived, BytesSent                              uint64 // the pump's, sent is the stream's
	Downstream                                            Bytes
	RequestHeaderBytes, ResponseHeaderBytes, TrailerBytes uint64

	// Attempts is how many upstream requests were made (%UPSTREAM_REQUEST_ATTEMPT_COUNT%).
	Attempts int

	RouteName, VirtualHostName, VirtualClusterName string
	// RouteResolutions counts how often the route was looked up, RouteResolutionTime how long that took.
	RouteResolutions    int
	RouteResolutionTime time.Duration
	// ClusterName is the cluster's own name; ClusterStatName its alt_stat_name, which
	// %UPSTREAM_CLUSTER% prints, or the same.
	ClusterName, ClusterStatName string
	FilterChainName              string
	StreamID                     string // x-request-id
	TraceID, SpanID              string
	Sampled                      bool
	HealthCheck                  bool
	LocalReplyBody               string

	// Remote is the client's address where x-forwarded-for or the like told another one than the
	// connection's; not valid: the connection's. See DownstreamRemote.
	Remote netip.AddrPort

	Conn     *Connection
	Upstream Upstream
	// Attempted are the hosts and connections of the attempts before the last, for the _ATTEMPTED operators.
	Attempted []Upstream

	// Metadata is dynamic metadata, made on first use by SetMetadata.
	Metadata Metadata
	// RouteMetadata, VirtualHostMetadata, ClusterMetadata and ListenerMetadata are configuration's, or nil.
	RouteMetadata, VirtualHostMetadata, ClusterMetadata, ListenerMetadata, FilterChainMetadata Metadata

	FilterState FilterState
	// Requested is what a request's route action asks of the transport: a filter may set them.
	ConnectionID, UniqueID uint64
}

// Bytes counts one side's bytes on the wire. The decompressed counts are of headers before HPACK; 0 is
// the same as the header counts, which it is with HTTP/1.
type Bytes struct {
	WireSent, WireReceived, HeaderSent, HeaderReceived uint64
	DecompressedHeaderSent, DecompressedHeaderReceived uint64
}

// Connection is what is known of a downstream connection. It is written by the listener, the transport
// socket and the network filters before the first stream, and is immutable from then on, but for
// FilterState, CloseReason and the failure reason, which belong to the connection's goroutine.
type Connection struct {
	ID uint64
	// Remote is the peer, after PROXY protocol; DirectRemote the other end of the socket. Local is
	// where the client meant to go (original destination); DirectLocal is this end of the socket.
	Remote, DirectRemote, Local, DirectLocal netip.AddrPort
	// LocalPipe is the path of a Unix domain socket that the connection came through, else "".
	LocalPipe string
	// LocalRestored is set where Local came from the original destination.
	LocalRestored bool
	ListenerName  string
	// FilterChainName and FilterChainMetadata are of the chain that matched.
	FilterChainName     string
	FilterChainMetadata Metadata

	// RequestedServerName is the SNI that tls_inspector or the handshake saw; ApplicationProtocols what
	// was offered by ALPN, or detected by http_inspector; TransportProtocol is "tls" or "raw_buffer".
	RequestedServerName  string
	ApplicationProtocols []string
	TransportProtocol    string
	JA3, JA4             string

	TLS *TLS // nil: plaintext

	Start                  time.Time
	HandshakeDone          time.Duration // since Start; 0: none
	TransportFailureReason string
	LocalCloseReason       string
	DetectedClose          string // Normal, LocalReset, RemoteReset

	// ProxyProtocolTLVs are the TLVs of a PROXY protocol v2 header by type.
	ProxyProtocolTLVs map[byte][]byte
	// ProxyProtocolRawTLVs are the same as they were sent: in order, repeated types included.
	ProxyProtocolRawTLVs []byte
	Metadata             Metadata
	FilterState          FilterState
	BytesReceived        func() (sent, received uint64) // of the socket; nil: not counted
}

// TLS is what is known of a TLS connection: the peer's certificate and ours.
type TLS struct {
	Version, Cipher, SessionID, Group string
	ServerName, ALPN                  string
	Resumed                           bool
	// PeerPresented tells that the peer sent a certificate; PeerValidated that it was verified.
	PeerPresented, PeerValidated bool
	Peer, Local                  *Certificate // nil: none
	// PeerChain is what the peer sent, its own certificate first; PeerIssuer the issuer of Peer in the
	// chain that was verified, nil if none was.
	PeerChain  []*Certificate
	PeerIssuer *Certificate
}

// Upstream is what is known of the upstream side of the current attempt.
type Upstream struct {
	// Host is the chosen host's address as %UPSTREAM_HOST% prints it, "" before one is chosen.
	Host, HostName string
	HostMetadata   Metadata
	// Local and Remote are the ends of the upstream connection.
	Local, Remote netip.AddrPort
	RemotePipe    string
	ConnectionID  uint64
	Protocol      Protocol
	TLS           *TLS
	ConnectStart  time.Duration // since Info.Start
	ConnectDone   time.Duration
	HandshakeDone time.Duration
	PoolReady     time.Duration
	// TransportFailureReason is %UPSTREAM_TRANSPORT_FAILURE_REASON%.
	TransportFailureReason string
	LocalCloseReason       string
	DetectedClose          string
	Bytes                  Bytes
	FilterState            FilterState
}

// Now is the time since the stream began, never 0.
func (i *Info) Now() time.Duration { return max(time.Since(i.Start), 1) }

// DownstreamRemote is the client's address: the one that the request told, or the connection's.
func (i *Info) DownstreamRemote() netip.AddrPort {
	if i.Remote.IsValid() || i.Conn == nil {
		return i.Remote
	}
	return i.Conn.Remote
}

// Set adds response flags.
func (i *Info) Set(f Flag) { i.Flags |= f }

// Has tells whether any of the flags is set.
func (i *Info) Has(f Flag) bool { return i.Flags&f != 0 }

// Reset empties i for the next stream.
func (i *Info) Reset() {
	attempted, objects := i.Attempted[:0], i.FilterState.objects[:0]
	clear(i.Attempted)
	clear(i.FilterState.objects)
	*i = Info{Attempted: attempted, FilterState: FilterState{objects}}
}

// SetMetadata sets one key of dynamic metadata in a namespace.
func (i *Info) SetMetadata(namespace, key string, v *structpb.Value) {
	s := i.MetadataStruct(namespace)
	s.Fields[key] = v
}

// MetadataStruct returns the namespace's Struct of dynamic metadata, made if need be.
func (i *Info) MetadataStruct(namespace string) *structpb.Struct {
	if i.Metadata == nil {
		i.Metadata = Metadata{}
	}
	s := i.Metadata[namespace]
	if s == nil {
		s = &structpb.Struct{Fields: map[string]*structpb.Value{}}
		i.Metadata[namespace] = s
	}
	if s.Fields == nil {
		s.Fields = map[string]*structpb.Value{}
	}
	return s
}
