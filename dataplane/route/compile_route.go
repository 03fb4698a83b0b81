package route

import (
	"errors"
	"slices"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func (h *hostCompiler) route(p *routepb.Route) (*Route, error) {
	if len(p.GetRouteSpecifiers()) > 0 {
		return nil, unregisteredSpecifier(p.GetRouteSpecifiers()[0])
	}
	r := &Route{Name: p.GetName(), VirtualHost: h.v, Action: h.noAction, StatPrefix: p.GetStatPrefix(), metadata: compileLazyMetadata(p.GetMetadata())}
	var err error
	if r.match, err = compilePathMatch(p.GetMatch(), h.o); err != nil {
		return nil, err
	}
	if r.matchers, err = compileConditions(p.GetMatch(), h.o); err != nil {
		return nil, err
	}
	if r.Decorator, err = compileDecorator(p.GetDecorator()); err != nil {
		return nil, err
	}
	if r.Tracing, err = h.o.tracing(p.GetTracing()); err != nil {
		return nil, err
	}
	if r.BufferLimit = bufferLimit(p.GetPerRequestBufferLimitBytes(), p.GetRequestBodyBufferLimit()); !r.BufferLimit.Set { //nolint:staticcheck // deprecated, and in use
		r.BufferLimit = h.limit
	}
	filters, err := h.perFilter(p.GetTypedPerFilterConfig())
	if err != nil {
		return nil, err
	}
	if len(filters) > 0 {
		r.filters = &filterLevels{route: filters}
	}
	r.HasPerFilter = len(filters)+len(h.v.filters)+len(h.t.filters) > 0
	own, err := h.ownMutations(p)
	if err != nil {
		return nil, err
	}
	own.set(h, r, [2]*mutation{})
	return r, h.setKind(r, p, own)
}

// setKind compiles the route's action.
func (h *hostCompiler) setKind(r *Route, p *routepb.Route, own mutationPair) error {
	var err error
	switch a := p.GetAction().(type) {
	case *routepb.Route_Route:
		return h.forward(r, a.Route, own)
	case *routepb.Route_Redirect:
		r.Kind = Redirect
		r.Redirect, err = h.o.redirect(a.Redirect, &r.match)
	case *routepb.Route_DirectResponse:
		r.Kind = Direct
		r.Direct, err = h.direct(a.DirectResponse)
	case *routepb.Route_NonForwardingAction:
		r.Kind = NonForwarding
	case *routepb.Route_FilterAction:
		err = unsupported("Route.filter_action")
	default:
		err = errors.New(`Route: field: "action", reason: is required`)
	}
	return err
}

// forward compiles where the request goes, and what happens to it on the way.
func (h *hostCompiler) forward(r *Route, p *routepb.RouteAction, own mutationPair) error {
	r.Kind = Forward
	var err error
	if r.Action, err = h.sharedAction(p, &r.match); err != nil {
		return err
	}
	r.MetadataMatch = compileMetadataMatch(nil, p.GetMetadataMatch())
	r.Subset = h.o.subset(r.MetadataMatch)
	switch k := p.GetClusterSpecifier().(type) {
	case *routepb.RouteAction_Cluster:
		r.Cluster = k.Cluster
		return h.clusterExists("cluster", k.Cluster)
	case *routepb.RouteAction_ClusterHeader:
		r.ClusterHeader = lowerString(k.ClusterHeader)
		return nil
	case *routepb.RouteAction_WeightedClusters:
		return h.weightedClusters(r, k.WeightedClusters, own)
	case *routepb.RouteAction_ClusterSpecifierPlugin:
		return h.namedPlugin(r, k.ClusterSpecifierPlugin)
	case *routepb.RouteAction_InlineClusterSpecifierPlugin:
		return h.plugin(r, k.InlineClusterSpecifierPlugin)
	}
	return errors.New(`RouteAction: field: "cluster_specifier", reason: is required`)
}

// sharedAction compiles the part of a RouteAction that is the same for many routes. Where it goes and
// the metadata that hosts must have are left out; a template's rewrite belongs to its match.
func (h *hostCompiler) sharedAction(p *routepb.RouteAction, m *pathMatch) (*Action, error) {
	if p.GetPathRewritePolicy() != nil {
		return h.action(p, m, h.from)
	}
	rest := &routepb.RouteAction{}
	to := rest.ProtoReflect()
	p.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if oneof := f.ContainingOneof(); f.Name() != "metadata_match" && (oneof == nil || oneof.Name() != "cluster_specifier") {
			to.Set(f, v)
		}
		return true
	})
	key := h.inheritedKey + "\x00" + marshal(rest)
	if a := h.actions[key]; a != nil {
		return a, nil
	}
	a, err := h.action(p, m, h.from)
	if err == nil {
		h.actions[key] = a
	}
	return a, err
}

// mutationPair is one level's mutations, of the request and of the response.
type mutationPair [2]*mutation

// headersOf is what Route and ClusterWeight have in common here.
type headersOf interface {
	GetRequestHeadersToAdd() []*corepb.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corepb.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

func (c *compiler) ownMutations(p headersOf) (m mutationPair, err error) {
	if m[0], err = c.o.mutation(p.GetRequestHeadersToAdd(), p.GetRequestHeadersToRemove(), true); err != nil {
		return m, err
	}
	m[1], err = c.o.mutation(p.GetResponseHeadersToAdd(), p.GetResponseHeadersToRemove(), false)
	return m, err
}

// set puts the mutations of all levels together. Those of a weighted cluster come first, whatever the
// order of the others.
func (own mutationPair) set(h *hostCompiler, r *Route, variant mutationPair) {
	r.RequestMutations = h.ordered(variant[0], own[0], h.request, h.compiler.request, 0)
	r.ResponseMutations = h.ordered(variant[1], own[1], h.response, h.compiler.response, 1)
}

func (h *hostCompiler) ordered(variant, own, host, config *mutation, which int) *Mutations {
	levels := []*mutation{own, host, config}
	if h.mostSpecific {
		slices.Reverse(levels)
	}
	levels = slices.DeleteFunc(append([]*mutation{variant}, levels...), func(m *mutation) bool { return m == nil })
	if len(levels) == 0 {
		return nil
	}
	if variant != nil || own != nil {
		return &Mutations{levels: levels}
	}
	// Most routes have none of their own: those of one virtual host share.
	if h.shared[which] == nil {
		h.shared[which] = &Mutations{levels: levels}
	}
	return h.shared[which]
}
