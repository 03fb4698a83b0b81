package cluster

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// pass lets d go by, and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// zone is a hosts file that stands in for name servers.
type zone struct {
	t    *testing.T
	path string
	n    int
}

func newZone(t *testing.T, text string) *zone {
	z := &zone{t: t, path: filepath.Join(t.TempDir(), "hosts")}
	z.write(text)
	return z
}

func (z *zone) write(text string) {
	z.t.Helper()
	if err := os.WriteFile(z.path, []byte(text), 0o600); err != nil {
		z.t.Fatal(err)
	}
	z.n++ // the resolver goes by the time of change
	if err := os.Chtimes(z.path, time.Time{}, time.Unix(int64(z.n), 0)); err != nil {
		z.t.Fatal(err)
	}
}

// options have names resolved by the file alone: nobody listens where name servers are said to be.
func (z *zone) options(o *ManagerOptions) {
	o.DNS = dns.Config{Hosts: z.path, ResolvConf: "none", Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, Tries: 1}
}

func shown(c *Cluster) string {
	out := ""
	for _, h := range c.HostSet().Hosts {
		out += " " + h.String() + "/" + h.Endpoint().Hostname
	}
	return out
}

func TestStrictDNSFollowsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "10.0.0.1 a\n10.0.0.2 a\n")
		f := newFixture(t, z.options).put(bare(`"type":"STRICT_DNS","dns_refresh_rate":"10s",` + dnsHost("a"))).apply()
		synctest.Wait()
		c := f.get("c")
		if got := shown(c); got != " 10.0.0.1:80/a 10.0.0.2:80/a" || f.warm != 1 || f.m.Warming() != 0 {
			t.Error(got, f.warm)
		}
		kept := c.HostSet().Hosts[1]
		p := c.Pool(kept, pool.Options{}).(*testPool)
		z.write("10.0.0.2 a\n10.0.0.3 a\n")
		pass(11 * time.Second)
		if got := shown(c); got != " 10.0.0.2:80/a 10.0.0.3:80/a" || c.HostSet().Hosts[0] != kept || p.drains != 0 {
			t.Error(got)
		}
		z.write("10.0.0.2 b\n")
		pass(10 * time.Second)
		// Nobody answers for a any more: that is no news of the hosts.
		if got := shown(c); got != " 10.0.0.2:80/a 10.0.0.3:80/a" {
			t.Error(got)
		}
		f.want("c.update_attempt", 3)
		f.want("c.update_success", 2)
		f.want("c.update_failure", 1)
		f.want("c.membership_change", 2)
		f.want("c.membership_total", 2)
		// An update that leaves name and connections as they are does not wait.
		f.put(bare(`"type":"STRICT_DNS","lb_policy":"RANDOM",` + dnsHost("a"))).apply()
		if f.get("c") != c || c.HostSet().Hosts[0] != kept || c.Config().Spec().LB.Kind != lb.Random {
			t.Error("not in place")
		}
		// One that does not starts over.
		f.put(bare(`"type":"STRICT_DNS","connect_timeout":"1s",` + dnsHost("b"))).apply()
		synctest.Wait()
		if got := shown(f.get("c")); got != " 10.0.0.2:80/b" || p.drains != 1 || f.m.Warming() != 0 {
			t.Error(got, p.drains)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestDNSClusterWaitsForItsName(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	z := newZone(t, "10.0.0.2 a\n")
	f := newFixture(t, func(o *ManagerOptions) {
		z.options(o)
		o.DNS.Servers = []netip.AddrPort{netip.MustParseAddrPort(silent.LocalAddr().String())}
	})
	f.put(bare(`"type":"STRICT_DNS",` + dnsHost("a"))).apply()
	for f.m.Warming() != 0 {
		time.Sleep(time.Millisecond)
	}
	c := f.get("c")
	// An update waits beside what serves.
	f.put(bare(`"type":"STRICT_DNS","connect_timeout":"1s",` + dnsHost("unknown"))).apply()
	if got := shown(c); got != " 10.0.0.2:80/a" || f.m.Warming() != 1 || f.get("c") != c {
		t.Error(got)
	}
	f.del("c").apply()
	f.put(bare(`"type":"STRICT_DNS",` + dnsHost("unknown"))).apply()
	if f.m.Set().Get("c") != nil || f.m.Warming() != 1 {
		t.Error("it is in the set before its name is resolved")
	}
	f.m.Close() // does not wait for the server
}

func TestLogicalDNSKeepsItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "10.0.0.1 a\n::1 a\n")
		f := newFixture(t, z.options).put(bare(`"type":"LOGICAL_DNS","dns_lookup_family":"ALL","dns_refresh_rate":"10s",` + dnsHost("a"))).apply()
		synctest.Wait()
		c := f.get("c")
		h := c.Pick(&lb.Context{})
		if h == nil || h.String() != "10.0.0.1:80" || len(h.Addresses()) != 2 {
			t.Fatal(h)
		}
		p := c.Pool(h, pool.Options{}).(*testPool)
		z.write("10.0.0.9 a\n")
		pass(11 * time.Second)
		if got := c.Pick(&lb.Context{}); got != h || h.String() != "10.0.0.9:80" || p.drains != 0 {
			t.Error("another host", got)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestDNSWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		f := newFixture(t, z.options).put(bare(`"type":"STRICT_DNS","wait_for_warm_on_init":false,` + dnsHost("localhost"))).apply()
		c := f.get("c")
		synctest.Wait()
		if got := shown(c); got != " [::1]:80/localhost" {
			t.Error(got)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestDNSRefresh(t *testing.T) {
	n := &names{config: &DNS{Refresh: 5 * time.Second, FailureBase: time.Second, FailureMax: 4 * time.Second, RespectTTL: true, MinTTL: 2 * time.Second}}
	target := &target{}
	answer := func(ttl time.Duration) []dns.Answer { return []dns.Answer{{TTL: time.Hour}, {TTL: ttl}} }
	for _, c := range []struct {
		ttl         time.Duration
		ok          bool
		least, most time.Duration
	}{
		{30 * time.Second, true, 30 * time.Second, 30 * time.Second},
		{time.Second, true, 2 * time.Second, 2 * time.Second},
		{0, true, 5 * time.Second, 5 * time.Second},
		{0, false, time.Second / 2, 1500 * time.Millisecond},
		{0, false, time.Second, 3 * time.Second},
		{0, false, 2 * time.Second, 6 * time.Second},
		{0, false, 2 * time.Second, 6 * time.Second},
		{30 * time.Second, true, 30 * time.Second, 30 * time.Second},
		{0, false, time.Second / 2, 1500 * time.Millisecond},
	} {
		if got := n.next(target, answer(c.ttl), c.ok); got < c.least || got > c.most {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

const passthrough = `{"name":"p","type":"ORIGINAL_DST","lb_policy":"CLUSTER_PROVIDED","cleanup_interval":"10s"`

func TestOriginalDst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).put(passthrough + `,"original_dst_lb_config":{"use_http_header":true,"metadata_key":{"key":"n","path":[{"key":"dst"}]}}}`).apply()
		c := f.get("p")
		dst := netip.MustParseAddrPort("10.0.0.1:80")
		if c.Pick(&lb.Context{}) != nil {
			t.Error("a host without a destination")
		}
		h := c.Pick(&lb.Context{OriginalDst: dst})
		if h == nil || h.String() != "10.0.0.1:80" || h.Endpoint().Hostname != "p10.0.0.1:80" || c.Pick(&lb.Context{OriginalDst: dst}) != h {
			t.Fatal(h)
		}
		f.want("p.membership_total", 1)
		p := c.Pool(h, pool.Options{}).(*testPool)
		var req header.Map
		req.Reset()
		req.Add("x-envoy-original-dst-host", "10.0.0.2:81")
		if got := c.Pick(&lb.Context{OriginalDst: dst, Headers: &req}); got.String() != "10.0.0.2:81" {
			t.Error(got)
		}
		req.Set("x-envoy-original-dst-host", "junk")
		if got := c.Pick(&lb.Context{OriginalDst: dst, Headers: &req}); got != h {
			t.Error(got)
		}
		f.want("p.original_dst_host_invalid", 1)
		info := &streaminfo.Info{}
		list, _ := structpb.NewValue([]any{"10.0.0.3:82"})
		info.SetMetadata("n", "dst", list)
		if got := c.Pick(&lb.Context{OriginalDst: dst, Headers: &req, Info: info}); got.String() != "10.0.0.3:82" {
			t.Error(got)
		}
		info.FilterState.Set(streaminfo.StateObject{Name: originalDstKey, Value: netip.MustParseAddrPort("10.0.0.4:83")})
		if got := c.Pick(&lb.Context{OriginalDst: dst, Info: info}); got.String() != "10.0.0.4:83" {
			t.Error(got)
		}
		ctx := &lb.Context{OriginalDst: dst}
		if n := testing.AllocsPerRun(100, func() { c.Pick(ctx) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		// All were used in the first interval; in the second none, but one has a connection.
		h.Stats.CxActive.Add(1)
		pass(11 * time.Second)
		f.want("p.membership_total", 4)
		pass(10 * time.Second)
		f.want("p.membership_total", 1)
		h.Stats.CxActive.Add(-1)
		pass(10 * time.Second)
		f.want("p.membership_total", 0)
		if p.drains != 1 {
			t.Error("drains", p.drains)
		}
		if got := c.Pick(&lb.Context{OriginalDst: dst}); got == h || got == nil {
			t.Error("a new host for the same address", got)
		}
		f.m.Close()
		synctest.Wait()
	})
}

func TestOriginalDstPortOverrideAndManyHosts(t *testing.T) {
	f := newFixture(t, nil).put(passthrough + `,"original_dst_lb_config":{"upstream_port_override":15008}}`).apply()
	c := f.get("p")
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)
	}
	seen := map[*endpoint.Host]bool{}
	for i := range 500 {
		h := c.Pick(&lb.Context{OriginalDst: at(i)})
		if h.Address.IP.Port() != 15008 || seen[h] {
			t.Fatal(h)
		}
		seen[h] = true
	}
	for range 3 {
		for i := range 500 {
			if !seen[c.Pick(&lb.Context{OriginalDst: at(i)})] {
				t.Fatal("a second host for one address")
			}
		}
	}
	if n := len(*c.live.Load().originals.read.Load()); n != 500 {
		t.Error("hosts that are looked up often are found without the lock", n)
	}
	if got := f.m.Statuses(); len(got[0].Hosts) != 500 {
		t.Error(len(got[0].Hosts))
	}
}

func TestAggregate(t *testing.T) {
	f := newFixture(t, nil).put(
		`{"name":"a","lb_policy":"CLUSTER_PROVIDED","cluster_type":{"name":"envoy.clusters.aggregate","typed_config":{"@type":"type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig","clusters":["none","e","c"]}}}`,
		edsCluster+`}`, with(``)).assign(eds("1")).apply()
	a := f.get("a")
	h := a.Pick(&lb.Context{})
	if h == nil || h.String() != "10.0.0.1:80" || a.Owner(h) != f.get("e") {
		t.Fatal("the first cluster that there is", h)
	}
	f.assign(eds(`1 "health_status":"UNHEALTHY"`)).apply()
	if h := a.Pick(&lb.Context{}); h == nil || a.Owner(h) != f.get("c") {
		t.Error("the next one when that is down", h)
	}
	f.del("c", "e").apply()
	if a.Pick(&lb.Context{}) != nil {
		t.Error("there are none")
	}
}
