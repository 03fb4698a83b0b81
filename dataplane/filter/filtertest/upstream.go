package filtertest

import (
	"errors"
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Upstream is the end of the chain: a router of a kind. It answers routes that need no upstream, and with
// what it was told for those that do.
type Upstream struct {
	filter.PassThrough
	next *envoytest.Response
	seen *envoytest.Seen
}

func (u *Upstream) prepare(r *envoytest.Response) { u.next, u.seen = r, nil }

func (u *Upstream) take() *envoytest.Seen { return u.seen }

// Serve fills the response.
func (u *Upstream) Serve(s *filter.Stream) {
	r := s.Route
	switch {
	case r == nil:
		s.SendLocalReply(404, "", streaminfo.DetailRouteNotFound, streaminfo.NoRouteFound)
		return
	case r.Kind == route.Direct || r.Kind == route.Redirect || r.Kind == route.TLSRedirect:
		u.answer(s)
		return
	case r.ClusterName(&s.Request.Map, &s.Info) != "up":
		s.SendLocalReply(503, "", streaminfo.DetailClusterNotFound, streaminfo.NoClusterFound)
		return
	}
	if s.Pick.OverrideStrict && s.Pick.OverrideHost != "" && s.Pick.OverrideHost != Host {
		code := 503
		if s.Pick.OverrideStatus != 0 {
			code = s.Pick.OverrideStatus
		}
		s.SendLocalReply(code, "no healthy upstream", streaminfo.DetailNoHealthyUpstream, streaminfo.NoHealthyUpstream)
		return
	}
	s.Info.Upstream.Host = Host
	if !u.read(s) {
		return
	}
	u.respond(s)
}

// Host is the address of the upstream's one host.
const Host = "127.0.0.1:8080"

// read takes the whole request. It reports false if its body is not valid.
func (u *Upstream) read(s *filter.Stream) bool {
	m := &s.Request.Map
	seen := &envoytest.Seen{Line: m.Method + " " + m.Path, Host: m.Authority, Headers: headerLines(m.Fields())}
	s.Info.FirstUpstreamTx = s.Info.Now()
	var err error
	if b := s.Request.Body; b != nil {
		seen.Body, err = readAll(b)
		seen.Trailers = trailerLines(b)
	}
	s.Info.LastUpstreamTx = s.Info.Now()
	var bad *filter.BodyError
	switch {
	case errors.As(err, &bad):
		// As the router: the upstream has seen what came before.
		s.SendLocalReply(bad.Code, bad.Why, bad.Details, 0)
		if seen.Body != "" {
			u.seen = seen
		}
		return false
	case err != nil:
		s.SendLocalReply(500, err.Error(), "test_body_failed", 0)
		return false
	}
	u.seen = seen
	return true
}

func (u *Upstream) respond(s *filter.Stream) {
	s.Info.Details = streaminfo.DetailViaUpstream
	s.Info.FirstUpstreamRx = s.Info.Now()
	r, next := &s.Response, u.next
	if next == nil {
		next = &envoytest.Response{Status: 200}
	}
	r.Status = next.Status
	for _, line := range next.Headers {
		name, value := splitLine(line)
		if id := header.IDOf(name); id.InlineResponse() && r.Has(id) {
			r.AppendID(id, value, ",")
			continue
		}
		r.Add(name, value)
	}
	switch {
	case len(next.Pieces) > 0 || len(next.Trailers) > 0:
		pieces := next.Pieces
		if next.Body != "" {
			pieces = []string{next.Body}
		}
		r.Body = NewBody(pieces, next.Trailers)
	case next.Body != "":
		r.SetID(header.ContentLength, itoa(len(next.Body)))
		r.Body = NewBody([]string{next.Body}, nil)
	case next.Status != 204 && !r.Has(header.ContentLength):
		r.SetID(header.ContentLength, "0")
	}
	if s.Request.Method == "HEAD" {
		r.Body = nil
	}
	s.Info.LastUpstreamRx = s.Info.Now()
}

// answer answers a direct response or a redirect.
func (u *Upstream) answer(s *filter.Stream) {
	rt, body := s.Route, ""
	if rt.Direct != nil {
		s.Entry.Request, s.Entry.Info = &s.Request.Map, &s.Info
		b, _ := rt.Direct.AppendBody(nil, &s.Entry)
		body = string(b)
	}
	location := rt.Location(&s.Request.Map, &s.Info)
	s.LocalReply(filter.LocalReply{Code: rt.Status(), Body: body, Details: streaminfo.DetailDirectResponse, GRPCStatus: -1, Modify: func(h *header.Map) {
		if location != "" {
			h.SetID(header.Location, location)
		}
		rt.FinalizeResponse(&s.Request.Map, h, &s.Info)
	}})
}

func itoa(n int) string { return strconv.Itoa(n) }

var _ filter.Terminal = (*Upstream)(nil)
