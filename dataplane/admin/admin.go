// Package admin is the administration interface: Envoy's own endpoints, byte for byte in form, on a
// small HTTP server that nothing of the data path is needed for; and a few of ours.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/logging"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// Options are what the interface shows and does. Functions may be nil where there is nothing behind
// them; Stats may not.
type Options struct {
	// Config is the bootstrap's admin.
	Config *bootstrappb.Admin
	// AddressPath is --admin-address-path.
	AddressPath string

	Stats   *stats.Store
	Runtime *runtime.Loader
	Logs    *logging.Logs
	// Files and AccessLog are what access logs are made with.
	Files     *accesslog.Files
	AccessLog accesslog.Options

	// Version is the server's: REVISION/1.40.0/Clean/RELEASE/BoringSSL.
	Version     string
	CommandLine *adminpb.CommandLineOptions
	// Started is when the process started.
	Started time.Time

	// Bootstrap is made anew at each call; what it returns is not changed.
	Bootstrap     func() (*bootstrappb.Bootstrap, error)
	Snapshot      func() *xds.Snapshot
	Subscriptions func() []xds.Subscription
	// Listeners lists the listeners in the order of /listeners: static ones, then by age. It is called
	// on the main goroutine, as are the functions of Clusters.
	Listeners func() []Listener
	Clusters  Clusters
	Contexts  *transport.Contexts
	State     func() adminpb.ServerInfo_State

	// Main runs a function on the main goroutine and waits for it; false: there is none any more.
	Main func(func()) bool
	// SetFailing is /healthcheck/fail and /healthcheck/ok, Drain is /drain_listeners; both are called on
	// the main goroutine. Quit is /quitquitquit, Reopen /reopen_logs.
	SetFailing func(failing bool)
	Drain      func(Drain)
	Quit       func()
	Reopen     func()
	// Flush is stats_flush_on_admin: it is called, on the main goroutine, before stats are shown; nil: they
	// are flushed otherwise.
	Flush func()
	// Why is the ring of failures that /why shows.
	Why *Ring
	// Admit counts a connection in global_downstream_max_connections, or refuses it; Dismiss counts it
	// out. nil: there is no such limit.
	Admit   func() bool
	Dismiss func()
}

// Clusters is what is asked of the cluster manager.
type Clusters interface {
	Resources() []cluster.Resources
	Statuses() []cluster.Status
	Endpoints() []cluster.Endpoints
}

// Listener is what is asked of one listener.
type Listener struct {
	Name string
	// Addresses are where it listens, with the real ports: *net.TCPAddr or *net.UnixAddr; none: it is an
	// internal one. Shown tells that /listeners has it: it is active.
	Addresses []net.Addr
	Shown     bool
	// Active is in force, Warming is to take its place, Draining was in force; nil: none.
	Active, Warming, Draining *xds.Resource
}

// Drain is what /drain_listeners asks.
type Drain struct{ Graceful, InboundOnly, SkipExit bool }

// Admin is the interface of one process.
type Admin struct {
	o         Options
	log       *slog.Logger
	stats     adminStats
	scopes    []*stats.Scope
	endpoints map[string]*endpoint
	allow     []func(string) bool
	access    *accesslog.Logs
	recent    atomic.Bool // lookups of stats are tracked, or so they were told
	profiler  profiler

	listener net.Listener
	nextConn atomic.Uint64
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu; nil: closed
}

// New checks the configuration and makes the interface. It does not listen yet.
func New(o Options) (*Admin, error) {
	a := &Admin{o: o, log: slog.New(slog.DiscardHandler), conns: map[net.Conn]struct{}{}}
	if o.Logs != nil {
		a.log = o.Logs.For("admin")
	}
	if o.Main == nil {
		a.o.Main = func(f func()) bool { f(); return true }
	}
	if o.Why == nil {
		a.o.Why = &Ring{}
	}
	var err error
	if a.allow, err = compileAllow(o.Config.GetAllowPaths(), o.AccessLog.Matcher); err != nil {
		return nil, err
	}
	if a.access, err = a.compileAccessLog(); err != nil {
		return nil, err
	}
	a.endpoints = map[string]*endpoint{}
	for _, e := range table() {
		a.endpoints[e.path] = e
	}
	a.bindStats()
	return a, nil
}

// Listen binds the address and serves until Close. Without an address there is no interface.
func (a *Admin) Listen() error {
	address := a.o.Config.GetAddress()
	if address == nil {
		return nil
	}
	l, err := listen(address, a.o.Config.GetSocketOptions())
	if err != nil {
		return err
	}
	a.listener = l
	if path := a.o.AddressPath; path != "" {
		if err := os.WriteFile(path, []byte(l.Addr().String()), 0o644); err != nil {
			a.log.Log(context.Background(), logging.LevelCritical, "cannot open admin address output file "+path+" for writing.")
		}
	}
	// Owned by the interface: ends when the listener is closed.
	a.wg.Go(a.accept)
	return nil
}

// Addr is where the interface listens; nil: nowhere.
func (a *Admin) Addr() net.Addr {
	if a.listener == nil {
		return nil
	}
	return a.listener.Addr()
}

// Close ends all connections and waits for them.
func (a *Admin) Close() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	a.mu.Lock()
	for c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
	a.mu.Unlock()
	a.wg.Wait()
	a.profiler.stop()
	a.access.Close()
	for _, s := range a.scopes {
		s.Close()
	}
}

func (a *Admin) accept() {
	for {
		c, err := a.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			a.log.Warn("cannot accept", "error", err)
			continue
		}
		if !a.admit() {
			a.stats.listener.GlobalCxOverflow.Inc(0)
			_ = c.Close()
			continue
		}
		if !a.keep(c) {
			_ = c.Close()
			return
		}
		// Owned by the interface: ends with the connection, which Close ends.
		a.wg.Go(func() { a.serve(c) })
	}
}

// admit asks whether there may be another downstream connection.
func (a *Admin) admit() bool {
	return a.o.Admit == nil || a.o.Config.GetIgnoreGlobalConnLimit() || a.o.Admit()
}

func (a *Admin) dismiss() {
	if a.o.Dismiss != nil && !a.o.Config.GetIgnoreGlobalConnLimit() {
		a.o.Dismiss()
	}
}

func (a *Admin) keep(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns != nil {
		a.conns[c] = struct{}{}
	}
	return a.conns != nil
}

// serve serves one connection to its end.
func (a *Admin) serve(raw net.Conn) {
	c := newConn(raw, a.nextConn.Add(1))
	a.stats.open()
	defer func() {
		if v := recover(); v != nil { // a connection's panic ends that connection alone
			a.log.Error("connection ended by a panic", "panic", fmt.Sprint(v))
		}
		_ = raw.Close()
		a.stats.close(c)
		a.dismiss()
		a.mu.Lock()
		delete(a.conns, raw)
		a.mu.Unlock()
	}()
	if c.prefersHTTP2() {
		a.serveHTTP2(c)
	} else {
		a.serveHTTP1(c)
	}
}
