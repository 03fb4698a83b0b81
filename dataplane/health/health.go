// Package health finds out how hosts do: outlier detection from the traffic that goes to them, and
// active health checks. Both set a host's health flags, and tell its cluster of every change.
package health

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// OnChange hears that a host's health flags have changed in a way that load balancers go by. It is
// called without a lock of this package held.
type OnChange func(h *endpoint.Host)

// writeEvent writes an event as Envoy's JSON loggers do, one a line: names of the proto, all scalars.
func writeEvent(w io.Writer, event proto.Message) {
	if w == nil {
		return
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(event)
	if err != nil {
		return
	}
	var line bytes.Buffer
	if json.Compact(&line, raw) != nil { // protojson puts blanks in at random
		return
	}
	line.WriteByte('\n')
	// A full disk must not stop the proxy; the writer counts its failures.
	_, _ = w.Write(line.Bytes())
}

// timestamp has milliseconds, as Envoy's clock.
func timestamp(now time.Time) *timestamppb.Timestamp {
	return timestamppb.New(now.Truncate(time.Millisecond))
}

func milliseconds(d *durationpb.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.AsDuration().Truncate(time.Millisecond)
}
