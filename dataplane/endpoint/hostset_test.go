package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/pool"
)

func host(t *testing.T, i int, change func(*Endpoint)) *Host {
	t.Helper()
	e := &Endpoint{Address: IPAddress(netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:80", i))), Weight: 1}
	if change != nil {
		change(e)
	}
	return NewHost("c", e, nil, time.Now())
}

func names(hosts []*Host) (out []string) {
	for _, h := range hosts {
		out = append(out, h.Address.String())
	}
	return out
}

func TestHostSetSortsByPriorityLocalityAndHealth(t *testing.T) {
	zone := func(z string, p uint32) func(*Endpoint) {
		return func(e *Endpoint) { e.Locality.Zone, e.Priority = z, p }
	}
	hosts := []*Host{host(t, 1, zone("b", 0)), host(t, 2, zone("a", 0)), host(t, 3, zone("b", 0)), host(t, 4, zone("a", 2)), host(t, 5, zone("b", 0))}
	hosts[2].SetFlags(FailedOutlierCheck, FailedOutlierCheck)
	hosts[4].SetFlags(DegradedActiveHC, DegradedActiveHC)
	s := NewHostSet(hosts, SetOptions{Local: &Locality{Zone: "b"}, Weights: map[LocalityKey]uint32{{0, Locality{Zone: "a"}}: 9}})
	if len(s.Priorities) != 3 || len(s.Priorities[1].Hosts) != 0 || len(s.Priorities[2].Hosts) != 1 {
		t.Fatalf("%+v", s.Priorities)
	}
	p := s.Priorities[0]
	if !slices.Equal(names(p.Healthy), []string{"10.0.0.1:80", "10.0.0.2:80"}) || !slices.Equal(names(p.Degraded), []string{"10.0.0.5:80"}) {
		t.Errorf("healthy %v degraded %v", names(p.Healthy), names(p.Degraded))
	}
	if !p.HasLocal || p.Localities[0].Locality.Zone != "b" || !p.Weighted || p.Localities[1].Weight != 9 {
		t.Errorf("the proxy's own locality comes first: %+v", p.Localities)
	}
	if s.Find("10.0.0.4:80") != hosts[3] || s.Find("10.0.0.9:80") != nil {
		t.Error("find")
	}
	if c := s.Count(); c != (Count{Total: 5, Healthy: 3, Degraded: 1, MaxWeight: 1}) {
		t.Errorf("%+v", c)
	}
	f := s.Filter(func(h *Host) bool { return h.Endpoint().Locality.Zone == "b" }, nil)
	if len(f.Priorities) != 3 || len(f.Priorities[0].Healthy) != 1 || len(f.Priorities[0].Localities[1].Hosts) != 0 {
		t.Errorf("%+v", f.Priorities[0])
	}
}

func TestFlagsAndStatuses(t *testing.T) {
	for _, c := range []struct {
		eds               Status
		set               Flag
		text              string
		healthy, degraded bool
		excluded          bool
		status            Status
	}{
		{Unknown, 0, "healthy", true, false, false, Unknown},
		{Healthy, 0, "healthy", true, false, false, Healthy},
		{Degraded, 0, "/degraded_eds_health", false, true, false, Degraded},
		{Draining, 0, "/eds_status_draining", false, false, true, Draining},
		{Timeout, 0, "/failed_eds_health", false, false, false, Timeout},
		{Unhealthy, FailedActiveHC, "/failed_active_hc/failed_eds_health", false, false, false, Unhealthy},
		{Healthy, FailedActiveHC | PendingActiveHC, "/failed_active_hc/pending_active_hc", false, false, true, Unhealthy},
		{Degraded, FailedOutlierCheck, "/failed_outlier_check/degraded_eds_health", false, false, false, Unhealthy},
	} {
		h := host(t, 1, func(e *Endpoint) { e.Status = c.eds })
		h.SetFlags(c.set, c.set)
		f := h.Flags()
		if f.String() != c.text || f.Healthy() != c.healthy || f.Degraded() != c.degraded || f.Excluded() != c.excluded || h.Status() != c.status {
			t.Errorf("%v + %v: %v %v %v %v %v", c.eds, c.set, f, f.Healthy(), f.Degraded(), f.Excluded(), h.Status())
		}
	}
}

func TestUpdateKeepsEjection(t *testing.T) {
	h := host(t, 1, nil)
	h.SetFlags(FailedOutlierCheck, FailedOutlierCheck)
	if h.Update(h.Endpoint()) {
		t.Error("nothing changed")
	}
	e := *h.Endpoint()
	e.Status = Unhealthy
	if !h.Update(&e) || h.Flags() != FailedOutlierCheck|FailedEDSHealth {
		t.Error(h.Flags())
	}
	heavier := *h.Endpoint()
	heavier.Weight = 3
	if !h.Update(&heavier) || h.Update(&heavier) {
		t.Error("another weight is a change")
	}
	e2 := e
	e2.Status, e2.Weight = Healthy, 5
	if !h.Update(&e2) || h.Flags() != FailedOutlierCheck || h.Weight() != 5 {
		t.Error(h.Flags())
	}
}

type fakePool struct {
	pool.Pool
	o              pool.Options
	drains, closes int
}

func (p *fakePool) Drain() { p.drains++ }
func (p *fakePool) Close() { p.closes++ }

type maker struct {
	made []*fakePool
	gone int
}

func (m *maker) PoolGone(pool.Options) { m.gone++ }

func (m *maker) MakePool(_ *Host, o pool.Options) pool.Pool {
	p := &fakePool{o: o}
	m.made = append(m.made, p)
	return p
}

func TestHostHasOnePoolForEachOptions(t *testing.T) {
	m := &maker{}
	h := NewHost("c", &Endpoint{Weight: 1}, m, time.Now())
	a := h.Pool(pool.Options{})
	b := h.Pool(pool.Options{Protocol: pool.HTTP2, ALPN: "istio"})
	own := h.Pool(pool.Options{Downstream: 7})
	if a == b || h.Pool(pool.Options{}) != a || h.Pool(pool.Options{Protocol: pool.HTTP2, ALPN: "istio"}) != b ||
		h.Pool(pool.Options{Downstream: 7}) != own || h.Pools() != 3 || len(m.made) != 3 {
		t.Fatal("pools")
	}
	if n := testing.AllocsPerRun(100, func() { h.Pool(pool.Options{Protocol: pool.HTTP2, ALPN: "istio"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	h.DropPool(pool.Options{Downstream: 7})
	if m.made[2].drains != 1 || h.Pools() != 2 || h.Pool(pool.Options{Downstream: 7}) == own {
		t.Error("drop")
	}
	h.Leave()
	if m.made[0].drains != 1 || m.made[1].drains != 1 || h.Pools() != 0 || !h.Gone() {
		t.Error("leave")
	}
	h.Return()
	h.Pool(pool.Options{})
	h.Close()
	if h.Gone() || m.made[len(m.made)-1].closes != 1 || m.gone != 5 {
		t.Error("close")
	}
}

func TestLoadWeightBlackoutAndExpiration(t *testing.T) {
	var l Load
	now := time.Now()
	if _, ok := l.Weight(now, time.Second, time.Minute); ok {
		t.Error("no report yet")
	}
	l.Set(2.5, now)
	if _, ok := l.Weight(now.Add(time.Second/2), time.Second, time.Minute); ok {
		t.Error("blackout")
	}
	if w, ok := l.Weight(now.Add(2*time.Second), time.Second, time.Minute); !ok || w != 2.5 {
		t.Error(w, ok)
	}
	if _, ok := l.Weight(now.Add(2*time.Minute), time.Second, time.Minute); ok {
		t.Error("expired")
	}
	l.Set(3, now.Add(3*time.Minute))
	if _, ok := l.Weight(now.Add(3*time.Minute), time.Second, time.Minute); ok {
		t.Error("blackout again")
	}
}
