package cluster

import (
	"fmt"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/xds"
)

// assign gives an EDS cluster its assignment, if there is another one. m.mu is held.
func (m *Manager) assign(s *xds.Snapshot, e *entry) {
	if e.cluster != nil && e.config != nil {
		m.assignTo(s, e, e.config)
	}
}

func (m *Manager) assignTo(s *xds.Snapshot, e *entry, config *Config) {
	if config.Discovery != EDS {
		return
	}
	r := s.Resource(xds.EndpointURL, config.ServiceName)
	c := e.cluster
	if r == nil {
		if ref := config.refs[0]; e.assignment == nil && s.Waited(ref) {
			c.eds.timedOut(c)
		}
		return
	}
	if r == e.assignment || same(r, e.assignment) {
		e.assignment = r
		return
	}
	a, ok := r.Value.(*endpoint.Assignment)
	if !ok {
		return
	}
	e.assignment = r
	c.members.UpdateAttempt.Inc(0)
	c.members.UpdateSuccess.Inc(0)
	c.members.Version.Set(version(r.Version))
	c.eds.VersionText.Set(r.Version)
	c.eds.UpdateTime.Set(uint64(r.Updated.UnixMilli()))
	m.stats.Updated.Inc(0)
	c.setAssignment(a)
}

func (e *edsStats) timedOut(c *Cluster) {
	if e.InitFetchTimeout.Value() == 0 {
		e.InitFetchTimeout.Inc(0)
	}
}

// setAssignment takes an assignment in: an untouched cluster only counts it.
func (c *Cluster) setAssignment(a *endpoint.Assignment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assignment = a
	if a.Count.Total == 0 {
		c.members.UpdateEmpty.Inc(0)
	}
	c.expire(a)
	touched := false
	for _, l := range []*live{c.live.Load(), c.next} {
		if l != nil {
			l.assign(a, nil)
			touched = true
		}
	}
	if !touched {
		if c.counted || a.Count.Total > 0 {
			c.counted = true
			c.members.Change.Inc(0)
		}
		c.members.Total.Set(uint64(a.Count.Total))
		c.members.Healthy.Set(uint64(a.Count.Healthy))
		c.members.Degraded.Set(uint64(a.Count.Degraded))
		c.members.Excluded.Set(uint64(a.Count.Excluded))
		c.members.MaxHostWeight.Set(uint64(a.Count.MaxWeight))
	}
}

// expire starts the time after which the assignment is stale. c.mu is held.
func (c *Cluster) expire(a *endpoint.Assignment) {
	if c.stale != nil {
		c.stale.Stop()
		c.stale = nil
	}
	if a.StaleAfter <= 0 {
		return
	}
	c.members.AssignmentTimed.Inc(0)
	c.stale = time.AfterFunc(a.StaleAfter, func() {
		c.mu.Lock()
		current := c.assignment == a && !c.gone
		c.mu.Unlock()
		if current {
			c.members.AssignmentStale.Inc(0)
			// As Envoy does: nobody is trusted any more until the control plane speaks again.
			c.setAssignment(endpoint.Empty(a.Name))
		}
	})
}

// resolver returns the resolver for a configuration; clusters with the same one share it.
func (m *Manager) resolver(c dns.Config) *dns.Resolver {
	if len(c.Servers) == 0 && !c.TCP && !c.NoSearch && !c.FilterUnroutable && c.Timeout == 0 && c.Tries == 0 && !c.Rotate && c.Payload == 0 {
		c = m.o.DNS
	}
	key := fmt.Sprintf("%+v", c)
	m.resolveMu.Lock()
	defer m.resolveMu.Unlock()
	r := m.resolvers[key]
	if r == nil {
		r = dns.New(c)
		m.resolvers[key] = r
	}
	return r
}
