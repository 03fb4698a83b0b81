package xds

import (
	"time"

	"google.golang.org/protobuf/types/known/anypb"
)

// Stream is whatever brings the resources that are subscribed to: a gRPC stream, or a watched file.
type Stream interface {
	// Subscribe changes what is asked for of one type. Its first call for a type opens that
	// subscription; with no names it is for all there are. It neither blocks nor calls the Sink.
	Subscribe(typeURL string, add, remove []string)
	// Close ends the stream without waiting for it; what it still brings is not looked at.
	Close()
	// Wait returns when a closed stream has no goroutine left.
	Wait()
}

// OpenFunc opens the stream that ref.Source names, for whatever is subscribed to (ADS) or for ref alone:
// a Ref of all there are has no name.
type OpenFunc func(ref Ref, sink Sink) (Stream, error)

// Sink is where a stream delivers. Its methods may block, and be called from any goroutine.
type Sink interface {
	// Accept judges a response, resource by resource: the good ones are taken.
	Accept(r *Response) Verdict
	// Failed tells that an update could not even be read.
	Failed(typeURL string, err error)
	// Connected tells that the stream was opened, or, with an error, that it was lost or could not be.
	Connected(err error)
}

// Response is what a stream brings in one piece.
type Response struct {
	TypeURL, Version string
	// Delta tells that only what is named has changed: Resources are named, Removed are gone.
	Delta     bool
	Resources []Received
	Removed   []string
	// ControlPlane identifies who sent it.
	ControlPlane string
}

// Received is one resource as it came. Name and Version are empty in a state-of-the-world response: its
// resource carries its name, and the response the version.
type Received struct {
	Name, Version string
	Any           *anypb.Any
}

// Verdict is what became of a response.
type Verdict struct {
	// Details is the NACK's text; empty: all of it was accepted.
	Details string
	// Whole tells that nothing was taken. Else Rejected are the names that were not.
	Whole    bool
	Rejected []string
}

// EventKind is what happened to a subscription, in the words of Envoy's statistics.
type EventKind uint8

// Each kind but the last three is a counter of a subscription's scope: update_attempt, update_success,
// update_rejected, update_failure, init_fetch_timeout. The others are control_plane.connected_state and
// control_plane.identifier of a source.
const (
	Attempt EventKind = iota
	Success
	Rejected
	Failed
	FetchTimeout
	Connected
	Disconnected
	Identified
)

// Event is one thing that happened to one subscription, or to a source. All that is subscribed to as a
// whole (LDS, CDS) has no Name; ADS has neither Name nor TypeURL.
type Event struct {
	Kind                  EventKind
	TypeURL, Name, Source string
	// Version is that of an accepted response (version_text), Details say why another was not; those
	// of Identified are the control plane's identifier.
	Version, Details string
	At               time.Time
	// Took is how long the update took (update_duration).
	Took time.Duration
}
