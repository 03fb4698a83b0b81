package pool

import (
	"strconv"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Error is an upstream failure, made where it happened, with what anyone above asks of it. It travels
// as *Error, never as error: a typed nil is not nil.
type Error struct {
	Reason Reason
	// Transport is what the transport says of it ("delayed_connect_error:_Connection_refused"), for
	// details and %UPSTREAM_TRANSPORT_FAILURE_REASON%; "" is nothing.
	Transport string
	// Why is the same for people, for /why: what was seen, with its limit.
	Why   string
	Cause error
}

// Reason is why an upstream stream ended: Envoy's StreamResetReason and PoolFailureReason.
type Reason uint8

// The reasons.
const (
	_ Reason = iota
	// LocalReset is our own doing.
	LocalReset
	// LocalConnectionFailure is a connection that could not be tried.
	LocalConnectionFailure
	// RemoteConnectionFailure is a refused or failed connection or handshake.
	RemoteConnectionFailure
	ConnectionTimeout
	// ConnectionTermination is a connection that ended under a request.
	ConnectionTermination
	Overflow
	RemoteReset
	// RemoteRefusedStreamReset tells that the peer did not process the request.
	RemoteRefusedStreamReset
	ProtocolError
	OverloadManager
	HTTP11Required
	// Deadline is a deadline that SetDeadline set.
	Deadline
	// Stale is a pooled connection that was dead already: nothing was sent.
	Stale
)

var reasons = [...]struct {
	text string
	flag streaminfo.Flag
}{
	LocalReset:               {"local reset", streaminfo.LocalReset},
	LocalConnectionFailure:   {"local connection failure", streaminfo.UpstreamConnectionFailure},
	RemoteConnectionFailure:  {"remote connection failure", streaminfo.UpstreamConnectionFailure},
	ConnectionTimeout:        {"connection timeout", streaminfo.UpstreamConnectionFailure},
	ConnectionTermination:    {"connection termination", streaminfo.UpstreamConnectionTermination},
	Overflow:                 {"overflow", streaminfo.UpstreamOverflow},
	RemoteReset:              {"remote reset", streaminfo.UpstreamRemoteReset},
	RemoteRefusedStreamReset: {"remote refused stream reset", streaminfo.UpstreamRemoteReset},
	ProtocolError:            {"protocol error", streaminfo.UpstreamProtocolError},
	OverloadManager:          {"overload manager reset", streaminfo.OverloadManagerTerminated},
	HTTP11Required:           {"http_1_1_required", streaminfo.UpstreamProtocolError},
	Deadline:                 {"deadline", 0},
	Stale:                    {"connection termination", streaminfo.UpstreamConnectionTermination},
}

// String is the reason as bodies of local replies have it: "connection termination".
func (r Reason) String() string { return reasons[r].text }

// Flag is the response flag that goes with the reason.
func (r Reason) Flag() streaminfo.Flag { return reasons[r].flag }

// Connect tells whether no connection was made, so that nothing of the request was sent.
func (r Reason) Connect() bool {
	return r == LocalConnectionFailure || r == RemoteConnectionFailure || r == ConnectionTimeout
}

// Details is the response code details of a stream that e ended: before is
// streaminfo.DetailResetBefore or DetailResetAfter.
func (e *Error) Details(before string) string {
	d := before + "{" + strings.ReplaceAll(e.Reason.String(), " ", "_")
	if e.Transport != "" {
		d += "|" + strings.ReplaceAll(e.Transport, " ", "_")
	}
	return d + "}"
}

// Flag is the response flag of e.
func (e *Error) Flag() streaminfo.Flag { return e.Reason.Flag() }

// String is for logs and /why.
func (e *Error) String() string {
	s := e.Reason.String()
	if e.Why != "" {
		s += ": " + e.Why
	}
	if e.Transport != "" {
		s += ": " + e.Transport
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
