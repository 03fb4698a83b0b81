package cluster

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// ManagerOptions are what clusters are brought to life with.
type ManagerOptions struct {
	Stats   *stats.Store
	Runtime *runtime.Loader
	// NewPool makes the pools of connections.
	NewPool func(pool.Config) pool.Pool
	// Transport is what transport sockets are built with, for a cluster's scope.
	Transport func(scope *stats.Scope) transport.Env
	// Locality is the proxy's own; nil: unknown. LocalCluster is the cluster of its siblings, by which
	// requests are routed to zones; "": there is none.
	Locality     *endpoint.Locality
	LocalCluster string
	// Bind is the bootstrap's upstream_bind_config, for clusters without one.
	Bind *Bind
	// Internal dials an internal listener; nil: there are none.
	Internal func(ctx context.Context, listener, endpointID string, o *transport.Options) (net.Conn, error)
	// Watcher tells when peers of idle connections hang up; nil: nobody does.
	Watcher *network.Watcher
	// OpenLog opens a file for events; OutlierLog is the one for outlier detection, "" none.
	OpenLog    func(path string) (io.Writer, error)
	OutlierLog string
	// DNS is how names are resolved where a cluster does not say.
	DNS dns.Config
	// OnWarm hears, on any goroutine, that a cluster has become warm, or has gone: Warming may be asked.
	OnWarm func()
	Log    *slog.Logger
}

// Manager keeps the clusters: it is the only one who adds and removes any.
type Manager struct {
	o     ManagerOptions
	log   *slog.Logger
	set   *Set
	stats managerStats
	scope *stats.Scope
	wait  sync.WaitGroup // goroutines of activation

	mu sync.Mutex
	// entries are all clusters, warm or not, by name; guarded by mu.
	entries   map[string]*entry
	resolvers map[string]*dns.Resolver // guarded by resolveMu
	closing   []func()                 // guarded by mu: to be done without it
	late      map[*time.Timer]func()   // guarded by mu
	closed    bool                     // guarded by mu
	resolveMu sync.Mutex
	local     atomic.Pointer[Cluster]
}

// entry is a cluster with the resources that it was made from.
type entry struct {
	cluster *Cluster
	// active is the resource in force; nil: the cluster has never been warm. warming is the one that is to
	// take its place; nil: none.
	active, warming *xds.Resource
	assignment      *xds.Resource // what was last assigned
	config          *Config       // what the cluster was last told to take; nil: nothing yet
}

// NewManager makes a manager without clusters; Close ends it.
func NewManager(o ManagerOptions) *Manager {
	m := &Manager{o: o, log: o.Log, set: &Set{}, entries: map[string]*entry{}, resolvers: map[string]*dns.Resolver{}, late: map[*time.Timer]func(){}}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.set.clusters.Store(&map[string]*Cluster{})
	m.scope = o.Stats.Scope("cluster_manager")
	stats.Bind(m.scope, &m.stats)
	m.stats.Active.Set(0)
	m.stats.Warming.Set(0)
	o.Stats.OnFlush(m.flush)
	return m
}

// Set is where requests find clusters.
func (m *Manager) Set() *Set { return m.set }

// Apply makes the clusters be those of s: for each warm one whose value changed, what is new is built
// beside the old and swapped in. It is called by the main goroutine alone.
func (m *Manager) Apply(s *xds.Snapshot) {
	m.mu.Lock()
	changed := false
	for name, r := range s.All(xds.ClusterURL) {
		if m.put(s, name, r) {
			changed = true
		}
	}
	for name := range m.entries {
		if s.Resource(xds.ClusterURL, name) == nil {
			m.remove(name)
			changed = true
		}
	}
	for _, e := range m.entries {
		m.assign(s, e)
	}
	if changed {
		m.publish()
	}
	m.gauges()
	m.unlock()
}

// unlock gives mu up and does what may not be done with it.
func (m *Manager) unlock() {
	closing := m.closing
	m.closing = nil
	m.mu.Unlock()
	for _, f := range closing {
		f()
	}
}

// put takes a resource in, and tells whether that changed the set. m.mu is held.
func (m *Manager) put(s *xds.Snapshot, name string, r *xds.Resource) (changed bool) {
	e := m.entries[name]
	if e == nil {
		e = &entry{}
		m.entries[name] = e
		m.stats.Added.Inc(0)
	}
	if r == e.active && e.warming == nil || same(r, e.active) && e.warming == nil {
		e.active = r
		return false
	}
	if r != e.warming && same(r, e.active) {
		e.warming = nil // back to what is in force
		m.drop(e)
		e.active = r
		return false
	}
	fresh := r != e.warming
	if fresh && (e.active != nil || e.warming != nil) {
		m.stats.Modified.Inc(0)
	}
	e.warming = r
	if !s.Warm(r) {
		return false
	}
	if !fresh && e.cluster != nil && e.cluster.awaited() {
		return false // being warmed already
	}
	return m.warm(s, e, r)
}

// same tells whether two resources are the same cluster byte for byte.
func same(a, b *xds.Resource) bool {
	return a != nil && b != nil && (a == b || a.Any != nil && b.Any != nil && string(a.Any.GetValue()) == string(b.Any.GetValue()))
}

// warm brings e's new resource into force, or begins to. m.mu is held.
func (m *Manager) warm(s *xds.Snapshot, e *entry, r *xds.Resource) (changed bool) {
	config, ok := r.Value.(*Config)
	if !ok {
		return false
	}
	c := e.cluster
	if c != nil && c.config.Load().StatName() != config.StatName() {
		m.retire(c)
		c = nil
	}
	if c == nil {
		c = m.newCluster(config)
		e.assignment = nil
		e.cluster, e.active = c, nil
	}
	e.config = config
	m.assignTo(s, e, config)
	if !c.take(config) {
		c.members.WarmingState.Set(1)
		return false
	}
	e.active, e.warming = r, nil
	c.members.WarmingState.Set(0)
	return true
}

// publish makes the set of all clusters that are in force. m.mu is held.
func (m *Manager) publish() {
	all := make(map[string]*Cluster, len(m.entries))
	for name, e := range m.entries {
		if e.active != nil {
			all[name] = e.cluster
		}
	}
	m.set.clusters.Store(&all)
	if name := m.o.LocalCluster; name != "" && m.local.Swap(all[name]) != all[name] {
		// Owned by m: ends at once; Close waits for it.
		m.wait.Go(m.relocate)
	}
}

// gauges counts the clusters. m.mu is held.
func (m *Manager) gauges() {
	active, warming := 0, 0
	for _, e := range m.entries {
		if e.active != nil {
			active++
		}
		if e.warming != nil {
			warming++
		}
	}
	m.stats.Active.Set(uint64(active))
	m.stats.Warming.Set(uint64(warming))
}

// Warming is how many clusters wait for their resources, names or checks.
func (m *Manager) Warming() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.entries {
		if e.warming != nil {
			n++
		}
	}
	return n
}

// remove takes a cluster away. m.mu is held.
func (m *Manager) remove(name string) {
	e := m.entries[name]
	delete(m.entries, name)
	m.stats.Removed.Inc(0)
	if e.cluster != nil {
		m.retire(e.cluster)
	}
}

// drop gives up what e was being warmed to. m.mu is held.
func (m *Manager) drop(e *entry) {
	if e.cluster == nil {
		return
	}
	e.cluster.mu.Lock()
	defer e.cluster.mu.Unlock()
	e.cluster.abandon()
	e.cluster.members.WarmingState.Set(0)
}

// Close ends all clusters and waits for what runs for them.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	for name := range m.entries {
		e := m.entries[name]
		delete(m.entries, name)
		if e.cluster != nil {
			m.retire(e.cluster)
		}
	}
	m.publish()
	m.unlock()
	m.wait.Wait()
	m.mu.Lock()
	late := m.late
	m.late = map[*time.Timer]func(){}
	m.mu.Unlock()
	for t, f := range late {
		if t.Stop() {
			f()
		}
	}
}

// transportEnv is what transport sockets of a cluster are built with.
func (m *Manager) transportEnv(scope *stats.Scope) transport.Env {
	if m.o.Transport == nil {
		return transport.Env{Scope: scope, Log: m.log}
	}
	return m.o.Transport(scope)
}

// version is a version text as a gauge shows it.
func version(text string) uint64 {
	if text == "" {
		return 0
	}
	return xxhash.Sum64String(text)
}
