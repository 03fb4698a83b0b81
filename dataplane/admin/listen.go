package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sys/unix"
)

// listen binds the interface's address; error texts are Envoy's.
func listen(a *corepb.Address, options []*corepb.SocketOption) (net.Listener, error) {
	network, address := "tcp", ""
	switch t := a.GetAddress().(type) {
	case *corepb.Address_SocketAddress:
		s := t.SocketAddress
		ip, err := netip.ParseAddr(s.GetAddress())
		if err != nil {
			return nil, fmt.Errorf("malformed IP address: %s. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'", s.GetAddress())
		}
		if s.GetProtocol() != corepb.SocketAddress_TCP {
			return nil, errors.New("field Admin.address: protocol UDP is not supported")
		}
		if network = "tcp4"; ip.Is6() {
			network = "tcp6"
			if s.GetIpv4Compat() {
				network = "tcp"
			}
		}
		address = net.JoinHostPort(s.GetAddress(), strconv.FormatUint(uint64(s.GetPortValue()), 10))
	case *corepb.Address_Pipe:
		network, address = "unix", t.Pipe.GetPath()
		if !strings.HasPrefix(address, "@") {
			_ = os.Remove(address) // what a process before us has left
		}
	default:
		return nil, errors.New("field Admin.address: only a socket_address or a pipe is supported")
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setOptions(raw, options) }}
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot bind '%s': %s", address, reason(err))
	}
	if mode := a.GetPipe().GetMode(); mode != 0 {
		if err := os.Chmod(address, os.FileMode(mode)); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	return l, nil
}

// reason is the text that C has for an error.
func reason(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	s := errno.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

func setOptions(raw syscall.RawConn, options []*corepb.SocketOption) (err error) {
	for _, o := range options {
		if e := raw.Control(func(fd uintptr) { err = setOption(int(fd), o) }); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("setting socket option %d of level %d: %w", o.GetName(), o.GetLevel(), err)
		}
	}
	return nil
}

// setOption sets an option before the socket is bound, which is when Go lets us: STATE_LISTENING means
// after listen(2), which no option of a listening socket on Linux depends on.
func setOption(fd int, o *corepb.SocketOption) error {
	switch v := o.GetValue().(type) {
	case *corepb.SocketOption_IntValue:
		return unix.SetsockoptInt(fd, int(o.GetLevel()), int(o.GetName()), int(v.IntValue))
	case *corepb.SocketOption_BufValue:
		return unix.SetsockoptString(fd, int(o.GetLevel()), int(o.GetName()), string(v.BufValue))
	}
	return nil
}
