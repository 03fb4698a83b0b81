package control

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// assignment makes the ClusterLoadAssignment of a port of a service or of one of its subsets: its
// workloads and addresses by locality.
func (m *mesh) assignment(s *service, p *port, sub *subset, name string) *endpointpb.ClusterLoadAssignment {
	byLocality := map[string][]*endpointpb.LbEndpoint{}
	for _, w := range m.selected(s) {
		if sub.has(w.Labels) {
			byLocality[w.Locality] = append(byLocality[w.Locality], m.workloadEndpoint(w, p.Target))
		}
	}
	for i := range s.external() {
		e := &s.external()[i]
		if sub.has(e.Labels) {
			byLocality[e.Locality] = append(byLocality[e.Locality], m.addressEndpoint(s, e, p))
		}
	}
	a := &endpointpb.ClusterLoadAssignment{ClusterName: name}
	for _, l := range slices.Sorted(maps.Keys(byLocality)) {
		group := &endpointpb.LocalityLbEndpoints{Locality: locality(l), LbEndpoints: byLocality[l]}
		var weight uint32
		for _, e := range group.GetLbEndpoints() {
			weight += e.GetLoadBalancingWeight().GetValue()
		}
		group.LoadBalancingWeight = wrapperspb.UInt32(weight)
		a.Endpoints = append(a.Endpoints, group)
	}
	return a
}

// external are the addresses that a service names itself. A DNS service without any is its own host.
func (s *service) external() []endpoint {
	if len(s.Endpoints) == 0 && strings.HasSuffix(s.Discovery, "_DNS") {
		return []endpoint{{Address: s.Host}}
	}
	return s.Endpoints
}

func (s *subset) has(labels map[string]string) bool { return s == nil || selects(s.Labels, labels) }

func (m *mesh) workloadEndpoint(w *workload, target uint32) *endpointpb.LbEndpoint {
	e := lbEndpoint(w.Address, target)
	e.HealthStatus = corepb.HealthStatus(corepb.HealthStatus_value[w.Health])
	e.LoadBalancingWeight = wrapperspb.UInt32(w.Weight)
	e.Metadata = m.endpointMetadata(w)
	return e
}

// endpointMetadata is what istiod says of a workload: whether it speaks Istio's mutual TLS, and
// name;namespace;canonical name;canonical revision;cluster.
func (m *mesh) endpointMetadata(w *workload) *corepb.Metadata {
	text := strings.Join([]string{w.Name, w.Namespace, w.canonicalName(), w.canonicalRevision(), m.Settings.ClusterID}, ";")
	all := map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{"workload": structpb.NewStringValue(text)}},
	}
	if w.hasSidecar() {
		all["envoy.transport_socket_match"] = &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}}
	}
	return &corepb.Metadata{FilterMetadata: all}
}

func (w *workload) canonicalName() string     { return cmp.Or(w.Labels["app"], w.Name) }
func (w *workload) canonicalRevision() string { return w.Labels["version"] }

func (m *mesh) addressEndpoint(s *service, e *endpoint, p *port) *endpointpb.LbEndpoint {
	to := lbEndpoint(e.Address, cmp.Or(e.Ports[p.Port], p.Target))
	if s.Discovery == "EDS" {
		to.HealthStatus = corepb.HealthStatus_HEALTHY
	}
	to.LoadBalancingWeight = wrapperspb.UInt32(cmp.Or(e.Weight, 1))
	text := strings.Join([]string{"", s.Namespace, cmp.Or(e.Labels["app"], s.Name), e.Labels["version"], m.Settings.ClusterID}, ";")
	to.Metadata = &corepb.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{"workload": structpb.NewStringValue(text)}},
	}}
	return to
}

func lbEndpoint(address string, port uint32) *endpointpb.LbEndpoint {
	return &endpointpb.LbEndpoint{HostIdentifier: &endpointpb.LbEndpoint_Endpoint{
		Endpoint: &endpointpb.Endpoint{Address: socketAddress(address, port)},
	}}
}

func socketAddress(address string, port uint32) *corepb.Address {
	return &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
		Address: address, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: port},
	}}}
}

// locality reads region/zone/subzone.
func locality(s string) *corepb.Locality {
	parts := append(strings.SplitN(s, "/", 3), "", "")
	return &corepb.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}
