package endpoint

import (
	"strings"
	"testing"
	"time"

	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

func assignment(t *testing.T, json string) *endpointpb.ClusterLoadAssignment {
	t.Helper()
	p := &endpointpb.ClusterLoadAssignment{}
	if err := protojson.Unmarshal([]byte(json), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func one(endpoint string) string {
	return `{"cluster_name":"c","endpoints":[{"lb_endpoints":[` + endpoint + `]}]}`
}

// The texts are what envoy-1.40 --mode validate prints for a STATIC cluster with the assignment.
func TestCompileRefusesInEnvoysWords(t *testing.T) {
	const hint = ". Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"
	for name, c := range map[string]struct{ json, want string }{
		"name where an address is needed": {one(`{"endpoint":{"address":{"socket_address":{"address":"foo.bar","port_value":80}}}}`), "malformed IP address: foo.bar" + hint},
		"named port":                      {one(`{"endpoint":{"address":{"socket_address":{"address":"1.1.1.1","named_port":"http"}}}}`), "IP resolver can't handle port specifier type 4" + hint},
		"resolver":                        {one(`{"endpoint":{"address":{"socket_address":{"address":"1.1.1.1","port_value":1,"resolver_name":"x"}}}}`), "Unknown address resolver: x" + hint},
		"long pipe":                       {one(`{"endpoint":{"address":{"pipe":{"path":"/` + strings.Repeat("x", 120) + `"}}}}`), `Path "/` + strings.Repeat("x", 120) + `" exceeds maximum UNIX domain socket path size of 108.` + hint},
		"network namespace":               {one(`{"endpoint":{"address":{"socket_address":{"address":"1.1.1.1","port_value":1,"network_namespace_filepath":"/x"}}}}`), "Invalid host configuration: hosts cannot specify network namespaces with their address"},
		"no name":                         {`{}`, "Proto constraint validation failed (ClusterLoadAssignmentValidationError.ClusterName: value length must be at least 1 characters)"},
		"weight 0":                        {one(`{"load_balancing_weight":0,"endpoint":{"address":{"socket_address":{"address":"1.1.1.1","port_value":1}}}}`), "Proto constraint validation failed (ClusterLoadAssignmentValidationError.Endpoints[0]: embedded message failed validation | caused by LocalityLbEndpointsValidationError.LbEndpoints[0]: embedded message failed validation | caused by LbEndpointValidationError.LoadBalancingWeight: value must be greater than or equal to 1)"},
		"overprovisioning 0":              {`{"cluster_name":"c","policy":{"overprovisioning_factor":0}}`, "Proto constraint validation failed (ClusterLoadAssignmentValidationError.Policy: embedded message failed validation | caused by PolicyValidationError.OverprovisioningFactor: value must be greater than 0)"},
		"drop over 1":                     {`{"cluster_name":"c","policy":{"drop_overloads":[{"category":"x","drop_percentage":{"numerator":101}}]}}`, "Cluster drop_overloads config is invalid. drop_ratio=1.01(Numerator 101 / Denominator 100). The valid range is 0~1."},
		"two drops":                       {`{"cluster_name":"c","policy":{"drop_overloads":[{"category":"x"},{"category":"y"}]}}`, "Cluster drop_overloads config has 2 categories. Envoy only support one."},
		"leds":                            {`{"cluster_name":"c","endpoints":[{"leds_cluster_locality_config":{"leds_config":{"ads":{}},"leds_collection_name":"x"}}]}`, "field LocalityLbEndpoints.leds_cluster_locality_config is not supported"},
		"endpoint name":                   {one(`{"endpoint_name":"x"}`), `field LbEndpoint.endpoint_name is not supported (cluster "c", endpoint "x")`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(assignment(t, c.json)); err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAddressesPrintAsEnvoyPrintsThem(t *testing.T) {
	for json, want := range map[string]string{
		`{"socket_address":{"address":"10.0.0.1","port_value":80}}`:                          "10.0.0.1:80",
		`{"socket_address":{"address":"::1","port_value":80}}`:                               "[::1]:80",
		`{"pipe":{"path":"/run/x.sock"}}`:                                                    "/run/x.sock",
		`{"envoy_internal_address":{"server_listener_name":"l","endpoint_id":"10.0.0.1:9"}}`: "envoy://l/10.0.0.1:9",
	} {
		a, err := Compile(assignment(t, one(`{"endpoint":{"address":`+json+`}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Spec().Localities[0].Endpoints[0].Address.String(); got != want {
			t.Errorf("%s: got %s", json, got)
		}
	}
	a, err := CompileNames(assignment(t, one(`{"endpoint":{"address":{"socket_address":{"address":"a.example","port_value":80}}}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if e := a.Spec().Localities[0].Endpoints[0]; e.Address.Kind != NameKind || e.Address.String() != "a.example:80" {
		t.Errorf("%+v", e.Address)
	}
}

func TestDecodedResourceKeepsItsBytesAlone(t *testing.T) {
	p := assignment(t, `{"cluster_name":"c","policy":{"overprovisioning_factor":200,"endpoint_stale_after":"3s","drop_overloads":[{"category":"x","drop_percentage":{"numerator":5}}]},"endpoints":[
		{"locality":{"region":"r","zone":"z"},"load_balancing_weight":3,"priority":1,"metadata":{"filter_metadata":{"n":{"a":"l"}}},"lb_endpoints":[
			{"endpoint":{"hostname":"h","address":{"socket_address":{"address":"10.0.0.1","port_value":80}},"health_check_config":{"port_value":81,"hostname":"hc"},"additional_addresses":[{"address":{"socket_address":{"address":"::1","port_value":80}}}]},
			 "load_balancing_weight":7,"metadata":{"filter_metadata":{"envoy.lb":{"canary":true,"hash_key":"k"}}}},
			{"health_status":"DRAINING","endpoint":{"address":{"socket_address":{"address":"10.0.0.2","port_value":80}}}},
			{"health_status":"DEGRADED","endpoint":{"address":{"socket_address":{"address":"10.0.0.3","port_value":80}}}},
			{"health_status":"TIMEOUT","endpoint":{"address":{"socket_address":{"address":"10.0.0.4","port_value":80}}}}]}]}`)
	a, err := anypb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	name, v, err := Type().Decode(a)
	if err != nil || name != "c" {
		t.Fatal(name, err)
	}
	if v.spec.Load() != nil {
		t.Error("the assignment was kept decoded")
	}
	if v.Count != (Count{Total: 4, Healthy: 1, Degraded: 1, Excluded: 1, MaxWeight: 7}) {
		t.Errorf("%+v", v.Count)
	}
	s := v.Spec()
	if s != v.Spec() || s.Overprovisioning != 200 || v.StaleAfter != 3*time.Second || s.Drop.Category != "x" {
		t.Errorf("%+v", s)
	}
	l := s.Localities[0]
	if l.Locality != (Locality{"r", "z", ""}) || l.Weight != 3 || l.Priority != 1 {
		t.Errorf("%+v", l)
	}
	e := l.Endpoints[0]
	if e.Hostname != "h" || e.HealthCheck.Port != 81 || e.HealthCheck.Hostname != "hc" || e.Weight != 7 || !e.Canary || e.HashKey != "k" ||
		len(e.Additional) != 1 || e.LocalityMetadata["n"].GetFields()["a"].GetStringValue() != "l" || e.Locality.Zone != "z" || e.Priority != 1 {
		t.Errorf("%+v", e)
	}
	v.Forget()
	if v.spec.Load() != nil || v.Spec().Localities[0].Endpoints[0].Weight != 7 {
		t.Error("forget")
	}
}
