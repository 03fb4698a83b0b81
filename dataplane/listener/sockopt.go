package listener

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

type setter func(level, name, v int) error

func (a Address) setOptions(fd int) error {
	o := &a.Sock
	set := func(level, name, v int) error {
		if err := unix.SetsockoptInt(fd, level, name, v); err != nil {
			return fmt.Errorf("setsockopt(%d, %d, %d): %w", level, name, v, err)
		}
		return nil
	}
	if a.Pipe != "" {
		return a.extra(fd, set)
	}
	v6 := a.TCP.Addr().Is6()
	if err := set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if v6 {
		if err := set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, boolInt(o.V6Only)); err != nil {
			return err
		}
	}
	if o.ReusePort {
		if err := set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if o.Transparent {
		if err := transparent(set, v6); err != nil {
			return err
		}
	}
	if o.Freebind {
		level, name := unix.IPPROTO_IP, unix.IP_FREEBIND
		if v6 {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		}
		if err := set(level, name, 1); err != nil {
			return err
		}
	}
	if o.FastOpen > 0 {
		if err := set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, o.FastOpen); err != nil {
			return err
		}
	}
	if err := o.keepAlive(set); err != nil {
		return err
	}
	return a.extra(fd, set)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// extra are socket_options.
func (a Address) extra(fd int, set setter) error {
	for _, x := range a.Sock.Options {
		var err error
		if x.Bytes != nil {
			err = unix.SetsockoptString(fd, x.Level, x.Name, string(x.Bytes))
		} else {
			err = set(x.Level, x.Name, x.Int)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func transparent(set setter, v6 bool) error {
	if err := set(unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return err
	}
	if v6 {
		return set(unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return nil
}

// keepAlive is inherited by the accepted sockets.
func (o *SocketOptions) keepAlive(set setter) error {
	k := o.KeepAlive
	if k == nil {
		return nil
	}
	if err := set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	for _, x := range [...]struct{ name, v int }{
		{unix.TCP_KEEPCNT, k.Probes}, {unix.TCP_KEEPIDLE, int(k.Time / time.Second)}, {unix.TCP_KEEPINTVL, int(k.Interval / time.Second)},
	} {
		if x.v > 0 {
			if err := set(unix.IPPROTO_TCP, x.name, x.v); err != nil {
				return err
			}
		}
	}
	return nil
}
