package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/pillion-proxy/pillion/dataplane"
	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/admin"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/listener"
	"github.com/pillion-proxy/pillion/dataplane/logging"
	pillionruntime "github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/filters"
	"github.com/pillion-proxy/pillion/xds"
	"github.com/pillion-proxy/pillion/xds/bootstrap"
)

// proxy is Envoy's own command line: it serves until a signal or /quitquitquit ends it. It returns the
// exit code.
func proxy(args []string) int {
	started := time.Now()
	flags, err := Parse(args)
	var exit *Exit
	if errors.As(err, &exit) {
		fmt.Fprint(os.Stdout, exit.Out)
		fmt.Fprint(os.Stderr, exit.Err)
		return exit.Code
	}
	logs, err := logging.New(logging.Options{Level: flags.LogLevel, Components: flags.ComponentLevels, Format: flags.LogFormat, Escaped: flags.LogFormatEscaped, Path: flags.LogPath})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = logs.Close() }()
	for _, w := range flags.Warnings {
		logs.For("config").Warn(w)
	}
	s, err := newServer(flags, logs, started)
	if err != nil {
		return failed(flags, logs, err)
	}
	if flags.Mode == adminpb.CommandLineOptions_Validate {
		return s.validate()
	}
	if err := s.start(); err != nil {
		s.close()
		return failed(flags, logs, err)
	}
	s.wait()
	s.close()
	return 0
}

// failed says why the proxy does not start, as Envoy does: in the log and, bare, on stderr.
func failed(flags *Flags, logs *logging.Logs, err error) int {
	logs.For("main").Log(context.Background(), logging.LevelCritical, fmt.Sprintf("error initializing configuration '%s': %v", flags.ConfigPath, err))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// server is one proxy process and what belongs to it.
type server struct {
	flags   *Flags
	logs    *logging.Logs
	log     *slog.Logger
	started time.Time
	workers int

	bootstrap     *bootstrap.Bootstrap
	registry      *filter.Registry
	store         *stats.Store
	runtime       *pillionruntime.Loader
	files         *accesslog.Files
	proxy         *dataplane.Proxy
	client        *xds.Client
	static        map[string]bool // the bootstrap's clusters by name; nil: not looked at yet
	sources       *sources
	admin         *admin.Admin
	why           *admin.Ring
	gauges        *serverStats
	subscriptions *dataplane.Subscriptions
	quit          chan struct{}
}

// newServer makes everything, in the order in which it depends on each other, and starts nothing.
func newServer(flags *Flags, logs *logging.Logs, started time.Time) (*server, error) {
	s := &server{flags: flags, logs: logs, log: logs.For("main"), started: started, quit: make(chan struct{}, 1), registry: filters.Registry(), why: &admin.Ring{}}
	s.limit()
	b, err := bootstrap.Load(bootstrap.Options{Path: flags.ConfigPath, YAML: flags.ConfigYAML, AllowUnknown: flags.AllowUnknownStatic,
		ServiceNode: flags.ServiceNode, ServiceCluster: flags.ServiceCluster, ServiceZone: flags.ServiceZone})
	if err != nil {
		return nil, err
	}
	s.bootstrap = b
	s.registry.Disable(flags.DisabledExtensions)
	if err := s.logFormat(); err != nil {
		return nil, err
	}
	if err := refused(b); err != nil {
		return nil, err
	}
	if err := s.makeStats(); err != nil {
		return nil, err
	}
	s.makeRuntime()
	s.files = accesslog.NewFiles(accesslog.FilesOptions{FlushInterval: flags.FileFlushInterval, MinFlush: flags.FileFlushMinSize, Store: s.store})
	if err := s.makeProxy(); err != nil {
		return nil, err
	}
	if err := s.makeClient(); err != nil {
		return nil, err
	}
	return s, s.makeAdmin()
}

// limit makes Go's scheduler and memory fit the process: as many threads as workers, and no memory limit
// but our own. A sidecar inherits GOMEMLIMIT from its pod, where it is meant for pilot-agent.
func (s *server) limit() {
	s.workers = int(s.flags.Concurrency)
	if s.workers == 0 {
		s.workers = runtime.NumCPU()
	}
	runtime.GOMAXPROCS(s.workers)
	if os.Getenv("PILLION_MEMORY_LIMIT") == "" {
		debug.SetMemoryLimit(1<<63 - 1)
	}
}

func (s *server) logFormat() error {
	for _, name := range s.bootstrap.Unknown {
		s.log.Warn("the bootstrap has an unknown field, which is passed over: " + name)
	}
	if s.bootstrap.LogFormat == nil {
		return nil
	}
	return s.logs.Configure(s.bootstrap.LogFormat)
}

// makeRuntime makes the layers of the runtime; without any there is an empty admin layer, as in Envoy.
func (s *server) makeRuntime() {
	var layers []pillionruntime.Layer
	for _, l := range s.bootstrap.Layers {
		layers = append(layers, pillionruntime.Layer{Name: l.Name, Values: l.Values, Admin: l.Admin})
	}
	s.runtime = pillionruntime.New(layers...)
}

func (s *server) makeProxy() error {
	b := s.bootstrap
	local := b.Node.GetLocality()
	bind, err := cluster.CompileBind(b.UpstreamBind, "Bootstrap")
	if err != nil {
		return err
	}
	limit, err := s.maxConnections()
	if err != nil {
		return err
	}
	s.subscriptions = dataplane.NewSubscriptions(s.store, b.ADS != nil, b.Listeners != nil, b.Clusters != nil)
	s.proxy, err = dataplane.New(dataplane.Options{
		Registry: s.registry, Stats: s.store, Runtime: s.runtime, Files: s.files, Log: s.logs.For("main"), Workers: s.workers,
		Node:           filter.Node{ID: b.Node.GetId(), Cluster: b.Node.GetCluster(), Region: local.GetRegion(), Zone: local.GetZone(), SubZone: local.GetSubZone(), Metadata: b.Node.GetMetadata()},
		Drain:          listener.DrainOptions{Time: s.flags.DrainTime, Immediate: s.flags.DrainImmediate},
		Clusters:       cluster.ManagerOptions{Locality: locality(b.Node), LocalCluster: b.LocalCluster, Bind: bind, OpenLog: s.openLog, OutlierLog: b.OutlierLog},
		MaxConnections: limit, FlushInterval: b.Stats.FlushInterval, EvictionInterval: b.Stats.EvictionInterval,
		LocalAddress: dataplane.LocalAddress(s.flags.LocalAddressV6), HasLDS: b.Listeners != nil, Subscriptions: s.subscriptions, Why: s.why.Add, OnFlush: s.flush,
	})
	return err
}

// validate is --mode validate: everything has been compiled; nothing is served.
func (s *server) validate() int {
	if err := s.client.Static(s.bootstrap.Static); err != nil {
		return failed(s.flags, s.logs, err)
	}
	fmt.Printf("configuration '%s' OK\n", s.flags.ConfigPath)
	return 0
}

// start brings the proxy to life: the admin interface first, so that it can be seen starting.
func (s *server) start() error {
	s.proxy.Start()
	if err := s.client.Static(s.bootstrap.Static); err != nil {
		return err
	}
	if err := s.admin.Listen(); err != nil {
		return err
	}
	s.proxy.OnClustersReady(s.client.ClustersReady)
	s.proxy.OnLive(s.live)
	s.log.Info("starting main dispatch loop")
	s.client.Start()
	return nil
}

// live is called when the workers have started.
func (s *server) live() {
	s.gauges.initialized(time.Since(s.started))
	// What starting took is not needed any more.
	go debug.FreeOSMemory()
}

// wait returns when the process is to end.
func (s *server) wait() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGHUP)
	for {
		select {
		case <-s.quit:
			return
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				s.reopen()
			case syscall.SIGHUP:
				s.log.Warn("caught and eating SIGHUP")
			default:
				s.log.Warn("caught ENVOY_" + signalName(sig))
				return
			}
		}
	}
}

func signalName(s os.Signal) string {
	if s == syscall.SIGINT {
		return "SIGINT"
	}
	return "SIGTERM"
}

// reopen opens log files anew after they were rotated.
func (s *server) reopen() {
	s.files.Reopen()
	if err := s.logs.Reopen(); err != nil {
		s.log.Warn("cannot reopen the log", "error", err)
	}
}

func (s *server) close() {
	s.log.Info("exiting")
	if s.client != nil {
		s.client.Close()
		s.sources.close()
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.admin != nil {
		s.admin.Close()
	}
	s.files.Close()
}
