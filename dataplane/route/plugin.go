package route

import (
	"fmt"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	clusterpb "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// clusterTree is the matcher cluster specifier: a tree that leads to names of clusters.
type clusterTree = matcher.Tree[string]

// checkPlugin refuses a cluster specifier plugin that is neither known nor optional. Envoy's lua,
// dynamic_modules and priority_group are among the unknown.
func (c *compiler) checkPlugin(p *routepb.ClusterSpecifierPlugin) error {
	if !p.GetIsOptional() && !p.GetExtension().GetTypedConfig().MessageIs((*clusterpb.MatcherClusterSpecifier)(nil)) {
		return matcher.Unregistered(p.GetExtension())
	}
	return nil
}

func (h *hostCompiler) namedPlugin(r *Route, name string) error {
	p := h.plugins[name]
	if p == nil {
		return fmt.Errorf("Unknown cluster specifier plugin name: %s is used in the route", name)
	}
	return h.plugin(r, p)
}

// plugin compiles the one plugin there is. A route with an optional one that is unknown matches, and is
// as if there were none.
func (h *hostCompiler) plugin(r *Route, p *routepb.ClusterSpecifierPlugin) error {
	if err := h.checkPlugin(p); err != nil {
		return err
	}
	a := p.GetExtension().GetTypedConfig()
	if !a.MessageIs((*clusterpb.MatcherClusterSpecifier)(nil)) {
		r.nowhere = true
		return nil
	}
	var c clusterpb.MatcherClusterSpecifier
	if err := a.UnmarshalTo(&c); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return constraint(err)
	}
	o := matcher.TreeOptions{Options: h.o.Matcher, Inputs: matcher.HTTPInputs}
	tree, err := matcher.CompileTree(c.GetClusterMatcher(), o, func(x matcher.Extension) (string, error) {
		var to clusterpb.ClusterAction
		if !x.GetTypedConfig().MessageIs(&to) {
			return "", matcher.Unregistered(x)
		}
		if err := x.GetTypedConfig().UnmarshalTo(&to); err != nil {
			return "", err
		}
		return to.GetCluster(), nil // validate_clusters does not reach here in Envoy either
	})
	r.clusters = tree
	return err
}

// ClusterName is the cluster that the request goes to; "" where what should say so is absent.
func (r *Route) ClusterName(h *header.Map, i *streaminfo.Info) string {
	switch {
	case r.ClusterHeader != "":
		name, _ := h.Get(r.ClusterHeader)
		return name
	case r.clusters != nil:
		name, _ := r.clusters.Match(matcher.Data{Request: h, Info: i})
		return name
	}
	return r.Cluster
}
