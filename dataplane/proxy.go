// Package dataplane is the running proxy: it makes clusters, routes, secrets and listeners of a Snapshot,
// in the order that no request notices, and owns them.
package dataplane

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/listener"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// State is the server's, with the numbers of admin.v3.ServerInfo.State.
type State int32

// The states.
const (
	Live            State = 0
	Draining        State = 1
	PreInitializing State = 2
	Initializing    State = 3
)

// Options are what a Proxy is made from.
type Options struct {
	Registry *filter.Registry
	Stats    *stats.Store
	Runtime  *runtime.Loader
	Files    *accesslog.Files
	Log      *slog.Logger
	Node     filter.Node
	Workers  int
	Drain    listener.DrainOptions
	// Clusters says what the bootstrap does of clusters: locality, local cluster, source addresses, logs,
	// DNS. The rest is filled in.
	Clusters cluster.ManagerOptions
	// MaxConnections limits downstream connections; 0: none.
	MaxConnections int64
	// FlushInterval is stats_flush_interval, EvictionInterval stats_eviction_interval; 0: never.
	FlushInterval, EvictionInterval time.Duration
	// LocalAddress is this machine's own address: see LocalAddress.
	LocalAddress string
	// HasLDS tells that listeners come from a control plane: the workers start with its first answer.
	HasLDS bool
	// Subscriptions, if not nil, counts what happens to subscriptions.
	Subscriptions *Subscriptions
	// OnFlush is called before every flush of stats, on the main goroutine.
	OnFlush func()
	Why     func(*filter.Verdict)
}

// Proxy is the data plane. Everything live is changed on its main goroutine alone.
type Proxy struct {
	Server    *filter.Server
	Listeners *listener.Manager
	Clusters  *cluster.Manager
	Routes    *route.Handles
	Secrets   *secret.Store
	Contexts  *transport.Contexts

	o        Options
	main     chan func()
	quit     chan struct{}
	done     sync.WaitGroup
	state    atomic.Int32
	failing  atomic.Bool
	snapshot atomic.Pointer[xds.Snapshot]
	// initialized tells that the first clusters are warm; main only.
	initialized bool
	// ready is called once the clusters of the first snapshot are warm; live once the workers started.
	ready, live []func()
}

// New makes a proxy that serves nothing yet.
func New(o Options) (*Proxy, error) {
	p := &Proxy{o: o, main: make(chan func()), quit: make(chan struct{}), Routes: route.NewHandles(), Contexts: &transport.Contexts{}}
	p.state.Store(int32(PreInitializing))
	p.Secrets = secret.NewStore(o.Stats, o.Log)
	p.Server = &filter.Server{Stats: o.Stats, Secrets: p.Secrets, Routes: p.Routes, Runtime: o.Runtime, Files: o.Files, Log: o.Log, Node: o.Node, Workers: o.Workers,
		DrainTime: o.Drain.Time, LocalAddress: o.LocalAddress, Failing: p.failing.Load, Why: o.Why}
	if o.Subscriptions != nil {
		p.Server.Subscribed = o.Subscriptions.Bind
	}
	lm, err := listener.NewManager(listener.Options{Server: p.Server, Drain: o.Drain, MaxConnections: o.MaxConnections, Contexts: p.Contexts})
	if err != nil {
		return nil, err
	}
	p.Listeners = lm
	clusters := o.Clusters
	clusters.Stats, clusters.Runtime, clusters.Log, clusters.NewPool, clusters.Watcher = o.Stats, o.Runtime, o.Log, newPool, lm.Watcher()
	clusters.Transport = func(scope *stats.Scope) transport.Env {
		return transport.Env{Secrets: p.Secrets, Scope: scope, Log: o.Log, Contexts: p.Contexts}
	}
	clusters.OnWarm = func() { p.Post(p.clustersReady) }
	p.Clusters = cluster.NewManager(clusters)
	p.Server.Clusters = p.Clusters.Set()
	return p, nil
}

// newPool makes the pools of hosts.
func newPool(cfg pool.Config) pool.Pool {
	switch cfg.Options.Protocol {
	case pool.HTTP2, pool.HTTP3:
		return pool.NewHTTP2(cfg)
	case pool.Auto:
		return pool.NewAuto(cfg)
	default:
		return pool.NewHTTP1(cfg)
	}
}

// Start runs the main goroutine; Close ends it.
func (p *Proxy) Start() {
	// Owned by the proxy: ends when quit is closed.
	p.done.Go(p.run)
}

func (p *Proxy) run() {
	flush := time.NewTicker(orNever(p.o.FlushInterval))
	evict := time.NewTicker(orNever(p.o.EvictionInterval))
	defer flush.Stop()
	defer evict.Stop()
	for {
		select {
		case f := <-p.main:
			f()
		case <-flush.C:
			p.flush()
		case <-evict.C:
			p.o.Stats.Evict()
		case <-p.quit:
			return
		}
	}
}

// Flush brings histograms and gauges up to date; for the main goroutine.
func (p *Proxy) Flush() { p.flush() }

func (p *Proxy) flush() {
	if p.o.OnFlush != nil {
		p.o.OnFlush()
	}
	p.o.Stats.Flush()
}

func orNever(d time.Duration) time.Duration {
	if d <= 0 {
		return 1 << 62
	}
	return d
}

// Main runs f on the main goroutine and waits for it; it reports false if the proxy is closed.
func (p *Proxy) Main(f func()) bool {
	done := make(chan struct{})
	select {
	case p.main <- func() { f(); close(done) }:
		<-done
		return true
	case <-p.quit:
		return false
	}
}

// Post runs f on the main goroutine some time.
func (p *Proxy) Post(f func()) {
	// Owned by the proxy: ends when main takes f, or quit is closed.
	p.done.Go(func() {
		select {
		case p.main <- f:
		case <-p.quit:
		}
	})
}

// Apply brings everything live to what s says. It returns when it has done so.
func (p *Proxy) Apply(s *xds.Snapshot) {
	p.Main(func() { p.apply(s) })
}

// apply goes in the order in which nothing is missing: what is referred to first. What is not referred
// to any more goes when its users have gone.
func (p *Proxy) apply(s *xds.Snapshot) {
	p.snapshot.Store(s)
	p.Secrets.Apply(s)
	p.Clusters.Apply(s)
	p.Routes.Apply(s)
	p.Listeners.Apply(s)
	p.clustersReady()
}

// clustersReady goes on where the first clusters are warm: those of the bootstrap, and of the first CDS
// response.
func (p *Proxy) clustersReady() {
	if s := p.snapshot.Load(); s == nil || !s.Answered(xds.ClusterURL) || p.Clusters.Warming() > 0 {
		return
	}
	p.initialized = true
	p.state.CompareAndSwap(int32(PreInitializing), int32(Initializing))
	for _, f := range p.ready {
		f()
	}
	p.ready = nil
	p.start()
}

// start starts the workers when the initial configuration is complete: clusters warm, LDS answered, its
// listeners warm.
func (p *Proxy) start() {
	s := p.snapshot.Load()
	if p.Listeners.Started() || s == nil || !p.initialized || p.o.HasLDS && !s.Answered(xds.ListenerURL) {
		return
	}
	for _, r := range s.All(xds.ListenerURL) {
		if !s.Warm(r) {
			return
		}
	}
	p.Listeners.Start()
	if !p.state.CompareAndSwap(int32(Initializing), int32(Live)) {
		p.state.CompareAndSwap(int32(PreInitializing), int32(Live))
	}
	p.o.Log.With("component", "main").Info("all dependencies initialized. starting workers")
	for _, f := range p.live {
		f()
	}
	p.live = nil
}

// OnClustersReady has f called on the main goroutine once the first clusters are warm; OnLive once the
// workers have started. Both are for before Start.
func (p *Proxy) OnClustersReady(f func()) { p.ready = append(p.ready, f) }

// OnLive is described at OnClustersReady.
func (p *Proxy) OnLive(f func()) { p.live = append(p.live, f) }

// Snapshot is the last one applied; nil before the first.
func (p *Proxy) Snapshot() *xds.Snapshot { return p.snapshot.Load() }

// State is the server's state.
func (p *Proxy) State() State {
	if p.failing.Load() && State(p.state.Load()) == Live {
		return Draining
	}
	return State(p.state.Load())
}

// SetFailing is /healthcheck/fail and /healthcheck/ok.
func (p *Proxy) SetFailing(failing bool) {
	p.failing.Store(failing)
	p.Listeners.SetFailing(failing)
}

// Close ends everything at once and waits for it.
func (p *Proxy) Close() {
	p.Main(func() {
		p.Listeners.Close()
		p.Clusters.Close()
		p.Secrets.Close()
	})
	close(p.quit)
	p.done.Wait()
}
