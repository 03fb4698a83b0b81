package lb

import (
	"testing"
	"time"

	_ "github.com/cncf/xds/go/xds/type/v3" // a type that no policy has
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

func compileJSON(t *testing.T, json string) (*Config, error) {
	t.Helper()
	p := &clusterpb.Cluster{}
	if err := protojson.Unmarshal([]byte(json), p); err != nil {
		t.Fatal(err)
	}
	p.Name = "c"
	return Compile(p)
}

func policy(name, config string) string {
	return `{"policies":[{"typed_extension_config":{"name":"envoy.load_balancing_policies.` + name + `","typed_config":{"@type":"type.googleapis.com/envoy.extensions.load_balancing_policies.` + name + `.v3.` + config + `}}]}`
}

// The texts are what envoy-1.40 --mode validate prints.
func TestCompileRefusesInEnvoysWords(t *testing.T) {
	rr := policy("round_robin", `RoundRobin"}`)
	for json, want := range map[string]string{
		`{"lb_policy":"RING_HASH","ring_hash_lb_config":{"minimum_ring_size":100,"maximum_ring_size":10}}`:                                                         "ring hash: minimum_ring_size (100) > maximum_ring_size (10)",
		`{"lb_policy":"MAGLEV","maglev_lb_config":{"table_size":100}}`:                                                                                             "The table size of maglev must be prime number",
		`{"lb_policy":"LOAD_BALANCING_POLICY_CONFIG"}`:                                                                                                             "cluster: field load_balancing_policy need to be set",
		`{"load_balancing_policy":` + rr + `,"lb_subset_config":{}}`:                                                                                               "cluster: load_balancing_policy cannot be combined with lb_subset_config",
		`{"load_balancing_policy":` + rr + `,"common_lb_config":{"zone_aware_lb_config":{}}}`:                                                                      "cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config",
		`{"load_balancing_policy":{}}`:                                                                                                                             "cluster: didn't find a registered load balancer factory implementation for cluster: 'c' with names from []",
		`{"load_balancing_policy":` + policy("ring_hash", `RingHash","minimum_ring_size":10,"maximum_ring_size":5}`) + `}`:                                         "ring hash: minimum_ring_size (10) > maximum_ring_size (5)",
		`{"load_balancing_policy":` + policy("maglev", `Maglev","table_size":10}`) + `}`:                                                                           "The table size of maglev must be prime number",
		`{"load_balancing_policy":` + policy("wrr_locality", `WrrLocality","endpoint_picking_policy":`+rr+`}`) + `}`:                                               "Currently WrrLocalityLoadBalancer only supports ClientSideWeightedRoundRobinLoadBalancer as its endpoint picking policy.",
		`{"load_balancing_policy":` + policy("wrr_locality", `WrrLocality"}`) + `}`:                                                                                "No supported endpoint picking policy.",
		`{"load_balancing_policy":` + policy("subset", `Subset"}`) + `}`:                                                                                           "cluster: didn't find a registered load balancer factory implementation for subset lb with names from []",
		`{"load_balancing_policy":` + policy("override_host", `OverrideHost","override_host_sources":[{"header":"x"}]}`) + `}`:                                     "Proto constraint validation failed (OverrideHostValidationError.FallbackPolicy: value is required)",
		`{"load_balancing_policy":` + policy("override_host", `OverrideHost","override_host_sources":[],"fallback_policy":`+rr+`}`) + `}`:                          "Proto constraint validation failed (OverrideHostValidationError.OverrideHostSources: value must contain at least 1 item(s))",
		`{"load_balancing_policy":` + policy("override_host", `OverrideHost","override_host_sources":[{}],"fallback_policy":`+rr+`}`) + `}`:                        "Empty override source",
		`{"load_balancing_policy":` + policy("client_side_weighted_round_robin", `ClientSideWeightedRoundRobin","enable_oob_load_report":true}`) + `}`:             "field ClientSideWeightedRoundRobin.enable_oob_load_report is not supported",
		`{"load_balancing_policy":` + policy("maglev", `Maglev","consistent_hashing_lb_config":{"hash_policy":[{"header":{"header_name":"x"}}]}}`) + `}`:           "field ConsistentHashingLbConfig.hash_policy is not supported",
		`{"load_balancing_policy":{"policies":[{"typed_extension_config":{"name":"pf","typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}}]}}`: "cluster: didn't find a registered load balancer factory implementation for cluster: 'c' with names from [pf]",
		`{"lb_subset_config":{"subset_selectors":[{"keys":["a"],"fallback_policy":"KEYS_SUBSET"}]}}`:                                                               "fallback_keys_subset cannot be empty",
		`{"lb_subset_config":{"subset_selectors":[{"keys":["a"],"fallback_policy":"KEYS_SUBSET","fallback_keys_subset":["b"]}]}}`:                                  "fallback_keys_subset must be a subset of selector keys",
		`{"lb_subset_config":{"subset_selectors":[{"keys":["a"],"fallback_policy":"KEYS_SUBSET","fallback_keys_subset":["a"]}]}}`:                                  "fallback_keys_subset cannot be equal to keys",
		`{"lb_subset_config":{"subset_selectors":[{"keys":["a"],"fallback_keys_subset":["a"]}]}}`:                                                                  "fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy",
		`{"lb_subset_config":{"locality_weight_aware":true,"subset_selectors":[{"keys":["a"]}]}}`:                                                                  "Locality weight aware subset LB requires that a locality_weighted_lb_config be set in c",
		`{"lb_policy":"CLUSTER_PROVIDED","lb_subset_config":{"subset_selectors":[{"keys":["a"]}]}}`:                                                                "cluster: LB policy CLUSTER_PROVIDED cannot be combined with lb_subset_config",
	} {
		if _, err := compileJSON(t, json); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", json, err, want)
		}
	}
}

func TestCompileDefaultsAndFields(t *testing.T) {
	c, err := compileJSON(t, `{"lb_policy":"LEAST_REQUEST","least_request_lb_config":{"choice_count":3,"active_request_bias":{"default_value":2,"runtime_key":"k"},"slow_start_config":{"slow_start_window":"10s","min_weight_percent":{"value":20}}},
		"common_lb_config":{"healthy_panic_threshold":{},"zone_aware_lb_config":{"routing_enabled":{"value":30},"min_cluster_size":2,"fail_traffic_on_panic":true}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != LeastRequest || c.LeastRequest.Choices != 3 || c.LeastRequest.Bias != (Double{2, "k"}) || c.SlowStart.Window != 10*time.Second || c.SlowStart.MinWeight != .2 ||
		c.PanicThreshold != 0 || c.Locality != (LocalityConfig{RoutingEnabled: 30, MinClusterSize: 2, FailTrafficOnPanic: true}) {
		t.Errorf("%+v", c)
	}
	c, err = compileJSON(t, `{"lb_policy":"RING_HASH","common_lb_config":{"consistent_hashing_lb_config":{"use_hostname_for_hashing":true,"hash_balance_factor":150}},"lb_subset_config":{"fallback_policy":"ANY_ENDPOINT","subset_selectors":[{"keys":["b","a"]}]}}`)
	if err != nil || c.Kind != Subset || c.Subset.Selectors[0].Keys[0] != "a" || c.Subset.Fallback != FallbackAny || c.PanicThreshold != 50 ||
		c.Child.PanicThreshold != 50 || c.Child.Hash != (HashConfig{MinRing: 1024, MaxRing: 8 << 20, UseHostname: true, BalanceFactor: 150}) {
		t.Errorf("%+v %v", c, err)
	}
	c, err = compileJSON(t, `{"lb_policy":"RANDOM","load_balancing_policy":{"policies":[{"typed_extension_config":{"name":"x","typed_config":{"@type":"type.googleapis.com/xds.type.v3.TypedStruct"}}},`+policy("wrr_locality", `WrrLocality","endpoint_picking_policy":`+policy("client_side_weighted_round_robin", `ClientSideWeightedRoundRobin","weight_update_period":"0.01s"}`)+`}`)[len(`{"policies":[`):]+`}`)
	if err != nil || c.Kind != ClientWeighted || !c.Locality.Weighted || c.Client.Update != 100*time.Millisecond || c.Client.Blackout != 10*time.Second {
		t.Errorf("the first known policy: %+v %v", c, err)
	}
}
