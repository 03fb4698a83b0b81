package cluster

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/lb"
)

// statusClusters are the clusters of testdata/clusters.txt, which envoy-1.40 wrote.
func statusClusters(t *testing.T) *fixture {
	host := func(port string) string {
		return `{"endpoint":{"address":{"socket_address":{"address":"127.0.0.1","port_value":` + port + `}}}}`
	}
	static := func(name, hosts, fields string) string {
		return `{"name":"` + name + `","load_assignment":{"cluster_name":"plain","endpoints":[{"lb_endpoints":[` + hosts + `]}]}` + fields + `}`
	}
	f := newFixture(t, nil).put(
		static("plain", host("21980"), ``),
		static("rh", host("21980")+","+host("21981"), `,"lb_policy":"RING_HASH"`),
		`{"name":"odst","type":"ORIGINAL_DST","lb_policy":"CLUSTER_PROVIDED"}`,
		static("od", host("21980"), `,"outlier_detection":{},"circuit_breakers":{"thresholds":[{"max_requests":4294967295}]}`),
		`{"name":"e","type":"EDS","eds_cluster_config":{"service_name":"edsf","eds_config":{"ads":{}}}}`,
	).assign(`{"cluster_name":"edsf","policy":{"drop_overloads":[{"category":"thr","drop_percentage":{"numerator":50}}]},"endpoints":[{"locality":{"region":"r","zone":"z"},"load_balancing_weight":3,"lb_endpoints":[
		{"endpoint":{"hostname":"hn","address":{"socket_address":{"address":"127.0.0.1","port_value":21980}}},"health_status":"DEGRADED","load_balancing_weight":7},
		{"health_status":"DRAINING","endpoint":{"address":{"socket_address":{"address":"127.0.0.2","port_value":21980}}}},
		{"health_status":"TIMEOUT","endpoint":{"address":{"socket_address":{"address":"127.0.0.3","port_value":21980}}}},
		{"health_status":"UNHEALTHY","endpoint":{"address":{"socket_address":{"address":"127.0.0.4","port_value":21980}}}}]}]}`)
	for _, name := range []string{"plain", "rh", "odst", "od", "e"} {
		f.s.Resource(clusterURL, name).Static = true
	}
	return f.apply()
}

func text(f *fixture) string {
	var b []byte
	for _, s := range f.m.Statuses() {
		b = s.AppendText(b)
	}
	return string(b)
}

func TestClustersTextIsEnvoys(t *testing.T) {
	want, err := os.ReadFile("testdata/clusters.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := statusClusters(t)
	if got := text(f); got != string(want) {
		t.Errorf("untouched: got\n%s", got)
	}
	for _, name := range []string{"plain", "rh", "odst", "od", "e"} {
		f.get(name).Pick(&lb.Context{})
	}
	if got := text(f); got != string(want) {
		t.Errorf("touched: got\n%s", got)
	}
}

func TestClusterProto(t *testing.T) {
	f := statusClusters(t)
	all := map[string]string{}
	for _, s := range f.m.Statuses() {
		b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(s.Proto())
		if err != nil {
			t.Fatal(err)
		}
		all[s.Name] = strings.ReplaceAll(string(b), " ", "")
	}
	for name, parts := range map[string][]string{
		"e":  {`"eds_service_name":"edsf"`, `"eds_health_status":"DRAINING"`, `"eds_health_status":"DEGRADED"`, `"weight":7`, `"hostname":"hn"`, `"locality":{"region":"r","zone":"z"}`},
		"od": {`"max_requests":4294967295`, `"priority":"HIGH"`, `{"name":"cx_connect_fail"},{"name":"cx_total"},{"name":"rq_error"},{"name":"rq_success"},{"name":"rq_timeout"},{"name":"rq_total"},{"type":"GAUGE","name":"cx_active"}`},
	} {
		for _, p := range parts {
			if !strings.Contains(all[name], p) {
				t.Errorf("%s lacks %s in %s", name, p, all[name])
			}
		}
	}
	s := Status{HasOutlier: true, External: health.Thresholds{Average: 91.5, Ejection: 50}, Local: health.Thresholds{Average: -1, Ejection: -1}}
	if p := s.Proto(); p.GetSuccessRateEjectionThreshold().GetValue() != 50 || p.GetLocalOriginSuccessRateEjectionThreshold() != nil {
		t.Error(p)
	}
}

func TestEndpointsDump(t *testing.T) {
	f := statusClusters(t)
	var got string
	for _, e := range f.m.Endpoints() {
		if e.Assignment.GetClusterName() == "edsf" {
			b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e.Assignment)
			if err != nil || !e.Static {
				t.Fatal(err)
			}
			got = strings.ReplaceAll(string(b), " ", "")
		}
	}
	// As envoy-1.40's /config_dump?include_eds has it.
	want := `{"cluster_name":"edsf","endpoints":[{"locality":{"region":"r","zone":"z"},"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"127.0.0.1","port_value":21980}},"health_check_config":{},"hostname":"hn"},"health_status":"DEGRADED","load_balancing_weight":7},` +
		`{"endpoint":{"address":{"socket_address":{"address":"127.0.0.2","port_value":21980}},"health_check_config":{}},"health_status":"UNHEALTHY","load_balancing_weight":1},` +
		`{"endpoint":{"address":{"socket_address":{"address":"127.0.0.3","port_value":21980}},"health_check_config":{}},"health_status":"UNHEALTHY","load_balancing_weight":1},` +
		`{"endpoint":{"address":{"socket_address":{"address":"127.0.0.4","port_value":21980}},"health_check_config":{}},"health_status":"UNHEALTHY","load_balancing_weight":1}],"load_balancing_weight":3}],` +
		`"policy":{"drop_overloads":[{"category":"thr","drop_percentage":{"numerator":500000,"denominator":"MILLION"}}],"overprovisioning_factor":140}}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r := f.m.Resources(); len(r) != 5 || r[0].Name != "e" || r[0].Active == nil || r[0].Warming != nil {
		t.Error(r)
	}
}
