package formatter

import (
	"fmt"
	"strings"
)

func filterChainName(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.FilterChainName)
}

func listenerName(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	return str(dst, conn.ListenerName)
}

func connectionID(dst []byte, c *Context) ([]byte, Kind) {
	switch conn := c.conn(); {
	case conn != nil:
		return number(dst, conn.ID)
	case c.Info != nil:
		return number(dst, c.Info.ConnectionID)
	}
	return zero(dst, c)
}

func downstreamTransportFailureReason(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	return underscored(dst, conn.TransportFailureReason)
}

func downstreamLocalCloseReason(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	return str(dst, conn.LocalCloseReason)
}

// closedNormally is the close type of a connection about which nothing else is known.
const closedNormally = "Normal"

func downstreamDetectedCloseType(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	switch {
	case conn == nil:
		return dst, Missing
	case conn.DetectedClose == "":
		return append(dst, closedNormally...), String
	}
	return append(dst, conn.DetectedClose...), String
}

func downstreamWireBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Downstream.WireSent)
}

func downstreamWireBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Downstream.WireReceived)
}

func downstreamHeaderBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Downstream.HeaderSent)
}

func downstreamHeaderBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Downstream.HeaderReceived)
}

func downstreamPlainHeaderBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Downstream.DecompressedHeaderSent == 0 {
		return downstreamHeaderBytesSent(dst, c)
	}
	return number(dst, c.Info.Downstream.DecompressedHeaderSent)
}

func downstreamPlainHeaderBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Downstream.DecompressedHeaderReceived == 0 {
		return downstreamHeaderBytesReceived(dst, c)
	}
	return number(dst, c.Info.Downstream.DecompressedHeaderReceived)
}

func ja3(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	return str(dst, conn.JA3)
}

func ja4(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	return str(dst, conn.JA4)
}

// compileRequestedServerName compiles %REQUESTED_SERVER_NAME(SNI_ONLY|SNI_FIRST|HOST_FIRST:ORIG|HOST|ORIG_OR_HOST)%:
// the SNI, or the host that the request asks for.
func compileRequestedServerName(param string) (Operator, error) {
	which, rest, _ := strings.Cut(param, ":")
	from, _, _ := strings.Cut(rest, ":")
	names := "x-envoy-original-host?:authority"
	switch from {
	case "", "ORIG_OR_HOST":
	case "HOST":
		names = ":authority"
	case "ORIG":
		names = "x-envoy-original-host"
	default:
		return nil, fmt.Errorf("Invalid REQUESTED_SERVER_NAME option: '%s', only 'ORIG_OR_HOST'/'HOST'/'ORIG' are allowed", from)
	}
	host, err := headerOf(requestHeaders)(names)
	if err != nil {
		return nil, err
	}
	switch which {
	case "", "SNI_ONLY":
		return serverName, nil
	case "SNI_FIRST":
		return either(serverName, host), nil
	case "HOST_FIRST":
		return either(host, serverName), nil
	}
	return nil, fmt.Errorf("Invalid REQUESTED_SERVER_NAME option: '%s', only 'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST' are allowed", which)
}

// either is the first of two values that is there.
func either(first, second Operator) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		dst, kind := first(dst, c)
		if kind == Missing {
			return second(dst, c)
		}
		return dst, kind
	}
}

// serverName is the SNI. A client may send anything there, so what cannot be in a host name is
// replaced, and the whole marked.
func serverName(dst []byte, c *Context) ([]byte, Kind) {
	conn := c.conn()
	if conn == nil {
		return dst, Missing
	}
	const mark = "invalid:"
	name := conn.RequestedServerName
	for i := range len(name) {
		if isHostByte(name[i]) {
			continue
		}
		dst = append(dst, mark...)
		for j := range len(name) {
			b := name[j]
			if !isHostByte(b) {
				b = '_'
			}
			dst = append(dst, b)
		}
		return dst, String
	}
	return str(dst, name)
}

func isHostByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '-' || b == '_'
}
