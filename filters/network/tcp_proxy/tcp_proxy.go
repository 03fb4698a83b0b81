// Package tcpproxy is envoy.filters.network.tcp_proxy: it carries a connection's bytes to a host of a
// cluster and back.
package tcpproxy

import (
	"errors"
	"math/rand/v2"
	"time"

	tcppb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Extension is tcp_proxy.
var Extension = filter.NewTerminalNetwork("envoy.filters.network.tcp_proxy", parse)

// Config is a compiled TcpProxy
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto).
type Config struct {
	statPrefix  string
	clusters    []weighted
	total       uint64
	criteria    *lb.Criteria
	idle        time.Duration // 0: none
	maxDuration time.Duration // 0: none
	maxJitter   float64
	attempts    int
	hashSource  bool
	logs        *accesslog.Config
}

type weighted struct {
	name     string
	weight   uint64
	criteria *lb.Criteria
}

func parse(p *tcppb.TcpProxy, ps filter.Parsers) (filter.NetworkConfig, error) {
	if err := refused(p); err != nil {
		return nil, err
	}
	c := &Config{statPrefix: p.GetStatPrefix(), idle: time.Hour, attempts: 1}
	if n := p.GetMaxConnectAttempts(); n != nil {
		c.attempts = int(n.GetValue())
	}
	if d := p.GetIdleTimeout(); d != nil {
		c.idle = d.AsDuration()
	}
	c.maxDuration = p.GetMaxDownstreamConnectionDuration().AsDuration()
	c.maxJitter = p.GetMaxDownstreamConnectionDurationJitterPercentage().GetValue()
	c.criteria = lb.CompileCriteria(p.GetMetadataMatch().GetFilterMetadata()["envoy.lb"].GetFields())
	switch s := p.GetClusterSpecifier().(type) {
	case *tcppb.TcpProxy_Cluster:
		c.clusters = []weighted{{name: s.Cluster, weight: 1, criteria: c.criteria}}
	case *tcppb.TcpProxy_WeightedClusters:
		for _, w := range s.WeightedClusters.GetClusters() {
			criteria := c.criteria.Merge(w.GetMetadataMatch().GetFilterMetadata()["envoy.lb"].GetFields())
			c.clusters = append(c.clusters, weighted{w.GetName(), uint64(w.GetWeight()), criteria})
		}
	}
	for _, w := range c.clusters {
		c.total += w.weight
	}
	for _, h := range p.GetHashPolicy() {
		if _, ok := h.GetPolicySpecifier().(*typepb.HashPolicy_SourceIp_); !ok {
			return nil, errors.New("TcpProxy.hash_policy: only source_ip is supported")
		}
		c.hashSource = true
	}
	var err error
	c.logs, err = accesslog.Compile(p.GetAccessLog(), ps.Logs())
	return c, err
}

// refused names the fields that ask for what is not done.
func refused(p *tcppb.TcpProxy) error {
	for _, f := range [...]struct {
		name string
		set  bool
	}{
		{"on_demand", p.GetOnDemand() != nil},
		{"downstream_idle_timeout", p.GetDownstreamIdleTimeout() != nil},
		{"upstream_idle_timeout", p.GetUpstreamIdleTimeout() != nil},
		{"backoff_options", p.GetBackoffOptions() != nil},
		{"tunneling_config", p.GetTunnelingConfig() != nil},
		{"access_log_flush_interval", p.GetAccessLogFlushInterval() != nil}, //nolint:staticcheck // still sent
		{"flush_access_log_on_connected", p.GetFlushAccessLogOnConnected()}, //nolint:staticcheck // still sent
		{"access_log_options", p.GetAccessLogOptions() != nil},
		{"proxy_protocol_tlvs", len(p.GetProxyProtocolTlvs()) > 0},
		{"upstream_connect_mode", p.GetUpstreamConnectMode() != tcppb.UpstreamConnectMode_IMMEDIATE},
		{"max_early_data_bytes", p.GetMaxEarlyDataBytes() != nil},
		{"check_drain_close", p.GetCheckDrainClose().GetValue()},
	} {
		if f.set {
			return errors.New("TcpProxy." + f.name + " is not supported")
		}
	}
	return nil
}

// Cluster is the cluster's name; with several "", and the first of Clusters is as good as any.
func (c *Config) Cluster() string {
	if len(c.clusters) == 1 {
		return c.clusters[0].name
	}
	return ""
}

// Clusters lists the weighted clusters by name.
func (c *Config) Clusters() (names []string, weights []uint64) {
	for _, w := range c.clusters {
		names, weights = append(names, w.name), append(weights, w.weight)
	}
	return names, weights
}

// StatPrefix is stat_prefix.
func (c *Config) StatPrefix() string { return c.statPrefix }

func (c *Config) choose() *weighted {
	if len(c.clusters) == 1 {
		return &c.clusters[0]
	}
	n := rand.Uint64N(max(c.total, 1))
	for i := range c.clusters {
		if n < c.clusters[i].weight {
			return &c.clusters[i]
		}
		n -= c.clusters[i].weight
	}
	return &c.clusters[len(c.clusters)-1]
}

// Stats are below "tcp.PREFIX."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/listeners/network_filters/tcp_proxy_filter#statistics).
type Stats struct {
	NoRoute                        stats.Counter `stat:"downstream_cx_no_route"`
	RxBytesBuffered                stats.Gauge   `stat:"downstream_cx_rx_bytes_buffered"`
	RxBytesTotal                   stats.Counter `stat:"downstream_cx_rx_bytes_total"`
	CxTotal                        stats.Counter `stat:"downstream_cx_total"`
	TxBytesBuffered                stats.Gauge   `stat:"downstream_cx_tx_bytes_buffered"`
	TxBytesTotal                   stats.Counter `stat:"downstream_cx_tx_bytes_total"`
	FlowControlPausedReadingTotal  stats.Counter `stat:"downstream_flow_control_paused_reading_total"`
	FlowControlResumedReadingTotal stats.Counter `stat:"downstream_flow_control_resumed_reading_total"`
	EarlyData                      stats.Counter `stat:"early_data_received_count_total"`
	IdleTimeout                    stats.Counter `stat:"idle_timeout"`
	MaxDuration                    stats.Counter `stat:"max_downstream_connection_duration"`
	UpstreamFlushActive            stats.Gauge   `stat:"upstream_flush_active"`
	UpstreamFlushTotal             stats.Counter `stat:"upstream_flush_total"`
}

// proxy is a tcp_proxy that has come to life.
type proxy struct {
	c     *Config
	ctx   *filter.Context
	stats Stats
	logs  *accesslog.Logs
}

// Build gives it life.
func (c *Config) Build(ctx *filter.Context) (filter.NetworkFactory, error) {
	p := &proxy{c: c, ctx: ctx}
	stats.Bind(ctx.RootScope("tcp."+c.statPrefix), &p.stats)
	var err error
	if p.logs, err = c.logs.Build(&accesslog.Context{Files: ctx.Files, Runtime: ctx.Runtime}); err != nil {
		return nil, err
	}
	ctx.OnClose(p.logs.Close)
	return func(*network.Conn) network.Filter { return p }, nil
}

// OnNewConnection goes on: the work is in Serve.
func (p *proxy) OnNewConnection(*network.Conn) network.Status { return network.Continue }

// OnClose does nothing: Serve has counted.
func (p *proxy) OnClose(*network.Conn) {}

var _ network.Terminal = (*proxy)(nil)
