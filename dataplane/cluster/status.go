package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
)

// Status is what /clusters tells of one cluster.
type Status struct {
	Name, ObservabilityName, ServiceName string
	AddedViaAPI                          bool
	// External and Local are outlier detection's thresholds; HasOutlier tells whether there is any.
	HasOutlier      bool
	External, Local health.Thresholds
	Breakers        [2]Thresholds
	Hosts           []HostStatus
}

// HostStatus is what /clusters tells of one host.
type HostStatus struct {
	// Host is live; nil: nothing has touched the cluster.
	Host     *endpoint.Host
	Address  endpoint.Address
	Endpoint *endpoint.Endpoint
	Flags    endpoint.Flag
	// SuccessRate and LocalSuccessRate are -1 where there are none.
	SuccessRate, LocalSuccessRate float64
}

// Statuses lists the clusters that are in force, by name. It wakes none.
func (m *Manager) Statuses() []Status {
	m.mu.Lock()
	entries := make([]*entry, 0, len(m.entries))
	static := map[*entry]bool{}
	for _, e := range m.entries {
		if e.active != nil {
			entries = append(entries, e)
			static[e] = e.active.Static
		}
	}
	clusters := make([]*Cluster, len(entries))
	for i, e := range entries {
		clusters[i] = e.cluster
	}
	m.mu.Unlock()
	out := make([]Status, len(clusters))
	for i, c := range clusters {
		out[i] = c.status()
		out[i].AddedViaAPI = !static[entries[i]]
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (c *Cluster) status() Status {
	config := c.config.Load()
	s := Status{Name: c.name, ObservabilityName: config.StatName()}
	if config.Discovery == EDS {
		s.ServiceName = config.ServiceName
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.live.Load()
	if l == nil {
		spec := config.peek()
		s.Breakers, s.HasOutlier = spec.Breakers, spec.Outlier != nil
		s.External, s.Local = health.Thresholds{Average: -1, Ejection: -1}, health.Thresholds{Average: -1, Ejection: -1}
		s.Hosts = c.untouched(spec)
		return s
	}
	s.Breakers = l.spec.Breakers
	for i := range s.Breakers {
		b := &l.traffic.breakers[i] // what runtime keys have made of them
		s.Breakers[i].Connections, s.Breakers[i].Pending, s.Breakers[i].Requests, s.Breakers[i].Retries = b.Connections.Max(), b.Pending.Max(), b.Requests.Max(), b.Retries.Max()
	}
	if l.detector != nil {
		s.HasOutlier = true
		s.External, s.Local = l.detector.Thresholds()
	}
	for _, h := range l.all() {
		s.Hosts = append(s.Hosts, hostStatus(h))
	}
	return s
}

func hostStatus(h *endpoint.Host) HostStatus {
	s := HostStatus{Host: h, Address: h.Address, Endpoint: h.Endpoint(), Flags: h.Flags(), SuccessRate: -1, LocalSuccessRate: -1}
	if a := h.Addresses(); len(a) > 0 {
		s.Address = a[0]
	}
	if m := h.Monitor(); m != nil {
		s.SuccessRate, s.LocalSuccessRate = m.SuccessRates()
	}
	return s
}

// untouched lists the hosts that an untouched cluster would have. c.mu is held.
func (c *Cluster) untouched(spec *Spec) (out []HostStatus) {
	a := spec.Assignment
	if c.assignment != nil {
		a = c.assignment
	}
	if a == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, l := range a.Spec().Localities {
		for _, e := range l.Endpoints {
			if c.assignment != nil && seen[e.Address.String()] {
				continue
			}
			seen[e.Address.String()] = true
			h := HostStatus{Address: e.Address, Endpoint: e, SuccessRate: -1, LocalSuccessRate: -1}
			h.Flags = e.Status.Flag()
			out = append(out, h)
		}
	}
	a.Forget()
	return out
}

// peek is Spec without keeping it.
func (c *Config) peek() *Spec {
	if s := c.spec.Load(); s != nil {
		return s
	}
	s := c.Spec()
	if c.any != nil {
		c.spec.CompareAndSwap(s, nil)
	}
	return s
}

// number is one of a host's counters and gauges.
type number struct {
	name  string
	gauge bool
	value uint64
}

// numbers are in the order of the JSON form.
func (h *HostStatus) numbers() [9]number {
	n := [9]number{
		{name: "cx_connect_fail"}, {name: "cx_total"}, {name: "rq_error"}, {name: "rq_success"}, {name: "rq_timeout"}, {name: "rq_total"},
		{name: "cx_active", gauge: true}, {name: "rq_active", gauge: true}, {name: "rq_pending_active", gauge: true},
	}
	if h.Host == nil {
		return n
	}
	s := &h.Host.Stats
	for i, v := range [9]uint64{
		s.CxConnectFail.Value(), s.CxTotal.Value(), s.RqError.Value(), s.RqSuccess.Value(), s.RqTimeout.Value(), s.RqTotal.Value(),
		s.CxActive.Value(), s.RqActive.Value(), s.RqPendingActive.Value(),
	} {
		n[i].value = v
	}
	return n
}

// AppendText writes the cluster's lines of /clusters.
func (s *Status) AppendText(b []byte) []byte {
	line := func(parts ...string) {
		b = append(b, s.Name...)
		for _, p := range parts {
			b = append(append(b, "::"...), p...)
		}
		b = append(b, '\n')
	}
	float := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	line("observability_name", s.ObservabilityName)
	if s.HasOutlier {
		line("outlier", "success_rate_average", float(s.External.Average))
		line("outlier", "success_rate_ejection_threshold", float(s.External.Ejection))
		line("outlier", "local_origin_success_rate_average", float(s.Local.Average))
		line("outlier", "local_origin_success_rate_ejection_threshold", float(s.Local.Ejection))
	}
	for i, priority := range [...]string{"default_priority", "high_priority"} {
		t := &s.Breakers[i]
		line(priority, "max_connections", utoa(uint64(t.Connections)))
		line(priority, "max_pending_requests", utoa(uint64(t.Pending)))
		line(priority, "max_requests", utoa(uint64(t.Requests)))
		line(priority, "max_retries", utoa(uint64(t.Retries)))
	}
	line("added_via_api", strconv.FormatBool(s.AddedViaAPI))
	if s.ServiceName != "" {
		line("eds_service_name", s.ServiceName)
	}
	for i := range s.Hosts {
		h := &s.Hosts[i]
		address := h.Address.String()
		values := map[string]uint64{}
		for _, n := range h.numbers() {
			values[n.name] = n.value
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			line(address, name, utoa(values[name]))
		}
		e := h.Endpoint
		line(address, "hostname", e.Hostname)
		line(address, "health_flags", h.Flags.String())
		line(address, "weight", utoa(uint64(e.Weight)))
		line(address, "region", e.Locality.Region)
		line(address, "zone", e.Locality.Zone)
		line(address, "sub_zone", e.Locality.SubZone)
		line(address, "canary", strconv.FormatBool(e.Canary))
		line(address, "priority", utoa(uint64(e.Priority)))
		line(address, "success_rate", float(h.SuccessRate))
		line(address, "local_origin_success_rate", float(h.LocalSuccessRate))
	}
	return b
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }
