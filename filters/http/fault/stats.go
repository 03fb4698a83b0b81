package fault

import (
	"strings"
	"sync"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Stats are below "http.PREFIX.fault."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/fault_filter#statistics).
type Stats struct {
	AbortsInjected     stats.Counter `stat:"aborts_injected"`
	ActiveFaults       stats.Gauge   `stat:"active_faults"`
	DelaysInjected     stats.Counter `stat:"delays_injected"`
	FaultsOverflow     stats.Counter `stat:"faults_overflow"`
	ResponseRLInjected stats.Counter `stat:"response_rl_injected"`
}

// peerStats are the stats below "http.PREFIX.fault.CLUSTER.", where CLUSTER is what the client calls its own
// (x-envoy-downstream-service-cluster).
type peerStats struct {
	scope *stats.Scope
	m     sync.Map // cluster → *peerCounters
}

type peerCounters struct {
	AbortsInjected, DelaysInjected lazyCounter
}

// lazyCounter is a counter that exists from its first use.
type lazyCounter struct {
	scope *stats.Scope
	name  string
	once  sync.Once
	c     *stats.Counter
}

// Inc counts.
func (l *lazyCounter) Inc(w stats.Worker) {
	l.once.Do(func() { l.c = l.scope.Counter(l.name) })
	l.c.Inc(w)
}

func (f *fault) bind(ctx *filter.Context) {
	f.byPeer.scope = ctx.HTTPScope("fault")
	stats.Bind(f.byPeer.scope, &f.stats)
}

// peerStats finds the stats of the peer's cluster; nil: there are none.
func (a *active) peerStats() *peerCounters {
	if a.peer == "" || a.config.noStats {
		return nil
	}
	if v, ok := a.byPeer.m.Load(a.peer); ok {
		return v.(*peerCounters)
	}
	name := strings.Clone(a.peer)
	scope := a.byPeer.scope
	v, _ := a.byPeer.m.LoadOrStore(name, &peerCounters{
		AbortsInjected: lazyCounter{scope: scope, name: name + ".aborts_injected"}, DelaysInjected: lazyCounter{scope: scope, name: name + ".delays_injected"},
	})
	return v.(*peerCounters)
}
