package route

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// meshConfig is what a control plane sends for n services: two routes each, with everything that istiod
// puts there.
func meshConfig(t testing.TB, n int) *routepb.RouteConfiguration {
	t.Helper()
	const host = `
name: svc00000.ns.svc.cluster.local:80
domains: [svc00000.ns.svc.cluster.local, "svc00000.ns.svc.cluster.local:80", svc00000, "svc00000:80", svc00000.ns.svc, "svc00000.ns.svc:80", svc00000.ns, "svc00000.ns:80", 10.96.000.000, "10.96.000.000:80"]
include_request_attempt_count: true
routes:
- name: canary
  match: {prefix: /, headers: [{name: x-canary, string_match: {exact: "1"}}]}
  decorator: {operation: "svc00000.ns.svc.cluster.local:80/*"}
  metadata: {filter_metadata: {istio: {config: /apis/networking.istio.io/v1/namespaces/ns/virtual-service/svc00000}}}
  route: &to
    cluster: "outbound|80|v2|svc00000.ns.svc.cluster.local"
    timeout: 0s
    max_grpc_timeout: 0s
    retry_policy:
      retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
      num_retries: 2
      retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]
      host_selection_retry_max_attempts: 5
- name: default
  match: {prefix: /}
  decorator: {operation: "svc00000.ns.svc.cluster.local:80/*"}
  route: *to
`
	one := configPB(t, "virtual_hosts:\n- "+strings.TrimSpace(strings.ReplaceAll(host, "\n", "\n  "))).VirtualHosts[0]
	wire, err := proto.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	rc := &routepb.RouteConfiguration{Name: "80"}
	for i := range n {
		// All names are equally long, so the bytes can be changed where they are.
		b := bytes.ReplaceAll(wire, []byte("svc00000"), fmt.Appendf(nil, "svc%05d", i))
		b = bytes.ReplaceAll(b, []byte("10.96.000.000"), fmt.Appendf(nil, "10.96.%03d.%03d", i/250, i%250))
		v := &routepb.VirtualHost{}
		if err := proto.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
		rc.VirtualHosts = append(rc.VirtualHosts, v)
	}
	return rc
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMemoryOfAMesh(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	const hosts = 5000
	raw, err := proto.Marshal(meshConfig(t, hosts))
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	a := &anypb.Any{TypeUrl: URL, Value: raw}
	_, table, err := Type(Options{}).Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	each := int64(heap()-before) / hosts
	t.Logf("%d bytes a virtual host; on the wire it is %d", each, len(raw)/hosts)
	if each > 3<<10 {
		t.Errorf("%d bytes a virtual host", each)
	}
	runtime.KeepAlive(table)
	runtime.KeepAlive(a)
}

func BenchmarkCompileMesh(b *testing.B) {
	rc := meshConfig(b, 500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(rc, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
