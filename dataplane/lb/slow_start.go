package lb

import (
	"math"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// slowStartSteps is in how many steps a host's weight grows.
const slowStartSteps = 50

// weigh returns the hosts' weights, those of hosts that became healthy within the window reduced
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/load_balancing/slow_start).
// They are nil where none is in its window and the configured ones are equal.
func (s *SlowStart) weigh(e *Env, hosts []*endpoint.Host, now time.Time) (out []float64, next time.Time) {
	starting := false
	out = make([]float64, len(hosts))
	for i, h := range hosts {
		out[i] = float64(h.Weight())
		if !h.Flags().Healthy() {
			continue
		}
		// A host without health check starts when a load balancer first sees it.
		h.SetHealthyAt(now, true)
		if age := now.Sub(h.HealthyAt()); age < s.Window {
			out[i] *= s.factor(e, age)
			starting = true
		}
	}
	if !starting {
		return plainWeights(hosts), time.Time{}
	}
	return out, now.Add(max(s.Window/slowStartSteps, time.Millisecond))
}

func (s *SlowStart) factor(e *Env, age time.Duration) float64 {
	f := float64(max(age, time.Millisecond)) / float64(s.Window)
	aggression := s.Aggression.In(e.Runtime)
	if aggression <= 0 || math.IsNaN(aggression) {
		aggression = 1
	}
	if aggression != 1 {
		f = math.Pow(f, 1/aggression)
	}
	return max(f, s.MinWeight)
}
