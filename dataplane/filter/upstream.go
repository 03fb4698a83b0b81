package filter

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// UpstreamConfig is a compiled upstream network filter: one of a cluster's `filters`. It is immutable;
// BuildUpstream gives it life for one cluster.
type UpstreamConfig interface {
	BuildUpstream(s *Server, cluster string) (network.UpstreamFilter, error)
}

// UpstreamExtension is a kind of upstream network filter. Its configuration may be of the same type as a
// network filter's.
type UpstreamExtension struct {
	Name  string
	types []string
	parse func(*anypb.Any) (UpstreamConfig, error)
}

// NewUpstreamAny declares an upstream network filter whose configuration has no Go type: parse gets it as
// it came, a TypedStruct or the message itself.
func NewUpstreamAny(name, fullName string, parse func(*anypb.Any) (UpstreamConfig, error)) UpstreamExtension {
	return UpstreamExtension{Name: name, types: []string{fullName}, parse: parse}
}

// Upstream is what cluster.Options.Filter wants: it parses the filters of clusters, which come to life
// with s.
func (r *Registry) Upstream(s *Server) func(name string, a *anypb.Any) (cluster.FilterConfig, error) {
	return func(name string, a *anypb.Any) (cluster.FilterConfig, error) {
		e, ok := r.upstream[ConfigType(a)]
		if !ok || slices.Contains(r.disabled, e.Name) {
			return nil, UnknownError(name, a)
		}
		c, err := e.parse(a)
		if err != nil {
			return nil, fmt.Errorf("upstream network filter %q: %w", name, err)
		}
		return upstreamFilter{c, s}, nil
	}
}

// upstreamFilter is an UpstreamConfig as clusters know it.
type upstreamFilter struct {
	config UpstreamConfig
	server *Server
}

// Build gives the filter life.
func (f upstreamFilter) Build(cluster string, _ *stats.Scope) (network.UpstreamFilter, error) {
	return f.config.BuildUpstream(f.server, cluster)
}

var _ cluster.FilterConfig = upstreamFilter{}
