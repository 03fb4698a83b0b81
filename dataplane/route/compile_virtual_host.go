package route

import (
	"errors"

	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

type tlsRequirement uint8

const (
	tlsNone tlsRequirement = iota
	tlsExternalOnly
	tlsAll
)

// virtualCluster is a name for the statistics of the requests that match.
type virtualCluster struct {
	name    string
	headers matcher.Headers
}

// hostCompiler is what compiling the routes of one virtual host needs.
type hostCompiler struct {
	*compiler
	v                 *VirtualHost
	from              inherited
	request, response *mutation
	limit             BufferLimit
	shared            [2]*Mutations // of the routes that have none of their own
}

func (c *compiler) virtualHost(p *routepb.VirtualHost) (*VirtualHost, error) {
	v := &VirtualHost{Name: p.GetName(), Table: c.t, IncludeRequestAttemptCount: p.GetIncludeRequestAttemptCount(),
		IncludeAttemptCountInResponse: p.GetIncludeAttemptCountInResponse(), IncludeIsTimeoutRetryHeader: p.GetIncludeIsTimeoutRetryHeader(),
		metadata: compileLazyMetadata(p.GetMetadata())}
	switch {
	case p.GetRetryPolicyTypedConfig() != nil:
		return nil, unsupported("VirtualHost.retry_policy_typed_config")
	case len(p.GetRouteSpecifiers()) > 0:
		return nil, unregisteredSpecifier(p.GetRouteSpecifiers()[0])
	case p.GetMatcher() != nil && len(p.GetRoutes()) > 0:
		return nil, errors.New("cannot set both matcher and routes on virtual host")
	}
	h := &hostCompiler{compiler: c, v: v, limit: bufferLimit(p.GetPerRequestBufferLimitBytes(), p.GetRequestBodyBufferLimit())} //nolint:staticcheck // deprecated, and in use
	if err := h.settings(p); err != nil {
		return nil, err
	}
	c.inheritedKey = marshal(&routepb.VirtualHost{RetryPolicy: p.GetRetryPolicy(), HedgePolicy: p.GetHedgePolicy(),
		RequestMirrorPolicies: p.GetRequestMirrorPolicies(), Cors: p.GetCors()}) //nolint:staticcheck // deprecated, and in use
	switch p.GetRequireTls() {
	case routepb.VirtualHost_EXTERNAL_ONLY:
		v.tls = tlsExternalOnly
	case routepb.VirtualHost_ALL:
		v.tls = tlsAll
	case routepb.VirtualHost_NONE:
	}
	if v.tls != tlsNone {
		v.tlsRedirect = &Route{Kind: TLSRedirect, VirtualHost: v, Action: c.noAction}
	}
	return v, h.routes(p)
}

// settings compiles what the virtual host says for all its routes.
func (h *hostCompiler) settings(p *routepb.VirtualHost) error {
	v, o := h.v, h.o
	var err error
	if v.filters, err = h.perFilter(p.GetTypedPerFilterConfig()); err != nil {
		return err
	}
	if h.request, err = o.mutation(p.GetRequestHeadersToAdd(), p.GetRequestHeadersToRemove(), true); err != nil {
		return err
	}
	if h.response, err = o.mutation(p.GetResponseHeadersToAdd(), p.GetResponseHeadersToRemove(), false); err != nil {
		return err
	}
	if v.RateLimits, err = CompileRateLimits(p.GetRateLimits(), o); err != nil {
		return err
	}
	h.from = h.configInherited
	h.from.hedge = compileHedge(p.GetHedgePolicy())
	if p.GetRetryPolicy() != nil {
		if h.from.retry, err = o.retryPolicy(p.GetRetryPolicy()); err != nil {
			return err
		}
	}
	if len(p.GetRequestMirrorPolicies()) > 0 {
		if h.from.mirrors, err = h.mirrors(p.GetRequestMirrorPolicies()); err != nil {
			return err
		}
	}
	if p.GetCors() != nil { //nolint:staticcheck // deprecated, and in use
		if v.CORS, err = o.cors(p.GetCors()); err != nil { //nolint:staticcheck // deprecated, and in use
			return err
		}
		h.from.cors = v.CORS
	}
	for _, vc := range p.GetVirtualClusters() {
		if len(vc.GetHeaders()) == 0 {
			return errors.New("virtual clusters must define 'headers'")
		}
		headers, err := matcher.CompileHeaders(vc.GetHeaders(), o.Matcher)
		if err != nil {
			return err
		}
		v.virtualClusters = append(v.virtualClusters, virtualCluster{vc.GetName(), headers})
	}
	return nil
}

// routes compiles the virtual host's routes, or its matcher.
func (h *hostCompiler) routes(p *routepb.VirtualHost) error {
	if p.GetMatcher() != nil {
		tree, err := h.tree(p.GetMatcher())
		h.v.tree = tree
		return err
	}
	var err error
	h.v.routes, err = h.routeList(p.GetRoutes())
	h.v.index = newIndex(h.v.routes, h.t.ignoreSemi)
	return err
}

func (h *hostCompiler) routeList(ps []*routepb.Route) ([]*Route, error) {
	list := make([]*Route, len(ps))
	for i, p := range ps {
		var err error
		if list[i], err = h.route(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// routeTree leads to lists of routes; the list of a single route action has one.
type routeTree = matcher.Tree[[]*Route]

func (h *hostCompiler) tree(p *xdspb.Matcher) (*routeTree, error) {
	o := matcher.TreeOptions{Options: h.o.Matcher, Inputs: routeInputs}
	return matcher.CompileTree(p, o, func(x matcher.Extension) ([]*Route, error) {
		a := x.GetTypedConfig()
		switch {
		case a.MessageIs((*routepb.Route)(nil)):
			var r routepb.Route
			if err := a.UnmarshalTo(&r); err != nil {
				return nil, err
			}
			if err := r.Validate(); err != nil {
				return nil, constraint(err)
			}
			return h.routeList([]*routepb.Route{&r})
		case a.MessageIs((*routepb.RouteList)(nil)):
			var l routepb.RouteList
			if err := a.UnmarshalTo(&l); err != nil {
				return nil, err
			}
			if err := l.Validate(); err != nil {
				return nil, constraint(err)
			}
			return h.routeList(l.GetRoutes())
		}
		return nil, matcher.Unregistered(x)
	})
}

// routeInputs allows what Envoy's route tables may match on.
func routeInputs(x matcher.Extension) (matcher.Input, error) {
	if x.GetTypedConfig().MessageIs((*matcherpb.HttpRequestHeaderMatchInput)(nil)) {
		return matcher.HTTPInputs(x)
	}
	if in, err := matcher.HTTPInputs(x); in == nil || err != nil {
		return in, err
	}
	return nil, errors.New("requirement violation while creating route match tree: INVALID_ARGUMENT: " +
		"Route table can only match on request headers, saw " + x.GetTypedConfig().GetTypeUrl())
}

// VirtualCluster is the name of the virtual cluster that a request belongs to: "other" where none
// matches, "" where there are none.
func (v *VirtualHost) VirtualCluster(h *header.Map) string {
	if len(v.virtualClusters) == 0 {
		return ""
	}
	for i := range v.virtualClusters {
		if v.virtualClusters[i].headers.Match(h) {
			return v.virtualClusters[i].name
		}
	}
	return "other"
}

func bufferLimit(old *wrapperspb.UInt32Value, body *wrapperspb.UInt64Value) BufferLimit {
	switch {
	case body != nil:
		return BufferLimit{Bytes: body.GetValue(), Set: true}
	case old != nil:
		return BufferLimit{Bytes: uint64(old.GetValue()), Set: true, Capped: true}
	}
	return BufferLimit{}
}
