package cluster

import (
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// newCluster makes a cluster that nothing has touched.
func (m *Manager) newCluster(config *Config) *Cluster {
	c := &Cluster{name: config.Name, m: m, scope: m.o.Stats.Scope("cluster." + statName(config.StatName()))}
	stats.Declare[trafficStats](c.scope)
	stats.Bind(c.scope, &c.members)
	c.members.Version.Set(0)
	c.members.WarmingState.Set(0)
	if config.Discovery == EDS {
		c.eds = &edsStats{}
		stats.Bind(c.scope, c.eds)
	}
	c.declare(config)
	return c
}

// declare lists the stats that the configuration adds.
func (c *Cluster) declare(config *Config) {
	for i, name := range priorities {
		if t := config.remaining[i]; t != nil {
			var r remainingStats
			stats.Bind(c.sub("circuit_breakers."+name), &r)
			r.set(t)
		}
	}
	if config.outlier {
		stats.Declare[health.OutlierStats](c.sub("outlier_detection"))
	}
	if config.timeouts {
		stats.Declare[Timeouts](c.scope)
	}
	if config.sizes {
		stats.Declare[Sizes](c.scope)
	}
}

// statName is a cluster's name within stat names.
func statName(name string) string {
	b := []byte(name)
	for i := range b {
		if b[i] == ':' {
			b[i] = '_'
		}
	}
	return string(b)
}

// take brings a configuration into force, and tells whether it is: false is that it waits for names or
// checks, after which m.activate does.
func (c *Cluster) take(config *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.live.Load()
	switch {
	case old == nil && !config.Eager:
		c.abandon()
		c.config.Store(config)
		if config.Discovery != EDS {
			c.showUntouched(config)
		}
		return true
	case old != nil && old.config.meaning == config.meaning && old.config.Discovery == config.Discovery:
		c.abandon()
		c.config.Store(config)
		c.replace(old, c.build(config, old))
		return true
	}
	c.abandon()
	if old == nil {
		c.config.Store(config)
	}
	next := c.build(config, nil)
	if !next.warm {
		c.next = next
		return false
	}
	c.config.Store(config)
	c.replace(old, next)
	return true
}

// replace swaps next in. c.mu is held.
func (c *Cluster) replace(old, next *live) {
	next.activate()
	c.live.Store(next)
	if old != nil {
		c.m.closing = append(c.m.closing, func() { old.close(next) })
	}
}

// abandon gives up what was being warmed. c.mu and m.mu are held.
func (c *Cluster) abandon() {
	if next := c.next; next != nil {
		c.next = nil
		c.m.closing = append(c.m.closing, func() { next.close(nil) })
	}
}

// showUntouched sets the gauges of a cluster that nothing has touched.
func (c *Cluster) showUntouched(config *Config) {
	if config.Count.Total > 0 {
		c.countFirst()
	}
	c.show(config.Count)
}

// awaited tells whether a configuration waits to become warm.
func (c *Cluster) awaited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next != nil
}

// warmed is told by a live cluster that it may serve now. Its cluster's mu is held.
func (m *Manager) warmed(l *live) {
	// Owned by m: ends at once; Close waits for it. It cannot be done here, where locks are held.
	m.wait.Go(func() { m.activate(l) })
}

func (m *Manager) activate(l *live) {
	m.mu.Lock()
	c := l.cluster
	e := m.entries[c.name]
	c.mu.Lock()
	ready := c.next == l && e != nil && e.cluster == c && !m.closed
	if ready {
		c.next = nil
		c.config.Store(l.config)
		c.replace(c.live.Load(), l)
	}
	c.mu.Unlock()
	if ready {
		if e.warming != nil && e.warming.Value == l.config {
			e.active, e.warming = e.warming, nil
		}
		c.members.WarmingState.Set(0)
		m.publish()
		m.gauges()
	}
	m.unlock()
	if ready && m.o.OnWarm != nil {
		m.o.OnWarm()
	}
}

// retire ends a cluster: requests that hold it finish. m.mu is held.
func (m *Manager) retire(c *Cluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.abandon()
	if c.stale != nil {
		c.stale.Stop()
	}
	if l := c.live.Load(); l != nil {
		m.closing = append(m.closing, func() { l.close(nil) })
	}
	for _, s := range c.scopes {
		s.scope.Close()
	}
	c.scope.Close()
}
