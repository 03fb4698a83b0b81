package listener

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// chain is a live filter chain: its filters' factories, its transport, and the connections that came
// through it.
type chain struct {
	config     *ChainConfig
	settings   string
	modifyOnly bool
	ctx        *filter.Context
	transport  transport.Downstream
	factories  []filter.NetworkFactory
	drainer    drainer
	drain      drainState
	end        *time.Timer // main only; closes what is left after the drain time
	released   sync.Once

	mu     sync.Mutex
	conns  map[*network.Conn]struct{} // guarded by mu
	closed bool                       // guarded by mu
	idle   func()                     // guarded by mu: called once closed and without connections
}

// buildChain gives a chain life.
func (l *Listener) buildChain(c *Config, cc *ChainConfig) (*chain, error) {
	ch := &chain{config: cc, settings: c.settings, modifyOnly: c.ModifyOnly, conns: map[*network.Conn]struct{}{}}
	ch.drainer = drainer{chain: ch, listener: l}
	ch.ctx = &filter.Context{Server: l.manager.server, Scope: l.scope, Listener: filter.ListenerInfo{
		Name: c.Name, Address: c.statAddress(), Direction: c.Direction, Metadata: c.Metadata, BufferLimit: c.BufferLimit, IsInternal: c.Internal,
		FilterChainName: cc.Name, FilterChainMeta: cc.Metadata,
	}}
	ch.transport = transport.RawDownstream{}
	if cc.transport != nil {
		t, err := cc.transport.Build(l.manager.env(l.scope))
		if err != nil {
			return nil, fmt.Errorf("filter chain %q: transport socket: %w", cc.Name, err)
		}
		ch.transport = t
	}
	ch.ctx.Listener.TLSTransport = ch.transport.Secure()
	for _, f := range cc.filters {
		factory, err := f.config.Build(ch.ctx)
		if err != nil {
			ch.release()
			return nil, fmt.Errorf("filter chain %q: network filter %q: %w", cc.Name, f.name, err)
		}
		ch.factories = append(ch.factories, factory)
	}
	return ch, nil
}

// release undoes buildChain; it may be called more than once.
func (ch *chain) release() {
	ch.released.Do(func() {
		ch.ctx.Close()
		ch.transport.Close()
	})
}

// shutdown makes every connection end.
func (ch *chain) shutdown() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.closed = true
	for c := range ch.conns {
		c.Shutdown()
	}
}

var errDrained = errors.New("filter chain is closed")

// enter notes a connection; it fails if the chain is over.
func (ch *chain) enter(c *network.Conn) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closed {
		return errDrained
	}
	ch.conns[c] = struct{}{}
	return nil
}

func (ch *chain) leave(c *network.Conn) {
	ch.mu.Lock()
	delete(ch.conns, c)
	var idle func()
	if ch.closed && len(ch.conns) == 0 {
		idle, ch.idle = ch.idle, nil
	}
	ch.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// active is how many connections there are.
func (ch *chain) active() int {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.conns)
}

// close ends every connection at once and calls idle when the last one is gone.
func (ch *chain) close(idle func()) {
	ch.mu.Lock()
	ch.closed = true
	if len(ch.conns) == 0 {
		ch.mu.Unlock()
		idle()
		return
	}
	ch.idle = idle
	for c := range ch.conns {
		c.Shutdown()
	}
	ch.mu.Unlock()
}
