package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// matchMetadata is the namespace of host metadata that transport_socket_matches look at.
const matchMetadata = "envoy.transport_socket_match"

// dialer makes a cluster's connections. It lives as long as what connections depend on stays as it is,
// across updates of the rest.
type dialer struct {
	cluster *Cluster
	spec    *Spec
	traffic *traffic
	bind    *Bind // nil: sockets are not bound
	sockets []*socket
	filters []network.UpstreamFilter
	m       *Manager
	stats   *pool.Stats
	log     *slog.Logger
}

// socket is one of the cluster's transport sockets.
type socket struct {
	endpoint.Transport
	match   map[string]string // nil: the cluster's own, which is the last one
	matched *stats.Counter
}

func newDialer(c *Cluster, config *Config, s *Spec, t *traffic) *dialer {
	d := &dialer{cluster: c, spec: s, traffic: t, bind: s.Bind, m: c.m, stats: &t.stats.Stats, log: c.m.log.With("cluster", c.name)}
	if d.bind == nil {
		d.bind = c.m.o.Bind
	}
	for i := range s.Matches {
		d.sockets = append(d.sockets, d.build(&s.Matches[i]))
	}
	d.sockets = append(d.sockets, d.build(&TransportMatch{Name: "default", Transport: s.Transport, PassesOn: s.PassesOn}))
	for _, f := range s.Filters {
		filter, err := f.Build(config.Name, c.scope)
		if err != nil {
			d.log.Error("upstream filter", "err", err)
			filter = brokenFilter{err}
		}
		d.filters = append(d.filters, filter)
	}
	return d
}

func (d *dialer) build(t *TransportMatch) *socket {
	s := &socket{match: t.Match, matched: d.cluster.scope.Counter(t.Name + ".total_match_count")}
	s.Name, s.PassesOn = t.Name, t.PassesOn
	up, err := t.Transport.Build(d.m.transportEnv(d.cluster.scope))
	if err != nil {
		d.log.Error("transport socket", "name", t.Name, "err", err)
		up = brokenSocket{err: err, secure: t.Transport.Secure()}
	}
	s.Socket = up
	return s
}

// close gives the transport sockets up.
func (d *dialer) close() {
	for _, s := range d.sockets {
		s.Socket.Close()
	}
}

// choose finds the transport socket of a host: the first whose match is in the host's metadata, then in
// its locality's, else the cluster's own.
func (d *dialer) choose(e *endpoint.Endpoint) *endpoint.Transport {
	for _, metadata := range []streaminfo.Metadata{e.Metadata, e.LocalityMetadata} {
		if s := d.find(metadata[matchMetadata]); s != nil {
			s.matched.Inc(0)
			return &s.Transport
		}
	}
	own := d.sockets[len(d.sockets)-1]
	own.matched.Inc(0)
	return &own.Transport
}

// find returns the first match for the values, or nil. An empty match is for all.
func (d *dialer) find(values *structpb.Struct) *socket {
next:
	for _, s := range d.sockets[:len(d.sockets)-1] {
		for k, want := range s.match {
			v, ok := values.GetFields()[k]
			if !ok || lb.ValueKey(v) != want {
				continue next
			}
		}
		return s
	}
	return nil
}

// chooseFor is choose for a health check's transport_socket_match_criteria.
func (d *dialer) chooseFor(match *structpb.Struct) *endpoint.Transport {
	if s := d.find(match); s != nil {
		return &s.Transport
	}
	return &d.sockets[len(d.sockets)-1].Transport
}

// dial makes one connection to the first of addrs that takes it, and fills u.
func (d *dialer) dial(ctx context.Context, h *endpoint.Host, addrs []endpoint.Address, t *endpoint.Transport, o pool.Options, u *streaminfo.Upstream) (net.Conn, *pool.Error) {
	to := transport.Options{
		ServerName: o.ServerName, SANs: split(o.SANs), ALPN: split(o.ALPN), Downstream: o.Conn,
		HostMetadata: h.Endpoint().Metadata, ClusterMetadata: d.spec.Metadata,
	}
	if o.Conn != nil {
		for _, x := range o.Conn.FilterState.Objects() {
			if x.Shared != streaminfo.SharedNone {
				to.FilterState = append(to.FilterState, x)
			}
		}
	}
	c, err := d.connect(ctx, addrs, &o, &to)
	if err != nil {
		return nil, err
	}
	ends(c, u)
	c, terr := t.Socket.Handshake(ctx, c, to, u)
	if terr != nil {
		return nil, handshakeFailed(ctx, u, terr)
	}
	for _, f := range d.filters {
		wrapped, ferr := f.OnConnect(c, u)
		if ferr != nil {
			_ = c.Close()
			return nil, &pool.Error{Reason: pool.LocalConnectionFailure, Why: "upstream filter", Cause: ferr}
		}
		c = wrapped
	}
	return c, nil
}

func handshakeFailed(ctx context.Context, u *streaminfo.Upstream, err error) *pool.Error {
	e := &pool.Error{Reason: pool.RemoteConnectionFailure, Transport: u.TransportFailureReason, Cause: err}
	if ctx.Err() != nil {
		e.Reason = pool.ConnectionTimeout
	}
	return e
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// ends fills the two ends of a connection.
func ends(c net.Conn, u *streaminfo.Upstream) {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		u.Local = a.AddrPort()
	}
	switch a := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		u.Remote = a.AddrPort()
	case *net.UnixAddr:
		u.RemotePipe = a.Name
	}
}

// connectError tells an error of connect(2) in Envoy's words.
func connectError(ctx context.Context, a endpoint.Address, err error) *pool.Error {
	e := &pool.Error{Reason: pool.RemoteConnectionFailure, Why: "connecting to " + a.String(), Cause: err}
	var set *bindError
	var call *os.SyscallError
	var errno syscall.Errno
	switch {
	case errors.As(err, &set), errors.As(err, &call) && call.Syscall == "bind":
		e.Reason = pool.LocalConnectionFailure
	case ctx.Err() != nil:
		e.Reason = pool.ConnectionTimeout
	case errors.As(err, &errno):
		e.Transport = connectText(a, errno)
	}
	return e
}

// connectText is Envoy's transport failure reason: what fails at once and what fails later are told apart.
func connectText(a endpoint.Address, errno syscall.Errno) string {
	text, ok := strerror[errno]
	if !ok {
		text = errno.Error()
	}
	when := "delayed_connect_error:_"
	switch errno {
	case syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.EINVAL:
		when = "immediate_connect_error:_"
	}
	if a.Kind == endpoint.PipeKind {
		when = "immediate_connect_error:_"
	}
	return when + strings.ReplaceAll(text, " ", "_")
}

// strerror is what the C library calls the errors, where Go writes them in lower case.
var strerror = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "Connection refused", syscall.EHOSTUNREACH: "No route to host", syscall.ENETUNREACH: "Network is unreachable",
	syscall.ETIMEDOUT: "Connection timed out", syscall.ECONNRESET: "Connection reset by peer", syscall.EADDRNOTAVAIL: "Cannot assign requested address",
	syscall.EACCES: "Permission denied", syscall.EPERM: "Operation not permitted", syscall.ENOENT: "No such file or directory",
	syscall.EINVAL: "Invalid argument", syscall.ECONNABORTED: "Software caused connection abort",
}

// brokenSocket stands where a transport socket could not be built.
type brokenSocket struct {
	err    error
	secure bool
}

// Handshake fails with what the socket lacks.
func (b brokenSocket) Handshake(_ context.Context, c net.Conn, _ transport.Options, u *streaminfo.Upstream) (net.Conn, error) {
	_ = c.Close()
	u.TransportFailureReason = strings.ReplaceAll(b.err.Error(), " ", "_")
	return nil, b.err
}

// Secure tells what the socket would be.
func (b brokenSocket) Secure() bool { return b.secure }

// Close has nothing to close.
func (b brokenSocket) Close() {}

// brokenFilter stands where an upstream filter could not be built.
type brokenFilter struct{ err error }

// OnConnect fails with what the filter lacks.
func (b brokenFilter) OnConnect(net.Conn, *streaminfo.Upstream) (net.Conn, error) { return nil, b.err }

// eyeballsDelay is how long an address has to itself before the next one is tried beside it (RFC 8305,
// section 5; Envoy's is the same).
const eyeballsDelay = 300 * time.Millisecond
