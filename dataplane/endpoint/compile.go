package endpoint

import (
	"errors"
	"fmt"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

const defaultOverprovisioning = 140

// LBMetadata is the namespace of metadata that load balancers read: subset keys, canary, hash_key.
const LBMetadata = "envoy.lb"

// resolveFunc compiles an endpoint's address.
type resolveFunc func(*corepb.Address) (Address, error)

func compile(p *endpointpb.ClusterLoadAssignment, resolve resolveFunc) (*Assignment, error) {
	if err := p.Validate(); err != nil {
		return nil, Constraint(err)
	}
	spec := &Spec{Overprovisioning: defaultOverprovisioning}
	if err := spec.compilePolicy(p.GetPolicy()); err != nil {
		return nil, err
	}
	a := &Assignment{Name: p.GetClusterName(), StaleAfter: p.GetPolicy().GetEndpointStaleAfter().AsDuration()}
	for _, l := range p.GetEndpoints() {
		le, err := compileLocality(p, l, resolve)
		if err != nil {
			return nil, err
		}
		spec.Localities = append(spec.Localities, le)
		a.Count.add(le.Endpoints)
	}
	a.spec.Store(spec)
	return a, nil
}

func (s *Spec) compilePolicy(p *endpointpb.ClusterLoadAssignment_Policy) error {
	if f := p.GetOverprovisioningFactor(); f != nil {
		s.Overprovisioning = f.GetValue()
	}
	s.WeightedPriorityHealth = p.GetWeightedPriorityHealth()
	drops := p.GetDropOverloads()
	if len(drops) > 1 {
		return fmt.Errorf("Cluster drop_overloads config has %d categories. Envoy only support one.", len(drops)) //nolint:staticcheck,revive // Envoy's text.
	}
	for _, d := range drops {
		f := runtime.CompilePercent(d.GetDropPercentage())
		if f.Numerator > f.Denominator {
			return fmt.Errorf("Cluster drop_overloads config is invalid. drop_ratio=%v(Numerator %d / Denominator %d). The valid range is 0~1.", //nolint:staticcheck,revive // Envoy's text.
				float64(f.Numerator)/float64(f.Denominator), f.Numerator, f.Denominator)
		}
		if d.GetDropPercentage().GetDenominator() > typepb.FractionalPercent_MILLION {
			return fmt.Errorf("Cluster drop_overloads config denominator setting is invalid : %d. Valid range 0~2.", d.GetDropPercentage().GetDenominator()) //nolint:staticcheck,revive // Envoy's text.
		}
		if f.Numerator > 0 {
			s.Drop = &Drop{Category: d.GetCategory(), Share: f}
		}
	}
	return nil
}

func compileLocality(p *endpointpb.ClusterLoadAssignment, l *endpointpb.LocalityLbEndpoints, resolve resolveFunc) (LocalityEndpoints, error) {
	le := LocalityEndpoints{
		Locality: Locality{l.GetLocality().GetRegion(), l.GetLocality().GetZone(), l.GetLocality().GetSubZone()},
		Priority: l.GetPriority(),
		Weight:   l.GetLoadBalancingWeight().GetValue(),
	}
	// proximity is not implemented by Envoy either.
	endpoints := l.GetLbEndpoints()
	switch v := l.GetLbConfig().(type) {
	case nil:
	case *endpointpb.LocalityLbEndpoints_LoadBalancerEndpoints:
		endpoints = v.LoadBalancerEndpoints.GetLbEndpoints()
	case *endpointpb.LocalityLbEndpoints_LedsClusterLocalityConfig:
		return le, errors.New("field LocalityLbEndpoints.leds_cluster_locality_config is not supported")
	}
	metadata := Metadata(l.GetMetadata())
	for _, e := range endpoints {
		ep, err := compileEndpoint(p, e, resolve)
		if err != nil {
			return le, err
		}
		ep.Locality, ep.Priority, ep.LocalityMetadata = le.Locality, le.Priority, metadata
		le.Endpoints = append(le.Endpoints, ep)
	}
	return le, nil
}

func compileEndpoint(p *endpointpb.ClusterLoadAssignment, e *endpointpb.LbEndpoint, resolve resolveFunc) (*Endpoint, error) {
	c := e.GetEndpoint()
	if name := e.GetEndpointName(); name != "" {
		// named_endpoints are ignored by Envoy; a reference to one has no address there.
		return nil, fmt.Errorf("field LbEndpoint.endpoint_name is not supported (cluster %q, endpoint %q)", p.GetClusterName(), name)
	}
	address, err := resolve(c.GetAddress())
	if err != nil {
		return nil, err
	}
	ep := &Endpoint{
		Address: address, Hostname: c.GetHostname(), ObservabilityName: c.GetObservabilityName(),
		Metadata: Metadata(e.GetMetadata()), Weight: 1, Status: Status(e.GetHealthStatus()),
	}
	if ep.Status > Degraded {
		ep.Status = Unknown
	}
	if w := e.GetLoadBalancingWeight(); w != nil {
		ep.Weight = w.GetValue()
	}
	for _, a := range c.GetAdditionalAddresses() {
		more, err := resolve(a.GetAddress())
		if err != nil {
			return nil, err
		}
		ep.Additional = append(ep.Additional, more)
	}
	if lb := ep.Metadata[LBMetadata]; lb != nil {
		ep.Canary = lb.GetFields()["canary"].GetBoolValue()
		ep.HashKey = lb.GetFields()["hash_key"].GetStringValue()
	}
	hc := c.GetHealthCheckConfig()
	ep.DisableHealthCheck = hc.GetDisableActiveHealthCheck()
	ep.HealthCheck = HealthCheck{Hostname: hc.GetHostname(), Port: uint16(hc.GetPortValue())}
	if hc.GetAddress() != nil {
		if ep.HealthCheck.Address, err = CompileAddress(hc.GetAddress()); err != nil {
			return nil, err
		}
	}
	return ep, nil
}

// Metadata compiles core.v3.Metadata; nil if there is none. typed_filter_metadata is for extensions
// that read it by type, of which there are none here.
func Metadata(p *corepb.Metadata) streaminfo.Metadata {
	if len(p.GetFilterMetadata()) == 0 {
		return nil
	}
	m := make(streaminfo.Metadata, len(p.GetFilterMetadata()))
	for k, v := range p.GetFilterMetadata() {
		if v == nil {
			v = &structpb.Struct{}
		}
		m[k] = v
	}
	return m
}

func (c *Count) add(endpoints []*Endpoint) {
	for _, e := range endpoints {
		c.Total++
		c.MaxWeight = max(c.MaxWeight, e.Weight)
		switch e.Status.Flag() {
		case 0:
			c.Healthy++
		case DegradedEDSHealth:
			c.Degraded++
		case EDSStatusDraining:
			c.Excluded++
		}
	}
}

func sameMetadata(a, b streaminfo.Metadata) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		w, ok := b[k]
		if !ok || v != w && !proto.Equal(v, w) {
			return false
		}
	}
	return true
}
