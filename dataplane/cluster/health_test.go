package cluster

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// checkable makes health checks of the addresses in up succeed.
type checkable struct {
	mu sync.Mutex
	up map[string]bool
}

func (c *checkable) set(addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = map[string]bool{}
	for _, a := range addresses {
		c.up["10.0.0."+a+":80"] = true
	}
}

func (c *checkable) options(o *ManagerOptions) {
	inner := o.NewPool
	o.NewPool = func(cfg pool.Config) pool.Pool { return &checkablePool{Pool: inner(cfg), c: c, cfg: cfg} }
}

type checkablePool struct {
	pool.Pool
	c   *checkable
	cfg pool.Config
}

func (p *checkablePool) Ready(stats.Worker) pool.Stream { return &answered{c: p.c} }

// answered is a stream that has a response.
type answered struct {
	pool.Stream
	address string
	c       *checkable
}

func (a *answered) SetDeadline(time.Time) {}
func (a *answered) Cancel()               {}
func (a *answered) Close()                {}
func (a *answered) SendHeaders(h *header.Map, _ bool) *pool.Error {
	a.address = h.Authority
	return nil
}

func (a *answered) ReadHeaders(h *header.Map) (bool, *pool.Error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	h.Status = 503
	if a.c.up[a.address] {
		h.Status = 200
	}
	return true, nil
}

const checked = `,"health_checks":[{"timeout":"1s","interval":"5s","no_traffic_interval":"5s","unhealthy_threshold":1,"healthy_threshold":1,"http_health_check":{"path":"/"}}]`

// checkedEDS is an assignment whose hosts are asked for their own addresses.
func checkedEDS(hosts ...string) string {
	var list []string
	for _, n := range hosts {
		list = append(list, `{"endpoint":{"address":{"socket_address":{"address":"10.0.0.`+n+`","port_value":80}},"health_check_config":{"hostname":"10.0.0.`+n+`:80"}}}`)
	}
	return `{"cluster_name":"e","endpoints":[{"lb_endpoints":[` + strings.Join(list, ",") + `]}]}`
}

func healthy(c *Cluster) string {
	var out []string
	for _, h := range c.HostSet().Priorities[0].Healthy {
		out = append(out, strings.TrimPrefix(strings.TrimSuffix(h.String(), ":80"), "10.0.0."))
	}
	return strings.Join(out, " ")
}

func TestHealthChecksDecideWhoServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &checkable{}
		k.set("1")
		k.mu.Lock() // the first checks wait
		f := newFixture(t, k.options).put(edsCluster + checked + `}`).assign(checkedEDS("1", "2")).apply()
		if f.m.Set().Get("e") != nil {
			t.Error("it is in the set before its hosts are checked")
		}
		k.mu.Unlock()
		synctest.Wait()
		c := f.get("e")
		if got := healthy(c); got != "1" || f.warm != 1 {
			t.Error(got)
		}
		f.want("e.membership_healthy", 1)
		f.want("e.health_check.healthy", 1)
		k.set("1", "2")
		pass(6 * time.Second)
		if got := healthy(c); got != "1 2" {
			t.Error(got)
		}
		p := c.Pool(c.HostSet().Hosts[0], pool.Options{})
		// A new host has to pass first; those that are known need not.
		f.assign(checkedEDS("1", "2", "3")).apply()
		synctest.Wait()
		if got := healthy(c); got != "1 2" {
			t.Error(got)
		}
		// A host that discovery drops stays while it passes, unless ignore_health_on_host_removal.
		f.assign(checkedEDS("2")).apply()
		if got := addresses(c); got != "2 1" || c.HostSet().Hosts[1].Flags() != endpoint.PendingDynamicRemoval {
			t.Error(got)
		}
		k.set("2")
		pass(6 * time.Second)
		if got := addresses(c); got != "2" || !testPoolOf(p).drained() {
			t.Error(got)
		}
		f.put(edsCluster + checked + `,"ignore_health_on_host_removal":true}`).assign(checkedEDS("9")).apply()
		if got := addresses(c); got != "9" {
			t.Error(got)
		}
		// Without checks everybody is healthy.
		f.put(edsCluster + `}`).apply()
		if got := healthy(f.get("e")); got != "9" {
			t.Error(got)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func testPoolOf(p pool.Pool) *testPool { return p.(*checkablePool).Pool.(*testPool) }

func (p *testPool) drained() bool {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return p.drains > 0
}

func (p *testPool) closed() bool {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return p.closes > 0
}

func TestHostThatFailsItsChecksLosesItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &checkable{}
		k.set("1")
		f := newFixture(t, k.options).put(edsCluster + checked + `,"close_connections_on_host_health_failure":true,"common_lb_config":{"ignore_new_hosts_until_first_hc":true}}`).assign(checkedEDS("1")).apply()
		synctest.Wait()
		c := f.get("e")
		p := testPoolOf(c.Pool(c.HostSet().Hosts[0], pool.Options{}))
		k.mu.Lock() // no check ends
		f.assign(checkedEDS("1", "2")).apply()
		if got := c.HostSet().Hosts[1].Flags(); got != endpoint.FailedActiveHC|endpoint.PendingActiveHC {
			t.Error(got)
		}
		f.want("e.membership_excluded", 1)
		k.mu.Unlock()
		synctest.Wait()
		f.want("e.membership_excluded", 0)
		k.set()
		pass(6 * time.Second)
		if !p.closed() {
			t.Error("its connections are open")
		}
		k.set("1")
		pass(6 * time.Second)
		c.ImmediateFail(c.HostSet().Hosts[0])
		if got := c.HostSet().Hosts[0].Flags(); got != endpoint.FailedActiveHC|endpoint.ExcludedViaImmediateHCFail {
			t.Error(got)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestOutlierEjectionMovesTheTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFixture(t, func(o *ManagerOptions) {
			o.OutlierLog = "x"
			o.OpenLog = func(string) (io.Writer, error) { return &log, nil }
		}).put(edsCluster + `,"outlier_detection":{"consecutive_5xx":2,"max_ejection_percent":100,"interval":"1s","base_ejection_time":"3s"}}`).assign(eds("1", "2", "3")).apply()
		c := f.get("e")
		h := c.Pick(&lb.Context{})
		h.PutCode(500)
		h.PutCode(500)
		for range 10 {
			if c.Pick(&lb.Context{}) == h {
				t.Fatal("it is ejected")
			}
		}
		f.want("e.membership_healthy", 2)
		f.want("e.outlier_detection.ejections_active", 1)
		// The ejection outlives updates of endpoints, and of the cluster.
		f.assign(eds("1", "2", "3", "4")).put(edsCluster + `,"lb_policy":"RANDOM","outlier_detection":{"consecutive_5xx":2,"max_ejection_percent":100,"interval":"1s","base_ejection_time":"3s"}}`).apply()
		f.want("e.outlier_detection.ejections_active", 1)
		if h.Flags() != endpoint.FailedOutlierCheck {
			t.Error(h.Flags())
		}
		pass(5 * time.Second)
		f.want("e.outlier_detection.ejections_active", 0)
		f.want("e.membership_healthy", 4)
		if !strings.Contains(log.String(), `"action":"EJECT"`) || !strings.Contains(log.String(), `"action":"UNEJECT"`) {
			t.Error(log.String())
		}
		// Nobody is left ejected when outlier detection is taken away.
		h.PutCode(500)
		h.PutCode(500)
		f.put(edsCluster + `}`).apply()
		if h.Flags() != 0 || h.Monitor() != nil {
			t.Error(h.Flags())
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestStaleAssignmentIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := strings.Replace(eds("1"), `"endpoints"`, `"policy":{"endpoint_stale_after":"10s"},"endpoints"`, 1)
		f := newFixture(t, nil).put(edsCluster + `}`).assign(a).apply()
		c := f.get("e")
		pass(9 * time.Second)
		if c.Pick(&lb.Context{}) == nil {
			t.Error("it is not stale yet")
		}
		pass(2 * time.Second)
		if c.Pick(&lb.Context{}) != nil {
			t.Error("it is stale")
		}
		f.want("e.assignment_stale", 1)
		f.want("e.assignment_timeout_received", 1)
		f.assign(eds("2")).apply()
		pass(time.Minute)
		if c.Pick(&lb.Context{}) == nil {
			t.Error("the next one does not get stale")
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestZoneAwareRoutingFollowsTheLocalCluster(t *testing.T) {
	zone := func(z string, n int) string {
		var list []string
		for i := range n {
			list = append(list, `{"endpoint":{"address":{"socket_address":{"address":"10.`+string(rune('0'+z[0]-'a'))+`.`+string(rune('0'+i))+`.1","port_value":80}}}}`)
		}
		return `{"locality":{"zone":"` + z + `"},"lb_endpoints":[` + strings.Join(list, ",") + `]}`
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *ManagerOptions) { o.Locality, o.LocalCluster = &endpoint.Locality{Zone: "a"}, "e" })
		f.put(edsCluster+`}`, bare(`"common_lb_config":{"zone_aware_lb_config":{"min_cluster_size":1}},"load_assignment":{"cluster_name":"c","endpoints":[`+zone("a", 3)+`,`+zone("b", 3)+`]}`))
		f.assign(`{"cluster_name":"e","endpoints":[` + zone("a", 1) + `,` + zone("b", 1) + `]}`).apply()
		c := f.get("c")
		c.Pick(&lb.Context{})
		synctest.Wait()
		for range 50 {
			if z := c.Pick(&lb.Context{}).Endpoint().Locality.Zone; z != "a" {
				t.Fatal(z)
			}
		}
		// There is nobody in our own zone any more, so that the numbers say nothing.
		f.assign(`{"cluster_name":"e","endpoints":[` + zone("b", 2) + `]}`).apply()
		synctest.Wait()
		seen := map[string]bool{}
		for range 50 {
			seen[c.Pick(&lb.Context{}).Endpoint().Locality.Zone] = true
		}
		if len(seen) != 2 {
			t.Error(seen)
		}
		f.m.Close()
		synctest.Wait()
	})
}
