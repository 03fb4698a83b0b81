package lb

import (
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// zoneRouting says which locality of priority 0 a request goes to, so that zones serve themselves and
// yet every upstream host gets about as much
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/load_balancing/zone_aware).
// It is immutable.
type zoneRouting struct {
	direct bool // everything goes to the own zone
	// local is how many of 10,000 requests go to the own zone.
	local uint64
	// residual is the room that other zones have left, added up.
	residual []uint64
}

// parts is a locality's part, in 10,000, of the proxies of the local cluster and of the upstream hosts.
type parts struct{ local, upstream uint64 }

// newZoneRouting returns nil if requests are not routed by zone.
func newZoneRouting(c *Config, e *Env, set *endpoint.HostSet) *zoneRouting {
	e.Stats.RecalculateZone.Inc(0)
	p, local := set.Priorities[0], e.Local.Priorities[0]
	if tooFew(c, e, p, local) {
		return nil
	}
	parts := localityParts(c, p, local)
	own := p.HasLocal && len(p.Localities[0].Healthy) > 0
	if force := c.Locality.ForceLocal; force > 0 && own && len(p.Localities[0].Healthy) >= int(force) {
		return &zoneRouting{direct: true}
	}
	if p.HasLocal && parts[0].upstream > 0 && parts[0].upstream >= parts[0].local {
		return &zoneRouting{direct: true}
	}
	z := &zoneRouting{residual: make([]uint64, len(parts))}
	if p.HasLocal && parts[0].local > 0 {
		z.local = parts[0].upstream * 10_000 / parts[0].local
	}
	left := uint64(0)
	for i, part := range parts {
		// The own zone has no room left: it gets all that it can take already.
		if (i > 0 || !p.HasLocal) && part.upstream > part.local {
			left += part.upstream - part.local
		}
		z.residual[i] = left
	}
	return z
}

// tooFew tells whether there is too little to route by zone.
func tooFew(c *Config, e *Env, p, local *endpoint.Priority) bool {
	if len(p.Localities) < 2 || len(local.Localities) < 2 && c.Locality.ForceLocal == 0 {
		return true
	}
	if !local.HasLocal || len(local.Localities[0].Hosts) == 0 {
		e.Stats.LocalClusterNotOK.Inc(0)
		return true
	}
	if uint64(len(p.Healthy)) < e.Runtime.Uint(runtime.ZoneMinClusterSize, c.Locality.MinClusterSize) {
		e.Stats.ZoneClusterTooSmall.Inc(0)
		return true
	}
	return false
}

func localityParts(c *Config, p, local *endpoint.Priority) []parts {
	count := func(hosts []*endpoint.Host) uint64 {
		if c.Locality.ByWeight {
			return weight(hosts)
		}
		return uint64(len(hosts))
	}
	locals := map[endpoint.Locality]uint64{}
	allLocal, allUpstream := uint64(0), uint64(0)
	for _, l := range local.Localities {
		locals[l.Locality] = count(l.Healthy)
		allLocal += count(l.Healthy)
	}
	for _, l := range p.Localities {
		allUpstream += count(l.Healthy)
	}
	out := make([]parts, len(p.Localities))
	for i, l := range p.Localities {
		if len(l.Healthy) == 0 {
			continue
		}
		if allLocal > 0 {
			out[i].local = 10_000 * locals[l.Locality] / allLocal
		}
		out[i].upstream = 10_000 * count(l.Healthy) / allUpstream
	}
	return out
}

// choose returns the place of the locality in Priority.Localities.
func (z *zoneRouting) choose(c *Context, s *Stats) int {
	if z.direct {
		s.ZoneRoutingAllDirectly.Inc(c.Worker)
		return 0
	}
	if c.random()%10_000 < z.local {
		s.ZoneRoutingSampled.Inc(c.Worker)
		return 0
	}
	s.ZoneRoutingCrossZone.Inc(c.Worker)
	room := z.residual[len(z.residual)-1]
	if room == 0 {
		s.ZoneNoCapacityLeft.Inc(c.Worker)
		return c.below(len(z.residual))
	}
	at := c.random() % room
	for i, upTo := range z.residual {
		if at < upTo {
			return i
		}
	}
	return len(z.residual) - 1
}
