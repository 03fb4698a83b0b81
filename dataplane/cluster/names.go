package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// names keeps the hosts of a STRICT_DNS or LOGICAL_DNS cluster in line with what name servers say: each
// name by a goroutine of its own.
type names struct {
	live     *live
	config   *DNS
	resolver *dns.Resolver
	ctx      context.Context //nolint:containedctx // The life of the refreshes.
	cancel   context.CancelFunc
	wait     sync.WaitGroup
	targets  []*target
}

// target is one configured endpoint.
type target struct {
	endpoint *endpoint.Endpoint
	// found is what the name stands for; guarded by cluster.mu. answered tells that a server has been asked.
	found    []endpoint.Address
	answered bool
	failures int // owned by the target's goroutine
}

func newNames(l *live, before *live) *names {
	n := &names{live: l, config: l.spec.DNS, resolver: l.cluster.m.resolver(l.spec.DNS.Resolver)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if l.spec.Assignment == nil {
		return n
	}
	s := l.spec.Assignment.Spec()
	l.setOptions(s)
	l.drop.Store(s.Drop)
	for _, le := range s.Localities {
		for _, e := range le.Endpoints {
			t := &target{endpoint: e}
			if before != nil && before.names != nil {
				t.inherit(before.names)
			}
			n.targets = append(n.targets, t)
		}
	}
	return n
}

// inherit takes over what is known of the same name. cluster.mu is held.
func (t *target) inherit(from *names) {
	for _, o := range from.targets {
		if o.endpoint.Address == t.endpoint.Address {
			t.found, t.answered = o.found, o.answered
			return
		}
	}
}

// start begins to resolve. cluster.mu is held.
func (n *names) start() {
	for _, t := range n.targets {
		if t.endpoint.Address.Kind != endpoint.NameKind {
			continue
		}
		if !t.answered && n.live.spec.WaitForWarm {
			n.live.waiting++
		}
		// Owned by n: ends with close.
		n.wait.Go(func() { n.run(t) })
	}
}

func (n *names) close() {
	n.cancel()
	n.wait.Wait()
}

func (n *names) run(t *target) {
	m := &n.live.cluster.members
	for {
		m.UpdateAttempt.Inc(0)
		answers, err := n.resolver.Lookup(n.ctx, t.endpoint.Address.Name, n.config.Family)
		if n.ctx.Err() != nil {
			return
		}
		missing := errors.Is(err, dns.ErrNotFound)
		switch {
		case err != nil && !missing:
			m.UpdateFailure.Inc(0)
			n.live.dialer.log.Debug("name resolution", "name", t.endpoint.Address.Name, "err", err)
		case missing:
			m.UpdateSuccess.Inc(0)
			m.UpdateEmpty.Inc(0)
		default:
			m.UpdateSuccess.Inc(0)
		}
		n.took(t, answers, err == nil || missing)
		timer := time.NewTimer(n.next(t, answers, err == nil || missing))
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// took takes an answer in; without one everything stays as it was.
func (n *names) took(t *target, answers []dns.Answer, ok bool) {
	l := n.live
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if l.closed {
		return
	}
	// A logical host keeps its last addresses when the name has none any more.
	if ok && (len(answers) > 0 || l.config.Discovery == StrictDNS) {
		t.found = t.found[:0:0]
		for _, a := range answers {
			t.found = append(t.found, endpoint.IPAddress(netip.AddrPortFrom(a.Addr, t.endpoint.Address.Port)))
		}
		n.place(nil)
	}
	if !t.answered {
		t.answered = true
		if n.live.spec.WaitForWarm {
			if len(l.checkers) > 0 && len(l.unchecked) == 0 {
				l.awaitChecks()
			}
			l.arrived()
		}
	}
}

// place makes hosts of what the names stand for. cluster.mu is held.
func (n *names) place(known map[hostKey]*endpoint.Host) {
	l := n.live
	var endpoints []*endpoint.Endpoint
	for _, t := range n.targets {
		named := *t.endpoint
		if named.Hostname == "" {
			named.Hostname = t.endpoint.Address.Name
		}
		switch {
		case t.endpoint.Address.Kind != endpoint.NameKind:
			endpoints = append(endpoints, t.endpoint)
		case l.config.Discovery == LogicalDNS:
			if len(t.found) > 0 {
				endpoints = append(endpoints, &named)
			}
		default:
			for _, a := range t.found {
				one := named
				one.Address = a
				endpoints = append(endpoints, &one)
			}
		}
	}
	if !l.place(endpoints, known) {
		l.cluster.members.UpdateNoRebuild.Inc(0)
	}
	if l.config.Discovery == LogicalDNS && len(l.hosts) == 1 && n.targets[0].endpoint.Address.Kind == endpoint.NameKind {
		l.hosts[0].Resolve(n.targets[0].found)
	}
}

// next is the time to the next query.
func (n *names) next(t *target, answers []dns.Answer, ok bool) time.Duration {
	d := n.config.Refresh
	switch {
	case !ok && n.config.FailureBase > 0:
		d = min(n.config.FailureBase<<min(t.failures, 30), n.config.FailureMax)
		if d <= 0 {
			d = n.config.FailureMax
		}
		t.failures++
		return max(rand.N(d)+d/2, time.Millisecond)
	case !ok:
		t.failures++
	default:
		t.failures = 0
		if ttl := shortest(answers); n.config.RespectTTL && ttl > 0 {
			d = max(ttl, n.config.MinTTL)
		}
	}
	if n.config.Jitter > 0 {
		d += rand.N(n.config.Jitter)
	}
	return max(d, time.Millisecond)
}

func shortest(answers []dns.Answer) (ttl time.Duration) {
	for i, a := range answers {
		if i == 0 || a.TTL < ttl {
			ttl = a.TTL
		}
	}
	return ttl
}
