package bootstrap

import (
	"errors"
	"fmt"
	"os"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
)

// compile gives each field of the message its place, or refuses it by name.
func (b *Bootstrap) compile(o Options) error {
	p := b.proto
	if err := refuse(p); err != nil {
		return err
	}
	b.compileNode(p.Node, o)
	b.Admin = p.Admin
	b.Overload = p.OverloadManager
	b.Tracing = p.Tracing
	b.Extensions = p.BootstrapExtensions
	b.LogFormat = p.GetApplicationLogConfig().GetLogFormat()
	b.DNS, b.DNSResolution, b.DNSOverTCP = p.TypedDnsResolverConfig, p.DnsResolutionConfig, p.UseTcpForDnsLookups
	if err := b.compileDynamic(p.DynamicResources); err != nil {
		return err
	}
	if err := b.compileClusterManager(p.ClusterManager); err != nil {
		return err
	}
	if err := b.compileStats(p); err != nil {
		return err
	}
	var err error
	b.Layers, err = compileRuntime(p.LayeredRuntime)
	return err
}

// refuse names what would change behaviour and is not done. What cannot is passed over: watchdogs (the
// runtime has none to configure), enable_dispatcher_stats and enable_worker_cpu_affinity (there is no
// event loop), inline_headers and grpc_async_client_manager_config (speed alone), perf_tracing_file_path
// (Perfetto), memory_allocator_manager (tcmalloc), node_context_params (of xdstp names alone).
func refuse(p *bootstrappb.Bootstrap) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"hds_config", p.HdsConfig != nil && !proto.Equal(p.HdsConfig, &corepb.ApiConfigSource{})},
		{"flags_path", p.FlagsPath != ""},
		{"header_prefix", p.HeaderPrefix != "" && p.HeaderPrefix != "x-envoy"},
		{"fatal_actions", len(p.FatalActions) > 0},
		{"config_sources", len(p.ConfigSources) > 0},
		{"default_config_source", p.DefaultConfigSource != nil},
		{"default_socket_interface", p.DefaultSocketInterface != "" && p.DefaultSocketInterface != "envoy.extensions.network.socket_interface.default_socket_interface"},
		{"certificate_provider_instances", len(p.CertificateProviderInstances) > 0},
		{"default_regex_engine", p.DefaultRegexEngine != nil && p.DefaultRegexEngine.Name != "envoy.regex_engines.google_re2"},
		{"xds_delegate_extension", p.XdsDelegateExtension != nil},
		{"xds_config_tracker_extension", p.XdsConfigTrackerExtension != nil},
		{"listener_manager", p.ListenerManager != nil && p.ListenerManager.Name != "envoy.listener_manager_impl.default"},
	} {
		if f.set {
			return fmt.Errorf("field Bootstrap.%s is not supported", f.name)
		}
	}
	return nil
}

// compileNode is the node with the command line's share.
func (b *Bootstrap) compileNode(n *corepb.Node, o Options) {
	b.Node = n
	if n == nil {
		b.Node = &corepb.Node{}
	}
	if o.ServiceNode != "" {
		b.Node.Id = o.ServiceNode
	}
	if o.ServiceCluster != "" {
		b.Node.Cluster = o.ServiceCluster
	}
	if o.ServiceZone != "" {
		if b.Node.Locality == nil {
			b.Node.Locality = &corepb.Locality{}
		}
		b.Node.Locality.Zone = o.ServiceZone
	}
}

func (b *Bootstrap) compileDynamic(d *bootstrappb.Bootstrap_DynamicResources) error {
	switch {
	case d.GetLdsResourcesLocator() != "":
		return errors.New("field DynamicResources.lds_resources_locator is not supported")
	case d.GetCdsResourcesLocator() != "":
		return errors.New("field DynamicResources.cds_resources_locator is not supported")
	}
	if api := d.GetAdsConfig(); api != nil {
		switch api.ApiType {
		case corepb.ApiConfigSource_GRPC, corepb.ApiConfigSource_DELTA_GRPC:
		default:
			return errors.New("envoy.config.core.v3.ApiConfigSource type must be of non-aggregated gRPC")
		}
		if err := xds.CheckAPI(api); err != nil {
			return err
		}
		b.ADS = api
	}
	var err error
	if b.Listeners, err = b.source(xds.ListenerURL, "listener.v3.Listener", d.GetLdsConfig()); err != nil {
		return err
	}
	if b.Clusters, err = b.source(xds.ClusterURL, "cluster.v3.Cluster", d.GetCdsConfig()); err != nil {
		return err
	}
	if b.ADS != nil {
		if name := b.ADS.GrpcServices[0].GetEnvoyGrpc().GetClusterName(); !b.hasCluster(name) {
			return fmt.Errorf("Unknown gRPC client cluster '%s'", name)
		}
	}
	return nil
}

// source is where all resources of a type come from; nil: nowhere.
func (b *Bootstrap) source(url, kind string, c *corepb.ConfigSource) (*xds.Ref, error) {
	if c == nil {
		return nil, nil
	}
	source, timeout, err := xds.Source(c)
	if err != nil {
		return nil, err
	}
	if source == xds.SchemeADS && b.ADS == nil {
		return nil, nil // nobody would ever answer
	}
	p, err := xds.ParseSource(source)
	if err != nil {
		return nil, err
	}
	if p.Scheme != xds.SchemePath && (b.Node.Id == "" || b.Node.Cluster == "") {
		return nil, fmt.Errorf("type.googleapis.com/envoy.config.%s: node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node and --service-cluster options.", kind)
	}
	switch p.Scheme {
	case xds.SchemePath:
		if _, err := os.Stat(p.Target); err != nil {
			return nil, fmt.Errorf("paths must refer to an existing path in the system: '%s' does not exist", p.Target)
		}
	case xds.SchemeGRPC, xds.SchemeDelta:
		if !b.hasCluster(p.Target) {
			return nil, fmt.Errorf("envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: '%s' does not exist, was added via api, or is an EDS cluster", p.Target)
		}
	}
	return &xds.Ref{TypeURL: url, Source: source, Timeout: timeout}, nil
}

// hasCluster tells whether there is a static cluster of a name, which is a cluster's first field.
func (b *Bootstrap) hasCluster(name string) bool {
	for _, a := range b.Static {
		if a.TypeUrl != xds.ClusterURL {
			continue
		}
		found := ""
		_ = fields(a.Value, func(n protowire.Number, _ protowire.Type, _, value []byte) error {
			if n == 1 {
				found = string(value)
			}
			return nil
		})
		if found == name {
			return true
		}
	}
	return false
}

func (b *Bootstrap) compileClusterManager(m *bootstrappb.ClusterManager) error {
	if l := m.GetLoadStatsConfig(); l != nil && !proto.Equal(l, &corepb.ApiConfigSource{}) {
		return errors.New("field ClusterManager.load_stats_config is not supported")
	}
	if m.GetOutlierDetection().GetEventService() != nil {
		return errors.New("field ClusterManager.OutlierDetection.event_service is not supported")
	}
	// enable_deferred_cluster_creation: a cluster is made when it is first used in any case.
	b.LocalCluster = m.GetLocalClusterName()
	b.OutlierLog = m.GetOutlierDetection().GetEventLogPath()
	b.UpstreamBind = m.GetUpstreamBindConfig()
	return nil
}

func (b *Bootstrap) compileStats(p *bootstrappb.Bootstrap) error {
	s := &b.Stats
	s.Config, s.Sinks = p.StatsConfig, p.StatsSinks
	s.Deferred = p.GetDeferredStatOptions().GetEnableDeferredCreationStats()
	if v := p.StatsServerVersionOverride; v != nil {
		s.ServerVersion = &v.Value
	}
	s.OnAdmin = p.GetStatsFlushOnAdmin()
	switch {
	case p.StatsFlushInterval != nil && s.OnAdmin:
		return errors.New("Only one of stats_flush_interval or stats_flush_on_admin should be set!")
	case p.StatsFlushInterval != nil:
		s.FlushInterval = p.StatsFlushInterval.AsDuration()
	case !s.OnAdmin:
		s.FlushInterval = 5 * time.Second
	}
	if e := p.GetStatsEvictionInterval(); e != nil {
		s.EvictionInterval = e.AsDuration()
		if s.FlushInterval <= 0 || s.EvictionInterval%s.FlushInterval != 0 {
			return errors.New("stats_eviction_interval must be a multiple of stats_flush_interval")
		}
	}
	return nil
}
