// Package listener is LDS: it compiles listeners, keeps their sockets, takes connections through
// listener filters, filter-chain match, transport and network filters, and drains what an update
// changes.
package listener

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Listener is a live listener. Its sockets and its stats outlive updates; what a connection goes by is
// the generation that was current when it was accepted.
type Listener struct {
	name    string
	manager *Manager
	scope   *stats.Scope
	stats   Stats
	workers []WorkerStats

	// current is published by the main goroutine; nil before it is warm.
	current atomic.Pointer[generation]
	sockets []*socket // main only
	next    atomic.Uint32
	limit   connectionLimit

	// stopped tells that no connection is accepted any more; draining that connections should end.
	drain drainState

	conns sync.WaitGroup
}

// generation is what one version of a listener's configuration came to.
type generation struct {
	config *Config
	match  *Match
	// choose is filter_chain_matcher, instead of match; nil: none.
	choose  func(c *network.Conn) int
	chains  []*chain // by index; the default chain is the last one, if there is one
	deflt   *chain
	filters []boundFilter
	logs    boundLogs
}

// Config is the listener's current configuration, or nil.
func (l *Listener) Config() *Config {
	if g := l.current.Load(); g != nil {
		return g.config
	}
	return nil
}

// Name is the listener's.
func (l *Listener) Name() string { return l.name }

// Addresses are where its sockets listen: the real ports where the configuration says 0. A listener
// that is not bound lists its configured addresses.
func (l *Listener) Addresses() []net.Addr {
	var out []net.Addr
	for _, s := range l.sockets {
		out = append(out, s.addr)
	}
	return out
}
