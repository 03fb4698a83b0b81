package listener

import (
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
)

// remove takes a listener out of service: its sockets close at once, its connections have the drain
// time.
func (m *Manager) remove(name string) {
	l := m.listeners[name]
	m.mu.Lock()
	delete(m.listeners, name)
	m.mu.Unlock()
	delete(m.applied, name)
	m.stats.Removed.Inc(0)
	m.stats.Draining.Inc(0)
	for _, s := range l.sockets {
		s.close()
	}
	l.drain.start(time.Now())
	m.retired = append(m.retired, l)
	g := l.current.Load()
	var left atomic.Int64
	left.Store(int64(len(g.chains)))
	over := func() {
		if left.Add(-1) <= 0 {
			l.scope.Close()
			m.stats.Draining.Dec(0)
		}
	}
	if len(g.chains) == 0 {
		over()
	}
	for _, ch := range g.chains {
		end := func() {
			ch.close(func() {
				ch.release()
				over()
			})
		}
		if ch.active() == 0 {
			end()
		} else {
			ch.end = time.AfterFunc(m.drainOptions.Time, end)
		}
	}
}

// DrainListeners is /drain_listeners: with graceful connections end by and by while new ones are still
// taken, until the drain time is over; else the ports close at once. With skipExit the ports never
// close. inboundOnly touches those whose traffic_direction is INBOUND.
func (m *Manager) DrainListeners(graceful, inboundOnly, skipExit bool, after func(time.Duration, func())) {
	now := time.Now()
	var picked []*Listener
	for _, l := range m.listeners {
		if c := l.Config(); c == nil || inboundOnly && c.Direction != filter.Inbound {
			continue
		}
		l.drain.start(now)
		picked = append(picked, l)
	}
	stop := func() {
		for _, l := range picked {
			l.stop()
		}
	}
	switch {
	case skipExit:
	case graceful:
		after(m.drainOptions.Time, stop)
	default:
		stop()
	}
}

// stop closes the listener's ports; its connections live on.
func (l *Listener) stop() {
	for _, s := range l.sockets {
		if s.l != nil {
			s.close()
			l.manager.stats.Stopped.Inc(0)
		}
	}
}

// Drain begins to drain every listener, for SIGTERM: connections end by and by.
func (m *Manager) Drain() {
	now := time.Now()
	for _, l := range m.listeners {
		l.drain.start(now)
	}
}

// Close stops everything at once and waits for the last connection to be gone.
func (m *Manager) Close() {
	close(m.done)
	m.mu.Lock()
	for _, r := range m.reserved {
		r.close()
	}
	m.reserved = map[string]*reservation{}
	m.mu.Unlock()
	all := m.retired
	for _, l := range m.listeners {
		all = append(all, l)
		for _, s := range l.sockets {
			s.close()
		}
	}
	chains := m.liveChains(all)
	for _, ch := range chains {
		if ch.end != nil {
			ch.end.Stop()
		}
		ch.shutdown()
	}
	for _, l := range all {
		l.conns.Wait()
	}
	for _, ch := range chains {
		ch.release()
	}
	m.watcher.Close()
}

func (m *Manager) liveChains(all []*Listener) (chains []*chain) {
	for _, l := range all {
		if g := l.current.Load(); g != nil {
			chains = append(chains, g.chains...)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for ch := range m.draining {
		chains = append(chains, ch)
	}
	return chains
}
