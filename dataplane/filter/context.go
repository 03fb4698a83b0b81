package filter

import (
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
)

// Server is what every part of the proxy has in common. It lives as long as the process.
type Server struct {
	Stats    *stats.Store
	Clusters *cluster.Set
	Secrets  *secret.Store
	Routes   *route.Handles
	Runtime  *runtime.Loader
	Files    *accesslog.Files
	Log      *slog.Logger
	Node     Node
	Workers  int
	// LocalAddress is this machine's own address, for x-forwarded-for.
	LocalAddress string
	// DrainTime is --drain-time-s.
	DrainTime time.Duration
	// Failing tells whether /healthcheck/fail is in force.
	Failing func() bool
	// Subscribed tells where the stats of a subscription go; nil: nobody counts.
	Subscribed func(typeURL, name string, scope *stats.Scope)
	// Why takes the record of a failure that the proxy answered for; nil: nobody keeps them.
	Why func(*Verdict)
	// Workloads finds the mesh's workloads by address; nil: workload discovery is not configured.
	Workloads *workload.Index

	singletons singletons
}

// Node is who we are: the bootstrap's node.
type Node struct {
	ID, Cluster, Region, Zone, SubZone string
	Metadata                           *structpb.Struct
}

// Context is where a filter's configuration comes to life. It lives as long as the filter chain does.
type Context struct {
	*Server
	// Scope is the listener's, "listener.ADDRESS."; StatPrefix is where an HTTP filter's stats go,
	// "http.PREFIX.".
	Scope      *stats.Scope
	StatPrefix string
	// FilterName is the HTTP filter's name in the configuration: what Route.PerFilter is asked for.
	FilterName string
	Listener   ListenerInfo

	closers []func()
}

// ListenerInfo is what filters ask of their listener and filter chain.
type ListenerInfo struct {
	Name, Address   string
	Direction       Direction
	Metadata        streaminfo.Metadata
	FilterChainName string
	FilterChainMeta streaminfo.Metadata
	BufferLimit     int
	IsInternal      bool
	TLSTransport    bool
}

// Direction is core.v3.TrafficDirection.
type Direction uint8

// The directions.
const (
	Unspecified Direction = iota
	Inbound
	Outbound
)

// Below is a context for HTTP filters, whose stats go to prefix. It is closed with c.
func (c *Context) Below(prefix string) *Context {
	d := *c
	d.closers, d.StatPrefix = nil, prefix
	c.OnClose(d.Close)
	return &d
}

// Named is a context for the HTTP filter of this name. It is closed with c.
func (c *Context) Named(name string) *Context {
	d := *c
	d.closers, d.FilterName = nil, name
	c.OnClose(d.Close)
	return &d
}

// OnClose has f called when the filter chain is over.
func (c *Context) OnClose(f func()) { c.closers = append(c.closers, f) }

// Close undoes what Build did, the last first.
func (c *Context) Close() {
	for i := len(c.closers) - 1; i >= 0; i-- {
		c.closers[i]()
	}
	c.closers = nil
}

// HTTPScope opens the scope of an HTTP filter's stats: below StatPrefix. It is closed with the context.
func (c *Context) HTTPScope(name string) *stats.Scope {
	s := c.Stats.Scope(c.StatPrefix + name)
	c.OnClose(s.Close)
	return s
}

// RootScope opens a scope at the root, closed with the context.
func (c *Context) RootScope(name string) *stats.Scope {
	s := c.Stats.Scope(name)
	c.OnClose(s.Close)
	return s
}

// Verdict is why the proxy answered a request itself: the stage that decided, by what resource, with
// what limit, after which attempts.
type Verdict struct {
	At       time.Time `json:"at"`
	ID       string    `json:"id,omitempty"` // x-request-id
	Method   string    `json:"method,omitempty"`
	Host     string    `json:"host,omitempty"`
	Path     string    `json:"path,omitempty"`
	Code     int       `json:"code"`
	Flags    string    `json:"flags"`
	Details  string    `json:"details"`
	Listener string    `json:"listener,omitempty"`
	Route    string    `json:"route,omitempty"`
	Cluster  string    `json:"cluster,omitempty"`
	// Stage is "listener", "codec", "filter", "route", "cluster", "endpoint", "upstream", "timeout".
	Stage string `json:"stage"`
	// Because is one sentence for people.
	Because  string        `json:"because"`
	Resource []string      `json:"resources,omitempty"` // "CDS outbound|9080||reviews v39"
	Attempts []VerdictTry  `json:"attempts,omitempty"`
	Took     time.Duration `json:"took"`
}

// VerdictTry is one attempt of a Verdict.
type VerdictTry struct {
	Host string        `json:"host"`
	Why  string        `json:"why"`
	Took time.Duration `json:"took"`
}

// NetworkFactory makes one connection's network filter; nil is none.
type NetworkFactory func(c *network.Conn) network.Filter

// ListenerFactory makes one connection's listener filter; nil is none.
type ListenerFactory func(c *network.Conn) network.ListenerFilter
