package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aggregatepb "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	commondnspb "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnspb "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	carespb "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/cluster/dns"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/xds"
)

const defaultRefresh = 5 * time.Second

// customTypes are the names under which a custom cluster type is one of the old ones.
var customTypes = map[string]Discovery{
	"envoy.cluster.static": Static, "envoy.cluster.strict_dns": StrictDNS, "envoy.cluster.logical_dns": LogicalDNS,
	"envoy.cluster.eds": EDS, "envoy.cluster.original_dst": OriginalDst, "envoy.clusters.aggregate": Aggregate,
}

func compileDiscovery(p *clusterpb.Cluster, c *Config, s *Spec) error {
	custom, ok := p.GetClusterDiscoveryType().(*clusterpb.Cluster_ClusterType)
	if !ok {
		c.Discovery = [...]Discovery{
			clusterpb.Cluster_STATIC: Static, clusterpb.Cluster_STRICT_DNS: StrictDNS, clusterpb.Cluster_LOGICAL_DNS: LogicalDNS,
			clusterpb.Cluster_EDS: EDS, clusterpb.Cluster_ORIGINAL_DST: OriginalDst,
		}[p.GetType()]
		return compileOldDiscovery(p, c, s)
	}
	name, config := custom.ClusterType.GetName(), custom.ClusterType.GetTypedConfig()
	if config.MessageIs((*dnspb.DnsCluster)(nil)) || name == "envoy.cluster.dns" {
		return compileDNSCluster(p, config, c, s)
	}
	d, known := customTypes[name]
	switch {
	case name == "envoy.clusters.dynamic_forward_proxy", name == "envoy.clusters.redis", name == "envoy.clusters.composite", name == "envoy.clusters.reverse_connection":
		return fmt.Errorf("cluster type %s is not supported", name)
	case !known:
		return fmt.Errorf("Didn't find a registered cluster factory implementation for name: '%s'", name) //nolint:staticcheck // Envoy's text.
	}
	c.Discovery = d
	if d != Aggregate {
		return compileOldDiscovery(p, c, s)
	}
	a := &aggregatepb.ClusterConfig{}
	if err := unpack(config, a); err != nil {
		return err
	}
	s.Children = a.GetClusters()
	return nil
}

func compileOldDiscovery(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	switch c.Discovery {
	case EDS:
		return compileEDS(p, c)
	case OriginalDst:
		return compileOriginalDst(p, s)
	case StrictDNS, LogicalDNS:
		if s.DNS, err = compileOldDNS(p); err != nil {
			return err
		}
		return compileNames(p, c, s)
	default:
		if leds(p) {
			return fmt.Errorf("LEDS is only supported when EDS is used. Static cluster %s cannot use LEDS.", c.Name) //nolint:staticcheck,revive // Envoy's text.
		}
		if p.GetLoadAssignment() == nil {
			return nil
		}
		if s.Assignment, err = endpoint.Compile(p.GetLoadAssignment()); err != nil {
			return err
		}
		c.Count = s.Assignment.Count
		return nil
	}
}

func leds(p *clusterpb.Cluster) bool {
	for _, l := range p.GetLoadAssignment().GetEndpoints() {
		if l.GetLedsClusterLocalityConfig() != nil {
			return true
		}
	}
	return false
}

func compileEDS(p *clusterpb.Cluster, c *Config) error {
	e := p.GetEdsClusterConfig()
	if e.GetEdsConfig() == nil {
		return errors.New("cannot create an EDS cluster without an EDS config")
	}
	// load_assignment of an EDS cluster is passed over by Envoy too.
	source, timeout, err := xds.Source(e.GetEdsConfig())
	if err != nil {
		return err
	}
	c.ServiceName = e.GetServiceName()
	if c.ServiceName == "" {
		c.ServiceName = c.Name
	}
	c.refs = append(c.refs, xds.Ref{TypeURL: xds.EndpointURL, Name: c.ServiceName, Source: source, Timeout: timeout})
	return nil
}

func compileOriginalDst(p *clusterpb.Cluster, s *Spec) error {
	o := p.GetOriginalDstLbConfig()
	switch {
	case p.GetLbPolicy() != clusterpb.Cluster_CLUSTER_PROVIDED && p.GetLoadBalancingPolicy() == nil:
		return fmt.Errorf("cluster: LB policy %s is not valid for Cluster type %s. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'", p.GetLbPolicy(), p.GetType())
	case p.GetLoadAssignment() != nil:
		return errors.New("ORIGINAL_DST clusters must have no load assignment configured")
	case !o.GetUseHttpHeader() && o.GetHttpHeaderName() != "":
		return fmt.Errorf("ORIGINAL_DST cluster: invalid config http_header_name=%s and use_http_header is false. Set use_http_header to true if http_header_name is desired.", o.GetHttpHeaderName()) //nolint:revive // Envoy's text.
	}
	s.OriginalDst = OriginalDstConfig{Port: uint16(o.GetUpstreamPortOverride().GetValue()), Cleanup: duration(p.GetCleanupInterval(), defaultCleanup)}
	if o.GetUseHttpHeader() {
		s.OriginalDst.Header = header.XEnvoyOriginalDstHost.String()
		if name := o.GetHttpHeaderName(); name != "" {
			s.OriginalDst.Header = strings.ToLower(name)
		}
	}
	if k := o.GetMetadataKey(); k != nil {
		s.OriginalDst.Metadata = lb.CompileMetadataKey(k)
	}
	return nil
}

func compileDNSCluster(p *clusterpb.Cluster, config *anypb.Any, c *Config, s *Spec) (err error) {
	d := &dnspb.DnsCluster{}
	if err := unpack(config, d); err != nil {
		return err
	}
	c.Discovery = StrictDNS
	if d.GetAllAddressesInSingleEndpoint() {
		c.Discovery = LogicalDNS
	}
	s.DNS = &DNS{
		Refresh: duration(d.GetDnsRefreshRate(), defaultRefresh), Jitter: d.GetDnsJitter().AsDuration(), RespectTTL: d.GetRespectDnsTtl(),
		MinTTL: d.GetDnsMinRefreshRate().AsDuration(),
		Family: map[commondnspb.DnsLookupFamily]dns.Family{
			commondnspb.DnsLookupFamily_V4_ONLY: dns.V4Only, commondnspb.DnsLookupFamily_V6_ONLY: dns.V6Only,
			commondnspb.DnsLookupFamily_V4_PREFERRED: dns.V4Preferred, commondnspb.DnsLookupFamily_ALL: dns.All,
		}[d.GetDnsLookupFamily()],
	}
	if f := d.GetDnsFailureRefreshRate(); f != nil {
		if err := s.DNS.failure(f.GetBaseInterval().AsDuration(), duration(f.GetMaxInterval(), 10*f.GetBaseInterval().AsDuration())); err != nil {
			return err
		}
	}
	if s.DNS.Resolver, err = compileResolver(d.GetTypedDnsResolverConfig()); err != nil {
		return err
	}
	return compileNames(p, c, s)
}

func compileOldDNS(p *clusterpb.Cluster) (*DNS, error) {
	d := &DNS{
		Refresh:    duration(p.GetDnsRefreshRate(), defaultRefresh), //nolint:staticcheck // The deprecated fields still count.
		Jitter:     p.GetDnsJitter().AsDuration(),                   //nolint:staticcheck // As above.
		RespectTTL: p.GetRespectDnsTtl(),                            //nolint:staticcheck // As above.
		Family: [...]dns.Family{
			clusterpb.Cluster_AUTO: dns.Auto, clusterpb.Cluster_V4_ONLY: dns.V4Only, clusterpb.Cluster_V6_ONLY: dns.V6Only,
			clusterpb.Cluster_V4_PREFERRED: dns.V4Preferred, clusterpb.Cluster_ALL: dns.All,
		}[p.GetDnsLookupFamily()],
	}
	if f := p.GetDnsFailureRefreshRate(); f != nil { //nolint:staticcheck // As above.
		if err := d.failure(f.GetBaseInterval().AsDuration(), duration(f.GetMaxInterval(), 10*f.GetBaseInterval().AsDuration())); err != nil {
			return nil, err
		}
	}
	var err error
	switch {
	case p.GetTypedDnsResolverConfig() != nil:
		d.Resolver, err = compileResolver(p.GetTypedDnsResolverConfig())
	case p.GetDnsResolutionConfig() != nil: //nolint:staticcheck // As above.
		r := p.GetDnsResolutionConfig() //nolint:staticcheck // As above.
		d.Resolver.TCP, d.Resolver.NoSearch = r.GetDnsResolverOptions().GetUseTcpForDnsLookups(), r.GetDnsResolverOptions().GetNoDefaultSearchDomain()
		d.Resolver.Servers, err = compileServers(r.GetResolvers())
	default:
		d.Resolver.TCP = p.GetUseTcpForDnsLookups()                   //nolint:staticcheck // As above.
		d.Resolver.Servers, err = compileServers(p.GetDnsResolvers()) //nolint:staticcheck // As above.
	}
	return d, err
}

func (d *DNS) failure(base, most time.Duration) error {
	if most < base {
		return errors.New("dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval")
	}
	d.FailureBase, d.FailureMax = base, most
	return nil
}

func compileResolver(t *corepb.TypedExtensionConfig) (dns.Config, error) {
	var c dns.Config
	switch typeName(t.GetTypedConfig()) {
	case "", "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig":
		// num_retries and num_resolver_threads are about getaddrinfo(3), which is not called here.
		return c, nil
	case "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig":
	case "envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig":
		return c, errors.New("DNS resolver envoy.network.dns_resolver.apple is not supported")
	default:
		return c, unregistered(t)
	}
	p := &carespb.CaresDnsResolverConfig{}
	if err := unpack(t.GetTypedConfig(), p); err != nil {
		return c, err
	}
	// udp_max_queries, max_udp_channel_duration and reinit_channel_on_timeout are about sockets that c-ares
	// keeps, and each query has a new one here; without qcache_max_ttl nothing is cached, and nothing is here.
	c = dns.Config{
		Fallback: p.GetUseResolversAsFallback(), FilterUnroutable: p.GetFilterUnroutableFamilies(),
		TCP: p.GetDnsResolverOptions().GetUseTcpForDnsLookups(), NoSearch: p.GetDnsResolverOptions().GetNoDefaultSearchDomain(),
		Timeout: time.Duration(p.GetQueryTimeoutSeconds().GetValue()) * time.Second, Tries: int(p.GetQueryTries().GetValue()),
		Rotate: p.GetRotateNameservers(), Payload: uint16(p.GetEdns0MaxPayloadSize().GetValue()),
	}
	if p.GetQcacheMaxTtl().GetValue() > 0 {
		return c, errors.New("field CaresDnsResolverConfig.qcache_max_ttl is not supported")
	}
	var err error
	c.Servers, err = compileServers(p.GetResolvers())
	return c, err
}

func compileServers(ps []*corepb.Address) (out []netip.AddrPort, err error) {
	for _, p := range ps {
		s := p.GetSocketAddress()
		if s == nil {
			return nil, fmt.Errorf("DNS resolver '%s' is not an IP address", p.GetPipe().GetPath())
		}
		a, err := netip.ParseAddr(s.GetAddress())
		if err != nil {
			return nil, fmt.Errorf("malformed IP address: %s", s.GetAddress())
		}
		port := uint16(s.GetPortValue())
		if port == 0 {
			port = 53
		}
		out = append(out, netip.AddrPortFrom(a, port))
	}
	return out, nil
}

// compileNames compiles the load assignment of a DNS cluster.
func compileNames(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	c.Eager = true
	if w := p.GetWaitForWarmOnInit(); w != nil {
		s.WaitForWarm = w.GetValue()
	}
	a := p.GetLoadAssignment()
	kind := "STRICT_DNS"
	if c.Discovery == LogicalDNS {
		kind = "LOGICAL_DNS"
		switch {
		case len(a.GetEndpoints()) == 0:
			return errors.New("LOGICAL_DNS clusters must have a single host")
		case len(a.GetEndpoints()) != 1 || len(a.GetEndpoints()[0].GetLbEndpoints()) != 1:
			return errors.New("LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint")
		}
	}
	if leds(p) {
		return fmt.Errorf("LEDS is only supported when EDS is used. Static cluster %s cannot use LEDS.", c.Name) //nolint:staticcheck,revive // Envoy's text.
	}
	for _, l := range a.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			if e.GetEndpoint().GetAddress().GetSocketAddress().GetResolverName() != "" {
				return fmt.Errorf("%s clusters must NOT have a custom resolver name set", kind)
			}
		}
	}
	if a == nil {
		return nil
	}
	s.Assignment, err = endpoint.CompileNames(a)
	return err
}

// typeName is the full name of a packed message, or of the one within a TypedStruct.
func typeName(a *anypb.Any) string {
	return string(a.MessageName())
}
