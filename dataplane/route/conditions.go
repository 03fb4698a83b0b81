package route

import (
	"fmt"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// conditions are what a RouteMatch asks beyond the path. All of them have to hold.
type conditions struct {
	fraction    *runtime.Fraction
	headers     matcher.Headers
	queries     []matcher.Query
	cookies     []matcher.Cookie
	grpc        bool
	presented   want
	validated   want
	metadata    []matcher.Metadata
	filterState []matcher.FilterState
}

// want is a truth value that may not matter.
type want uint8

const (
	wantAny want = iota
	wantFalse
	wantTrue
)

func (w want) holds(is bool) bool { return w == wantAny || (w == wantTrue) == is }

// compileConditions returns nil where there are none.
func compileConditions(p *routepb.RouteMatch, o Options) (*conditions, error) {
	if p.GetRuntimeFraction() == nil && len(p.GetHeaders()) == 0 && len(p.GetQueryParameters()) == 0 && len(p.GetCookies()) == 0 &&
		p.GetGrpc() == nil && p.GetTlsContext() == nil && len(p.GetDynamicMetadata()) == 0 && len(p.GetFilterState()) == 0 {
		return nil, nil
	}
	c := &conditions{grpc: p.GetGrpc() != nil}
	if p.GetRuntimeFraction() != nil {
		f := runtime.CompileFraction(p.GetRuntimeFraction())
		c.fraction = &f
	}
	if v := p.GetTlsContext().GetPresented(); v != nil {
		c.presented = wantOf(v.GetValue())
	}
	if v := p.GetTlsContext().GetValidated(); v != nil {
		c.validated = wantOf(v.GetValue())
	}
	var err error
	if c.headers, err = matcher.CompileHeaders(p.GetHeaders(), o.Matcher); err != nil {
		return nil, err
	}
	if c.queries, err = compileAll(p.GetQueryParameters(), o.Matcher, matcher.CompileQuery); err != nil {
		return nil, err
	}
	if c.cookies, err = compileAll(p.GetCookies(), o.Matcher, matcher.CompileCookie); err != nil {
		return nil, err
	}
	if c.metadata, err = compileAll(p.GetDynamicMetadata(), o.Matcher, matcher.CompileMetadata); err != nil {
		return nil, err
	}
	c.filterState, err = compileAll(p.GetFilterState(), o.Matcher, matcher.CompileFilterState)
	return c, err
}

func wantOf(b bool) want {
	if b {
		return wantTrue
	}
	return wantFalse
}

func compileAll[P, M any](ps []P, o matcher.Options, compile func(P, matcher.Options) (M, error)) ([]M, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	ms := make([]M, len(ps))
	for i, p := range ps {
		var err error
		if ms[i], err = compile(p, o); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// condition numbers the kinds, for telling which one failed.
type condition uint8

const (
	conditionsHold condition = iota
	failsFraction
	failsHeader
	failsQuery
	failsCookie
	failsGRPC
	failsTLS
	failsMetadata
	failsFilterState
)

// fails finds the first condition that does not hold, and its place among those of its kind.
func (c *conditions) fails(h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) (condition, int) {
	if c.fraction != nil && !c.fraction.Enabled(rt, random) {
		return failsFraction, 0
	}
	if c.grpc && !isGRPC(h) {
		return failsGRPC, 0
	}
	if at := c.headers.Mismatch(h); at >= 0 {
		return failsHeader, at
	}
	for at := range c.queries {
		if !c.queries[at].Match(h.Path) {
			return failsQuery, at
		}
	}
	for at := range c.cookies {
		if !c.cookies[at].Match(h) {
			return failsCookie, at
		}
	}
	if c.presented|c.validated != wantAny && !c.tlsHolds(i) {
		return failsTLS, 0
	}
	for at := range c.metadata {
		if !c.metadata[at].Match(metadataOf(i)) {
			return failsMetadata, at
		}
	}
	for at := range c.filterState {
		if !c.filterState[at].Match(i) {
			return failsFilterState, at
		}
	}
	return conditionsHold, 0
}

func metadataOf(i *streaminfo.Info) streaminfo.Metadata {
	if i == nil {
		return nil
	}
	return i.Metadata
}

func (c *conditions) tlsHolds(i *streaminfo.Info) bool {
	var t streaminfo.TLS
	if i != nil && i.Conn != nil && i.Conn.TLS != nil {
		t.PeerPresented, t.PeerValidated = i.Conn.TLS.PeerPresented, i.Conn.TLS.PeerValidated
	}
	return c.presented.holds(t.PeerPresented) && c.validated.holds(t.PeerValidated)
}

// isGRPC tells whether the content type is application/grpc or application/grpc+something.
func isGRPC(h *header.Map) bool {
	rest, ok := strings.CutPrefix(h.Value(header.ContentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+') && h.Path != ""
}

// describe tells in words what the condition at wants.
func (c *conditions) describe(what condition, at int) string {
	switch what {
	case failsFraction:
		return fmt.Sprintf("runtime_fraction %s %s", c.fraction.Key, c.fraction.String())
	case failsHeader:
		return c.headers[at].String()
	case failsQuery:
		return c.queries[at].String()
	case failsCookie:
		return c.cookies[at].String()
	case failsGRPC:
		return "grpc: content-type application/grpc"
	case failsTLS:
		return "tls_context"
	case failsMetadata:
		return "dynamic_metadata " + c.metadata[at].Filter()
	case failsFilterState:
		return "filter_state " + c.filterState[at].Key()
	}
	return ""
}
