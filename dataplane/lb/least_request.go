package lb

import (
	"math"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// leastRequest picks the least busy of a few hosts taken at random; or of all; or, where weights
// differ, by weight divided by load.
type leastRequest struct {
	hosts    []*endpoint.Host
	choices  int
	fullScan bool
	weights  *weights // nil: they are equal
	cursors  cursors
	bias     Double
	env      *Env
}

func newLeastRequest(c *Config, e *Env, hosts []*endpoint.Host) picker {
	l := &leastRequest{
		hosts: hosts, choices: c.LeastRequest.Choices, fullScan: c.LeastRequest.FullScan,
		weights: newWeights(c, e, hosts), bias: c.LeastRequest.Bias, env: e,
	}
	if l.weights != nil {
		l.cursors = newCursors(e.Workers)
	}
	return l
}

func (l *leastRequest) pick(c *Context) *endpoint.Host {
	if l.weights != nil {
		if s := l.weights.schedule(); s != nil {
			return l.weighted(c, s)
		}
	}
	if l.fullScan {
		return l.scan(c)
	}
	best := l.hosts[c.below(len(l.hosts))]
	if len(l.hosts) == 1 {
		return best
	}
	active := best.Active()
	for range l.choices - 1 {
		h := l.hosts[c.below(len(l.hosts))]
		if a := h.Active(); a < active {
			best, active = h, a
		}
	}
	return best
}

// scan finds the least busy host, any of them with the same chance where there are several.
func (l *leastRequest) scan(c *Context) *endpoint.Host {
	var best *endpoint.Host
	active, ties := uint64(math.MaxUint64), 0
	for _, h := range l.hosts {
		a := h.Active()
		switch {
		case a < active:
			best, active, ties = h, a, 1
		case a == active:
			if ties++; c.below(ties) == 0 {
				best = h
			}
		}
	}
	return best
}

const (
	// sampled is how many hosts weighted asks for their load at most, to find out how idle one can be.
	sampled = 24
	// draws bounds how many hosts weighted may turn down.
	draws = 64
)

// weighted is Envoy's "weight = load_balancing_weight / (active_requests + 1)^active_request_bias" for
// a schedule that many goroutines share without a lock: the schedule's next host is taken by the chance
// that its load leaves it beside the idlest one, and else any other host of the schedule is asked the
// same. While all are equally busy this is the plain schedule.
func (l *leastRequest) weighted(c *Context, s *schedule) *endpoint.Host {
	h := l.hosts[s.at(l.cursors.next(c.Worker))]
	bias := l.bias.In(l.env.Runtime)
	if bias <= 0 {
		return h
	}
	least := h.Active()
	if len(l.hosts) <= sampled {
		for _, other := range l.hosts {
			least = min(least, other.Active())
		}
	} else {
		for range sampled {
			least = min(least, l.hosts[s.at(c.random())].Active())
		}
	}
	for range draws {
		a := h.Active()
		if a <= least {
			return h
		}
		chance := float64(least+1) / float64(a+1)
		if bias != 1 {
			chance = math.Pow(chance, bias)
		}
		if c.unit() < chance {
			return h
		}
		h = l.hosts[s.at(c.random())]
	}
	return h
}
