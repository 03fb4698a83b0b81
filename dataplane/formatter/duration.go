package formatter

import (
	"fmt"
	"strings"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// millis is the value of an operator of a duration; 0 is a moment that has not come.
func millis(dst []byte, d time.Duration) ([]byte, Kind) {
	if d == 0 {
		return dst, Missing
	}
	return number(dst, d.Milliseconds())
}

// duration is how long the stream took, or has taken so far.
func duration(dst []byte, c *Context) ([]byte, Kind) {
	switch i := c.Info; {
	case i == nil || i.Start.IsZero():
		return dst, Missing
	case i.RequestComplete != 0:
		return millis(dst, i.RequestComplete)
	default:
		return millis(dst, i.Now())
	}
}

func requestDuration(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return millis(dst, c.Info.LastDownstreamRx)
}

func requestTxDuration(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return millis(dst, c.Info.LastUpstreamTx)
}

func responseDuration(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return millis(dst, c.Info.FirstUpstreamRx)
}

func responseTxDuration(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.LastDownstreamTx == 0 || c.Info.FirstUpstreamRx == 0 {
		return dst, Missing
	}
	return number(dst, (c.Info.LastDownstreamTx - c.Info.FirstUpstreamRx).Milliseconds())
}

func upstreamPoolReadyDuration(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return millis(dst, c.Info.Upstream.PoolReady)
}

// downstreamHandshakeDuration is when the handshake ended, seen from the start of the stream: negative
// for a request, as in Envoy.
func downstreamHandshakeDuration(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil || conn.HandshakeDone == 0 {
		return dst, Missing
	}
	return number(dst, conn.Start.Add(conn.HandshakeDone).Sub(c.Info.Start).Milliseconds())
}

// timePoint reads a moment of the stream as time since its start; false if it has not come.
type timePoint func(i *streaminfo.Info) (time.Duration, bool)

func point(of func(i *streaminfo.Info) time.Duration) timePoint {
	return func(i *streaminfo.Info) (time.Duration, bool) {
		d := of(i)
		return d, d != 0
	}
}

var timePoints = map[string]timePoint{
	"DS_RX_BEG":      func(*streaminfo.Info) (time.Duration, bool) { return 0, true },
	"DS_RX_END":      point(func(i *streaminfo.Info) time.Duration { return i.LastDownstreamRx }),
	"US_CX_BEG":      point(func(i *streaminfo.Info) time.Duration { return i.Upstream.ConnectStart }),
	"US_CX_END":      point(func(i *streaminfo.Info) time.Duration { return i.Upstream.ConnectDone }),
	"US_HS_END":      point(func(i *streaminfo.Info) time.Duration { return i.Upstream.HandshakeDone }),
	"US_TX_BEG":      point(func(i *streaminfo.Info) time.Duration { return i.FirstUpstreamTx }),
	"US_TX_END":      point(func(i *streaminfo.Info) time.Duration { return i.LastUpstreamTx }),
	"US_RX_BEG":      point(func(i *streaminfo.Info) time.Duration { return i.FirstUpstreamRx }),
	"US_RX_BODY_BEG": point(func(i *streaminfo.Info) time.Duration { return i.FirstUpstreamRxBody }),
	"US_RX_END":      point(func(i *streaminfo.Info) time.Duration { return i.LastUpstreamRx }),
	"DS_TX_BEG":      point(func(i *streaminfo.Info) time.Duration { return i.FirstDownstreamTx }),
	"DS_TX_END":      point(func(i *streaminfo.Info) time.Duration { return i.LastDownstreamTx }),
}

// compileCommonDuration compiles %COMMON_DURATION(START:END:ms|us|ns)%. A name that is none of the
// table's would be a time that a filter sets under it; no filter here does, so it never comes.
func compileCommonDuration(param string) (Operator, error) {
	parts := strings.Split(param, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("Invalid common duration configuration: %s.", param)
	}
	unit := time.Millisecond
	if len(parts) == 3 {
		switch parts[2] {
		case "ms":
		case "us":
			unit = time.Microsecond
		case "ns":
			unit = time.Nanosecond
		default:
			return nil, fmt.Errorf("Invalid common duration precision: %s.", parts[2])
		}
	}
	from, to := timePoints[parts[0]], timePoints[parts[1]]
	if from == nil || to == nil {
		return missing, nil
	}
	return func(dst []byte, c *Context) ([]byte, Kind) {
		if c.Info == nil {
			return dst, Missing
		}
		start, ok := from(c.Info)
		end, ok2 := to(c.Info)
		if !ok || !ok2 || end < start {
			return dst, Missing
		}
		return number(dst, int64((end-start)/unit))
	}, nil
}
