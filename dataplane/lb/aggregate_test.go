package lb

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

type testChild struct {
	set *endpoint.HostSet
	lb  LoadBalancer
}

func (c *testChild) HostSet() *endpoint.HostSet { return c.set }
func (c *testChild) Balancer() LoadBalancer     { return c.lb }

func TestAggregateStringsPrioritiesTogether(t *testing.T) {
	e := testEnv()
	make := func(hosts ...h) *testChild {
		set := hostSet(endpoint.SetOptions{}, hosts...)
		return &testChild{set, (&Config{PanicThreshold: 50}).New(e, set, nil)}
	}
	first, second := make(append(level(0, 1, 0, 1), level(1, 1, 0, 0)...)...), make(level(0, 2, 0, 0)...)
	children := []*testChild{first, nil, second}
	l := NewAggregate(&Config{PanicThreshold: 50}, e, 3, func(i int) Child {
		if children[i] == nil {
			return nil
		}
		return children[i]
	})
	count := func() (one, two float64) {
		c := &Context{Random: 1}
		for range 10_000 {
			switch h := l.Pick(c); {
			case h == first.set.Hosts[0]:
				one += 1. / 10_000
			case h == first.set.Hosts[2]:
				two += 1. / 10_000
			case h == nil || h.Flags() != 0:
				t.Fatal("a host that is down, or none", h)
			}
		}
		return one, two
	}
	// Half of the first priority is down: 70 % stays; the second priority of the same cluster takes the rest.
	if one, two := count(); one < .68 || one > .72 || two < .28 || two > .32 {
		t.Error(one, two)
	}
	// Its second priority is gone: the other cluster takes the rest.
	*first = *make(level(0, 1, 0, 1)...)
	one, _ := 0., 0.
	c := &Context{Random: 1}
	for range 10_000 {
		if h := l.Pick(c); h == first.set.Hosts[0] {
			one += 1. / 10_000
		} else if h != second.set.Hosts[0] && h != second.set.Hosts[1] {
			t.Fatal(h)
		}
	}
	if one < .68 || one > .72 {
		t.Error(one)
	}
	children[0], children[2] = nil, nil
	if l.Pick(c) != nil {
		t.Error("no clusters")
	}
}
