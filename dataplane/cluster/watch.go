package cluster

import (
	"io"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// startHealth starts outlier detection and health checks, without hosts yet.
func (l *live) startHealth() {
	c := l.cluster
	if c.gone {
		return // a request that held on to a removed cluster
	}
	if o := l.spec.Outlier; o != nil {
		st := &health.OutlierStats{}
		stats.Bind(c.sub("outlier_detection"), st)
		l.detector = health.NewDetector(o, health.OutlierEnv{
			Cluster: c.name, Stats: st, Runtime: c.m.o.Runtime, Log: c.m.openLog(c.m.o.OutlierLog), OnChange: l.onChange,
		})
	}
	for i, check := range l.spec.HealthChecks {
		prefix := "health_check"
		if check.Name != "" {
			prefix += ".name." + check.Name
		}
		st := &health.CheckStats{}
		stats.Bind(c.sub(prefix), st)
		env := health.CheckEnv{
			Cluster: c.name, Number: i, Stats: st, Runtime: c.m.o.Runtime, Dialer: checkDialer{l.dialer},
			Traffic: func() bool { return l.traffic.stats.CxTotal.Value() > 0 }, OnChecked: l.onChecked,
		}
		for _, path := range check.LogPaths {
			if w := c.m.openLog(path); w != nil {
				env.Logs = append(env.Logs, w)
			}
		}
		l.checkers = append(l.checkers, health.NewChecker(check, env))
	}
}

// openLog opens an event log; nil: there is none.
func (m *Manager) openLog(path string) io.Writer {
	if path == "" || m.o.OpenLog == nil {
		return nil
	}
	w, err := m.o.OpenLog(path)
	if err != nil {
		m.log.Error("event log", "path", path, "err", err)
		return nil
	}
	return w
}

// adopt has a host watched. fresh tells that nothing is known of its health yet. cluster.mu is held.
func (l *live) adopt(h *endpoint.Host, fresh bool) {
	l.track(h)
	if l.detector != nil {
		l.detector.Remove(h)
		l.detector.Add(h)
	} else {
		h.SetMonitor(nil)
		h.SetFlags(0, endpoint.FailedOutlierCheck|endpoint.DegradedOutlierDetection)
	}
	skip := h.Endpoint().DisableHealthCheck
	for i := range maxChecks {
		if i < len(l.checkers) && !skip {
			l.checkers[i].Remove(h)
			if fresh && l.spec.IgnoreNewHosts {
				h.SetFlags(endpoint.PendingActiveHC, endpoint.PendingActiveHC)
			}
			l.checkers[i].Add(h, fresh)
		} else {
			h.SetFailing(i, false)
		}
	}
	if skip || len(l.checkers) == 0 {
		h.SetFlags(0, endpoint.PendingActiveHC|endpoint.DegradedActiveHC|endpoint.ActiveHCTimeout|endpoint.ExcludedViaImmediateHCFail)
	}
}

const maxChecks = 31

// awaitChecks holds the cluster back until each host was checked once. cluster.mu is held.
func (l *live) awaitChecks() {
	for _, h := range l.hosts {
		if !h.Endpoint().DisableHealthCheck {
			l.unchecked[h] = len(l.checkers)
		}
	}
	if len(l.unchecked) > 0 {
		l.waiting++
	}
}

// checked counts a first check, or all of a host that is gone.
func (l *live) checked(h *endpoint.Host, gone bool) {
	n, ok := l.unchecked[h]
	if !ok {
		return
	}
	if n > 1 && !gone {
		l.unchecked[h] = n - 1
		return
	}
	delete(l.unchecked, h)
	if len(l.unchecked) == 0 {
		l.arrived()
	}
}

// arrived tells that one thing has happened that was waited for. cluster.mu is held.
func (l *live) arrived() {
	if l.waiting > 0 {
		if l.waiting--; l.waiting == 0 {
			l.warm = true
			l.cluster.m.warmed(l)
		}
	}
}

// onChange follows a change of a host's flags.
func (l *live) onChange(*endpoint.Host) {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if !l.closed {
		l.rebuild()
	}
}

// onChecked follows a health check.
func (l *live) onChecked(h *endpoint.Host, passed, changed bool) {
	if passed && l.detector != nil {
		l.detector.Passed(h)
	}
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if l.closed {
		return
	}
	failed := h.Flags()&endpoint.FailedActiveHC != 0
	if failed && h.Flags()&endpoint.PendingDynamicRemoval != 0 {
		l.forget(h)
		changed = true
	}
	if changed {
		if failed && l.spec.CloseOnHealthFailure {
			h.Close()
		}
		l.rebuild()
	}
	l.checked(h, false)
}

// forget lets a host go that only its passing checks had kept. cluster.mu is held.
func (l *live) forget(h *endpoint.Host) {
	for k, x := range l.byKey {
		if x == h {
			delete(l.byKey, k)
		}
	}
	hosts := make([]*endpoint.Host, 0, len(l.hosts))
	for _, x := range l.hosts {
		if x != h {
			hosts = append(hosts, x)
		}
	}
	l.hosts = hosts
	l.letGo(h)
	l.cluster.members.Change.Inc(0)
}
