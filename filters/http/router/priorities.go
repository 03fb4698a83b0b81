package router

import (
	"math"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
)

// priorities leaves the priorities out that were tried before
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto).
type priorities struct {
	every    int // attempts between updates
	tried    []*endpoint.Host
	excluded []bool
	load     lb.PriorityLoad
}

// Load returns the shares without what was tried, or the usual ones where nothing else is left.
func (p *priorities) Load(set *endpoint.HostSet, usual *lb.PriorityLoad) *lb.PriorityLoad {
	if len(p.tried) < p.every {
		return usual
	}
	if len(p.tried)%p.every == 0 && !p.update(set) {
		return usual
	}
	return &p.load
}

func (p *priorities) update(set *endpoint.HostSet) bool {
	for len(p.excluded) < len(set.Priorities) {
		p.excluded = append(p.excluded, false)
	}
	for _, h := range p.tried {
		if n := int(h.Endpoint().Priority); n < len(p.excluded) {
			p.excluded[n] = true
		}
	}
	if p.share(set) {
		return true
	}
	// All were tried: begin anew.
	clear(p.excluded)
	p.tried = p.tried[:0]
	return p.share(set)
}

// share divides 100 among the priorities that are left, by what is healthy of them; it reports false if
// nothing is.
func (p *priorities) share(set *endpoint.HostSet) bool {
	n := len(set.Priorities)
	p.load.Healthy, p.load.Degraded = make([]uint32, n), make([]uint32, n)
	healthy, degraded, total := make([]uint32, n), make([]uint32, n), uint32(0)
	for i, s := range set.Priorities {
		if base := len(s.Hosts) - s.Excluded; base > 0 && !p.excluded[i] {
			healthy[i] = min(100, set.Overprovisioning*uint32(len(s.Healthy))/uint32(base))
			degraded[i] = min(100, set.Overprovisioning*uint32(len(s.Degraded))/uint32(base))
			total += healthy[i] + degraded[i]
		}
	}
	if total == 0 {
		return false
	}
	total = min(100, total)
	left := uint32(100)
	for i, v := range healthy {
		p.load.Healthy[i] = min(left, uint32(math.Round(100*float64(v)/float64(total))))
		left -= p.load.Healthy[i]
	}
	for i, v := range degraded {
		p.load.Degraded[i] = min(left, uint32(math.Round(100*float64(v)/float64(total))))
		left -= p.load.Degraded[i]
	}
	for i := 0; left > 0 && i < n; i++ {
		if p.load.Healthy[i] > 0 {
			p.load.Healthy[i] += left
			return true
		}
		if p.load.Degraded[i] > 0 {
			p.load.Degraded[i] += left
			return true
		}
	}
	return true
}

var _ lb.PriorityLoader = (*priorities)(nil)
