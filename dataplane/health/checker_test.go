package health

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

const httpCheck = `{"timeout":"1s","interval":"10s","unhealthy_threshold":2,"healthy_threshold":3,"http_health_check":{"path":"/hc"}}`

func TestFirstSuccessIsEnoughThenThresholdsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, httpCheck)
		h := testHost(1)
		c.mu.Lock() // the first check waits
		c.k.Add(h, true)
		if h.Flags() != endpoint.FailedActiveHC {
			t.Error("a host fails until it was checked")
		}
		c.mu.Unlock()
		pass(time.Second)
		c.wantChanges("P")
		c.set(answer{refuse: true})
		pass(10 * time.Second)
		c.wantChanges("P-")
		pass(10 * time.Second)
		c.wantChanges("P-F")
		c.set(answer{status: 200})
		pass(20 * time.Second)
		c.wantChanges("P-F++")
		if h.Flags() != endpoint.FailedActiveHC {
			t.Error(h.Flags())
		}
		pass(10 * time.Second)
		c.wantChanges("P-F++P")
		if h.Flags() != 0 || c.stats.Healthy.Value() != 1 || c.stats.Attempt.Value() != 6 || c.stats.Success.Value() != 4 || c.stats.Failure.Value() != 2 || c.stats.NetworkFailure.Value() != 2 {
			t.Error("stats")
		}
		if len(c.requests) != 4 || c.requests[0] != "GET http://c/hc user-agent=Envoy/HC" {
			t.Error(c.requests)
		}
	})
}

func TestUnexpectedStatusFailsAtOnceRetriableOnesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_threshold":3,"healthy_threshold":1,"http_health_check":{"path":"/","expected_statuses":[{"start":200,"end":300}],"retriable_statuses":[{"start":500,"end":501}]}}`)
		h := testHost(1)
		c.k.Add(h, true)
		c.set(answer{status: 204})
		pass(time.Second)
		c.set(answer{status: 500})
		pass(20 * time.Second)
		c.wantChanges("P--")
		c.set(answer{status: 404})
		pass(10 * time.Second)
		c.wantChanges("P--F")
		c.set(answer{status: 200})
		pass(10 * time.Second)
		c.wantChanges("P--FP")
		c.set(answer{status: 200, headers: [][2]string{{"x-envoy-degraded", ""}}})
		pass(10 * time.Second)
		if h.Flags() != endpoint.DegradedActiveHC || c.stats.Degraded.Value() != 1 {
			t.Error(h.Flags())
		}
		c.set(answer{status: 200, headers: [][2]string{{"x-envoy-immediate-health-check-fail", "true"}}})
		pass(10 * time.Second)
		c.wantChanges("P--FPPF")
	})
}

func TestTimeoutIsANetworkFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, httpCheck)
		h := testHost(1)
		c.set(answer{hang: true})
		c.k.Add(h, true)
		pass(1500 * time.Millisecond)
		if h.Flags() != endpoint.FailedActiveHC|endpoint.ActiveHCTimeout || c.stats.NetworkFailure.Value() != 1 {
			t.Error(h.Flags())
		}
		c.set(answer{status: 200})
		pass(30 * time.Second)
		if h.Flags() != 0 {
			t.Error(h.Flags())
		}
	})
}

func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_interval":"20s","unhealthy_edge_interval":"3s","healthy_edge_interval":"4s","no_traffic_interval":"60s","no_traffic_healthy_interval":"50s","unhealthy_threshold":2,"healthy_threshold":2,"tcp_health_check":{}}`)
		c.traffic = false
		k := c.k
		for _, x := range []struct {
			traffic, passed bool
			t               transition
			want            time.Duration
		}{
			{false, true, changedState, 50}, {false, false, unchanged, 60}, {false, true, pending, 60},
			{true, true, unchanged, 10}, {true, true, pending, 4}, {true, false, pending, 3}, {true, false, changedState, 20}, {true, false, unchanged, 20},
		} {
			c.traffic = x.traffic
			if got := k.interval(x.passed, x.t); got != x.want*time.Second {
				t.Errorf("%+v: %v", x, got)
			}
		}
		k.check.IntervalJitter, k.check.IntervalPercent = time.Second, 50
		for range 100 {
			if got := k.interval(true, unchanged); got < 10*time.Second || got > 16*time.Second {
				t.Error(got)
			}
		}
	})
}

func TestHTTPRequestAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_threshold":1,"healthy_threshold":1,"reuse_connection":false,"http_health_check":{"path":"/x","host":"h.example","method":"POST","send":{"text":"6869"},"receive":[{"text":"61"},{"text":"63"}],
			"request_headers_to_add":[{"header":{"key":"X-A","value":"1%%"}},{"header":{"key":"user-agent","value":"mine"},"append_action":"OVERWRITE_IF_EXISTS"}],"request_headers_to_remove":["X-B"],"service_name_matcher":{"prefix":"svc"}}}`)
		e := *testHost(1).Endpoint()
		e.HealthCheck.Hostname = "own.example"
		h := endpoint.NewHost("c", &e, nil, time.Now())
		c.set(answer{status: 200, body: "a b c", headers: [][2]string{{"x-envoy-upstream-healthchecked-cluster", "svc1"}}})
		c.k.Add(h, true)
		pass(time.Second)
		if want := "POST http://own.example/x user-agent=mine content-length=2 x-a=1%"; c.requests[0] != want || c.requests[1] != "hi" {
			t.Errorf("%q", c.requests)
		}
		c.set(answer{status: 200, body: "c b a", headers: [][2]string{{"x-envoy-upstream-healthchecked-cluster", "svc1"}}})
		pass(10 * time.Second)
		c.set(answer{status: 200, body: "abc", headers: [][2]string{{"x-envoy-upstream-healthchecked-cluster", "other"}}})
		pass(10 * time.Second)
		c.wantChanges("PF-")
		if c.pools != 3 || c.stats.VerifyCluster.Value() != 2 {
			t.Error("pools", c.pools, "verify_cluster", c.stats.VerifyCluster.Value())
		}
	})
}

func TestTCPCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_threshold":1,"healthy_threshold":1,"tcp_health_check":{"send":{"text":"70"},"receive":[{"text":"6f"},{"text":"6b"}]}}`)
		conns := 0
		c.server = func(n net.Conn) {
			conns++
			for {
				b := make([]byte, 1)
				if _, err := n.Read(b); err != nil {
					return
				}
				_, _ = n.Write([]byte("o"))
				_, _ = n.Write([]byte("__k"))
			}
		}
		h := testHost(1)
		c.k.Add(h, true)
		pass(11 * time.Second)
		c.wantChanges("P+")
		if conns != 1 {
			t.Error("the connection is reused", conns)
		}
		c.set(answer{refuse: true})
		c.k.Close()
	})
}

func TestGRPCCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_threshold":1,"healthy_threshold":1,"grpc_health_check":{"service_name":"s","authority":"a"}}`)
		reply := func(s healthpb.HealthCheckResponse_ServingStatus) string {
			m, _ := proto.Marshal(&healthpb.HealthCheckResponse{Status: s})
			return string(frame(m))
		}
		c.set(answer{status: 200, body: reply(healthpb.HealthCheckResponse_SERVING), trailer: "0"})
		c.k.Add(testHost(1), true)
		pass(time.Second)
		c.set(answer{status: 200, body: reply(healthpb.HealthCheckResponse_NOT_SERVING), trailer: "0"})
		pass(10 * time.Second)
		c.set(answer{status: 200, headers: [][2]string{{"grpc-status", "12"}}})
		pass(10 * time.Second)
		c.wantChanges("PF-")
		if c.requests[0] != "POST http://a/grpc.health.v1.Health/Check te=trailers content-type=application/grpc user-agent=Envoy/HC" || c.requests[1] != "\x00\x00\x00\x00\x03\n\x01s" {
			t.Errorf("%q", c.requests)
		}
	})
}

func TestImmediateFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, httpCheck)
		h := testHost(1)
		c.k.Add(h, false)
		pass(time.Second)
		c.wantChanges("+")
		c.k.Fail(h)
		if h.Flags() != endpoint.FailedActiveHC|endpoint.ExcludedViaImmediateHCFail || c.stats.PassiveFailure.Value() != 1 || c.stats.Healthy.Value() != 0 {
			t.Error(h.Flags())
		}
		pass(30 * time.Second)
		if h.Flags() != 0 || c.stats.Healthy.Value() != 1 {
			t.Error(h.Flags())
		}
		c.k.Remove(h)
		if c.stats.Healthy.Value() != 0 {
			t.Error("the gauge goes with the host")
		}
	})
}

// The lines are those of envoy-1.40 but for times and addresses.
func TestCheckEventLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, `{"timeout":"1s","interval":"10s","unhealthy_threshold":1,"healthy_threshold":1,"always_log_health_check_success":true,"http_health_check":{"path":"/"}}`)
		c.set(answer{refuse: true})
		c.k.Add(testHost(1), true)
		pass(time.Second)
		common := func(second, event string) string {
			return `{"health_checker_type":"HTTP","host":{"socket_address":{"protocol":"TCP","address":"10.0.0.1","port_value":80,"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}},"cluster_name":"c",` +
				`"timestamp":"2000-01-01T00:00:` + second + `Z",` + event + `,"locality":{"region":"","zone":"","sub_zone":""}}` + "\n"
		}
		want := common("00", `"health_check_failure_event":{"failure_type":"NETWORK","first_check":true,"http_status_code":0}`)
		if got := normal(c.log.String()); got != normal(want) {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		c.set(answer{status: 200})
		pass(10 * time.Second)
		c.set(answer{status: 503})
		pass(10 * time.Second)
		want += common("10", `"add_healthy_event":{"first_check":false}`) + common("10", `"successful_health_check_event":{}`) + common("20", `"eject_unhealthy_event":{"failure_type":"ACTIVE","http_status_code":503}`)
		if got := normal(c.log.String()); got != normal(want) {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

// normal writes each line's fields in one order: Go's and C++'s writers differ in where they put those of
// a oneof.
func normal(log string) string {
	var out strings.Builder
	for line := range strings.Lines(log) {
		var fields map[string]any
		_ = json.Unmarshal([]byte(line), &fields)
		sorted, _ := json.Marshal(fields)
		out.Write(append(sorted, '\n'))
	}
	return out.String()
}

func TestCompileChecksRefuseInEnvoysWords(t *testing.T) {
	for config, want := range map[string]string{
		`{"http_health_check":{"path":"/","expected_statuses":[{"start":50,"end":300}]}}`:                   "Invalid http expected status range: expecting start >= 100, but found start=50",
		`{"http_health_check":{"path":"/","expected_statuses":[{"start":200,"end":700}]}}`:                  "Invalid http expected status range: expecting end <= 600, but found end=700",
		`{"http_health_check":{"path":"/","expected_statuses":[{"start":200,"end":200}]}}`:                  "Invalid http expected status range: expecting start < end, but found start=200 and end=200",
		`{"http_health_check":{"path":"/","retriable_statuses":[{"start":20,"end":300}]}}`:                  "Invalid http retriable status range: expecting start >= 100, but found start=20",
		`{"http_health_check":{"path":"/","send":{"text":"00"}}}`:                                           "HTTP health check cannot specify a request payload with method 'GET'. Only methods that support a request body (POST, PUT, PATCH, OPTIONS) can be used with payload.",
		`{"http_health_check":{"path":"/","method":"POST","send":{"text":"zz"}}}`:                           "invalid hex string 'zz'",
		`{"http_health_check":{"path":"/","request_headers_to_add":[{"header":{"key":":x","value":"y"}}]}}`: ":-prefixed or host headers may not be modified",
		`{"http_health_check":{"path":"/","codec_client_type":"HTTP3"}}`:                                    "field HttpHealthCheck.codec_client_type HTTP3 is not supported",
		`{"tcp_health_check":{"proxy_protocol_config":{}}}`:                                                 "field TcpHealthCheck.proxy_protocol_config is not supported",
		`{"custom_health_check":{"name":"x"}}`:                                                              "field HealthCheck.custom_health_check (x) is not supported",
	} {
		p := &corepb.HealthCheck{}
		if err := protojson.Unmarshal([]byte(config), p); err != nil {
			t.Fatal(err)
		}
		if _, err := CompileChecks([]*corepb.HealthCheck{p}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", config, err, want)
		}
	}
	if _, err := CompileChecks([]*corepb.HealthCheck{{}, {}}); err == nil || err.Error() != "health check at index 0 is missing a name; all health checks must have a name when multiple health checks are configured" {
		t.Error(err)
	}
}
