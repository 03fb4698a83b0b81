package transcode

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkClusters reads the 5,000 clusters of a large bootstrap.
func BenchmarkClusters(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"static_resources":{"clusters":[`)
	for i := range 5000 {
		fmt.Fprintf(&s, `{"name":"outbound|9080||svc%d.ns0.svc.cluster.local","type":"STATIC","connect_timeout":"10s","lb_policy":"LEAST_REQUEST","circuit_breakers":{"thresholds":[{"max_connections":4294967295,"track_remaining":true}]},"load_assignment":{"cluster_name":"x","endpoints":[{"locality":{"region":"r"},"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"10.0.0.1","port_value":9080}}}},{"endpoint":{"address":{"socket_address":{"address":"10.0.0.2","port_value":9080}}}}]}]}},`, i)
	}
	s.WriteString(`]}}`)
	src := []byte(s.String())
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := JSON(bootstrap, src, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
