package lb

import (
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// zoned picks a priority, then maybe a locality, then a host of those: round_robin, least_request,
// random, client_side_weighted_round_robin.
type zoned struct {
	config *Config
	env    *Env
	set    *endpoint.HostSet
	loads  loads
	// sources are what may be picked from, by priority.
	sources []source
	zone    *zoneRouting // nil: requests are not routed by zone
	// localPanic tells that the local cluster is in panic, so that its numbers say nothing.
	localPanic bool
}

// source is one priority's hosts. A nil picker has no hosts.
type source struct {
	all, healthy, degraded picker
	// healthyBy and degradedBy choose among localities by weight; nil: localities have none.
	healthyBy, degradedBy *localities
	// perLocality are the healthy and the degraded hosts of each locality, where zone says which.
	perLocality, degradedPerLocality []picker
}

// localities share one priority's requests by weight.
type localities struct {
	order   *schedule
	cursors cursors
	pickers []picker
}

func newZoned(c *Config, e *Env, set *endpoint.HostSet) *zoned {
	z := &zoned{config: c, env: e, set: set, loads: newLoads(set, c.PanicThreshold, e.Runtime)}
	if e.Local != nil && !c.Locality.Weighted {
		z.zone = newZoneRouting(c, e, set)
		z.localPanic = inPanic(e.Local.Priorities[0], e.Runtime.Uint(runtime.HealthyPanic, c.PanicThreshold))
	}
	made := c.picker(e)
	z.sources = make([]source, len(set.Priorities))
	for i, p := range set.Priorities {
		z.sources[i] = z.newSource(i, p, made)
	}
	return z
}

func (z *zoned) newSource(i int, p *endpoint.Priority, made func([]*endpoint.Host) picker) source {
	pick := func(hosts []*endpoint.Host) picker {
		if len(hosts) == 0 {
			return nil
		}
		return made(hosts)
	}
	var s source
	if z.loads.panic[i] {
		s.all = pick(p.Hosts)
		return s
	}
	s.healthy, s.degraded = pick(p.Healthy), pick(p.Degraded)
	if z.config.Locality.Weighted && p.Weighted {
		s.healthyBy = z.newLocalities(p, pick, func(l *endpoint.LocalityHosts) []*endpoint.Host { return l.Healthy })
		s.degradedBy = z.newLocalities(p, pick, func(l *endpoint.LocalityHosts) []*endpoint.Host { return l.Degraded })
	}
	if i == 0 && z.zone != nil {
		for _, l := range p.Localities {
			s.perLocality = append(s.perLocality, pick(l.Healthy))
			s.degradedPerLocality = append(s.degradedPerLocality, pick(l.Degraded))
		}
	}
	return s
}

// newLocalities weighs each locality by its weight times its availability, 1 at most.
func (z *zoned) newLocalities(p *endpoint.Priority, pick func([]*endpoint.Host) picker, of func(*endpoint.LocalityHosts) []*endpoint.Host) *localities {
	l := &localities{}
	weights := make([]float64, len(p.Localities))
	any := false
	for i, hosts := range p.Localities {
		l.pickers = append(l.pickers, pick(of(hosts)))
		all := len(hosts.Hosts) - hosts.Excluded
		if all <= 0 || len(of(hosts)) == 0 || hosts.Weight == 0 {
			continue
		}
		available := float64(z.set.Overprovisioning) / 100 * float64(len(of(hosts))) / float64(all)
		weights[i] = float64(hosts.Weight) * min(available, 1)
		any = true
	}
	if !any {
		return nil
	}
	l.order, l.cursors = newSchedule(weights), newCursors(z.env.Workers)
	return l
}

func (l *localities) choose(c *Context) picker {
	return l.pickers[l.order.at(l.cursors.next(c.Worker))]
}

// Pick implements LoadBalancer.
func (z *zoned) Pick(c *Context) *endpoint.Host {
	for attempt := 0; ; attempt++ {
		p := z.source(c)
		if p == nil {
			return nil
		}
		if h := p.pick(c); c.settled(h, attempt) {
			return h
		}
	}
}

// source finds what to pick from.
func (z *zoned) source(c *Context) picker {
	load := &z.loads.PriorityLoad
	if c.Priorities != nil {
		load = c.Priorities.Load(z.set, load)
	}
	priority, degraded := load.choose(c.random())
	s := &z.sources[priority]
	if z.loads.panic[priority] {
		z.env.Stats.HealthyPanic.Inc(c.Worker)
		if z.config.Locality.FailTrafficOnPanic {
			return nil
		}
		return s.all
	}
	if by := s.by(degraded); by != nil {
		return by.choose(c)
	}
	if priority == 0 && z.zone != nil {
		if p, ok := z.zonal(s, c, degraded); ok {
			return p
		}
	}
	if degraded {
		return s.degraded
	}
	return s.healthy
}

func (s *source) by(degraded bool) *localities {
	if degraded {
		return s.degradedBy
	}
	return s.healthyBy
}

// zonal routes by zone; ok is false where this request is not to be.
func (z *zoned) zonal(s *source, c *Context, degraded bool) (p picker, ok bool) {
	enabled := z.env.Runtime.Uint(runtime.ZoneRoutingEnabled, z.config.Locality.RoutingEnabled)
	if enabled < 100 && c.random()%100 >= enabled {
		return nil, false
	}
	if z.localPanic {
		z.env.Stats.LocalClusterNotOK.Inc(c.Worker)
		return nil, z.config.Locality.FailTrafficOnPanic
	}
	at := z.zone.choose(c, z.env.Stats)
	if degraded {
		return s.degradedPerLocality[at], true
	}
	return s.perLocality[at], true
}
