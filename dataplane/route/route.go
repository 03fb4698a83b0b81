// Package route compiles RouteConfigurations into Tables and matches requests to routes, and holds all
// that a route says of a request: where it goes, how it is rewritten, retried, hashed, mirrored.
package route

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Kind is what a route does with a request.
type Kind uint8

// The kinds.
const (
	// Forward sends the request to a cluster, as Action says.
	Forward Kind = iota
	// Redirect answers with a redirect: Redirect is set.
	Redirect
	// Direct answers with a fixed response: Direct is set.
	Direct
	// NonForwarding is the non_forwarding_action, which Envoy accepts and cannot serve.
	NonForwarding
	// TLSRedirect answers 301 to the same address with https, because of require_tls.
	TLSRedirect
)

// Route is what a request matched. Each of weighted clusters is a Route of its own, with the name and
// the virtual host of the one that they belong to. It is immutable, but for what says so.
type Route struct {
	Name        string
	VirtualHost *VirtualHost
	Kind        Kind

	// HasPerFilter tells that typed_per_filter_config says something, on whatever level.
	HasPerFilter bool

	// Cluster is where a Forward goes; ClusterHeader, if set instead, names the request header that says
	// so. See ClusterName.
	Cluster, ClusterHeader string
	// MetadataMatch is what the hosts' metadata must be, for subset load balancing, sorted by key.
	MetadataMatch []MetadataPair
	// Subset is what Options.Subset made of MetadataMatch; nil: nothing to match.
	Subset any
	// Action is never nil: of what does not forward it is the defaults.
	*Action
	Redirect *RedirectAction
	Direct   *DirectResponse

	// RequestMutations and ResponseMutations are the header mutations of all levels in their order.
	RequestMutations, ResponseMutations *Mutations
	// Tracing is nil where the connection manager's settings count.
	Tracing   *Tracing
	Decorator *Decorator
	// StatPrefix asks for the statistics vhost.NAME.route.STATPREFIX; "": none.
	StatPrefix string
	BufferLimit

	metadata *lazyMetadata
	filters  *filterLevels
	match    pathMatch
	matchers *conditions  // nil: the path is all
	weighted *weighted    // what Match chooses from instead; nil: this is the route
	clusters *clusterTree // finds the cluster; nil: the fields above say it
	nowhere  bool         // its cluster specifier is unknown: it matches, and is none
}

// BufferLimit is how much of a request body may be kept for retries and mirroring.
type BufferLimit struct {
	// Bytes is the limit; Set tells that there is one. Capped tells that the connection's own limit
	// counts where it is lower (per_request_buffer_limit_bytes).
	Bytes       uint64
	Set, Capped bool
}

// VirtualHost is one virtual host of a Table. It is immutable, but for what says so.
type VirtualHost struct {
	Name  string
	Table *Table
	// IncludeRequestAttemptCount and the others are the fields of the same names.
	IncludeRequestAttemptCount, IncludeAttemptCountInResponse, IncludeIsTimeoutRetryHeader bool
	RateLimits                                                                             []*RateLimit
	// CORS is the deprecated cors field, for the CORS filter; nil: none.
	CORS *CORS

	metadata        *lazyMetadata
	filters         []filterConfig
	routes          []*Route
	tree            *routeTree // instead of routes
	index           *index     // nil: routes are few
	tls             tlsRequirement
	tlsRedirect     *Route
	virtualClusters []virtualCluster
}

// Table is a compiled RouteConfiguration. It is immutable.
type Table struct {
	Name string
	// InternalOnlyHeaders are removed from external requests by the connection manager.
	InternalOnlyHeaders []string
	// VirtualHosts are all there are, in their order.
	VirtualHosts []*VirtualHost

	metadata   *lazyMetadata
	filters    []filterConfig
	domains    domains
	hostHeader string // lower case; "": Host
	ignorePort bool
	ignoreSemi bool // ignore_path_parameters_in_path_matching
}

// Metadata returns the route's metadata, decoded on first use.
func (r *Route) Metadata() streaminfo.Metadata { return r.metadata.get() }

// Metadata returns the virtual host's metadata, decoded on first use.
func (v *VirtualHost) Metadata() streaminfo.Metadata { return v.metadata.get() }

// Metadata returns the configuration's metadata, decoded on first use.
func (t *Table) Metadata() streaminfo.Metadata { return t.metadata.get() }

// Routes lists the routes in order; those of a matcher tree are not among them.
func (v *VirtualHost) Routes() []*Route { return v.routes }

// Variants lists the routes that weighted clusters chose from; nil without any.
func (r *Route) Variants() []*Route {
	if r.weighted == nil {
		return nil
	}
	return r.weighted.routes
}

// Duration is a setting that may be absent.
type Duration struct {
	D   time.Duration
	Set bool
}

// Or is the setting, or def where it is absent.
func (d Duration) Or(def time.Duration) time.Duration {
	if d.Set {
		return d.D
	}
	return def
}
