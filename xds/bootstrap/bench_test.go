package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad loads a bootstrap of 5,000 clusters and as many virtual hosts.
func BenchmarkLoad(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"static_resources":{"listeners":[{"name":"l","filter_chains":[{"filters":[{"name":"hcm","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","stat_prefix":"in","route_config":{"virtual_hosts":[`)
	for i := range 5000 {
		fmt.Fprintf(&s, `{"name":"svc%d:9080","domains":["svc%d.svc.cluster.local","svc%d"],"routes":[{"name":"default","match":{"prefix":"/"},"route":{"cluster":"c%d","timeout":"0s","retry_policy":{"retry_on":"connect-failure,refused-stream","num_retries":2,"retriable_status_codes":[503]}}}]},`, i, i, i, i)
	}
	s.WriteString(`]}}}]}]}],"clusters":[`)
	for i := range 5000 {
		fmt.Fprintf(&s, `{"name":"c%d","type":"STATIC","connect_timeout":"10s","load_assignment":{"cluster_name":"c%d","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"10.0.0.1","port_value":9080}}}}]}]}},`, i, i)
	}
	s.WriteString(`]}}`)
	path := filepath.Join(b.TempDir(), "b.json")
	if err := os.WriteFile(path, []byte(s.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(s.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(Options{Path: path}); err != nil {
			b.Fatal(err)
		}
	}
}
