// Package originaldst is envoy.filters.listener.original_dst: it restores the address that a
// redirected connection was meant for.
package originaldst

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	origpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	"golang.org/x/sys/unix"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// Extension is the filter.
var Extension = filter.NewListener("envoy.filters.listener.original_dst", func(*origpb.OriginalDst) (filter.ListenerConfig, error) { return config{}, nil })

type config struct{}

// Build returns the one filter that all connections share.
func (config) Build(*filter.Context) (filter.ListenerFactory, error) {
	return func(*network.Conn) network.ListenerFilter { return restore{} }, nil
}

type restore struct{}

// OnAccept asks the kernel for the destination before REDIRECT (SO_ORIGINAL_DST). Under TPROXY the
// socket's own address is it.
func (restore) OnAccept(c *network.Conn) network.Status {
	t := c.Socket()
	if t == nil {
		return network.Continue
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return network.Continue
	}
	var dst netip.AddrPort
	_ = raw.Control(func(fd uintptr) {
		if c.Info.DirectLocal.Addr().Is4() {
			dst = original4(int(fd))
		} else {
			dst = original6(int(fd))
		}
		if !dst.IsValid() && isTransparent(int(fd), c.Info.DirectLocal.Addr().Is6()) {
			dst = c.Info.DirectLocal
		}
	})
	if dst.IsValid() && (dst != c.Info.DirectLocal || isRestoredByTPROXY(c, dst)) {
		c.Info.Local, c.Info.LocalRestored = dst, true
	}
	return network.Continue
}

func isRestoredByTPROXY(c *network.Conn, dst netip.AddrPort) bool {
	return c.ListenerPort != 0 && dst.Port() != c.ListenerPort
}

const soOriginalDst = 80 // linux/netfilter_ipv4.h: SO_ORIGINAL_DST; IP6T_SO_ORIGINAL_DST is the same

func original4(fd int) netip.AddrPort {
	var sa unix.RawSockaddrInet4
	if !getsockopt(fd, unix.SOL_IP, unsafe.Pointer(&sa), unsafe.Sizeof(sa)) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), ntohs(sa.Port))
}

func original6(fd int) netip.AddrPort {
	var sa unix.RawSockaddrInet6
	if !getsockopt(fd, unix.SOL_IPV6, unsafe.Pointer(&sa), unsafe.Sizeof(sa)) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), ntohs(sa.Port))
}

func getsockopt(fd, level int, p unsafe.Pointer, size uintptr) bool {
	n := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), soOriginalDst, uintptr(p), uintptr(unsafe.Pointer(&n)), 0)
	return errno == 0
}

func ntohs(p uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], p)
	return binary.BigEndian.Uint16(b[:])
}

func isTransparent(fd int, v6 bool) bool {
	level, name := unix.SOL_IP, unix.IP_TRANSPARENT
	if v6 {
		level, name = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	n, err := unix.GetsockoptInt(fd, level, name)
	return err == nil && n != 0
}
