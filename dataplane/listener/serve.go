package listener

import (
	"errors"
	"net"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// start begins to accept on every socket that is not being accepted on.
func (l *Listener) start(s *socket) {
	// Owned by the socket: ends when close closes it.
	go func() {
		defer close(s.done)
		l.accept(s)
	}()
}

// accept is the accept loop of one socket. Where no file descriptor is left it waits for one to be
// given back, rather than spin.
func (l *Listener) accept(s *socket) {
	pause := 5 * time.Millisecond
	for {
		nc, err := s.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS) {
				l.manager.log.Warn("cannot accept", "listener", l.name, "error", err, "pause", pause)
				if !l.manager.sleep(pause) {
					return
				}
				pause = min(2*pause, time.Second)
			}
			continue
		}
		pause = 5 * time.Millisecond
		l.stats.Accepted.Record(0, 1)
		w := stats.Worker(l.next.Add(1)%uint32(len(l.workers))) + 1
		c := &network.Conn{Worker: w}
		c.Start(nc)
		l.conns.Add(1)
		// Owned by the listener: ends with the connection, which Shutdown ends.
		go l.serve(c, s)
	}
}

// serve takes one connection through the listener.
func (l *Listener) serve(c *network.Conn, s *socket) {
	defer l.conns.Done()
	m := l.manager
	c.Info.ID = m.nextConn.Add(1)
	c.Info.Start = time.Now()
	c.Info.TransportProtocol = ""
	c.Watcher = m.watcher
	describe(c, s)
	defer func() {
		if r := recover(); r != nil {
			m.panicked(r, debug.Stack())
			_ = c.Reset()
		}
	}()
	g := l.current.Load()
	if g == nil || !l.admit(c, g.config) {
		_ = c.Reset()
		return
	}
	defer l.dismiss(c, g.config)
	l.run(c, g, true)
}

// describe fills the ends of the socket.
func describe(c *network.Conn, s *socket) {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		c.Info.DirectLocal = unmap(a.AddrPort())
	} else if s != nil {
		c.Info.LocalPipe = s.config.Pipe
	}
	if s != nil {
		if a, ok := s.addr.(*net.TCPAddr); ok {
			c.ListenerPort = uint16(a.Port)
		}
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		c.Info.DirectRemote = unmap(a.AddrPort())
	}
	c.Info.Local, c.Info.Remote = c.Info.DirectLocal, c.Info.DirectRemote
}

// run takes c through the listener filters, the hand-off to the listener of its original destination,
// and its filter chain.
func (l *Listener) run(c *network.Conn, g *generation, handOff bool) {
	c.Info.ListenerName = g.config.Name
	c.Info.Metadata = g.config.Metadata
	if !l.listenerFilters(c, g) {
		return
	}
	if handOff && g.config.UseOriginalDst && c.Info.LocalRestored {
		if to := l.manager.original(c.Info.Local); to != nil && to != l {
			to.take(c)
			return
		}
	}
	if c.Info.TransportProtocol == "" {
		c.Info.TransportProtocol = "raw_buffer"
	}
	ch := g.find(c)
	if ch == nil {
		l.refuse(c, g)
		return
	}
	l.connect(c, g, ch)
}

// take serves a connection that another listener has handed over.
func (l *Listener) take(c *network.Conn) {
	g := l.current.Load()
	if g == nil || !l.admit(c, g.config) {
		_ = c.Reset()
		return
	}
	l.conns.Add(1)
	defer l.conns.Done()
	defer l.dismiss(c, g.config)
	l.run(c, g, false)
}

// listenerFilters runs the listener filters under listener_filters_timeout. It reports false if the
// connection is over.
func (l *Listener) listenerFilters(c *network.Conn, g *generation) bool {
	if len(g.filters) == 0 {
		return true
	}
	l.stats.PreCxActive.Inc(c.Worker)
	defer l.stats.PreCxActive.Dec(c.Worker)
	if d := g.config.FilterTimeout; d > 0 {
		_ = c.SetDeadline(c.Info.Start.Add(d))
		defer func() { _ = c.SetDeadline(time.Time{}) }()
	}
	for i := range g.filters {
		f := &g.filters[i]
		if f.disabled != nil && f.disabled(c) {
			continue
		}
		lf := f.factory(c)
		if lf == nil {
			continue
		}
		if lf.OnAccept(c) == network.Stop {
			l.stats.ListenerFilterError.Inc(c.Worker)
			_ = c.Close()
			return false
		}
		if c.FilterTimedOut {
			c.FilterTimedOut = false
			l.stats.PreCxTimeout.Inc(c.Worker)
			if !g.config.ContinueOnTimeout {
				_ = c.Close()
				return false
			}
			break
		}
		if c.FilterClosed {
			l.stats.ListenerFilterClosed.Inc(c.Worker)
			_ = c.Close()
			return false
		}
	}
	return true
}

func (g *generation) find(c *network.Conn) *chain {
	i := none
	if g.choose != nil {
		i = g.choose(c)
	} else {
		i = g.match.Find(&c.Info)
	}
	if i >= 0 {
		return g.chains[i]
	}
	return g.deflt
}

// refuse ends a connection that no filter chain matches.
func (l *Listener) refuse(c *network.Conn, g *generation) {
	l.stats.NoFilterChainMatch.Inc(c.Worker)
	info := l.logInfo(c)
	info.Set(streaminfo.NoRouteFound)
	info.Details = streaminfo.DetailFilterChainNotFound
	_ = c.Reset()
	g.logs.log(info)
}

// connect takes c through its filter chain until it is over.
func (l *Listener) connect(c *network.Conn, g *generation, ch *chain) {
	if ch.enter(c) != nil {
		_ = c.Reset()
		return
	}
	c.Info.FilterChainName = ch.config.Name
	c.Info.FilterChainMetadata = ch.config.Metadata
	c.BufferLimit = g.config.BufferLimit
	c.Drain = &ch.drainer
	var filters [8]network.Filter
	ran := filters[:0]
	defer func() {
		ch.leave(c)
		_ = c.Close()
		for _, f := range ran {
			f.OnClose(c)
		}
		if g.logs.any() {
			g.logs.log(l.logInfo(c))
		}
	}()
	if !l.handshake(c, ch) {
		return
	}
	for _, factory := range ch.factories {
		f := factory(c)
		if f == nil {
			continue
		}
		ran = append(ran, f)
		if f.OnNewConnection(c) == network.Stop {
			return
		}
		if t, ok := f.(network.Terminal); ok {
			t.Serve(c)
			return
		}
	}
}

func (l *Listener) handshake(c *network.Conn, ch *chain) bool {
	if d := ch.config.ConnectTimeout; d > 0 {
		_ = c.SetDeadline(time.Now().Add(d))
		defer func() { _ = c.SetDeadline(time.Time{}) }()
	}
	if err := ch.transport.Handshake(c); err != nil {
		if network.IsTimeout(err) {
			l.stats.CxConnectTimeout.Inc(c.Worker)
		}
		l.manager.log.Debug("handshake failed", "listener", l.name, "peer", c.Info.Remote, "error", err)
		return false
	}
	return true
}

// logInfo is the stream info of a connection, for the listener's access log.
func (l *Listener) logInfo(c *network.Conn) *streaminfo.Info {
	return &streaminfo.Info{Start: c.Info.Start, Conn: &c.Info, FilterChainName: c.Info.FilterChainName, ListenerMetadata: c.Info.Metadata}
}
