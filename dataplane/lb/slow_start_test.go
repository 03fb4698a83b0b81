package lb

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

func TestSlowStartGrowsOverTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Config{PanicThreshold: 50, SlowStart: &SlowStart{Window: 100 * time.Second, Aggression: Double{Default: 1}, MinWeight: .1}}
		set := hostSet(endpoint.SetOptions{}, h{}, h{})
		set.Hosts[0].SetHealthyAt(time.Now().Add(-time.Hour), false)
		l := c.New(testEnv(), set, nil)
		ctx := &Context{}
		near(t, picks(l, ctx, set, 1100), 1100, .01, map[int]float64{0: 10. / 11, 1: 1. / 11})
		time.Sleep(50 * time.Second)
		near(t, picks(l, ctx, set, 1500), 1500, .01, map[int]float64{0: 2. / 3, 1: 1. / 3})
		time.Sleep(51 * time.Second)
		near(t, picks(l, ctx, set, 100), 100, 0, map[int]float64{0: .5, 1: .5})
		if l.(*zoned).sources[0].healthy.(*roundRobin).weights.due.Load() != 0 {
			t.Error("the weights are made anew for ever")
		}
	})
}

func TestSlowStartAggression(t *testing.T) {
	s := &SlowStart{Window: 100 * time.Second, Aggression: Double{Default: 2}, MinWeight: .1}
	if f := s.factor(testEnv(), 25*time.Second); f != .5 {
		t.Error(f)
	}
	s.Aggression.Default = -1
	if f := s.factor(testEnv(), 25*time.Second); f != .25 {
		t.Error(f)
	}
}

func TestClientWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Config{Kind: ClientWeighted, PanicThreshold: 50, Client: &ClientConfig{Blackout: 10 * time.Second, Expiration: time.Minute, Update: time.Second}}
		set := hostSet(endpoint.SetOptions{}, h{}, h{}, h{})
		l := c.New(testEnv(), set, nil)
		ctx := &Context{}
		near(t, picks(l, ctx, set, 30), 30, 0, map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3})
		set.Hosts[0].Load().Set(1, time.Now())
		set.Hosts[1].Load().Set(3, time.Now())
		time.Sleep(11 * time.Second)
		// The third has the median, 2.
		near(t, picks(l, ctx, set, 60), 60, 0, map[int]float64{0: 1. / 6, 1: 3. / 6, 2: 2. / 6})
		time.Sleep(time.Minute)
		near(t, picks(l, ctx, set, 30), 30, 0, map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3})
	})
}
