package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// connect opens a connection to one of addrs: to each after the last one's delay or failure, and the
// first that stands is taken.
func (d *dialer) connect(ctx context.Context, addrs []endpoint.Address, o *pool.Options, to *transport.Options) (net.Conn, *pool.Error) {
	switch len(addrs) {
	case 0:
		return nil, &pool.Error{Reason: pool.LocalConnectionFailure, Why: "the name has not been resolved"}
	case 1:
		return d.connectOne(ctx, addrs[0], o, to)
	}
	return d.race(ctx, order(addrs, d.spec.Eyeballs), o, to)
}

type outcome struct {
	conn net.Conn
	err  *pool.Error
}

func (d *dialer) race(ctx context.Context, addrs []endpoint.Address, o *pool.Options, to *transport.Options) (net.Conn, *pool.Error) {
	each, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan outcome, len(addrs))
	started, running := 0, 0
	start := func() {
		if started == len(addrs) {
			return
		}
		a := addrs[started]
		started++
		running++
		// Owned by this call: ends with the connect, which cancel ends. closeRest takes what comes too late.
		go func() {
			c, err := d.connectOne(each, a, o, to)
			results <- outcome{c, err}
		}()
	}
	start()
	timer := time.NewTimer(eyeballsDelay)
	defer timer.Stop()
	var first *pool.Error
	for running > 0 {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				cancel()
				go closeRest(results, running) // Ends when the cancelled connects have.
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if ctx.Err() == nil {
				start()
			}
		case <-timer.C:
			start()
		}
		timer.Reset(eyeballsDelay)
	}
	return nil, first
}

// closeRest closes what still comes in.
func closeRest(results <-chan outcome, n int) {
	for range n {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close()
		}
	}
}

// order puts addresses of the two families in turn: count of the preferred family, then one of the other
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/connection_pooling#happy-eyeballs-support).
func order(addrs []endpoint.Address, e Eyeballs) []endpoint.Address {
	v4 := func(a endpoint.Address) bool { return a.IP.Addr().Unmap().Is4() }
	want := v4(addrs[0])
	switch e.Family {
	case V4Family:
		want = true
	case V6Family:
		want = false
	}
	var preferred, others, out []endpoint.Address
	for _, a := range addrs {
		if v4(a) == want {
			preferred = append(preferred, a)
		} else {
			others = append(others, a)
		}
	}
	n := min(max(e.Count, 1), len(preferred))
	out = append(out, preferred[:n]...)
	for preferred = preferred[n:]; len(preferred)+len(others) > 0; {
		if len(others) > 0 {
			out, others = append(out, others[0]), others[1:]
		}
		if len(preferred) > 0 {
			out, preferred = append(out, preferred[0]), preferred[1:]
		}
	}
	return out
}

func (d *dialer) connectOne(ctx context.Context, a endpoint.Address, o *pool.Options, to *transport.Options) (net.Conn, *pool.Error) {
	var c net.Conn
	var err error
	switch a.Kind {
	case endpoint.IPKind:
		nd := d.netDialer(a.IP.Addr(), o)
		c, err = nd.DialContext(ctx, "tcp", a.IP.String())
	case endpoint.PipeKind:
		c, err = (&net.Dialer{}).DialContext(ctx, "unix", a.Name)
	case endpoint.InternalKind:
		if d.m.o.Internal == nil {
			return nil, &pool.Error{Reason: pool.LocalConnectionFailure, Why: "there are no internal listeners"}
		}
		c, err = d.m.o.Internal(ctx, a.Name, a.EndpointID, to)
	default:
		return nil, &pool.Error{Reason: pool.LocalConnectionFailure, Why: "there is no address"}
	}
	if err != nil {
		e := connectError(ctx, a, err)
		if e.Reason == pool.LocalConnectionFailure {
			d.stats.BindErrors.Inc(0)
		}
		return nil, e
	}
	return c, nil
}

// netDialer sets sockets up for connections to an address.
func (d *dialer) netDialer(to netip.Addr, o *pool.Options) net.Dialer {
	nd := net.Dialer{KeepAlive: -1, FallbackDelay: -1}
	if k := d.spec.Keepalive; k != nil {
		nd.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Probes}
	}
	b := binding{v4: to.Unmap().Is4()}
	var local netip.AddrPort
	if o.OriginalSource != "" {
		addr, mark, _ := strings.Cut(o.OriginalSource, ",")
		if a, err := netip.ParseAddr(addr); err == nil && a.Unmap().Is4() == b.v4 {
			local, b.transparent = netip.AddrPortFrom(a, 0), true
		}
		if n, err := strconv.ParseUint(mark, 0, 32); err == nil {
			b.mark = int(n)
		}
	} else if d.bind != nil {
		local, b.options = d.bind.source(b.v4)
		b.free = d.bind.FreeBind
	}
	if local.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(local)
		b.late = local.Port() == 0
	}
	if b.transparent || b.free || b.mark != 0 || len(b.options) > 0 || local.IsValid() {
		nd.Control = b.control
	}
	return nd
}

// source returns the address of the family, or the first one.
func (b *Bind) source(v4 bool) (netip.AddrPort, []SocketOption) {
	for _, s := range b.Sources {
		if s.Addr.IsValid() && s.Addr.Addr().Unmap().Is4() == v4 {
			return unlessAny(s.Addr), s.Options
		}
	}
	return unlessAny(b.Sources[0].Addr), b.Sources[0].Options
}

// unlessAny returns no address for 0.0.0.0:0, which binds nothing.
func unlessAny(a netip.AddrPort) netip.AddrPort {
	if a.IsValid() && a.Addr().IsUnspecified() && a.Port() == 0 {
		return netip.AddrPort{}
	}
	return a
}

// binding is what is set on a socket before it is bound.
type binding struct {
	v4, free, transparent bool
	// late leaves the choice of the port to connect(2), so that one port serves many destinations.
	late    bool
	mark    int
	options []SocketOption
}

// bindError is a socket that could not be set up.
type bindError struct{ err error }

// Error names the step before its failure.
func (e *bindError) Error() string { return "socket set-up: " + e.err.Error() }

// Unwrap gives the failure itself.
func (e *bindError) Unwrap() error { return e.err }

func (b *binding) control(_, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) { err = b.set(int(fd)) })
	if err = errors.Join(cerr, err); err != nil {
		return &bindError{err}
	}
	return nil
}

func (b *binding) set(fd int) error {
	level, free, transparent := unix.IPPROTO_IP, unix.IP_FREEBIND, unix.IP_TRANSPARENT
	if !b.v4 {
		level, free, transparent = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, unix.IPV6_TRANSPARENT
	}
	var errs []error
	set := func(level, name, value int) { errs = append(errs, unix.SetsockoptInt(fd, level, name, value)) }
	if b.free {
		set(level, free, 1)
	}
	if b.transparent {
		set(level, transparent, 1)
	}
	if b.mark != 0 {
		set(unix.SOL_SOCKET, unix.SO_MARK, b.mark)
	}
	if b.late {
		// Not every kernel has it, and it only saves ports.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	for _, o := range b.options {
		switch {
		case b.v4 && !o.V4 || !b.v4 && !o.V6:
		case o.Bytes != nil:
			errs = append(errs, unix.SetsockoptString(fd, o.Level, o.Name, string(o.Bytes)))
		default:
			set(o.Level, o.Name, o.Int)
		}
	}
	return errors.Join(errs...)
}
