package cluster

import (
	"errors"
	"math"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/pool"
)

const (
	defaultMax           = 1024
	defaultRetries       = 3
	defaultBudgetPercent = 20
	defaultMinRetries    = 3
)

func compileBreakers(p *clusterpb.Cluster, c *Config, s *Spec) error {
	for i, priority := range []corepb.RoutingPriority{corepb.RoutingPriority_DEFAULT, corepb.RoutingPriority_HIGH} {
		s.Breakers[i] = compileThresholds(nil)
		for _, t := range p.GetCircuitBreakers().GetThresholds() {
			if t.GetPriority() == priority {
				s.Breakers[i] = compileThresholds(t) // the first one counts
				break
			}
		}
		if s.Breakers[i].Track {
			t := s.Breakers[i]
			c.remaining[i] = &t
		}
	}
	for _, t := range p.GetCircuitBreakers().GetPerHostThresholds() {
		if t.GetMaxPendingRequests() != nil || t.GetMaxRequests() != nil || t.GetMaxRetries() != nil || t.GetMaxConnectionPools() != nil ||
			t.GetRetryBudget() != nil || t.GetTrackRemaining() {
			return errors.New("Unsupported field in per_host_thresholds") //nolint:staticcheck // Envoy's text.
		}
		if at := &s.HostConnections[min(t.GetPriority(), 1)]; *at == 0 {
			*at = t.GetMaxConnections().GetValue()
		}
	}
	return nil
}

func compileThresholds(p *clusterpb.CircuitBreakers_Thresholds) Thresholds {
	value := func(v *wrapperspb.UInt32Value, def uint32) uint32 {
		if v == nil {
			return def
		}
		return v.GetValue()
	}
	t := Thresholds{
		Connections: value(p.GetMaxConnections(), defaultMax), Pending: value(p.GetMaxPendingRequests(), defaultMax),
		Requests: value(p.GetMaxRequests(), defaultMax), Retries: value(p.GetMaxRetries(), defaultRetries),
		Pools: value(p.GetMaxConnectionPools(), math.MaxUint32), Track: p.GetTrackRemaining(),
	}
	if b := p.GetRetryBudget(); b != nil {
		t.Budget = &Budget{RetryBudget: pool.RetryBudget{Percent: defaultBudgetPercent, MinConcurrency: value(b.GetMinRetryConcurrency(), defaultMinRetries)}, Interval: b.GetBudgetInterval().AsDuration()}
		if v := b.GetBudgetPercent(); v != nil {
			t.Budget.Percent = v.GetValue()
		}
	}
	return t
}
