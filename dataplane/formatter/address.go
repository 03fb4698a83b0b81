package formatter

import (
	"net/netip"
	"strconv"
	"strings"
)

// end is one end of a connection: an address and port, or the text of an address that has none (the
// path of a Unix domain socket, envoy://listener/id).
type end func(c *Context) (a netip.AddrPort, text string)

// internalScheme starts the address of an internal listener; internalClient is who connects to one.
const (
	internalScheme = "envoy://"
	internalClient = "envoy://internal_client_address/"
)

func downstreamRemote(c *Context) (netip.AddrPort, string) {
	if conn := c.conn(); conn != nil {
		return c.Info.DownstreamRemote(), clientOf(conn.LocalPipe)
	}
	return netip.AddrPort{}, ""
}

func downstreamLocal(c *Context) (netip.AddrPort, string) {
	if conn := c.conn(); conn != nil {
		return conn.Local, conn.LocalPipe
	}
	return netip.AddrPort{}, ""
}

func downstreamDirectRemote(c *Context) (netip.AddrPort, string) {
	if conn := c.conn(); conn != nil {
		return conn.DirectRemote, clientOf(conn.LocalPipe)
	}
	return netip.AddrPort{}, ""
}

func downstreamDirectLocal(c *Context) (netip.AddrPort, string) {
	if conn := c.conn(); conn != nil {
		return conn.DirectLocal, conn.LocalPipe
	}
	return netip.AddrPort{}, ""
}

func upstreamRemote(c *Context) (netip.AddrPort, string) {
	if c.Info == nil {
		return netip.AddrPort{}, ""
	}
	return c.Info.Upstream.Remote, c.Info.Upstream.RemotePipe
}

func upstreamLocal(c *Context) (netip.AddrPort, string) {
	if c.Info == nil {
		return netip.AddrPort{}, ""
	}
	text := ""
	if strings.HasPrefix(c.Info.Upstream.RemotePipe, internalScheme) {
		text = internalClient
	}
	return c.Info.Upstream.Local, text
}

// clientOf is what Envoy logs for the client of a listener without a port.
func clientOf(local string) string {
	if strings.HasPrefix(local, internalScheme) {
		return internalClient
	}
	return local
}

// address makes an operator like %DOWNSTREAM_REMOTE_ADDRESS%.
func address(of end) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		a, text := of(c)
		if !a.IsValid() {
			return str(dst, text)
		}
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).AppendTo(dst), String
	}
}

// port makes an operator like %DOWNSTREAM_REMOTE_PORT%.
func port(of end) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		a, text := of(c)
		switch {
		case a.IsValid():
			return number(dst, a.Port())
		case text != "":
			return dst, Blank
		}
		return dst, Missing
	}
}

// endpointID makes an operator like %UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%: the id of an internal address.
func endpointID(of end) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		a, text := of(c)
		if a.IsValid() {
			return dst, String
		}
		if text == "" {
			return dst, Missing
		}
		name, ok := strings.CutPrefix(text, internalScheme)
		if !ok {
			return dst, String
		}
		_, id, _ := strings.Cut(name, "/")
		return append(dst, id...), String
	}
}

// bareAddress compiles an operator like %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(24)%: the address, or
// its network of so many bits. A parameter that is no number means nothing.
func bareAddress(of end) func(param string) (Operator, error) {
	return func(param string) (Operator, error) {
		bits, err := strconv.Atoi(param)
		if err != nil {
			return func(dst []byte, c *Context) ([]byte, Kind) {
				a, text := of(c)
				if !a.IsValid() {
					return str(dst, text)
				}
				return a.Addr().Unmap().AppendTo(dst), String
			}, nil
		}
		return func(dst []byte, c *Context) ([]byte, Kind) {
			a, text := of(c)
			switch {
			case !a.IsValid() && text == "":
				return dst, Missing
			case !a.IsValid() || bits < 0:
				return dst, String
			}
			ip := a.Addr().Unmap().WithZone("")
			network, _ := ip.Prefix(min(bits, ip.BitLen()))
			return network.AppendTo(dst), String
		}, nil
	}
}
