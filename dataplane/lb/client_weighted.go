package lb

import (
	"slices"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// newClientWeighted is round_robin by the weights that hosts' own load reports give them; those without
// one have the median of the others.
func newClientWeighted(c *Config, e *Env, hosts []*endpoint.Host) picker {
	r := &roundRobin{hosts: hosts, cursors: newCursors(e.Workers)}
	r.weights = startWeights(e, func(now time.Time) ([]float64, time.Time) {
		return c.Client.weigh(c.SlowStart, e, hosts, now), now.Add(c.Client.Update)
	})
	return r
}

func (c *ClientConfig) weigh(slow *SlowStart, e *Env, hosts []*endpoint.Host, now time.Time) []float64 {
	out := make([]float64, len(hosts))
	var known []float64
	for i, h := range hosts {
		if w, ok := h.Load().Weight(now, c.Blackout, c.Expiration); ok {
			out[i] = w
			known = append(known, w)
		}
	}
	if len(known) == 0 {
		known = []float64{1}
	}
	slices.Sort(known)
	median := known[len(known)/2]
	if len(known)%2 == 0 {
		median = (known[len(known)/2-1] + known[len(known)/2]) / 2
	}
	equal := true
	for i, h := range hosts {
		if out[i] == 0 {
			out[i] = median
		}
		if slow != nil && slow.Window > 0 && h.Flags().Healthy() {
			h.SetHealthyAt(now, true)
			if age := now.Sub(h.HealthyAt()); age < slow.Window {
				out[i] *= slow.factor(e, age)
			}
		}
		equal = equal && out[i] == out[0]
	}
	if equal {
		return nil
	}
	return out
}
