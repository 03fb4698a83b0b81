// Package headermutation is envoy.filters.http.header_mutation: it changes headers, trailers and query
// parameters by configuration, in the order in which that lists the changes.
package headermutation

import (
	"io"

	mutationpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Extension is the filter.
var Extension = filter.PerRoute(filter.NewHTTP("envoy.filters.http.header_mutation", parse), parseRoute)

// config is a compiled HeaderMutation
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/header_mutation/v3/header_mutation.proto).
type config struct {
	own          *mutations
	specificLast bool // most_specific_header_mutations_wins
}

// mutations is a compiled Mutations.
type mutations struct {
	request, response, requestTrailers, responseTrailers []mutation
	query                                                []queryMutation
}

func parse(p *mutationpb.HeaderMutation, ps filter.Parsers) (filter.HTTPConfig, error) {
	own, err := compileMutations(p.GetMutations(), ps.Logs())
	return &config{own, p.GetMostSpecificHeaderMutationsWins()}, err
}

func parseRoute(p *mutationpb.HeaderMutationPerRoute, ps filter.Parsers) (filter.Config, error) {
	return compileMutations(p.GetMutations(), ps.Logs())
}

// mutator is the filter of all streams.
type mutator struct {
	filter.PassThrough
	*config
	name string
}

// Build gives the filter life.
func (c *config) Build(ctx *filter.Context) (filter.HTTPFactory, error) {
	f := &mutator{config: c, name: ctx.FilterName}
	return func(*filter.Stream) filter.HTTP { return f }, nil
}

// levels is enough for the filter, the route configuration, the virtual host, the route and the cluster.
type levels [5]any

// list appends the mutations for a stream in their order: the filter's, then the route's, which begin with
// the most specific ones unless that is turned round.
func (f *mutator) list(dst []any, s *filter.Stream) []any {
	dst = append(dst, f.own)
	if s.Route == nil {
		return dst
	}
	dst = s.Route.PerFilterAll(dst, f.name)
	if own := dst[1:]; !f.specificLast {
		for i, j := 0, len(own)-1; i < j; i, j = i+1, j-1 {
			own[i], own[j] = own[j], own[i]
		}
	}
	return dst
}

// DecodeHeaders changes the request.
func (f *mutator) DecodeHeaders(s *filter.Stream) filter.Status {
	var space levels
	trailers := false
	for _, l := range f.list(space[:0], s) {
		m := l.(*mutations)
		for i := range m.request {
			if missing := m.request[i].apply(&s.Request.Map, &s.Request.Map, nil, &s.Info); missing != "" {
				return refuse(s, 503, "request", missing)
			}
		}
		if len(m.query) > 0 {
			mutateQuery(m.query, &s.Request.Map, &s.Info)
		}
		trailers = trailers || len(m.requestTrailers) > 0
	}
	if trailers && s.Request.Body != nil {
		s.Request.Body = &trailerBody{Body: s.Request.Body, change: f.trailers(s, func(m *mutations) []mutation { return m.requestTrailers })}
	}
	return filter.Continue
}

// EncodeHeaders changes the response.
func (f *mutator) EncodeHeaders(s *filter.Stream) filter.Status {
	var space levels
	trailers := false
	for _, l := range f.list(space[:0], s) {
		m := l.(*mutations)
		for i := range m.response {
			if missing := m.response[i].apply(&s.Response.Map, &s.Request.Map, &s.Response.Map, &s.Info); missing != "" {
				return refuse(s, 502, "response", missing)
			}
		}
		trailers = trailers || len(m.responseTrailers) > 0
	}
	if trailers && s.Response.Body != nil {
		s.Response.Body = &trailerBody{Body: s.Response.Body, change: f.trailers(s, func(m *mutations) []mutation { return m.responseTrailers })}
	}
	return filter.Continue
}

// refuse answers for a message that a mutation has taken a pseudo header from without which it is none.
func refuse(s *filter.Stream, code int, what, missing string) filter.Status {
	s.Stage, s.Because = "filter", "a header mutation removes "+missing
	why := "missing required header: " + missing
	return s.SendLocalReply(code, why, "filter_removed_required_"+what+"_headers{"+why+"}", streaminfo.DownstreamProtocolError)
}

// trailers makes what changes the trailers of a stream, once they have come.
func (f *mutator) trailers(s *filter.Stream, of func(*mutations) []mutation) func(*header.Map) {
	list := f.list(nil, s)
	return func(t *header.Map) {
		var resp *header.Map
		if s.Response.Status != 0 {
			resp = &s.Response.Map
		}
		for _, l := range list {
			for _, m := range of(l.(*mutations)) {
				m.apply(t, &s.Request.Map, resp, &s.Info)
			}
		}
	}
}

// trailerBody is a body whose trailers are changed, if there are any.
type trailerBody struct {
	filter.Body
	change func(*header.Map)
	done   bool
}

// Next looks for the end.
func (b *trailerBody) Next() ([]byte, error) {
	p, err := b.Body.Next()
	b.see(err)
	return p, err
}

// TryNext is Next if that need not wait.
func (b *trailerBody) TryNext() ([]byte, bool, error) {
	p, ok, err := filter.TryNext(b.Body)
	if ok {
		b.see(err)
	}
	return p, ok, err
}

// Complete tells whether all of the body has been received.
func (b *trailerBody) Complete() bool { return filter.Complete(b.Body) }

func (b *trailerBody) see(err error) {
	if err != io.EOF || b.done {
		return
	}
	b.done = true
	if t := b.Trailers(); t != nil {
		b.change(t)
	}
}

var (
	_ filter.HTTP         = (*mutator)(nil)
	_ filter.HTTPConfig   = (*config)(nil)
	_ filter.CompleteBody = (*trailerBody)(nil)
	_                     = formatter.Compile
)
