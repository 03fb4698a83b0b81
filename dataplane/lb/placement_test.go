package lb

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// placement.json was recorded from envoy-1.40: for each cluster the port (less 21800) of the host that
// served the requests with x-key: key0, key1, … under a header hash policy, and the stats of its table.
func TestHashPlacementIsEnvoys(t *testing.T) {
	data, err := os.ReadFile("testdata/placement.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Cluster json.RawMessage
		Hosts   string
		Stats   map[string]uint64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		p := &clusterpb.Cluster{}
		if err := protojson.Unmarshal(c.Cluster, p); err != nil {
			t.Fatal(err)
		}
		t.Run(p.GetName(), func(t *testing.T) {
			config, err := Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			e := testEnv()
			e.Scope = stats.NewStore(1).Scope("cluster.x")
			l := config.New(e, setOf(t, p), nil)
			for i, want := range c.Hosts {
				ctx := &Context{HasHash: true, Hash: xx(fmt.Appendf(nil, "key%d", i), 0)}
				if got := l.Pick(ctx).Address.IP.Port() - 21800; got != uint16(want-'0') {
					t.Fatalf("key%d goes to host %d, Envoy's to %c", i, got, want)
				}
			}
			prefix := "ring_hash_lb."
			if config.Kind == Maglev {
				prefix = "maglev_lb."
			}
			for name, want := range c.Stats {
				if got := e.Scope.Gauge(prefix + name).Value(); got != want {
					t.Errorf("%s%s: %d, Envoy's is %d", prefix, name, got, want)
				}
			}
		})
	}
}

// setOf makes the hosts of a cluster's load_assignment.
func setOf(t *testing.T, p *clusterpb.Cluster) *endpoint.HostSet {
	t.Helper()
	a, err := endpoint.Compile(p.GetLoadAssignment())
	if err != nil {
		t.Fatal(err)
	}
	return setFrom(a.Spec(), nil)
}
