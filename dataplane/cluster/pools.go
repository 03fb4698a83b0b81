package cluster

import (
	"context"
	"math"
	"net"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/health"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// poolConfig is how h's connections with these options are kept.
func (d *dialer) poolConfig(h *endpoint.Host, o pool.Options) pool.Config {
	t, s := d.traffic, d.spec
	cfg := pool.Config{
		Dial: func(ctx context.Context, o pool.Options, u *streaminfo.Upstream) (net.Conn, *pool.Error) {
			return d.dial(ctx, h, h.Addresses(), h.Transport(), o, u)
		},
		Options: o, Stats: d.stats, Breakers: &t.breakers[index(o.High)], Host: &h.Stats, Workers: d.m.o.Stats.Workers(),
		ConnectTimeout: s.ConnectTimeout, BufferLimit: s.BufferLimit, Watcher: d.m.o.Watcher,
		PreconnectRatio: s.Preconnect, HostConnections: s.HostConnections[index(o.High)],
	}
	if o.Protocol == pool.TCP {
		cfg.MaxDuration = s.HTTP.MaxDuration
		return cfg
	}
	cfg.IdleTimeout, cfg.MaxDuration, cfg.MaxDurationJitter, cfg.MaxRequests = s.HTTP.IdleTimeout, s.HTTP.MaxDuration, s.HTTP.MaxDurationJitter, s.HTTP.MaxRequests
	cfg.MaxResponseHeadersBytes, cfg.MaxResponseHeadersCount = s.HTTP.MaxHeadersBytes, s.HTTP.MaxHeaders
	cfg.HTTP1, cfg.HTTP2 = s.HTTP.HTTP1, s.HTTP.HTTP2
	if o.Protocol != pool.HTTP2 {
		cfg.HTTP1.Stats = t.codec()
	}
	if h.Gone() {
		// Picked just before it left: its connections shall not outlive their request.
		cfg.MaxRequests = 1
	}
	return cfg
}

// unlimited are circuit breakers that never open.
func unlimited() *pool.Breakers {
	b := &pool.Breakers{}
	for _, l := range []*pool.Limit{&b.Connections, &b.Pending, &b.Requests, &b.Retries, &b.Pools} {
		l.Init(math.MaxUint32, stats.Gauge{}, nil)
	}
	return b
}

// codec are the stats of HTTP/1 connections, listed from the first one on.
func (t *traffic) codec() *http1.Stats {
	t.http1.Do(func() { stats.Bind(t.http1Scope, &t.http1Stats) })
	return &t.http1Stats
}

// checkDialer reaches hosts for health checks, with settings of the traffic's but for its stats and
// limits.
type checkDialer struct{ *dialer }

// DialCheck implements health.Dialer.
func (d checkDialer) DialCheck(ctx context.Context, t health.Target) (net.Conn, *pool.Error) {
	var u streaminfo.Upstream
	return d.dial(ctx, t.Host, d.addresses(t), d.transport(t), pool.Options{Protocol: pool.TCP, ALPN: t.ALPN}, &u)
}

// CheckPool implements health.Dialer.
func (d checkDialer) CheckPool(t health.Target) pool.Pool {
	cfg := d.poolConfig(t.Host, pool.Options{Protocol: t.Protocol, ALPN: t.ALPN})
	cfg.Dial = func(ctx context.Context, o pool.Options, u *streaminfo.Upstream) (net.Conn, *pool.Error) {
		return d.dial(ctx, t.Host, d.addresses(t), d.transport(t), o, u)
	}
	cfg.Stats, cfg.Host, cfg.Breakers = &pool.Stats{}, &pool.HostStats{}, unlimited()
	cfg.MaxRequests, cfg.PreconnectRatio, cfg.HostConnections, cfg.OnIdle = 0, 1, 0, nil
	return d.m.o.NewPool(cfg)
}

func (d checkDialer) addresses(t health.Target) []endpoint.Address {
	if t.Address == t.Host.Address {
		return t.Host.Addresses()
	}
	if t.Address.Kind == endpoint.NameKind {
		// A logical host that is checked at another port.
		var out []endpoint.Address
		for _, a := range t.Host.Addresses() {
			out = append(out, a.WithPort(t.Address.Port))
		}
		return out
	}
	return []endpoint.Address{t.Address}
}

func (d checkDialer) transport(t health.Target) *endpoint.Transport {
	if t.Match != nil {
		return d.chooseFor(t.Match)
	}
	return t.Host.Transport()
}

var _ health.Dialer = checkDialer{}
