package lb

import (
	"math"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// hashed picks by the request's hash: ring_hash and maglev.
type hashed struct {
	env    *Env
	loads  loads
	tables []*bounded // by priority; nil: no hosts
}

// table maps hashes to hosts.
type table interface {
	at(hash uint64, attempt int) *endpoint.Host
}

// share of one host: its weight over the sum of all.
type weighed struct {
	host   *endpoint.Host
	weight float64
}

func newHashed(c *Config, e *Env, set *endpoint.HostSet) *hashed {
	h := &hashed{env: e, loads: newLoads(set, c.PanicThreshold, e.Runtime), tables: make([]*bounded, len(set.Priorities))}
	var sizes tableStats
	for i, p := range set.Priorities {
		hosts := normalize(c, p, h.loads.panic[i])
		if len(hosts) == 0 {
			continue
		}
		b := &bounded{factor: c.Hash.BalanceFactor, hosts: hosts, env: e}
		if c.Kind == RingHash {
			b.table, sizes = newRing(&c.Hash, hosts)
		} else {
			b.table, sizes = newMaglev(&c.Hash, hosts)
		}
		h.tables[i] = b
	}
	if e.Scope != nil {
		sizes.publish(e.Scope, c.Kind)
	}
	return h
}

// normalize gives each host its share of one priority; localities have theirs first, where they have
// weights and those are asked for.
func normalize(c *Config, p *endpoint.Priority, panicked bool) (out []weighed) {
	add := func(hosts []*endpoint.Host, part float64) {
		all := float64(weight(hosts))
		for _, h := range hosts {
			out = append(out, weighed{h, float64(h.Weight()) * part / all})
		}
	}
	usable := func(all, healthy []*endpoint.Host) []*endpoint.Host {
		if panicked {
			return all
		}
		return healthy
	}
	if !c.Locality.Weighted || !p.Weighted {
		add(usable(p.Hosts, p.Healthy), 1)
		return out
	}
	all := 0.0
	for _, l := range p.Localities {
		all += float64(l.Weight)
	}
	for _, l := range p.Localities {
		if l.Weight > 0 {
			add(usable(l.Hosts, l.Healthy), float64(l.Weight)/all)
		}
	}
	return out
}

// Pick implements LoadBalancer.
func (h *hashed) Pick(c *Context) *endpoint.Host {
	hash := c.Hash
	if !c.HasHash {
		hash = c.random()
	}
	priority, _ := h.loads.choose(hash)
	if h.loads.panic[priority] {
		h.env.Stats.HealthyPanic.Inc(c.Worker)
	}
	t := h.tables[priority]
	if t == nil {
		return nil
	}
	for attempt := 0; ; attempt++ {
		if host := t.at(hash, attempt); c.settled(host, attempt) {
			return host
		}
	}
}

// hashKey is what stands for a host: hash_key of its metadata, its name, or its address.
func hashKey(c *HashConfig, h *endpoint.Host) string {
	e := h.Endpoint()
	if e.HashKey != "" {
		return e.HashKey
	}
	if c.UseHostname && e.Hostname != "" {
		return e.Hostname
	}
	return h.Address.String()
}

// bounded keeps hosts of a table to their share of the load (consistent hashing with bounded loads).
type bounded struct {
	table  table
	factor uint32 // percent of the average; 0: no bound
	hosts  []weighed
	env    *Env
}

func (b *bounded) at(hash uint64, attempt int) *endpoint.Host {
	h := b.table.at(hash, attempt)
	if b.factor == 0 {
		return h
	}
	all := b.active()
	share := 0.0
	for i := range b.hosts {
		if b.hosts[i].host == h {
			share = b.hosts[i].weight
			break
		}
	}
	best, least := h, b.overload(h, share, all)
	if least <= 1 {
		return h
	}
	// The hosts are asked in an order that is the hash's own: the one that has room first is the same for
	// the same hash. A step that is prime to the number of hosts visits each of them once.
	n := uint64(len(b.hosts))
	step := hash/n%n | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	for i := range n {
		w := b.hosts[(hash%n+i*(step%n))%n]
		if w.host == h {
			continue
		}
		o := b.overload(w.host, w.weight, all)
		if o <= 1 {
			return w.host
		}
		if o < least {
			best, least = w.host, o
		}
	}
	return best
}

// overload is a host's requests over its slots.
func (b *bounded) overload(h *endpoint.Host, share float64, all uint64) float64 {
	slots := ((all+1)*uint64(b.factor) + 99) / 100
	return float64(h.Active()) / max(math.Ceil(float64(slots)*share), 1)
}

func (b *bounded) active() (n uint64) {
	if b.env.Active != nil {
		return b.env.Active()
	}
	for i := range b.hosts {
		n += b.hosts[i].host.Active()
	}
	return n
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// tableStats are what is told of the table that was built last.
type tableStats struct{ size, least, most uint64 }

func (t *tableStats) publish(s *stats.Scope, k Kind) {
	if k == RingHash {
		s.Gauge("ring_hash_lb.size").Set(t.size)
		s.Gauge("ring_hash_lb.min_hashes_per_host").Set(t.least)
		s.Gauge("ring_hash_lb.max_hashes_per_host").Set(t.most)
		return
	}
	s.Gauge("maglev_lb.min_entries_per_host").Set(t.least)
	s.Gauge("maglev_lb.max_entries_per_host").Set(t.most)
}
