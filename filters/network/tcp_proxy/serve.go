package tcpproxy

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// session is one connection through the proxy.
type session struct {
	*proxy
	conn    *network.Conn
	info    streaminfo.Info
	entry   accesslog.Entry
	pick    lb.Context
	cluster *cluster.Cluster
	up      *pool.TCPConn
	because string
	end     time.Time // of max_downstream_connection_duration; zero: none
}

// Serve connects upstream and moves bytes both ways until both sides are done.
func (p *proxy) Serve(c *network.Conn) {
	s := &session{proxy: p, conn: c}
	s.info.Start, s.info.Conn = c.Info.Start, &c.Info
	s.info.ListenerMetadata, s.info.FilterChainName, s.info.FilterChainMetadata = c.Info.Metadata, c.Info.FilterChainName, c.Info.FilterChainMetadata
	p.stats.CxTotal.Inc(c.Worker)
	if d := p.c.maxDuration; d > 0 {
		s.end = c.Info.Start.Add(d + time.Duration(rand.Float64()*p.c.maxJitter/100*float64(d)))
	}
	if s.connect() {
		s.relay()
	} else {
		_ = c.Reset()
	}
	s.finish()
}

// connect picks a host and opens a connection to it, as often as max_connect_attempts says.
func (s *session) connect() bool {
	to := s.c.choose()
	s.cluster = s.ctx.Clusters.Get(to.name)
	if s.cluster == nil {
		s.stats.NoRoute.Inc(s.conn.Worker)
		s.info.Set(streaminfo.NoClusterFound)
		s.because = "cluster " + to.name + " is not known"
		return false
	}
	cfg := s.cluster.Config()
	s.info.ClusterName, s.info.ClusterStatName, s.info.ClusterMetadata = cfg.Name, cfg.StatName(), s.cluster.Spec().Metadata
	p := &s.pick
	p.Info, p.Worker, p.Conn, p.Criteria, p.OriginalDst, p.Random = &s.info, s.conn.Worker, &s.conn.Info, to.criteria, s.conn.Info.Local, rand.Uint64()
	if s.c.hashSource {
		p.Hash, p.HasHash = hashOf(s.conn.Info.Remote), true
	}
	for range s.c.attempts {
		s.info.Attempts++
		if done, ok := s.attempt(); done {
			return ok
		}
	}
	s.info.Set(streaminfo.UpstreamRetryLimitExceeded)
	s.cluster.Stats().CxConnectAttemptsExceeded.Inc(s.conn.Worker)
	return false
}

func hashOf(a netip.AddrPort) uint64 { return xxhash.Sum64String(a.Addr().Unmap().String()) }

// attempt makes one connection. done tells that there is no use in another one.
func (s *session) attempt() (done, ok bool) {
	h := s.cluster.Pick(&s.pick)
	if h == nil {
		s.info.Set(streaminfo.NoHealthyUpstream)
		s.because = "no healthy host in cluster " + s.info.ClusterName
		return true, false
	}
	s.info.Upstream = streaminfo.Upstream{}
	h.Fill(&s.info.Upstream)
	owner := s.cluster.Owner(h)
	ctx, cancel := context.WithCancel(context.Background())
	s.conn.OnHangup(nil)
	if !s.end.IsZero() {
		cancel()
		ctx, cancel = context.WithDeadline(context.Background(), s.end)
	}
	up, err := owner.Dial(ctx, h, owner.PoolOptions(h, s.info.Protocol, false, &s.conn.Info), s.conn.Worker)
	cancel()
	if err == nil {
		s.up = up
		up.Info(&s.info.Upstream)
		h.PutResult(endpoint.ConnectSuccessFinal)
		return true, true
	}
	s.because = err.String()
	s.info.Upstream.TransportFailureReason = err.Transport
	s.info.Set(err.Flag())
	if err.Reason == pool.Overflow {
		return true, false
	}
	h.PutResult(endpoint.ConnectFailed)
	return false, false
}

// finish counts and logs.
func (s *session) finish() {
	i := &s.info
	i.RequestComplete = i.Now()
	w := s.conn.Worker
	s.stats.RxBytesTotal.Add(w, i.BytesReceived)
	s.stats.TxBytesTotal.Add(w, i.BytesSent)
	i.Downstream.WireReceived, i.Downstream.WireSent = i.BytesReceived, i.BytesSent
	if s.up != nil {
		s.up.Count(i.BytesReceived, i.BytesSent)
		i.Upstream.Bytes.WireSent, i.Upstream.Bytes.WireReceived = i.BytesReceived, i.BytesSent
	}
	if !s.logs.Empty() {
		s.entry.Info, s.entry.LogType = i, formatter.TCPConnectionEnd
		s.logs.Log(&s.entry)
	}
	if i.Flags != 0 && s.ctx.Why != nil {
		s.ctx.Why(&filter.Verdict{At: i.Start, Flags: i.Flags.String(), Details: i.Details, Listener: s.ctx.Listener.Name, Cluster: i.ClusterName,
			Stage: "tcp_proxy", Because: s.because, Host: s.conn.Info.Local.String(), Took: i.RequestComplete})
	}
}
