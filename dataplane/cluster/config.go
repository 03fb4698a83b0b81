package cluster

import (
	"fmt"
	"sync/atomic"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httppb "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// Options are what a cluster's configuration is compiled with.
type Options struct {
	// Transport compiles transport sockets; nil: transport.CompileUpstream.
	Transport func(*corepb.TransportSocket) (transport.UpstreamConfig, error)
	// Filter compiles one upstream network filter (`filters`); nil: they are refused.
	Filter func(name string, config *anypb.Any) (FilterConfig, error)
	// HTTP compiles what the router asks of HttpProtocolOptions (http_filters, request_mirror_policies,
	// hash_policy, retry_policy, outlier_detection.error_matcher); its value is HTTP.Extra. It is called
	// only where any of them is set; nil: they are refused.
	HTTP func(*httppb.HttpProtocolOptions) (any, error)
}

// FilterConfig is a compiled upstream network filter.
type FilterConfig interface {
	Build(cluster string, scope *stats.Scope) (network.UpstreamFilter, error)
}

// Discovery is how a cluster comes by its hosts.
type Discovery uint8

// The ways. LogicalDNS has one host, whatever its name stands for at the moment.
const (
	Static Discovery = iota
	StrictDNS
	LogicalDNS
	EDS
	OriginalDst
	Aggregate
)

// String is the name of Envoy's cluster extension.
func (d Discovery) String() string {
	return [...]string{"envoy.cluster.static", "envoy.cluster.strict_dns", "envoy.cluster.logical_dns", "envoy.cluster.eds", "envoy.cluster.original_dst", "envoy.clusters.aggregate"}[d]
}

// Config is a compiled Cluster. It keeps little but the bytes that it came in: the rest is in Spec, which
// is decoded again when a request needs it. It is immutable.
type Config struct {
	Name string
	// AltStatName takes the name's place in stats and logs; "": it does not.
	AltStatName string
	Discovery   Discovery
	// ServiceName is the name that EDS is asked for.
	ServiceName string
	// Count is what membership gauges show of load_assignment while nothing has touched the cluster.
	Count endpoint.Count
	// Eager clusters come to life at once: they have names to resolve or hosts to check.
	Eager bool
	refs  []xds.Ref
	// meaning is a digest of all that connections depend on: hosts and pools survive an update that
	// leaves it as it was.
	meaning uint64
	// outlier, timeouts and sizes tell which stats the cluster has beyond those of all.
	outlier, timeouts, sizes bool
	// remaining tells by priority whether the breakers' remaining_* gauges are kept.
	remaining [2]*Thresholds

	options *Options
	any     *anypb.Any
	spec    atomic.Pointer[Spec]
}

// StatName is the name in stats and logs.
func (c *Config) StatName() string {
	if c.AltStatName != "" {
		return c.AltStatName
	}
	return c.Name
}

// Refs are the resources that the cluster needs before it may serve.
func (c *Config) Refs() []xds.Ref { return c.refs }

// Type is the CDS resource.
func Type(o Options) xds.Type[*Config] {
	return xds.Type[*Config]{
		URL: xds.ClusterURL, AllRequiredInSotW: true, Refs: (*Config).Refs,
		Decode: func(a *anypb.Any) (string, *Config, error) { return decode(a, &o) },
	}
}

func decode(a *anypb.Any, o *Options) (string, *Config, error) {
	p := &clusterpb.Cluster{}
	if err := proto.Unmarshal(a.GetValue(), p); err != nil {
		return "", nil, fmt.Errorf("Unable to unpack as envoy.config.cluster.v3.Cluster: %w", err) //nolint:staticcheck // Envoy's text.
	}
	c, spec, err := compile(p, o)
	if err != nil {
		return p.GetName(), nil, err
	}
	c.any = a
	_ = spec // decoded again by whoever needs it
	return c.Name, c, nil
}

// Compile validates and compiles a cluster. Error texts are Envoy's.
func Compile(p *clusterpb.Cluster, o Options) (*Config, error) {
	c, spec, err := compile(p, &o)
	if err != nil {
		return nil, err
	}
	c.spec.Store(spec)
	return c, nil
}

// Spec decodes the whole configuration; later calls return the same.
func (c *Config) Spec() *Spec {
	if s := c.spec.Load(); s != nil {
		return s
	}
	p := &clusterpb.Cluster{}
	spec := &Spec{}
	// The bytes were accepted once: what can still fail is a file that is gone by now.
	err := proto.Unmarshal(c.any.GetValue(), p)
	if err == nil {
		_, spec, err = compile(p, c.options)
	}
	if err != nil {
		spec = failedSpec(err)
	}
	if !c.spec.CompareAndSwap(nil, spec) {
		return c.spec.Load()
	}
	return spec
}
