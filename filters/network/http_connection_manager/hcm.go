// Package hcm is envoy.filters.network.http_connection_manager: it serves HTTP on a connection, takes
// each request through the HTTP filters, and writes the response.
package hcm

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/route"
)

// Extension is the connection manager.
var Extension = filter.NewTerminalNetwork("envoy.filters.network.http_connection_manager", parse)

// manager is a connection manager that has come to life: one for each filter chain. It is immutable, but
// for its stats.
type manager struct {
	c       *Config
	ctx     *filter.Context
	chain   *filter.HTTPChain
	upgrade map[string]*filter.HTTPChain // by upgrade type, lower case
	routes  *route.Handle                // RDS or the inline table
	logs    *accesslog.Logs
	stats   *Stats
	lstats  *ListenerStats
	date    *dateCache
	forward forwarding
	http1   http1.ServerOptions
	streams *sync.Pool
}

// OnNewConnection goes on: the work is in Serve.
func (m *manager) OnNewConnection(*network.Conn) network.Status { return network.Continue }

// OnClose does nothing: Serve has counted.
func (m *manager) OnClose(*network.Conn) {}

// Serve serves the connection's requests until it is over.
func (m *manager) Serve(c *network.Conn) {
	start := time.Now()
	m.opened(c)
	switch m.codec(c) {
	case codecHTTP1:
		m.serveHTTP1(c)
	case codecHTTP2:
		m.serveHTTP2(c)
	case codecNone:
	}
	m.closed(c, start)
}

func (m *manager) opened(c *network.Conn) {
	w := c.Worker
	m.stats.CxTotal.Inc(w)
	m.stats.CxActive.Inc(w)
	if c.Info.TLS != nil {
		m.stats.CxSSLTotal.Inc(w)
		m.stats.CxSSLActive.Inc(w)
	}
}

func (m *manager) closed(c *network.Conn, start time.Time) {
	w := c.Worker
	m.stats.CxActive.Dec(w)
	m.stats.CxDestroy.Inc(w)
	if c.Info.TLS != nil {
		m.stats.CxSSLActive.Dec(w)
	}
	m.stats.CxLengthMs.Record(w, uint64(time.Since(start).Milliseconds()))
}

// responder is one stream's codec: where its response goes.
type responder interface {
	// Headers writes the head; end tells that nothing follows.
	Headers(s *filter.Stream, end bool) error
	Data(p []byte) error
	// Flush writes what was kept back, before a wait.
	Flush() error
	// End ends the response.
	End(trailers *header.Map) error
	Informational(h *header.Map) error
	// Reset ends the stream without a proper end, so that the client can tell.
	Reset()
	// Raw makes what follows bytes, after a successful upgrade.
	Raw()
	// RequestDone tells whether the request has been read to its end.
	RequestDone() bool
}

// LocalReply rewrites a local reply as local_reply_config says.
func (m *manager) LocalReply(s *filter.Stream, r *accesslog.Reply) {
	m.c.localReply.Rewrite(m.entry(s), m.ctx.Runtime, r)
}

// Match matches the route of s.
func (m *manager) Match(s *filter.Stream) *route.Route {
	t := m.routes.Load()
	if t == nil {
		return nil
	}
	return t.Match(&s.Request.Map, &s.Info, s.Random, m.ctx.Runtime)
}

// Informational sends a 1xx response.
func (m *manager) Informational(s *filter.Stream, h *header.Map) error {
	return s.Responder.(responder).Informational(h)
}

// dateCache is the text of the current second for the date header.
type dateCache struct{ now atomic.Pointer[dateText] }

type dateText struct {
	second int64
	text   string
}

// dateFormat is RFC 9110's IMF-fixdate.
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

func (d *dateCache) at(t time.Time) string {
	second := t.Unix()
	if c := d.now.Load(); c != nil && c.second == second {
		return c.text
	}
	c := &dateText{second, t.UTC().Format(dateFormat)}
	d.now.Store(c)
	return c.text
}

var (
	_ network.Terminal = (*manager)(nil)
	_ filter.Manager   = (*manager)(nil)
)
