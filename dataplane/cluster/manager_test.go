package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

func TestUntouchedClusterIsNotBuilt(t *testing.T) {
	f := newFixture(t, nil).put(with(`"circuit_breakers":{"thresholds":[{"max_requests":4294967295,"track_remaining":true}]},"outlier_detection":{}`)).apply()
	c := f.get("c")
	if c.live.Load() != nil || c.Config().spec.Load() != nil {
		t.Fatal("it has been built")
	}
	f.want("c.membership_total", 1)
	f.want("c.membership_healthy", 1)
	f.want("c.membership_change", 1)
	f.want("c.upstream_rq_total", 0)
	f.want("c.circuit_breakers.default.remaining_rq", 4294967295)
	f.want("c.circuit_breakers.default.remaining_cx", 1024)
	f.want("cluster_manager.active_clusters", 1)
	f.want("cluster_manager.cluster_added", 1)
	if got := f.m.Statuses(); len(got) != 1 || len(got[0].Hosts) != 1 || c.live.Load() != nil || c.Config().spec.Load() != nil {
		t.Error("/clusters has woken it")
	}
	h := c.Pick(&lb.Context{Worker: 1})
	if h == nil || h.String() != "127.0.0.1:80" || c.live.Load() == nil {
		t.Fatal("the first pick builds it", h)
	}
	f.want("c.membership_change", 1)
	f.want("c.membership_total", 1)
	f.want("c.default.total_match_count", 1)
	f.want("c.outlier_detection.ejections_active", 0)
	if n := testing.AllocsPerRun(100, func() { c.Pick(&lb.Context{Worker: 1, Random: 1}) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	ctx := &lb.Context{Worker: 1}
	if n := testing.AllocsPerRun(100, func() {
		c.Pick(ctx)
		c.Pool(h, pool.Options{})
		c.Stats().RqTotal.Inc(1)
		c.Breakers(false).Requests.CanCreate()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNoHostIsCounted(t *testing.T) {
	f := newFixture(t, nil).put(bare(`"type":"STATIC"`)).apply()
	if f.get("c").Pick(&lb.Context{}) != nil {
		t.Error("a host from nowhere")
	}
	f.want("c.upstream_cx_none_healthy", 1)
}

func TestEDSUpdateKeepsHostsWithAllTheyHave(t *testing.T) {
	f := newFixture(t, nil).put(edsCluster + `}`).assign(eds("1", "2", "3", "3")).apply()
	c := f.get("e")
	if got := addresses(c); got != "1 2 3" {
		t.Fatal("an address counts once", got)
	}
	hosts := c.HostSet().Hosts
	p := c.Pool(hosts[0], pool.Options{})
	gone := c.Pool(hosts[1], pool.Options{}).(*testPool)
	hosts[0].SetFlags(endpoint.FailedOutlierCheck, endpoint.FailedOutlierCheck)
	hosts[0].Stats.RqTotal.Inc()
	f.assign(eds(`1 "load_balancing_weight":5`, "4")).apply()
	if got := addresses(c); got != "1 4" {
		t.Error(got)
	}
	h := c.HostSet().Hosts[0]
	if h != hosts[0] || c.Pool(h, pool.Options{}) != p || h.Flags() != endpoint.FailedOutlierCheck || h.Stats.RqTotal.Value() != 1 || h.Weight() != 5 {
		t.Error("the host that stays is another one")
	}
	if gone.drains != 1 || !hosts[1].Gone() {
		t.Error("the host that went is not drained")
	}
	late := c.Pool(hosts[1], pool.Options{}).(*testPool)
	if late == gone || late.cfg.MaxRequests != 1 {
		t.Error("whoever had picked it gets connections for one request")
	}
	f.want("e.membership_total", 2)
	f.want("e.membership_healthy", 1)
	f.want("e.membership_change", 2)
	f.want("e.max_host_weight", 5)
	f.want("e.update_success", 2)
	f.assign(eds()).apply()
	if c.Pick(&lb.Context{}) != nil {
		t.Error("an empty assignment has no hosts")
	}
	f.want("e.update_empty", 1)
}

func TestEDSClusterWaitsForItsAssignment(t *testing.T) {
	f := newFixture(t, nil).put(edsCluster + `}`).apply()
	if f.m.Set().Get("e") != nil || f.m.Warming() != 1 {
		t.Error("it is in the set before it has endpoints")
	}
	f.want("cluster_manager.warming_clusters", 1)
	f.assign(eds("1")).apply()
	f.get("e")
	f.want("e.membership_total", 1)
	f.want("cluster_manager.warming_clusters", 0)
	// An assignment that was given up makes a cluster without hosts.
	g := newFixture(t, nil).put(edsCluster + `}`)
	g.s = g.s.WithWaited(xds.Ref{TypeURL: xds.EndpointURL, Name: "e", Timeout: 15 * time.Second}, true)
	g.apply()
	if g.get("e").Pick(&lb.Context{}) != nil {
		t.Error("hosts from nowhere")
	}
	g.want("e.init_fetch_timeout", 1)
	g.assign(eds("1")).apply()
	if g.get("e").Pick(&lb.Context{}) == nil {
		t.Error("the late assignment counts")
	}
}

func TestSameBytesChangeNothing(t *testing.T) {
	f := newFixture(t, nil).put(with(``)).apply()
	c := f.get("c")
	c.Pick(&lb.Context{})
	l := c.live.Load()
	f.put(with(``)).apply()
	if f.get("c") != c || c.live.Load() != l {
		t.Error("rebuilt")
	}
	f.want("cluster_manager.cluster_modified", 0)
}

func TestClusterUpdateKeepsConnectionsThatItDoesNotConcern(t *testing.T) {
	f := newFixture(t, nil).put(with(``)).apply()
	c := f.get("c")
	h := c.Pick(&lb.Context{})
	p := c.Pool(h, pool.Options{}).(*testPool)
	d := c.live.Load().dialer
	f.put(with(`"lb_policy":"RANDOM","circuit_breakers":{"thresholds":[{"max_requests":7}]}`)).apply()
	if f.get("c") != c || c.Pick(&lb.Context{}) != h || c.Pool(h, pool.Options{}) != p || p.drains != 0 || c.Breakers(false).Requests.Max() != 7 || c.live.Load().dialer != d {
		t.Error("another policy has cost the connections")
	}
	f.want("cluster_manager.cluster_modified", 1)
	f.put(with(`"connect_timeout":"3s"`)).apply()
	other := c.Pick(&lb.Context{})
	if f.get("c") != c || other == h || p.drains != 1 || c.Pool(other, pool.Options{}).(*testPool).cfg.ConnectTimeout != 3*time.Second {
		t.Error("another timeout is for new connections")
	}
	f.want("c.membership_total", 1)
	f.want("c.upstream_cx_none_healthy", 0)
}

func TestRemovedClusterDrains(t *testing.T) {
	f := newFixture(t, nil).put(with(``), edsCluster+`}`).assign(eds("1")).apply()
	c := f.get("c")
	p := c.Pool(c.Pick(&lb.Context{}), pool.Options{}).(*testPool)
	f.del("c").apply()
	if f.m.Set().Get("c") != nil || p.drains != 1 {
		t.Error("it is still there")
	}
	if c.Pick(&lb.Context{}) == nil {
		t.Error("a request that holds the cluster goes on")
	}
	f.want("cluster_manager.cluster_removed", 1)
	f.want("cluster_manager.active_clusters", 1)
	if _, ok := f.stat("cluster.c.upstream_rq_total"); ok {
		t.Error("its stats are listed")
	}
}

func TestStaticClusterMayHaveAnAddressTwice(t *testing.T) {
	host := `{"endpoint":{"address":{"socket_address":{"address":"10.0.0.1","port_value":80}}}}`
	f := newFixture(t, nil).put(bare(`"load_assignment":{"cluster_name":"c","endpoints":[{"lb_endpoints":[` + host + `,` + host + `]}]}`)).apply()
	if set := f.get("c").HostSet(); len(set.Hosts) != 2 || set.Hosts[0] == set.Hosts[1] {
		t.Error(set.Hosts)
	}
}

func TestDropOverload(t *testing.T) {
	f := newFixture(t, nil).put(edsCluster + `}`).assign(`{"cluster_name":"e","policy":{"drop_overloads":[{"category":"thr","drop_percentage":{"numerator":25}}]}}`).apply()
	c := f.get("e")
	if category, drop, all := c.Drop(24); category != "thr" || !drop || all {
		t.Error(category, drop, all)
	}
	if _, drop, _ := c.Drop(25); drop {
		t.Error("25 of 100")
	}
	f.assign(eds("1")).apply()
	if _, drop, _ := c.Drop(0); drop {
		t.Error("not any more")
	}
}

func TestMaxConnectionPools(t *testing.T) {
	f := newFixture(t, nil).put(with(`"circuit_breakers":{"thresholds":[{"max_connection_pools":1}]}`)).apply()
	c := f.get("c")
	h := c.Pick(&lb.Context{})
	if c.Pool(h, pool.Options{}) == nil || c.Pool(h, pool.Options{Downstream: 1}) != nil || c.Pool(h, pool.Options{}) == nil {
		t.Error("one pool is allowed")
	}
	f.want("c.upstream_cx_pool_overflow", 1)
	f.want("c.circuit_breakers.default.cx_pool_open", 1)
	h.DropPool(pool.Options{})
	if c.Pool(h, pool.Options{Downstream: 1}) == nil {
		t.Error("there is room again")
	}
	f.pools[1].cfg.OnIdle()
	if h.Pools() != 0 {
		t.Error("a client's own pool goes when it is idle")
	}
}

func TestRetryBudget(t *testing.T) {
	f := newFixture(t, nil).put(with(`"circuit_breakers":{"thresholds":[{"retry_budget":{"budget_percent":{"value":50},"min_retry_concurrency":1}},{"priority":"HIGH","max_retries":2}]}`)).apply()
	c := f.get("c")
	b := c.Breakers(false)
	if !c.CanRetry(false) {
		t.Error("the minimum")
	}
	b.Retries.Inc()
	if c.CanRetry(false) {
		t.Error("none is active")
	}
	for range 4 {
		b.Requests.Inc()
	}
	if !c.CanRetry(false) {
		t.Error("half of four")
	}
	b.Retries.Inc()
	if c.CanRetry(false) || !c.CanRetry(true) {
		t.Error("two retries")
	}
}

func TestCodesOfCanariesAndSides(t *testing.T) {
	f := newFixture(t, func(o *ManagerOptions) { o.Locality = &endpoint.Locality{Zone: "a"} }).put(bare(
		`"load_assignment":{"cluster_name":"c","endpoints":[{"locality":{"zone":"b"},"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"10.0.0.1","port_value":80}}}}]}]}`)).apply()
	c := f.get("c")
	h := c.Pick(&lb.Context{})
	c.CountResponse(1, Response{Status: 200, Internal: true, Host: h})
	c.CountResponse(1, Response{Status: 503, Canary: true})
	c.CountTime(1, Response{Status: 200, Internal: true}, 5)
	for name, want := range map[string]uint64{
		"upstream_rq_completed": 2, "upstream_rq_200": 1, "upstream_rq_2xx": 1, "upstream_rq_503": 1, "upstream_rq_5xx": 1,
		"internal.upstream_rq_completed": 1, "internal.upstream_rq_200": 1, "external.upstream_rq_503": 1, "canary.upstream_rq_5xx": 1,
		"zone.a.b.upstream_rq_200": 1, "zone.a.b.upstream_rq_completed": 1,
	} {
		f.want("c."+name, want)
	}
	if n := testing.AllocsPerRun(100, func() { c.CountResponse(1, Response{Status: 200, Internal: true, Host: h}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPicksGoOnUnderUpdates(t *testing.T) {
	f := newFixture(t, nil).put(edsCluster + `}`).assign(eds("1", "2")).apply()
	c := f.get("e")
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for w := range 2 {
		wait.Go(func() {
			ctx := &lb.Context{Worker: stats.Worker(w + 1)}
			for {
				select {
				case <-stop:
					return
				default:
				}
				h := c.Pick(ctx)
				if h == nil {
					t.Error("no host")
					return
				}
				c.Pool(h, pool.Options{})
			}
		})
	}
	for i := range 50 {
		f.assign(eds("1", fmt.Sprint(i%5+2))).apply()
		if i%10 == 0 {
			f.put(edsCluster + fmt.Sprintf(`,"lb_policy":"RANDOM","connect_timeout":"%ds"}`, i+1)).apply()
		}
	}
	close(stop)
	wait.Wait()
}

func benchPick(b *testing.B, c *Cluster) {
	b.Helper()
	b.ReportAllocs()
	ctx := &lb.Context{Worker: 1}
	o := pool.Options{ALPN: "istio"}
	for b.Loop() {
		c.Pool(c.Pick(ctx), o)
	}
}

// clusterURL and change put one decoded cluster into a snapshot.
const clusterURL = xds.ClusterURL

func change(c *Config, a *anypb.Any) xds.Change {
	return xds.Change{Put: []*xds.Resource{{Name: c.Name, Any: a, Value: c, Refs: c.Refs()}}}
}
