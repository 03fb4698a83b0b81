package cluster

import "github.com/pillion-proxy/pillion/dataplane/endpoint"

// localChanged has the load balancers that route by zone made anew. The local cluster's mu is held.
func (m *Manager) localChanged(c *Cluster) {
	if m.local.Load() == c {
		// Owned by m: ends at once; Close waits for it. Other clusters' locks may not be taken here.
		m.wait.Go(m.relocate)
	}
}

// relocate makes all load balancers anew for another local cluster.
func (m *Manager) relocate() {
	local := m.local.Load()
	if local != nil {
		local.touch()
	}
	for _, c := range m.set.All() {
		if c == local {
			continue
		}
		c.mu.Lock() // one that is being built is found built
		if l := c.live.Load(); l != nil && !l.closed {
			l.rebuild()
		}
		c.mu.Unlock()
	}
}

// localSet is the set of the local cluster for another one's load balancer; nil: there is none. The other
// one's mu is held: the local cluster's is the only lock that is taken under it.
func (m *Manager) localSet(of *Cluster) *endpoint.HostSet {
	c := m.local.Load()
	if c == nil || c == of {
		return nil
	}
	return c.touch().view.Load().set
}
