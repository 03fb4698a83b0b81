package cluster

import (
	"cmp"
	"slices"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/xds"
)

// Resources are the resources of one cluster: what is in force, and what is to take its place.
type Resources struct {
	Name            string
	Active, Warming *xds.Resource // nil: none
}

// Resources lists the clusters by name, for /config_dump.
func (m *Manager) Resources() []Resources {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Resources, 0, len(m.entries))
	for name, e := range m.entries {
		out = append(out, Resources{name, e.active, e.warming})
	}
	slices.SortFunc(out, func(a, b Resources) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Proto is the cluster's part of /clusters?format=json.
func (s *Status) Proto() *adminpb.ClusterStatus {
	p := &adminpb.ClusterStatus{
		Name: s.Name, AddedViaApi: s.AddedViaAPI, ObservabilityName: s.ObservabilityName, EdsServiceName: s.ServiceName,
		CircuitBreakers: &clusterpb.CircuitBreakers{},
	}
	if s.External.Ejection >= 0 && s.HasOutlier {
		p.SuccessRateEjectionThreshold = &typepb.Percent{Value: s.External.Ejection}
	}
	if s.Local.Ejection >= 0 && s.HasOutlier {
		p.LocalOriginSuccessRateEjectionThreshold = &typepb.Percent{Value: s.Local.Ejection}
	}
	for i, priority := range []corepb.RoutingPriority{corepb.RoutingPriority_DEFAULT, corepb.RoutingPriority_HIGH} {
		t := &s.Breakers[i]
		p.CircuitBreakers.Thresholds = append(p.CircuitBreakers.Thresholds, &clusterpb.CircuitBreakers_Thresholds{
			Priority: priority, MaxConnections: wrapperspb.UInt32(t.Connections), MaxPendingRequests: wrapperspb.UInt32(t.Pending),
			MaxRequests: wrapperspb.UInt32(t.Requests), MaxRetries: wrapperspb.UInt32(t.Retries),
		})
	}
	for i := range s.Hosts {
		p.HostStatuses = append(p.HostStatuses, s.Hosts[i].proto())
	}
	return p
}

func (h *HostStatus) proto() *adminpb.HostStatus {
	e := h.Endpoint
	p := &adminpb.HostStatus{
		Address: h.Address.Proto(), Weight: e.Weight, Hostname: e.Hostname, Priority: e.Priority, Locality: e.Locality.Proto(),
		HealthStatus: &adminpb.HostHealthStatus{
			FailedActiveHealthCheck: h.Flags&endpoint.FailedActiveHC != 0, FailedOutlierCheck: h.Flags&endpoint.FailedOutlierCheck != 0,
			FailedActiveDegradedCheck: h.Flags&endpoint.DegradedActiveHC != 0, PendingDynamicRemoval: h.Flags&endpoint.PendingDynamicRemoval != 0,
			PendingActiveHc: h.Flags&endpoint.PendingActiveHC != 0, ExcludedViaImmediateHcFail: h.Flags&endpoint.ExcludedViaImmediateHCFail != 0,
			ActiveHcTimeout: h.Flags&endpoint.ActiveHCTimeout != 0, EdsHealthStatus: edsStatus(h.Flags),
		},
	}
	for _, n := range h.numbers() {
		m := &adminpb.SimpleMetric{Name: n.name, Value: n.value}
		if n.gauge {
			m.Type = adminpb.SimpleMetric_GAUGE
		}
		p.Stats = append(p.Stats, m)
	}
	if h.SuccessRate >= 0 {
		p.SuccessRate = &typepb.Percent{Value: h.SuccessRate}
	}
	if h.LocalSuccessRate >= 0 {
		p.LocalOriginSuccessRate = &typepb.Percent{Value: h.LocalSuccessRate}
	}
	return p
}

func edsStatus(f endpoint.Flag) corepb.HealthStatus {
	switch {
	case f&endpoint.EDSStatusDraining != 0:
		return corepb.HealthStatus_DRAINING
	case f&endpoint.FailedEDSHealth != 0:
		return corepb.HealthStatus_UNHEALTHY
	case f&endpoint.DegradedEDSHealth != 0:
		return corepb.HealthStatus_DEGRADED
	}
	return corepb.HealthStatus_HEALTHY
}

// Endpoints is a cluster's hosts as EndpointsConfigDump has them.
type Endpoints struct {
	// Static tells that the cluster came with the bootstrap.
	Static     bool
	Assignment *endpointpb.ClusterLoadAssignment
}

// Endpoints lists the hosts of all clusters that are in force, by cluster, for
// /config_dump?include_eds.
func (m *Manager) Endpoints() []Endpoints {
	var out []Endpoints
	for _, s := range m.Statuses() {
		c := m.set.Get(s.Name)
		if c == nil {
			continue
		}
		out = append(out, Endpoints{Static: !s.AddedViaAPI, Assignment: c.assignmentProto(&s)})
	}
	return out
}

func (c *Cluster) assignmentProto(s *Status) *endpointpb.ClusterLoadAssignment {
	config := c.config.Load()
	p := &endpointpb.ClusterLoadAssignment{ClusterName: s.Name, Policy: &endpointpb.ClusterLoadAssignment_Policy{}}
	if s.ServiceName != "" {
		p.ClusterName = s.ServiceName
	}
	spec := c.assignmentSpec(config)
	p.Policy.OverprovisioningFactor = wrapperspb.UInt32(spec.Overprovisioning)
	if d := spec.Drop; d != nil {
		p.Policy.DropOverloads = []*endpointpb.ClusterLoadAssignment_Policy_DropOverload{{
			Category: d.Category, DropPercentage: &typepb.FractionalPercent{Numerator: d.Share.Numerator * (1_000_000 / d.Share.Denominator), Denominator: typepb.FractionalPercent_MILLION},
		}}
	}
	weights := map[endpoint.LocalityKey]uint32{}
	for _, l := range spec.Localities {
		weights[endpoint.LocalityKey{Priority: l.Priority, Locality: l.Locality}] = l.Weight
	}
	groups := map[endpoint.LocalityKey]*endpointpb.LocalityLbEndpoints{}
	for i := range s.Hosts {
		h := &s.Hosts[i]
		k := endpoint.LocalityKey{Priority: h.Endpoint.Priority, Locality: h.Endpoint.Locality}
		g := groups[k]
		if g == nil {
			g = &endpointpb.LocalityLbEndpoints{Locality: k.Locality.Proto(), Priority: k.Priority, LoadBalancingWeight: wrapperspb.UInt32(weights[k])}
			groups[k] = g
			p.Endpoints = append(p.Endpoints, g)
		}
		g.LbEndpoints = append(g.LbEndpoints, h.endpointProto())
	}
	slices.SortStableFunc(p.GetEndpoints(), func(a, b *endpointpb.LocalityLbEndpoints) int { return cmp.Compare(a.GetPriority(), b.GetPriority()) })
	return p
}

// assignmentSpec is the assignment that the hosts are made of.
func (c *Cluster) assignmentSpec(config *Config) *endpoint.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.assignment
	if config.Discovery != EDS {
		a = config.peek().Assignment
	}
	if a == nil {
		a = endpoint.Empty(c.name)
	}
	s := a.Spec()
	if c.live.Load() == nil {
		a.Forget()
	}
	return s
}

func (h *HostStatus) endpointProto() *endpointpb.LbEndpoint {
	e := h.Endpoint
	p := &endpointpb.LbEndpoint{LoadBalancingWeight: wrapperspb.UInt32(e.Weight), HealthStatus: corepb.HealthStatus_UNHEALTHY}
	switch {
	case h.Flags.Healthy():
		p.HealthStatus = corepb.HealthStatus_HEALTHY
	case h.Flags.Degraded():
		p.HealthStatus = corepb.HealthStatus_DEGRADED
	}
	if len(e.Metadata) > 0 {
		p.Metadata = &corepb.Metadata{FilterMetadata: e.Metadata}
	}
	hc := &endpointpb.Endpoint_HealthCheckConfig{Hostname: e.HealthCheck.Hostname, PortValue: uint32(e.HealthCheck.Port), DisableActiveHealthCheck: e.DisableHealthCheck}
	if e.HealthCheck.Address.Valid() {
		hc.Address = e.HealthCheck.Address.Proto()
	}
	x := &endpointpb.Endpoint{Address: h.Address.Proto(), Hostname: e.Hostname, HealthCheckConfig: hc}
	for _, a := range e.Additional {
		x.AdditionalAddresses = append(x.AdditionalAddresses, &endpointpb.Endpoint_AdditionalAddress{Address: a.Proto()})
	}
	p.HostIdentifier = &endpointpb.LbEndpoint_Endpoint{Endpoint: x}
	return p
}
