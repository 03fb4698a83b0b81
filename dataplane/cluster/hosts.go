package cluster

import (
	"reflect"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// assign makes hosts of an assignment's endpoints. known are those that may go over; nil: the cluster's
// own. cluster.mu is held.
func (l *live) assign(a *endpoint.Assignment, known map[hostKey]*endpoint.Host) {
	s := a.Spec()
	before := l.options
	l.setOptions(s)
	l.drop.Store(s.Drop)
	var endpoints []*endpoint.Endpoint
	for _, le := range s.Localities {
		endpoints = append(endpoints, le.Endpoints...)
	}
	if l.place(endpoints, known) {
		return
	}
	if reflect.DeepEqual(before, l.options) {
		l.cluster.members.UpdateNoRebuild.Inc(0)
		return
	}
	l.rebuild()
}

func (l *live) setOptions(s *endpoint.Spec) {
	l.options.Overprovisioning, l.options.WeightedPriorityHealth = s.Overprovisioning, s.WeightedPriorityHealth
	l.options.Weights = map[endpoint.LocalityKey]uint32{}
	for _, le := range s.Localities {
		if le.Weight > 0 {
			l.options.Weights[endpoint.LocalityKey{Priority: le.Priority, Locality: le.Locality}] = le.Weight
		}
	}
}

// place makes the hosts be those of endpoints: one that is known stays the same host. It tells whether
// anything changed. cluster.mu is held.
func (l *live) place(endpoints []*endpoint.Endpoint, known map[hostKey]*endpoint.Host) bool {
	over := known != nil // from the live cluster before this one
	if !over {
		known = l.byKey
	}
	byKey := make(map[hostKey]*endpoint.Host, len(endpoints))
	hosts := make([]*endpoint.Host, 0, len(endpoints))
	changed, members := false, false
	for _, e := range endpoints {
		k := hostKey{address: e.Address.String()}
		if byKey[k] != nil {
			if l.config.Discovery != Static {
				continue // Envoy's dynamic clusters take an address once
			}
			for byKey[k] != nil {
				k.n++
			}
		}
		h := known[k]
		if h != nil {
			changed = l.keep(h, e, over) || changed
		} else {
			h = l.newHost(e)
			members = true
		}
		byKey[k] = h
		hosts = append(hosts, h)
	}
	before := l.byKey
	l.byKey = byKey
	removed := l.release(before, &hosts)
	l.hosts = hosts
	if members || removed {
		if l.active {
			l.cluster.members.Change.Inc(0)
		}
		if l.spec.CloseOnHostChange && l.view.Load() != nil {
			for _, h := range hosts {
				h.Drain()
			}
		}
	}
	changed = changed || members || removed || l.view.Load() == nil
	if changed {
		l.rebuild()
	}
	return changed
}

// keep gives a known host its new endpoint; over tells that it comes from the live cluster before.
func (l *live) keep(h *endpoint.Host, e *endpoint.Endpoint, over bool) bool {
	before := h.Endpoint()
	changed := h.Update(e)
	changed = h.SetFlags(0, endpoint.PendingDynamicRemoval) || changed
	if over || before.DisableHealthCheck != e.DisableHealthCheck {
		l.adopt(h, before.DisableHealthCheck && !e.DisableHealthCheck)
		changed = true
	}
	if changed {
		h.SetTransport(l.dialer.choose(e))
	}
	return changed
}

func (l *live) newHost(e *endpoint.Endpoint) *endpoint.Host {
	h := endpoint.NewHost(l.cluster.name, e, l.dialer, time.Now())
	h.SetTransport(l.dialer.choose(e))
	l.adopt(h, true)
	return h
}

// release takes the hosts out that are not in l.byKey any more, but for those that still pass their
// health checks: they are appended to hosts. It tells whether any went.
func (l *live) release(before map[hostKey]*endpoint.Host, hosts *[]*endpoint.Host) (removed bool) {
	for k, h := range before {
		if l.byKey[k] == h {
			continue
		}
		// Envoy keeps a host that discovery has dropped while it passes its checks: the control plane may be
		// wrong.
		if len(l.checkers) > 0 && !l.spec.IgnoreHealthOnRemoval && !h.Endpoint().DisableHealthCheck && h.Flags()&endpoint.FailedActiveHC == 0 && l.byKey[k] == nil {
			h.SetFlags(endpoint.PendingDynamicRemoval, endpoint.PendingDynamicRemoval)
			l.byKey[k] = h
			*hosts = append(*hosts, h)
			continue
		}
		l.letGo(h)
		removed = true
	}
	return removed
}

// letGo lets one host go: what watches it stops, its requests finish.
func (l *live) letGo(h *endpoint.Host) {
	for _, k := range l.checkers {
		k.Remove(h)
	}
	if l.detector != nil {
		l.detector.Remove(h)
	}
	l.untrack(h)
	l.checked(h, true)
	h.Leave()
}
