package grpc

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Stats are the stats of gRPC calls: "cluster.NAME.grpc." and, by method,
// "cluster.NAME.grpc.SERVICE.METHOD."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/grpc_stats_filter). They
// live as long as the proxy, and each exists from its first use.
type Stats struct {
	store *stats.Store
	calls atomic.Pointer[map[key]*Calls] // never written to again
	more  sync.Map                       // key → *Calls: what there is beyond maxListed

	mu sync.Mutex // of who makes a new map
}

type key struct{ protocol, cluster, service, method string }

// maxListed is how many there are in the map that is read without a lock, and copied for every new one.
const maxListed = 4096

// Of returns the proxy's stats.
func Of(s *filter.Server) *Stats {
	return filter.Singleton(s, "grpc", func() *Stats {
		t := &Stats{store: s.Stats}
		t.calls.Store(&map[key]*Calls{})
		return t
	})
}

// Calls returns the stats of a cluster's calls: of one method or, with "", of all. protocol is "grpc" or
// "grpc-web".
func (t *Stats) Calls(protocol, cluster, service, method string) *Calls {
	k := key{protocol, cluster, service, method}
	if c := (*t.calls.Load())[k]; c != nil {
		return c
	}
	return t.add(k)
}

func (t *Stats) add(k key) *Calls {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.calls.Load()
	if c := old[k]; c != nil {
		return c
	}
	k = key{k.protocol, strings.Clone(k.cluster), strings.Clone(k.service), strings.Clone(k.method)}
	if len(old) >= maxListed {
		c, _ := t.more.LoadOrStore(k, t.make(k))
		return c.(*Calls)
	}
	next := maps.Clone(old)
	next[k] = t.make(k)
	t.calls.Store(&next)
	return next[k]
}

func (t *Stats) make(k key) *Calls {
	prefix := "cluster." + k.cluster + "." + k.protocol
	if k.service != "" {
		prefix += "." + k.service + "." + k.method
	}
	scope := t.store.Scope(prefix)
	c := &Calls{scope: scope}
	for i, name := range [...]string{"success", "failure", "total", "request_message_count", "response_message_count"} {
		c.counters[i].name = name
	}
	return c
}

// Calls are the stats of some calls.
type Calls struct {
	scope    *stats.Scope
	counters [5]lazyCounter
	codes    [17]lazyCounter // by gRPC status
	others   sync.Map        // what is no gRPC status → *stats.Counter
	time     atomic.Pointer[stats.Histogram]
}

const (
	success = iota
	failure
	total
	requests
	responses
)

// lazyCounter is a counter that exists from its first use.
type lazyCounter struct {
	name string
	c    atomic.Pointer[stats.Counter]
}

func (l *lazyCounter) add(scope *stats.Scope, w stats.Worker, n uint64) {
	c := l.c.Load()
	if c == nil {
		c = scope.Counter(l.name)
		l.c.Store(c)
	}
	c.Add(w, n)
}

// Status counts the end of a call by the text of its grpc-status.
func (c *Calls) Status(w stats.Worker, status string) {
	if n, ok := filter.GRPCCode(status); ok && (len(status) == 1 || status[0] != '0') {
		l := &c.codes[n]
		if l.c.Load() == nil {
			l.c.Store(c.scope.Counter(strconv.Itoa(int(n))))
		}
		l.add(c.scope, w, 1)
	} else {
		c.other(status).Inc(w)
	}
	if status == "0" {
		c.counters[success].add(c.scope, w, 1)
	} else {
		c.counters[failure].add(c.scope, w, 1)
	}
	c.counters[total].add(c.scope, w, 1)
}

func (c *Calls) other(status string) *stats.Counter {
	if v, ok := c.others.Load(status); ok {
		return v.(*stats.Counter)
	}
	status = strings.Clone(status)
	v, _ := c.others.LoadOrStore(status, c.scope.Counter(status))
	return v.(*stats.Counter)
}

// Requests counts messages of requests.
func (c *Calls) Requests(w stats.Worker, n uint64) { c.counters[requests].add(c.scope, w, n) }

// Responses counts messages of responses.
func (c *Calls) Responses(w stats.Worker, n uint64) { c.counters[responses].add(c.scope, w, n) }

// UpstreamTime records how long a call took the upstream, in milliseconds.
func (c *Calls) UpstreamTime(w stats.Worker, ms uint64) {
	h := c.time.Load()
	if h == nil {
		h = c.scope.Histogram("upstream_rq_time")
		c.time.Store(h)
	}
	h.Record(w, ms)
}
