package route

import (
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// Options is what compiling depends on besides the configuration.
type Options struct {
	// PerFilter parses one entry of typed_per_filter_config, out of its FilterConfig. Of a type that
	// nobody knows its error must say "Didn't find a registered implementation", as Envoy's does: such
	// an entry is left out where it is optional. Nil refuses all.
	PerFilter func(filterName string, cfg *anypb.Any) (any, error)
	// HasCluster tells whether a cluster exists, for validate_clusters; nil: it is not checked.
	HasCluster func(name string) bool
	// ValidateClusters is what validate_clusters is by default: true for an inline route_config, false
	// for RDS.
	ValidateClusters bool
	// Subset makes of a route's metadata_match, merged with its weighted cluster's, what the load balancer
	// goes by: it becomes Route.Subset. Nil: nothing.
	Subset func(fields map[string]*structpb.Value) any
	// Matcher and Formatter are for the matchers and the formats of the configuration.
	Matcher   matcher.Options
	Formatter formatter.Options
}
