package cluster

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/pillion-proxy/pillion/xds"
)

// benchCluster is a cluster of /work/shared/bench/configs.py, unlimited breakers and all.
func benchCluster(i int) string {
	name := fmt.Sprintf("outbound|9080||svc%d.ns0.svc.cluster.local", i)
	hosts := ""
	for k := range 3 {
		if k > 0 {
			hosts += ","
		}
		hosts += fmt.Sprintf(`{"endpoint":{"address":{"socket_address":{"address":"10.%d.%d.%d","port_value":9080}}},"load_balancing_weight":1}`, i>>14&255, i>>6&255, (i&63)*4+k)
	}
	return `{"name":"` + name + `","type":"STATIC","connect_timeout":"10s","lb_policy":"LEAST_REQUEST","circuit_breakers":{"thresholds":[{"max_connections":4294967295,"max_pending_requests":4294967295,"max_requests":4294967295,"max_retries":4294967295,"track_remaining":true}]},` +
		`"load_assignment":{"cluster_name":"` + name + `","endpoints":[{"locality":{"region":"r","zone":"z"},"lb_endpoints":[` + hosts + `]}]}}`
}

func TestUntouchedClusterCostsLittleMoreThanItsBytes(t *testing.T) {
	const n, most = 2000, 4 << 10
	f := newFixture(t, nil)
	before := heap()
	var c xds.Change
	for i := range n {
		c.Put = append(c.Put, resource(t, Type(Options{}), clusterProto(t, benchCluster(i))))
	}
	bytes := 0
	for _, r := range c.Put {
		bytes += len(r.Any.GetValue())
	}
	f.s = f.s.With(xds.ClusterURL, c)
	f.apply()
	each := (heap() - before) / n
	t.Logf("%d bytes of configuration, %d bytes of heap in all for a cluster", bytes/n, each)
	if each > most {
		t.Errorf("%d bytes of heap for a cluster, at most %d are allowed", each, most)
	}
	runtime.KeepAlive(f)
	runtime.KeepAlive(c)
}

// heap is the live heap.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkDecode(b *testing.B) {
	r := resource(b, Type(Options{}), clusterProto(b, benchCluster(1)))
	d := Type(Options{}).Decoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := d.Decode(r.Any); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPickAndPool(b *testing.B) {
	f := newFixture(b, nil).put(benchCluster(1)).apply()
	benchPick(b, f.get("outbound|9080||svc1.ns0.svc.cluster.local"))
}
