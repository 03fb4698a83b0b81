package admin

import (
	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

func (d *dump) routesSection() proto.Message {
	out := &adminpb.RoutesConfigDump{}
	for i := range d.listeners {
		l := &d.listeners[i]
		for _, r := range []*xds.Resource{l.Active, l.Warming, l.Draining} {
			if r != nil {
				out.StaticRouteConfigs = append(out.StaticRouteConfigs, d.inlineRoutes(r)...)
			}
		}
	}
	for _, r := range d.snapshot.Sorted(xds.RouteURL) {
		if d.matches(r.Name) {
			out.DynamicRouteConfigs = append(out.DynamicRouteConfigs, &adminpb.RoutesConfigDump_DynamicRouteConfig{
				VersionInfo: r.Version, RouteConfig: r.Any, LastUpdated: timestamp(r.Updated),
			})
		}
	}
	return out
}

// inlineRoutes are the route configurations that stand in a listener's connection managers: one for
// each of them, repeated ones too, as Envoy has a provider for each.
func (d *dump) inlineRoutes(r *xds.Resource) (out []*adminpb.RoutesConfigDump_StaticRouteConfig) {
	l := &listenerpb.Listener{}
	if proto.Unmarshal(r.Any.GetValue(), l) != nil {
		return nil
	}
	chains := l.GetFilterChains()
	if l.GetDefaultFilterChain() != nil {
		chains = append(chains, l.GetDefaultFilterChain())
	}
	for _, chain := range chains {
		for _, f := range chain.GetFilters() {
			rc := inlineRoute(f.GetTypedConfig())
			if rc == nil || !d.matches(rc.GetName()) {
				continue
			}
			if packed, err := anypb.New(rc); err == nil {
				out = append(out, &adminpb.RoutesConfigDump_StaticRouteConfig{RouteConfig: packed, LastUpdated: timestamp(r.Updated)})
			}
		}
	}
	return out
}

func inlineRoute(config *anypb.Any) *routepb.RouteConfiguration {
	m := &hcmpb.HttpConnectionManager{}
	if !config.MessageIs(m) || proto.Unmarshal(config.GetValue(), m) != nil {
		return nil
	}
	return m.GetRouteConfig()
}
