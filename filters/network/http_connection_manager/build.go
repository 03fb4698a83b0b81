package hcm

import (
	"fmt"
	"sync"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Build gives the connection manager life.
func (c *Config) Build(ctx *filter.Context) (filter.NetworkFactory, error) {
	m := &manager{c: c, ctx: ctx, stats: &Stats{}, lstats: &ListenerStats{}, date: &dateCache{}, forward: c.forward, upgrade: map[string]*filter.HTTPChain{}}
	prefix := "http." + c.statPrefix
	stats.Bind(ctx.RootScope(prefix), m.stats)
	inListener := ctx.Scope.Scope(prefix)
	ctx.OnClose(inListener.Close)
	stats.Bind(inListener, m.lstats)
	m.http1 = c.http1
	m.http1.Stats = &http1.Stats{}
	stats.Bind(ctx.RootScope("http1"), m.http1.Stats)
	m.streams = &sync.Pool{New: func() any { return new(filter.Stream) }}
	m.forward.local = ctx.LocalAddress
	if err := m.bindRoutes(ctx); err != nil {
		return nil, err
	}
	below := ctx.Below(prefix + ".")
	chain, err := buildChain(c.filters, below)
	if err != nil {
		return nil, err
	}
	m.chain = chain
	for kind, fs := range c.upgradeOwn {
		if m.upgrade[kind], err = buildChain(fs, below); err != nil {
			return nil, err
		}
	}
	if m.logs, err = c.logs.Build(&accesslog.Context{Files: ctx.Files, Runtime: ctx.Runtime}); err != nil {
		return nil, err
	}
	ctx.OnClose(m.logs.Close)
	return func(*network.Conn) network.Filter { return m }, nil
}

func (m *manager) bindRoutes(ctx *filter.Context) error {
	if m.c.rds != nil {
		m.routes = ctx.Routes.Handle(m.c.rds.Name)
		if ctx.Subscribed != nil {
			scope := ctx.Stats.Scope("http." + m.c.statPrefix + ".rds." + m.c.rds.Name)
			ctx.OnClose(scope.Close)
			ctx.Subscribed(m.c.rds.TypeURL, m.c.rds.Name, scope)
		}
		return nil
	}
	if m.c.table == nil {
		return fmt.Errorf("connection manager %q has no routes", m.c.statPrefix)
	}
	m.routes = route.NewHandle(m.c.table)
	return nil
}

func buildChain(fs []httpFilter, ctx *filter.Context) (*filter.HTTPChain, error) {
	var entries []filter.Entry
	for _, f := range fs {
		factory, err := f.config.Build(ctx)
		if err != nil {
			return nil, fmt.Errorf("HTTP filter %q: %w", f.name, err)
		}
		entries = append(entries, filter.Entry{Name: f.name, Factory: factory, Disabled: f.disabled})
	}
	return filter.NewChain(entries), nil
}
