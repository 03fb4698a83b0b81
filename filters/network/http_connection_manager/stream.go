package hcm

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// begin readies s for a request.
func (m *manager) begin(s *filter.Stream, conn *network.Conn, r responder, start time.Time, p streaminfo.Protocol) {
	s.Begin(conn, m, start, rand.Uint64())
	s.Responder = r
	s.Info.Protocol = p
	s.Info.ListenerMetadata = m.ctx.Listener.Metadata
	s.Info.FilterChainName = m.ctx.Listener.FilterChainName
	s.Info.FilterChainMetadata = m.ctx.Listener.FilterChainMeta
	s.IdleTimeout = m.c.streamIdleTimeout
	if d := m.c.maxStreamDuration; d > 0 {
		s.MaxDuration = start.Add(d)
	}
	w := conn.Worker
	m.stats.RqTotal.Inc(w)
	m.stats.RqActive.Inc(w)
}

// release gives s back for reuse.
func (m *manager) release(s *filter.Stream) {
	s.Reset()
	if s.Request.ArenaCap()+s.Response.ArenaCap() > maxArena {
		return
	}
	m.streams.Put(s)
}

// maxArena is how much memory for headers a stream may keep for the next request.
const maxArena = 32 << 10

// run takes a request through the proxy.
func (m *manager) run(s *filter.Stream, r responder) {
	if m.prepare(s) == filter.Stop {
		m.answer(s, r)
		return
	}
	m.chainOf(s).Run(s)
	m.respond(s, r)
}

// answer sends a local reply that was made before the filters: they get to see it on its way out. Of
// HTTP/1 it ends the connection, as in Envoy, to which the request is not complete then.
func (m *manager) answer(s *filter.Stream, r responder) {
	if c, ok := r.(*http1Conn); ok && !c.close {
		c.close = true
		m.stats.RqResponseBeforeRqComplete.Inc(s.Worker)
	}
	m.chain.Answer(s)
	m.respond(s, r)
}

// abandon ends a stream whose request never came whole.
func (m *manager) abandon(s *filter.Stream, r responder, _ error) {
	s.Abort(filter.DownstreamDisconnect)
	m.complete(s, r)
}

func (m *manager) chainOf(s *filter.Stream) *filter.HTTPChain {
	if s.Upgrade != "" {
		if c := m.upgrade[s.Upgrade]; c != nil {
			return c
		}
	}
	return m.chain
}

// respond writes the response that the chain has left in s, and ends the stream.
func (m *manager) respond(s *filter.Stream, r responder) {
	if s.Response.Status != 0 && !gone(s.Aborted()) {
		m.encode(s, r)
	} else if !gone(s.Aborted()) {
		r.Reset()
	}
	m.complete(s, r)
}

// gone tells an abort that leaves nobody to answer.
func gone(a filter.AbortReason) bool { return a != filter.NotAborted }

// complete ends the stream: filters, counts, access log.
func (m *manager) complete(s *filter.Stream, r responder) {
	i := &s.Info
	i.RequestComplete = i.Now()
	w := s.Worker
	switch s.Aborted() {
	case filter.DownstreamDisconnect:
		i.Set(streaminfo.DownstreamConnectionTermination)
		if i.Details == "" || s.Response.Status == 0 || !s.Response.Local {
			i.Details = streaminfo.DetailDownstreamDisconnect
		}
		m.stats.CxDestroyRemoteActiveRq.Inc(w)
		m.stats.CxDestroyActiveRq.Inc(w)
	case filter.DownstreamReset:
		i.Set(streaminfo.DownstreamRemoteReset)
		m.stats.RqRxReset.Inc(w)
	case filter.LocalClose:
		i.Details = streaminfo.DetailDownstreamLocalDisconnect
		m.stats.CxDestroyLocalActiveRq.Inc(w)
		m.stats.CxDestroyActiveRq.Inc(w)
	case filter.NotAborted, filter.DownstreamProtocolError:
	}
	m.chain.Complete(s)
	if c, ok := r.(interface{ Count(s *filter.Stream) }); ok {
		c.Count(s)
	}
	m.stats.CxRxBytesTotal.Add(w, i.Downstream.WireReceived)
	m.stats.CxTxBytesTotal.Add(w, i.Downstream.WireSent)
	m.stats.RqActive.Dec(w)
	m.stats.RqTime.Record(w, uint64(i.RequestComplete.Milliseconds()))
	if i.ResponseCode != 0 {
		m.stats.RqCompleted.Inc(w)
		m.stats.Codes.inc(w, i.ResponseCode)
		m.lstats.Completed.Inc(w)
		m.lstats.Codes.inc(w, i.ResponseCode)
	}
	if !m.logs.Empty() {
		m.log(s, formatter.DownstreamEnd)
	}
	if s.Response.Local && m.ctx.Why != nil {
		m.why(s)
	}
}

// log writes the access log.
func (m *manager) log(s *filter.Stream, t formatter.LogType) {
	e := m.entry(s)
	e.LogType = t
	m.logs.Log(e)
}

// entry is what the access log, and local_reply_config, see of the stream.
func (m *manager) entry(s *filter.Stream) *accesslog.Entry {
	e := &s.Entry
	e.Request, e.Response, e.Info = &s.Request.Map, &s.Response.Map, &s.Info
	if s.Response.Body != nil {
		e.Trailers = s.Response.Body.Trailers()
	}
	return e
}

// why records a local reply for /why.
func (m *manager) why(s *filter.Stream) {
	i := &s.Info
	if i.Flags == 0 && s.Stage == "" {
		return // a redirect, a direct response, a filter's own answer: as configured
	}
	v := &filter.Verdict{At: i.Start, ID: strings.Clone(s.Request.Value(header.XRequestID)), Method: strings.Clone(s.Request.Method), Host: strings.Clone(s.Request.Authority),
		Path: strings.Clone(s.Request.Path), Code: i.ResponseCode, Flags: i.Flags.String(), Details: strings.Clone(i.Details), Listener: m.ctx.Listener.Name,
		Route: strings.Clone(i.RouteName), Cluster: strings.Clone(i.ClusterName), Stage: s.Stage, Because: strings.Clone(s.Because), Took: i.RequestComplete}
	v.Attempts = append(v.Attempts, s.Attempts...)
	m.ctx.Why(v)
}
