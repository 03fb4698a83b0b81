// Package bootstrap loads Envoy's bootstrap: JSON as lenient as Envoy's own reader, YAML or protobuf,
// merged with --config-yaml. Static resources are split off as the bytes of their own, which is what
// the first snapshot is made of.
package bootstrap

import (
	"errors"
	"fmt"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	overloadpb "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	tracepb "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// Options are the command line's share of the bootstrap.
type Options struct {
	// Path is --config-path, YAML is --config-yaml: merged over it, as protobuf merges.
	Path, YAML string
	// AllowUnknown passes over fields that a message does not have (--allow-unknown-static-fields).
	AllowUnknown bool
	// ServiceNode, ServiceCluster and ServiceZone stand over the bootstrap's node if they are not empty.
	ServiceNode, ServiceCluster, ServiceZone string
}

// Bootstrap is a bootstrap that was read and checked. Messages in it are those of Proto; who compiles
// one of them refuses what it does not do. It is not changed after Load, but for Node.
type Bootstrap struct {
	// Node is this proxy as the bootstrap has it. It is never nil. Who adds the user agent to it (see
	// ads.Node) puts it back here, so that Proto shows it as Envoy's /config_dump does.
	Node *corepb.Node
	// Static are static_resources: secrets, clusters, listeners, in that order.
	Static []*anypb.Any
	// Listeners, Clusters and ADS are dynamic_resources; nil where there are none.
	Listeners, Clusters *xds.Ref
	ADS                 *corepb.ApiConfigSource

	// Admin is nil without an admin interface.
	Admin  *bootstrappb.Admin
	Layers []Layer
	Stats  Stats

	// Overload, Tracing (the default of connection managers that have no provider), LogFormat and
	// UpstreamBind may be nil.
	Overload     *overloadpb.OverloadManager
	Tracing      *tracepb.Tracing
	LogFormat    *bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat
	UpstreamBind *corepb.BindConfig
	// Extensions are bootstrap_extensions.
	Extensions []*corepb.TypedExtensionConfig
	// LocalCluster is cluster_manager.local_cluster_name, OutlierLog the path of
	// cluster_manager.outlier_detection.event_log_path.
	LocalCluster, OutlierLog string
	// DNS is typed_dns_resolver_config, or nil; the deprecated fields for it come as they are.
	DNS           *corepb.TypedExtensionConfig
	DNSResolution *corepb.DnsResolutionConfig
	DNSOverTCP    bool

	// Unknown are the fields that were passed over, Types the type URLs that are not linked in, whose
	// payload was lost.
	Unknown, Types []string

	proto *bootstrappb.Bootstrap // without static resources
}

// Stats are the bootstrap's say about statistics.
type Stats struct {
	Config *metricspb.StatsConfig // nil: defaults
	Sinks  []*metricspb.StatsSink
	// FlushInterval is 5 s by default; 0 with OnAdmin.
	FlushInterval time.Duration
	OnAdmin       bool
	// EvictionInterval is 0 for never.
	EvictionInterval time.Duration
	// Deferred makes statistics appear only with their first use.
	Deferred bool
	// ServerVersion is server.version, if it is overridden.
	ServerVersion *uint64
}

// Load reads and checks a bootstrap.
func Load(o Options) (*Bootstrap, error) {
	if o.Path == "" && o.YAML == "" {
		return nil, errors.New("At least one of --config-path or --config-yaml or Options::configProto() should be non-empty")
	}
	var r reader
	r.opts.DropUnknown = o.AllowUnknown
	if o.Path != "" {
		if err := r.file(o.Path); err != nil {
			return nil, err
		}
	}
	if o.YAML != "" {
		if err := r.yaml([]byte(o.YAML)); err != nil {
			return nil, err
		}
	}
	p := new(bootstrappb.Bootstrap)
	if err := proto.Unmarshal(r.rest, p); err != nil {
		return nil, fmt.Errorf("unable to read the bootstrap: %w", err)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("Proto constraint validation failed (%w)", err)
	}
	b := &Bootstrap{proto: p, Unknown: r.report.Unknown, Types: r.report.Types}
	b.Static = append(append(append(b.Static, r.secrets...), r.clusters...), r.listeners...)
	return b, b.compile(o)
}

// Proto is the whole bootstrap as it was loaded, for /config_dump. It is made anew at each call: nothing
// keeps static resources as messages.
func (b *Bootstrap) Proto() (*bootstrappb.Bootstrap, error) {
	p := proto.Clone(b.proto).(*bootstrappb.Bootstrap)
	p.Node = b.Node
	for _, a := range b.Static {
		if p.StaticResources == nil {
			p.StaticResources = &bootstrappb.Bootstrap_StaticResources{}
		}
		// What is merged in is appended to the list.
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(member(a), p.StaticResources); err != nil {
			return nil, err
		}
	}
	return p, nil
}
