package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is one bound address. It is bound when its listener is accepted, so that an address in use is
// a NACK, and listens once the workers start, so that a client is refused until then. It outlives the
// configurations that have the address.
type socket struct {
	config Address
	addr   net.Addr
	file   *os.File     // bound, not listening
	l      net.Listener // listening
	done   chan struct{}
}

// defaultBacklog is what Linux allows at most by default; Envoy asks for 128.
const defaultBacklog = 4096

// bind opens and binds the socket of an address. An address that is not to be bound has none.
func bind(a Address) (*socket, error) {
	s := &socket{config: a, addr: net.TCPAddrFromAddrPort(a.TCP), done: make(chan struct{})}
	if a.Pipe != "" {
		s.addr = &net.UnixAddr{Name: a.Pipe, Net: "unix"}
	}
	if !a.Bind {
		return s, nil
	}
	fd, err := a.open()
	if err != nil {
		return nil, bindError(a, err)
	}
	s.file = os.NewFile(uintptr(fd), a.String())
	if err := s.bindFD(fd); err != nil {
		_ = s.file.Close()
		return nil, bindError(a, err)
	}
	return s, nil
}

func (a Address) open() (int, error) {
	domain, proto := unix.AF_INET, 0
	switch {
	case a.Pipe != "":
		domain = unix.AF_UNIX
	case a.TCP.Addr().Is6():
		domain = unix.AF_INET6
	}
	if a.Sock.MPTCP {
		proto = unix.IPPROTO_MPTCP
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return 0, err
	}
	if err := a.setOptions(fd); err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (s *socket) bindFD(fd int) error {
	a := s.config
	if a.Pipe != "" {
		abstract := a.Pipe[0] == '@'
		if !abstract {
			_ = os.Remove(a.Pipe) // what a process before us has left
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: a.Pipe}); err != nil {
			return err
		}
		if !abstract && a.Mode != 0 {
			return os.Chmod(a.Pipe, os.FileMode(a.Mode))
		}
		return nil
	}
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(a.TCP.Port()), Addr: as4(a.TCP.Addr())}
	if a.TCP.Addr().Is6() {
		sa = &unix.SockaddrInet6{Port: int(a.TCP.Port()), Addr: a.TCP.Addr().As16()}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		s.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(n.Addr), uint16(n.Port)))
	case *unix.SockaddrInet6:
		s.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(n.Addr), uint16(n.Port)))
	}
	return nil
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

// listen makes a bound socket listen.
func (s *socket) listen() error {
	if s.file == nil {
		return nil
	}
	backlog := s.config.Sock.Backlog
	if backlog == 0 {
		backlog = defaultBacklog
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) }); e != nil || err != nil {
		return bindError(s.config, errors.Join(e, err))
	}
	l, err := net.FileListener(s.file)
	if err != nil {
		return bindError(s.config, err)
	}
	_ = s.file.Close()
	s.file, s.l = nil, l
	return nil
}

// close stops listening and waits for the accept loop.
func (s *socket) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	if s.l != nil {
		_ = s.l.Close()
		<-s.done
		s.l = nil
	}
}

// String is the address as Envoy prints it.
func (a Address) String() string {
	if a.Pipe != "" {
		return a.Pipe
	}
	return a.TCP.String()
}

// bindError is Envoy's text for a socket that could not be bound.
func bindError(a Address, err error) error {
	var errno syscall.Errno
	text := err.Error()
	if errors.As(err, &errno) {
		text = upperFirst(errno.Error())
	}
	return fmt.Errorf("cannot bind '%s': %s", a, text)
}

func upperFirst(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
