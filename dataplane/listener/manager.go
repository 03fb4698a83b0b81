package listener

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// Manager owns all listeners. Apply and what it calls run on the main goroutine alone.
type Manager struct {
	server       *filter.Server
	log          *slog.Logger
	watcher      *network.Watcher
	drainOptions DrainOptions
	stats        ManagerStats

	listeners map[string]*Listener // main only
	applied   map[string]*xds.Resource
	retired   []*Listener // removed, not over yet; main only
	started   bool        // main only
	// original destinations find their listener here: by address and port, or by port alone.
	byAddress atomic.Pointer[map[netip.AddrPort]*Listener]

	failing  atomic.Bool
	global   globalLimit
	nextConn atomic.Uint64
	contexts *transport.Contexts
	done     chan struct{}

	mu       sync.Mutex
	reserved map[string]*reservation // guarded by mu: sockets bound by Check, not yet applied
	draining map[*chain]struct{}     // guarded by mu: chains that an update has replaced
}

type reservation struct {
	config  *Config
	sockets []*socket
}

// Options are what a Manager is made from.
type Options struct {
	Server *filter.Server
	Drain  DrainOptions
	// MaxConnections is the overload manager's limit of downstream connections; 0: none.
	MaxConnections int64
	// Contexts collects the certificates in use, for /certs.
	Contexts *transport.Contexts
}

// NewManager makes a manager without listeners.
func NewManager(o Options) (*Manager, error) {
	w, err := network.NewWatcher()
	if err != nil {
		return nil, err
	}
	m := &Manager{server: o.Server, log: o.Server.Log.With("component", "listener"), watcher: w, drainOptions: o.Drain,
		listeners: map[string]*Listener{}, applied: map[string]*xds.Resource{}, reserved: map[string]*reservation{}, draining: map[*chain]struct{}{}, done: make(chan struct{}), contexts: o.Contexts}
	m.byAddress.Store(&map[netip.AddrPort]*Listener{})
	m.global.limit.Store(o.MaxConnections)
	stats.Bind(o.Server.Stats.Scope("listener_manager"), &m.stats)
	return m, nil
}

// Watcher is what tells hang-ups, for upstream pools to share.
func (m *Manager) Watcher() *network.Watcher { return m.watcher }

// Check binds the sockets of a listener that is about to be accepted. It is called by the xds client's
// goroutine; its error is the NACK.
func (m *Manager) Check(current *xds.Snapshot, name string, c *Config) error {
	if err := conflict(current, name, c); err != nil {
		return err
	}
	for _, ch := range c.Chains() {
		if ch.transport == nil {
			continue
		}
		if err := ch.transport.Check(current); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &reservation{config: c}
	for _, a := range c.Addresses {
		if m.holds(name, a) {
			continue
		}
		s, err := bind(a)
		if err != nil {
			r.close()
			return err
		}
		r.sockets = append(r.sockets, s)
	}
	if old := m.reserved[name]; old != nil {
		old.close()
	}
	m.reserved[name] = r
	return nil
}

func (r *reservation) close() {
	for _, s := range r.sockets {
		s.close()
	}
}

// conflict refuses a listener with the address of another one.
func conflict(current *xds.Snapshot, name string, c *Config) error {
	for other, r := range current.All(xds.ListenerURL) {
		oc, ok := r.Value.(*Config)
		if !ok || other == name {
			continue
		}
		for _, a := range c.Addresses {
			for _, b := range oc.Addresses {
				if a.Bind && b.Bind && a.TCP == b.TCP && a.Pipe == b.Pipe && (a.Pipe != "" || a.TCP.Port() != 0) {
					return fmt.Errorf("error adding listener: '%s' has duplicate address '%s' as existing listener, to check if the listener has duplicated addresses with other listeners or 'enable_reuse_port' is set to 'false' for the listener", name, a)
				}
			}
		}
	}
	return nil
}

// holds tells whether the live listener has the address open already. The map of who holds what is
// changed under mu.
func (m *Manager) holds(name string, a Address) bool {
	l := m.listeners[name]
	return l != nil && slices.ContainsFunc(l.sockets, func(s *socket) bool { return sameSocket(s.config, a) })
}

func sameSocket(a, b Address) bool {
	return a.TCP == b.TCP && a.Pipe == b.Pipe && a.Bind == b.Bind && a.Sock.Transparent == b.Sock.Transparent && a.Sock.MPTCP == b.Sock.MPTCP
}

// Apply brings the live listeners to what s says: those that are warm and have changed.
func (m *Manager) Apply(s *xds.Snapshot) {
	warming := 0
	for name := range m.listeners {
		if s.Resource(xds.ListenerURL, name) == nil {
			m.remove(name)
		}
	}
	for name, r := range s.All(xds.ListenerURL) {
		if m.applied[name] == r {
			continue
		}
		if !s.Warm(r) {
			warming++
			continue
		}
		m.update(name, r)
	}
	m.stats.Warming.Set(uint64(warming))
	m.stats.Active.Set(uint64(len(m.listeners)))
	m.publish()
}

func (m *Manager) update(name string, r *xds.Resource) {
	c, ok := r.Value.(*Config)
	if !ok {
		return
	}
	l := m.listeners[name]
	fresh := l == nil
	if fresh {
		l = m.newListener(c)
	}
	if err := l.apply(c); err != nil {
		m.stats.CreateFailure.Inc(0)
		m.log.Error("listener cannot be built", "listener", name, "error", err)
		if fresh {
			l.scope.Close()
		}
		m.applied[name] = r
		return
	}
	m.mu.Lock()
	m.listeners[name] = l
	m.mu.Unlock()
	m.applied[name] = r
	m.stats.CreateSuccess.Add(0, uint64(len(l.workers)))
	if fresh {
		m.stats.Added.Inc(0)
	} else {
		m.stats.Modified.Inc(0)
	}
}

// publish makes the listeners findable by original destination.
func (m *Manager) publish() {
	by := map[netip.AddrPort]*Listener{}
	for _, l := range m.listeners {
		c := l.Config()
		if c == nil {
			continue
		}
		for _, a := range c.Addresses {
			if a.Pipe == "" {
				by[a.TCP] = l
			}
		}
	}
	m.byAddress.Store(&by)
}

// original finds the listener of an original destination: by its address and port, then by the port on
// any address.
func (m *Manager) original(dst netip.AddrPort) *Listener {
	by := *m.byAddress.Load()
	if l := by[dst]; l != nil {
		return l
	}
	wild := netip.IPv4Unspecified()
	if dst.Addr().Is6() {
		wild = netip.IPv6Unspecified()
	}
	return by[netip.AddrPortFrom(wild, dst.Port())]
}

// Original finds the name of the listener for an original destination, for explain; "" is none.
func (m *Manager) Original(dst netip.AddrPort) string {
	if l := m.original(dst); l != nil {
		return l.name
	}
	return ""
}

// Start makes every listener accept: the initial configuration is complete.
func (m *Manager) Start() {
	m.started = true
	for _, l := range m.listeners {
		l.listen()
	}
	m.stats.WorkersStarted.Set(1)
}

// Started tells whether Start was called.
func (m *Manager) Started() bool { return m.started }

// Listeners lists the live listeners by name; for the main goroutine.
func (m *Manager) Listeners() []*Listener {
	out := make([]*Listener, 0, len(m.listeners))
	for _, l := range m.listeners {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *Listener) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out
}

// SetFailing says whether responses should end their connections: /healthcheck/fail.
func (m *Manager) SetFailing(failing bool) { m.failing.Store(failing) }

// SetMaxConnections sets the limit of downstream connections; 0 is none.
func (m *Manager) SetMaxConnections(n int64) { m.global.limit.Store(n) }

// Connections is how many downstream connections count in the limit.
func (m *Manager) Connections() int64 { return m.global.active.Load() }

// sleep waits, and reports false if the manager is closed meanwhile.
func (m *Manager) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.done:
		return false
	}
}

func (m *Manager) env(scope *stats.Scope) transport.Env {
	return transport.Env{Secrets: m.server.Secrets, Scope: scope, Log: m.server.Log, Contexts: m.contexts}
}

func (m *Manager) panicked(v any, stack []byte) {
	m.log.Error("connection ended by a panic", "panic", v, "stack", string(stack))
}
