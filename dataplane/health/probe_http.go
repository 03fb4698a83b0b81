package health

import (
	"context"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/pool"
)

const (
	userAgent         = "Envoy/HC"
	headerDegraded    = "x-envoy-degraded"
	headerImmediate   = "x-envoy-immediate-health-check-fail"
	headerCheckedName = "x-envoy-upstream-healthchecked-cluster"
	maxInformational  = 8
	verifyClusterKey  = "health_check.verify_cluster"
)

// open opens a stream to the host, whose deadline is ctx's.
func (s *session) open(ctx context.Context) (pool.Stream, *pool.Error) {
	if s.pool == nil {
		s.pool = s.checker.env.Dialer.CheckPool(s.checker.target(s.host))
	}
	st := s.pool.Ready(0)
	if st == nil {
		var err *pool.Error
		if st, err = s.pool.NewStream(ctx, 0); err != nil {
			return nil, err
		}
	}
	if d, ok := ctx.Deadline(); ok {
		st.SetDeadline(d)
	}
	return st, nil
}

// release has ctx's end cancel the stream, and returns what closes it, after which it is not touched.
func release(ctx context.Context, st pool.Stream) func() {
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		st.Cancel()
		close(cancelled)
	})
	return func() {
		if !stop() {
			<-cancelled
		}
		st.Close()
	}
}

// probeHTTP makes one request and judges the response.
func (s *session) probeHTTP(ctx context.Context, c *HTTPCheck) result {
	st, err := s.open(ctx)
	if err != nil {
		return result{failure: network}
	}
	defer release(ctx, st)()
	var req, resp header.Map
	req.Reset()
	req.Method, req.Path, req.Scheme = c.Method, c.Path, "http"
	if t := s.host.Transport(); t != nil && t.Socket != nil && t.Socket.Secure() {
		req.Scheme = "https"
	}
	req.Authority, req.HasAuthority = s.checker.hostname(s.host, c.Host), true
	req.Add("user-agent", userAgent)
	if len(c.Body) > 0 {
		req.Add("content-length", itoa(len(c.Body)))
	}
	addHeaders(&req, c.Add)
	for _, name := range c.Remove {
		req.Del(name)
	}
	if st.SendHeaders(&req, len(c.Body) == 0) != nil || len(c.Body) > 0 && st.SendData(c.Body, true) != nil {
		return result{failure: network}
	}
	end, ok := readHead(st, &resp)
	if !ok {
		return result{failure: network}
	}
	body, ok := readBody(st, end, c)
	if !ok {
		return result{failure: network}
	}
	return s.judge(c, &resp, body)
}

func (s *session) judge(c *HTTPCheck, resp *header.Map, body []byte) result {
	r := result{status: resp.Status, failure: active}
	_, r.degraded = resp.Get(headerDegraded)
	if _, immediate := resp.Get(headerImmediate); immediate || !in(c.Expected, resp.Status) {
		r.retriable = !immediate && in(c.Retry, resp.Status)
		return r
	}
	if len(c.Receive) > 0 && !inOrder(body, c.Receive) {
		return r
	}
	if c.ServiceName != nil && s.checker.env.Runtime.Uint(verifyClusterKey, 100) > 0 {
		s.checker.env.Stats.VerifyCluster.Inc(0)
		name, ok := resp.Get(headerCheckedName)
		if !ok || !c.ServiceName.Match(name) {
			return r
		}
	}
	r.passed = true
	return r
}

// readHead reads the response's head past informational ones.
func readHead(st pool.Stream, resp *header.Map) (end, ok bool) {
	for range maxInformational {
		resp.Reset()
		end, err := st.ReadHeaders(resp)
		if err != nil {
			return false, false
		}
		if resp.Status >= 200 {
			return end, true
		}
	}
	return false, false
}

// readBody reads the body to its end, and returns as much of it as is to be matched.
func readBody(st pool.Stream, end bool, c *HTTPCheck) (body []byte, ok bool) {
	for !end {
		p, last, err := st.Next()
		if err != nil {
			return nil, false
		}
		if len(c.Receive) > 0 {
			if c.BufferSize > 0 && uint64(len(body)+len(p)) > c.BufferSize {
				p = p[:c.BufferSize-uint64(len(body))]
			}
			body = append(body, p...)
		}
		end = last
	}
	return body, true
}

func addHeaders(h *header.Map, add []headerOption) {
	for _, o := range add {
		_, there := h.Get(o.name)
		switch o.action {
		case corepb.HeaderValueOption_ADD_IF_ABSENT:
			if !there {
				h.Add(o.name, o.value)
			}
		case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
			h.Set(o.name, o.value)
		case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS:
			if there {
				h.Set(o.name, o.value)
			}
		default:
			h.Add(o.name, o.value)
		}
	}
}
