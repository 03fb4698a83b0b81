package health

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

type outlierTest struct {
	t       *testing.T
	d       *Detector
	hosts   []*endpoint.Host
	stats   OutlierStats
	log     lockedBuffer
	changes atomic.Int32
}

func newOutlierTest(t *testing.T, hosts int, config string) *outlierTest {
	t.Helper()
	p := &clusterpb.OutlierDetection{}
	if err := protojson.Unmarshal([]byte(config), p); err != nil {
		t.Fatal(err)
	}
	c, err := CompileOutlier(p)
	if err != nil {
		t.Fatal(err)
	}
	o := &outlierTest{t: t}
	stats.Bind(stats.NewStore(1).Scope("cluster.c.outlier_detection"), &o.stats)
	o.d = NewDetector(c, OutlierEnv{Cluster: "c", Stats: &o.stats, Runtime: runtime.New(), Log: &o.log, OnChange: func(*endpoint.Host) { o.changes.Add(1) }})
	t.Cleanup(o.d.Close)
	for i := range hosts {
		h := testHost(byte(i))
		o.hosts = append(o.hosts, h)
		o.d.Add(h)
	}
	return o
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func testHost(i byte) *endpoint.Host {
	return endpoint.NewHost("c", &endpoint.Endpoint{Address: endpoint.IPAddress(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 80)), Weight: 1}, nil, time.Now())
}

// codes reports n responses with a status on a host.
func (o *outlierTest) codes(host, n, code int) {
	for range n {
		o.hosts[host].Monitor().PutCode(code)
	}
}

// want checks which hosts are ejected: "x..", the first one of three.
func (o *outlierTest) want(ejected string) {
	o.t.Helper()
	got := ""
	for _, h := range o.hosts {
		if h.Flags()&endpoint.FailedOutlierCheck != 0 {
			got += "x"
		} else {
			got += "."
		}
	}
	if got != ejected {
		o.t.Errorf("ejected %s, want %s", got, ejected)
	}
	if n := strings.Count(ejected, "x"); o.stats.Active.Value() != uint64(n) {
		o.t.Errorf("ejections_active %d, want %d", o.stats.Active.Value(), n)
	}
}

func TestConsecutive5xxEjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 2, `{"consecutive_5xx":3,"max_ejection_percent":50,"base_ejection_time":"5s","interval":"1s"}`)
		o.codes(0, 2, 500)
		o.codes(0, 1, 200)
		o.codes(0, 2, 500)
		o.want("..")
		o.codes(0, 1, 503)
		o.want("x.")
		// The other one is over max_ejection_percent.
		o.codes(1, 3, 500)
		o.want("x.")
		if o.stats.Overflow.Value() != 1 || o.stats.EnforcedConsecutive5xx.Value() != 1 || o.stats.DetectedConsecutive5xx.Value() != 2 || o.stats.EnforcedTotal.Value() != 1 || o.stats.Total.Value() != 1 {
			t.Errorf("stats")
		}
		pass(4500 * time.Millisecond)
		o.want("x.")
		pass(time.Second)
		o.want("..")
		if n := o.changes.Load(); n != 2 {
			t.Error("changes", n)
		}
		// The second time it is out for twice as long.
		o.codes(0, 3, 500)
		pass(9 * time.Second)
		o.want("x.")
		pass(2 * time.Second)
		o.want("..")
		// Having done well for an interval each, its time shrinks again.
		pass(5 * time.Second)
		o.codes(0, 3, 500)
		pass(6 * time.Second)
		o.want("..")
	})
}

// The lines are those of envoy-1.40 but for the times.
func TestOutlierEventLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 2, `{"consecutive_5xx":2,"max_ejection_percent":100,"base_ejection_time":"1s","interval":"1s"}`)
		o.codes(0, 2, 500)
		pass(2 * time.Second)
		want := `{"type":"CONSECUTIVE_5XX","timestamp":"2000-01-01T00:00:00Z","cluster_name":"c","upstream_url":"10.0.0.0:80","action":"EJECT","num_ejections":1,"enforced":true,"eject_consecutive_event":{}}
{"type":"CONSECUTIVE_5XX","timestamp":"2000-01-01T00:00:01Z","secs_since_last_action":"1","cluster_name":"c","upstream_url":"10.0.0.0:80","action":"UNEJECT","num_ejections":1,"enforced":false}
`
		if got := o.log.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestGatewayFailuresAreNotEnforcedByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 1, `{"consecutive_5xx":100,"max_ejection_percent":100,"consecutive_gateway_failure":2}`)
		o.codes(0, 1, 502)
		o.codes(0, 1, 500)
		o.codes(0, 2, 504)
		o.want(".")
		if o.stats.DetectedConsecutiveGateway.Value() != 1 {
			t.Error("detected", o.stats.DetectedConsecutiveGateway.Value())
		}
		o.codes(0, 2, 504) // the next bout
		if o.stats.DetectedConsecutiveGateway.Value() != 2 {
			t.Error("detected", o.stats.DetectedConsecutiveGateway.Value())
		}
		o = newOutlierTest(t, 1, `{"consecutive_5xx":100,"max_ejection_percent":100,"consecutive_gateway_failure":2,"enforcing_consecutive_gateway_failure":100}`)
		o.codes(0, 2, 503)
		o.want("x")
	})
}

func TestLocalOriginIsTheSameUnlessSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		put := func(o *outlierTest, r ...endpoint.Result) {
			for _, x := range r {
				o.hosts[0].Monitor().PutResult(x)
			}
		}
		o := newOutlierTest(t, 1, `{"consecutive_5xx":3,"max_ejection_percent":100,"consecutive_local_origin_failure":2}`)
		put(o, endpoint.ConnectFailed, endpoint.ConnectSuccess, endpoint.LocalTimeout)
		o.want(".")
		put(o, endpoint.RequestFailed)
		o.want("x")

		o = newOutlierTest(t, 1, `{"consecutive_5xx":3,"max_ejection_percent":100,"consecutive_local_origin_failure":2,"split_external_local_origin_errors":true}`)
		put(o, endpoint.ConnectFailed, endpoint.ConnectSuccess, endpoint.LocalTimeout)
		o.want(".")
		put(o, endpoint.ConnectFailed)
		o.want("x")
		if o.stats.EnforcedConsecutiveLocalOrigin.Value() != 1 {
			t.Error("stats")
		}
	})
}

func TestSuccessRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 6, `{"max_ejection_percent":100,"interval":"10s","base_ejection_time":"100s"}`)
		for i := range 5 {
			o.codes(i, 100, 200)
		}
		for range 50 {
			o.codes(5, 1, 200)
			o.codes(5, 1, 500)
		}
		pass(10 * time.Second)
		// Mean 91.7, standard deviation 18.6: the threshold is 56.3.
		o.want(".....x")
		external, local := o.d.Thresholds()
		if external.Average < 91 || external.Average > 92 || external.Ejection < 56 || external.Ejection > 57 || local != (Thresholds{-1, -1}) {
			t.Error(external, local)
		}
		if e, l := o.hosts[5].Monitor().SuccessRates(); e != 50 || l != -1 {
			t.Error(e, l)
		}
		if o.stats.EnforcedSuccessRate.Value() != 1 || o.stats.SuccessRate.Value() != 1 || !strings.Contains(o.log.String(), `"eject_success_rate_event":{"host_success_rate":50,"cluster_average_success_rate":91,"cluster_success_rate_ejection_threshold":56}`) {
			t.Error(o.log.String())
		}
		pass(10 * time.Second)
		if external, _ := o.d.Thresholds(); external != (Thresholds{-1, -1}) {
			t.Error("no requests in this interval")
		}
	})
}

func TestFailurePercentage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 3, `{"max_ejection_percent":100,"interval":"10s","enforcing_failure_percentage":100,"failure_percentage_threshold":50,"failure_percentage_minimum_hosts":3,"failure_percentage_request_volume":10,"consecutive_5xx":1000}`)
		o.codes(0, 10, 200)
		o.codes(1, 6, 500)
		o.codes(1, 4, 200)
		o.codes(2, 9, 500) // too few requests
		pass(10 * time.Second)
		o.want("...")
		o.codes(0, 10, 200)
		o.codes(1, 6, 500)
		o.codes(1, 4, 200)
		o.codes(2, 10, 200)
		pass(10 * time.Second)
		o.want(".x.")
	})
}

func TestAlwaysEjectOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 2, `{"consecutive_5xx":1,"always_eject_one_host":true}`)
		o.codes(0, 1, 500)
		o.codes(1, 1, 500)
		o.want("x.")
		o.d.Remove(o.hosts[0])
		if o.stats.Active.Value() != 0 {
			t.Error("an ejected host that is removed is not active any more")
		}
		o.hosts[0].Monitor().PutCode(500) // a late answer
	})
}

func TestPassedHealthCheckUnejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 1, `{"consecutive_5xx":1,"max_ejection_percent":100}`)
		o.codes(0, 1, 500)
		o.d.Passed(o.hosts[0])
		o.want(".")
		o = newOutlierTest(t, 1, `{"consecutive_5xx":1,"max_ejection_percent":100,"successful_active_health_check_uneject_host":false}`)
		o.codes(0, 1, 500)
		o.d.Passed(o.hosts[0])
		o.want("x")
	})
}

func TestDegradedHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 1, `{"detect_degraded_hosts":true,"base_ejection_time":"5s","interval":"1s"}`)
		o.hosts[0].Monitor().PutDegraded()
		o.hosts[0].Monitor().PutDegraded()
		if o.hosts[0].Flags() != endpoint.DegradedOutlierDetection || o.stats.DetectedDegradation.Value() != 1 || o.changes.Load() != 1 {
			t.Error(o.hosts[0].Flags())
		}
		pass(6 * time.Second)
		if o.hosts[0].Flags() != 0 {
			t.Error(o.hosts[0].Flags())
		}
		o = newOutlierTest(t, 1, `{}`)
		o.hosts[0].Monitor().PutDegraded()
		if o.hosts[0].Flags() != 0 {
			t.Error("not asked for")
		}
	})
}

func TestMonitorDoesNotAllocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlierTest(t, 1, `{"consecutive_5xx":100}`)
		m := o.hosts[0].Monitor()
		if n := testing.AllocsPerRun(100, func() { m.PutCode(200); m.PutCode(503); m.PutResult(endpoint.ConnectSuccess) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestCompileOutlierRefuses(t *testing.T) {
	for config, want := range map[string]string{
		`{"max_ejection_time":"1s"}`:  "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
		`{"monitors":[{"name":"x"}]}`: "field OutlierDetection.monitors is not supported",
	} {
		p := &clusterpb.OutlierDetection{}
		if err := protojson.Unmarshal([]byte(config), p); err != nil {
			t.Fatal(err)
		}
		if _, err := CompileOutlier(p); err == nil || err.Error() != want {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// pass lets d go by, and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
