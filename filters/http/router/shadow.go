package router

import (
	"context"
	"strings"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// shadows are the mirrors of a request. They are sent once the request has been received to its end, from
// what the sender has kept.
type shadows struct {
	policies []*route.MirrorPolicy
	// head is the request as it goes upstream; the mirrors' own, since the stream's is reused.
	head *header.Map
	sent bool
}

// begin picks the mirrors that this request is in the share of.
func (m *shadows) begin(r *router) {
	all := r.route.Action.Mirrors
	if len(all) == 0 {
		return
	}
	m.policies = nil
	for _, p := range all {
		if p.Fraction.Enabled(r.ctx.Runtime, r.s.Random) {
			m.policies = append(m.policies, p)
		}
	}
	if len(m.policies) > 0 {
		m.head = new(header.Map)
		m.head.CopyFrom(&r.s.Request.Map)
	}
}

func (m *shadows) any() bool { return len(m.policies) > 0 }

// send sends the copies, once the request has been received to its end: on the stream's goroutine, or the
// pump's under its lock.
func (m *shadows) send(r *router) {
	if !m.any() || m.sent {
		return
	}
	m.sent = true
	if r.send.over {
		r.cluster.Stats().RetryOrShadowAbandoned.Inc(r.s.Worker)
		return
	}
	body := append([]byte(nil), r.send.kept...)
	for _, p := range m.policies {
		c := r.ctx.Clusters.Get(p.ClusterName(m.head))
		if c == nil {
			continue
		}
		s := &shadow{cluster: c, body: body, timeout: r.times.global}
		s.head.CopyFrom(m.head)
		s.info.Start, s.info.Protocol = time.Now(), r.s.Info.Protocol
		s.conn = r.s.Conn.Info
		s.info.Conn = &s.conn
		// A request of ours: from within, by way of this machine.
		s.head.SetID(header.XEnvoyInternal, "true")
		s.head.AppendID(header.XForwardedFor, r.ctx.LocalAddress, ", ")
		p.Finalize(&s.head, &s.info)
		s.pick = lb.Context{Headers: &s.head, Info: &s.info, Worker: r.s.Worker, Conn: &s.conn, Random: r.s.Random, OriginalDst: s.conn.Local}
		// Owned by itself: ends with its answer, or its timeout.
		go s.run()
	}
}

// shadow is one copy of a request: its answer is read and dropped.
type shadow struct {
	cluster *cluster.Cluster
	head    header.Map
	body    []byte
	info    streaminfo.Info
	conn    streaminfo.Connection
	pick    lb.Context
	timeout time.Duration
}

func (s *shadow) run() {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	deadline := time.Time{}
	if s.timeout > 0 {
		deadline = time.Now().Add(s.timeout)
		ctx, cancel = context.WithDeadline(ctx, deadline)
	}
	defer cancel()
	w := s.pick.Worker
	h := s.cluster.Pick(&s.pick)
	if h == nil {
		return
	}
	owner := s.cluster.Owner(h)
	p := owner.Pool(h, owner.PoolOptions(h, s.info.Protocol, false, &s.conn))
	if p == nil {
		return
	}
	up := p.Ready(w)
	for {
		if up == nil {
			var err *pool.Error
			if up, err = p.NewStream(ctx, w); err != nil {
				s.cluster.CountResponse(w, cluster.Response{Status: 503})
				return
			}
		}
		up.SetDeadline(deadline)
		status, err := s.exchange(up)
		up.Close()
		if err != nil && err.Reason == pool.Stale {
			up = nil
			continue
		}
		if err != nil {
			status = 503
		}
		s.cluster.CountResponse(w, cluster.Response{Status: status, Host: h})
		return
	}
}

func (s *shadow) exchange(up pool.Stream) (int, *pool.Error) {
	if err := up.SendHeaders(&s.head, len(s.body) == 0); err != nil {
		return 0, err
	}
	if len(s.body) > 0 {
		if err := up.SendData(s.body, true); err != nil {
			return 0, err
		}
	}
	var resp header.Map
	for {
		resp.Reset()
		end, err := up.ReadHeaders(&resp)
		if err != nil {
			return 0, err
		}
		if resp.Status < 200 {
			continue
		}
		for !end {
			if _, end, err = up.Next(); err != nil {
				return 0, err
			}
		}
		return resp.Status, nil
	}
}

// withoutPort is the host of an authority.
func withoutPort(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.IndexByte(authority, ']') {
		return authority[:i]
	}
	return authority
}
