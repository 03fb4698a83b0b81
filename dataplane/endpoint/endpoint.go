// Package endpoint compiles load assignments (EDS, and those that clusters carry), and holds hosts: the
// live things that outlive updates, and the immutable sets of them that load balancers choose from.
package endpoint

import (
	"fmt"
	"sync/atomic"
	"time"

	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// Assignment is a compiled ClusterLoadAssignment. It keeps little but the bytes that it came in: the
// rest is in Spec, which is decoded again when a request needs it. It is immutable.
type Assignment struct {
	// Name is cluster_name.
	Name string
	// Count is what the membership gauges of a cluster show that nothing has touched yet.
	Count Count
	// StaleAfter is endpoint_stale_after; 0 never.
	StaleAfter time.Duration

	any  *anypb.Any // nil: spec is set
	spec atomic.Pointer[Spec]
}

// Count is how many endpoints there are, and of which health.
type Count struct{ Total, Healthy, Degraded, Excluded, MaxWeight uint32 }

// Spec is the whole of an assignment. It is immutable.
type Spec struct {
	Localities []LocalityEndpoints
	// Overprovisioning is in percent.
	Overprovisioning       uint32
	WeightedPriorityHealth bool
	// Drop is nil if no drop_overloads are configured.
	Drop *Drop
}

// Drop is the one category of drop_overloads that Envoy supports.
type Drop struct {
	Category string
	Share    runtime.Fraction
}

// Locality is where endpoints are. It is comparable.
type Locality struct{ Region, Zone, SubZone string }

// LocalityEndpoints are the endpoints of one locality and priority.
type LocalityEndpoints struct {
	Locality Locality
	Priority uint32
	// Weight is the locality's load_balancing_weight; 0: none.
	Weight    uint32
	Endpoints []*Endpoint
}

// Endpoint is one lb_endpoint as configuration has it: what a Host is made from. It is immutable.
type Endpoint struct {
	Address Address
	// Additional are tried after Address (Happy Eyeballs).
	Additional []Address
	Hostname   string
	// ObservabilityName takes the address's place in the names of stats.
	ObservabilityName  string
	Metadata           streaminfo.Metadata
	LocalityMetadata   streaminfo.Metadata
	Locality           Locality
	Priority           uint32
	Weight             uint32 // 1 or more
	Status             Status
	Canary             bool   // metadata envoy.lb canary
	HashKey            string // metadata envoy.lb hash_key
	HealthCheck        HealthCheck
	DisableHealthCheck bool
}

// HealthCheck is Endpoint.HealthCheckConfig.
type HealthCheck struct {
	Hostname string
	Port     uint16  // 0: the address's
	Address  Address // invalid: the endpoint's
}

// Status is core.v3.HealthStatus.
type Status uint8

// The statuses, under the numbers of the proto.
const (
	Unknown Status = iota
	Healthy
	Unhealthy
	Draining
	Timeout
	Degraded
)

// String is the proto's name of the status.
func (s Status) String() string {
	return [...]string{"UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"}[s]
}

// Type is the EDS resource. Its values keep their bytes and are decoded again on first use.
func Type() xds.Type[*Assignment] {
	return xds.Type[*Assignment]{URL: xds.EndpointURL, Decode: decode}
}

func decode(a *anypb.Any) (string, *Assignment, error) {
	p := &endpointpb.ClusterLoadAssignment{}
	if err := proto.Unmarshal(a.GetValue(), p); err != nil {
		return "", nil, fmt.Errorf("Unable to unpack as envoy.config.endpoint.v3.ClusterLoadAssignment: %w", err) //nolint:staticcheck // Envoy's text.
	}
	full, err := Compile(p)
	if err != nil {
		return p.GetClusterName(), nil, err
	}
	return full.Name, &Assignment{Name: full.Name, Count: full.Count, StaleAfter: full.StaleAfter, any: a}, nil
}

// Compile validates and compiles an assignment whose addresses are literal (EDS, STATIC).
func Compile(p *endpointpb.ClusterLoadAssignment) (*Assignment, error) {
	return compile(p, CompileAddress)
}

// CompileNames compiles an assignment whose addresses may be DNS names (STRICT_DNS, LOGICAL_DNS).
func CompileNames(p *endpointpb.ClusterLoadAssignment) (*Assignment, error) {
	return compile(p, CompileName)
}

// Empty is an assignment without endpoints.
func Empty(name string) *Assignment {
	a := &Assignment{Name: name}
	a.spec.Store(&Spec{Overprovisioning: defaultOverprovisioning})
	return a
}

// Spec decodes the whole assignment; later calls return the same.
func (a *Assignment) Spec() *Spec {
	if s := a.spec.Load(); s != nil {
		return s
	}
	s := &Spec{Overprovisioning: defaultOverprovisioning}
	p := &endpointpb.ClusterLoadAssignment{}
	// The bytes were accepted once, so that neither step can fail.
	if proto.Unmarshal(a.any.GetValue(), p) == nil {
		if full, err := Compile(p); err == nil {
			s = full.spec.Load()
		}
	}
	if !a.spec.CompareAndSwap(nil, s) {
		return a.spec.Load()
	}
	return s
}

// Forget drops the decoded form; the next Spec decodes it again.
func (a *Assignment) Forget() {
	if a.any != nil {
		a.spec.Store(nil)
	}
}
