package listener

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/network"
)

// connectionLimit is the runtime's envoy.resource_limits.listener.NAME.connection_limit.
type connectionLimit struct{ active atomic.Int64 }

// limitKey is the runtime key of a listener's connection limit.
func limitKey(name string) string {
	return "envoy.resource_limits.listener." + name + ".connection_limit"
}

// admit counts a connection in, or refuses it: over the listener's limit, or over the proxy's.
func (l *Listener) admit(c *network.Conn, cfg *Config) bool {
	m := l.manager
	w := c.Worker
	if limit := m.server.Runtime.Uint(limitKey(l.name), 0); limit > 0 && uint64(l.limit.active.Load()) >= limit {
		l.stats.CxOverflow.Inc(w)
		return false
	}
	if !cfg.IgnoreGlobalLimit && !c.Counted {
		if !m.global.enter() {
			l.stats.GlobalCxOverflow.Inc(w)
			return false
		}
		c.Counted = true
	}
	l.limit.active.Add(1)
	l.stats.CxTotal.Inc(w)
	l.stats.CxActive.Inc(w)
	l.workers[w-1].CxTotal.Inc(w)
	l.workers[w-1].CxActive.Inc(w)
	return true
}

// dismiss counts it out.
func (l *Listener) dismiss(c *network.Conn, cfg *Config) {
	w := c.Worker
	l.limit.active.Add(-1)
	l.stats.CxActive.Dec(w)
	l.workers[w-1].CxActive.Dec(w)
	l.stats.CxDestroy.Inc(w)
	l.stats.CxLengthMs.Record(w, uint64(time.Since(c.Info.Start).Milliseconds()))
	if c.Counted && !cfg.IgnoreGlobalLimit {
		c.Counted = false
		l.manager.global.leave()
	}
}

// globalLimit is the overload manager's limit of downstream connections.
type globalLimit struct {
	limit  atomic.Int64 // 0: none
	active atomic.Int64
}

func (g *globalLimit) enter() bool {
	n := g.active.Add(1)
	if limit := g.limit.Load(); limit > 0 && n > limit {
		g.active.Add(-1)
		return false
	}
	return true
}

func (g *globalLimit) leave() { g.active.Add(-1) }

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Admit counts a connection that is not a listener's, the admin interface's, in the limit of downstream
// connections, or refuses it.
func (m *Manager) Admit() bool { return m.global.enter() }

// Dismiss takes a connection that Admit counted out of the limit.
func (m *Manager) Dismiss() { m.global.leave() }
