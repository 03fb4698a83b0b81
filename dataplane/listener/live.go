package listener

import (
	"strconv"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// boundFilter is a listener filter that has come to life.
type boundFilter struct {
	factory  filter.ListenerFactory
	disabled predicate
}

// newListener makes the listener that a configuration names; it has no generation yet.
func (m *Manager) newListener(c *Config) *Listener {
	l := &Listener{name: c.Name, manager: m, scope: m.server.Stats.Scope("listener." + c.statName())}
	stats.Bind(l.scope, &l.stats)
	l.workers = make([]WorkerStats, m.server.Workers)
	for i := range l.workers {
		stats.Bind(l.scope.Scope("worker_"+strconv.Itoa(i)), &l.workers[i])
	}
	return l
}

// statName is the address with its colon made an underscore, or stat_prefix.
func (c *Config) statName() string {
	if c.StatPrefix != "" {
		return c.StatPrefix
	}
	return c.statAddress()
}

func (c *Config) statAddress() string {
	if c.Internal || len(c.Addresses) == 0 {
		return "envoy_internal_" + c.Name
	}
	b := []byte(c.Addresses[0].String())
	for i := range b {
		if b[i] == ':' {
			b[i] = '_'
		}
	}
	return string(b)
}

// apply builds the generation of c beside the current one and swaps them. Chains that have not changed
// in meaning go on with their connections; the others drain.
func (l *Listener) apply(c *Config) error {
	old := l.current.Load()
	g := &generation{config: c, match: c.match}
	if c.matcher != nil {
		g.choose = c.matcher.find
	}
	fresh, err := l.buildChains(c, old, g)
	if err == nil {
		err = l.buildFilters(c, g)
	}
	if err == nil {
		err = l.takeSockets(c)
	}
	if err != nil {
		for _, ch := range fresh {
			ch.release()
		}
		return err
	}
	l.current.Store(g)
	if l.manager.started {
		l.listen()
	}
	if old != nil {
		l.retire(old, g)
	}
	return nil
}

// buildChains takes over the chains of old that are the same, and builds the others.
func (l *Listener) buildChains(c *Config, old, g *generation) (fresh []*chain, err error) {
	live := map[string][]*chain{}
	if old != nil {
		for _, ch := range old.chains {
			if ch.settings == c.settings {
				live[ch.config.Content] = append(live[ch.config.Content], ch)
			}
		}
	}
	for _, cc := range c.Chains() {
		var ch *chain
		if same := live[cc.Content]; len(same) > 0 {
			ch, live[cc.Content] = same[0], same[1:]
		} else {
			if ch, err = l.buildChain(c, cc); err != nil {
				return fresh, err
			}
			fresh = append(fresh, ch)
		}
		g.chains = append(g.chains, ch)
	}
	if c.deflt != nil {
		g.deflt = g.chains[len(g.chains)-1]
	}
	return fresh, nil
}

func (l *Listener) buildFilters(c *Config, g *generation) error {
	ctx := &filter.Context{Server: l.manager.server, Scope: l.scope, Listener: filter.ListenerInfo{Name: c.Name, Address: c.statAddress(), Direction: c.Direction, Metadata: c.Metadata}}
	for _, f := range c.filters {
		factory, err := f.config.Build(ctx)
		if err != nil {
			ctx.Close()
			return err
		}
		g.filters = append(g.filters, boundFilter{factory, f.disabled})
	}
	logs, err := l.manager.buildLogs(c.logs)
	g.logs = logs
	return err
}

// takeSockets brings the sockets to the addresses of c: those that stay are kept.
func (l *Listener) takeSockets(c *Config) error {
	m := l.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.reserved[l.name]
	delete(m.reserved, l.name)
	var sockets, opened []*socket
	for _, a := range c.Addresses {
		s := takeSocket(&l.sockets, a)
		if s == nil && r != nil {
			s = takeSocket(&r.sockets, a)
		}
		if s == nil {
			var err error
			if s, err = bind(a); err != nil {
				l.sockets = append(l.sockets, sockets...)
				for _, o := range opened {
					o.close()
				}
				return err
			}
			opened = append(opened, s)
		}
		sockets = append(sockets, s)
	}
	for _, s := range l.sockets {
		s.close()
	}
	if r != nil {
		r.close()
	}
	l.sockets = sockets
	return nil
}

func takeSocket(from *[]*socket, a Address) *socket {
	for i, s := range *from {
		if sameSocket(s.config, a) {
			*from = append((*from)[:i:i], (*from)[i+1:]...)
			return s
		}
	}
	return nil
}

// listen makes the sockets that do not listen yet do so.
func (l *Listener) listen() {
	for _, s := range l.sockets {
		if s.file == nil {
			continue
		}
		if err := s.listen(); err != nil {
			l.manager.log.Error("cannot listen", "listener", l.name, "error", err)
			continue
		}
		l.start(s)
	}
}

// retire drains the chains of old that g has not taken over.
func (l *Listener) retire(old, g *generation) {
	kept := map[*chain]bool{}
	for _, ch := range g.chains {
		kept[ch] = true
	}
	for _, ch := range old.chains {
		if !kept[ch] {
			l.retireChain(ch)
		}
	}
}

// retireChain lets the connections of a chain end within the drain time, and ends what is left then.
func (l *Listener) retireChain(ch *chain) {
	m := l.manager
	m.stats.ChainsDraining.Inc(0)
	ch.drain.start(time.Now())
	m.mu.Lock()
	m.draining[ch] = struct{}{}
	m.mu.Unlock()
	over := func() {
		m.mu.Lock()
		delete(m.draining, ch)
		m.mu.Unlock()
		ch.release()
		m.stats.ChainsDraining.Dec(0)
	}
	if ch.active() == 0 {
		ch.close(over)
		return
	}
	ch.end = time.AfterFunc(m.drainOptions.Time, func() { ch.close(over) })
}

// boundLogs are the listener's own access logs.
type boundLogs struct{ logs *accesslog.Logs }

func (b boundLogs) any() bool { return !b.logs.Empty() }

func (b boundLogs) log(i *streaminfo.Info) {
	b.logs.Log(&accesslog.Entry{Info: i, LogType: formatter.TCPConnectionEnd})
}

func (m *Manager) buildLogs(c *accesslog.Config) (boundLogs, error) {
	if c == nil {
		return boundLogs{}, nil
	}
	logs, err := c.Build(&accesslog.Context{Files: m.server.Files, Runtime: m.server.Runtime})
	return boundLogs{logs}, err
}
