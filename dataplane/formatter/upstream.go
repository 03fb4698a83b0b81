package formatter

import (
	"strconv"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func upstreamHost(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.Upstream.Host)
}

func upstreamHostName(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Upstream.Host == "" {
		return dst, Missing
	}
	return appendHostName(dst, &c.Info.Upstream), String
}

func upstreamHostNameWithoutPort(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Upstream.Host == "" {
		return dst, Missing
	}
	return appendHostNameWithoutPort(dst, &c.Info.Upstream), String
}

func appendHost(dst []byte, u *streaminfo.Upstream) []byte { return append(dst, u.Host...) }

// appendHostWithoutPort appends the address alone of "127.0.0.1:80" and "[::1]:80"; other addresses
// have no port.
func appendHostWithoutPort(dst []byte, u *streaminfo.Upstream) []byte {
	host := u.Host
	at := strings.LastIndexByte(host, ':')
	if at < 0 || host[0] == '/' || host[0] == '@' || strings.Contains(host, "://") {
		return append(dst, host...)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host[:at], "["), "]")
	return append(dst, host...)
}

// appendHostName appends the host's name, which is its address if it was given none.
func appendHostName(dst []byte, u *streaminfo.Upstream) []byte {
	if u.HostName == "" {
		return append(dst, u.Host...)
	}
	return append(dst, u.HostName...)
}

func appendHostNameWithoutPort(dst []byte, u *streaminfo.Upstream) []byte {
	mark := len(dst)
	dst = appendHostName(dst, u)
	for i := len(dst) - 1; i >= mark; i-- {
		if dst[i] == ':' {
			return dst[:i]
		}
	}
	return dst
}

// connected tells whether the attempt came to have a connection.
func connected(u *streaminfo.Upstream) bool { return u.Remote.IsValid() || u.RemotePipe != "" }

// attempted makes the operators of the hosts tried. As in Envoy, TCP lists all of them; of an HTTP
// request it is the last attempt's host alone, and none if that got no connection.
func attempted(one func(dst []byte, u *streaminfo.Upstream) []byte) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		i := c.Info
		if i == nil {
			return dst, Missing
		}
		mark := len(dst)
		tcp := i.Protocol == streaminfo.ProtocolNone
		if tcp {
			for n := range i.Attempted {
				if i.Attempted[n].Host != "" {
					dst = append(one(dst, &i.Attempted[n]), ',')
				}
			}
		}
		if i.Upstream.Host != "" && (tcp || connected(&i.Upstream)) {
			return one(dst, &i.Upstream), String
		}
		if len(dst) == mark {
			return dst, Missing
		}
		return dst[:len(dst)-1], String
	}
}

func upstreamConnectionID(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Upstream.ConnectionID)
}

func upstreamConnectionIDsAttempted(dst []byte, c *Context) ([]byte, Kind) {
	i := c.Info
	if i == nil {
		return dst, Missing
	}
	mark := len(dst)
	if i.Protocol == streaminfo.ProtocolNone {
		for n := range i.Attempted {
			if connected(&i.Attempted[n]) {
				dst = append(strconv.AppendUint(dst, i.Attempted[n].ConnectionID, 10), ',')
			}
		}
	}
	if connected(&i.Upstream) {
		return strconv.AppendUint(dst, i.Upstream.ConnectionID, 10), String
	}
	if len(dst) == mark {
		return dst, Missing
	}
	return dst[:len(dst)-1], String
}

func upstreamRequestAttemptCount(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Attempts)
}

func upstreamCluster(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.ClusterStatName == "" {
		return upstreamClusterRaw(dst, c)
	}
	return append(dst, c.Info.ClusterStatName...), String
}

func upstreamClusterRaw(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.ClusterName)
}

func upstreamProtocol(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.Upstream.Protocol.String())
}

func upstreamTransportFailureReason(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return underscored(dst, c.Info.Upstream.TransportFailureReason)
}

func upstreamLocalCloseReason(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.Upstream.LocalCloseReason)
}

func upstreamDetectedCloseType(dst []byte, c *Context) ([]byte, Kind) {
	switch {
	case c.Info == nil || c.Info.Upstream.Host == "":
		return dst, Missing
	case c.Info.Upstream.DetectedClose == "":
		return append(dst, closedNormally...), String
	}
	return append(dst, c.Info.Upstream.DetectedClose...), String
}

func upstreamWireBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.WireSent)
}

func upstreamWireBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.WireReceived)
}

func upstreamHeaderBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.HeaderSent)
}

func upstreamHeaderBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.HeaderReceived)
}

func upstreamPlainHeaderBytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Upstream.Bytes.DecompressedHeaderSent == 0 {
		return upstreamHeaderBytesSent(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.DecompressedHeaderSent)
}

func upstreamPlainHeaderBytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.Upstream.Bytes.DecompressedHeaderReceived == 0 {
		return upstreamHeaderBytesReceived(dst, c)
	}
	return number(dst, c.Info.Upstream.Bytes.DecompressedHeaderReceived)
}
