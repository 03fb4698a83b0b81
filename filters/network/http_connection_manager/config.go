package hcm

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/http1"
	"github.com/pillion-proxy/pillion/dataplane/route"
)

// Config is a compiled HttpConnectionManager
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto).
// It is immutable.
type Config struct {
	statPrefix string
	codec      codecType
	table      *route.Table // route_config
	rds        *filter.Need // rds
	filters    []httpFilter
	upgrades   map[string]bool // by type, lower case: enabled
	upgradeOwn map[string][]httpFilter

	http1                  http1.ServerOptions
	idleTimeout            time.Duration
	maxConnectionDuration  time.Duration
	maxStreamDuration      time.Duration
	maxRequests            uint64
	streamIdleTimeout      time.Duration
	requestTimeout         time.Duration
	headersTimeout         time.Duration
	drainTimeout           time.Duration
	delayedClose           time.Duration
	serverName             string
	serverHeader           serverTransformation
	scheme                 string
	via                    string
	addUserAgent, proxy100 bool
	path                   pathOptions
	host                   hostOptions
	forward                forwarding
	requestID              requestID
	xfcc                   xfcc
	tracing                *tracing
	early                  []func(*filter.Stream)
	logs                   *accesslog.Config
	localReply             *accesslog.LocalReply
}

type httpFilter struct {
	name     string
	config   filter.HTTPConfig
	disabled bool
}

// serverTransformation is server_header_transformation.
type serverTransformation uint8

const (
	serverOverwrite serverTransformation = iota
	serverAppendIfAbsent
	serverPassThrough
)

// Needs lists the route configuration that must be there first.
func (c *Config) Needs() []filter.Need {
	if c.rds == nil {
		return nil
	}
	return []filter.Need{*c.rds}
}

// Table is the inline route configuration, or nil; RouteName the name of the one that RDS brings.
func (c *Config) Table() *route.Table { return c.table }

// RouteName is the name of the route configuration that RDS brings, or "".
func (c *Config) RouteName() string {
	if c.rds == nil {
		return ""
	}
	return c.rds.Name
}

// StatPrefix is stat_prefix.
func (c *Config) StatPrefix() string { return c.statPrefix }

// FilterNames lists the HTTP filters in order.
func (c *Config) FilterNames() (names []string) {
	for _, f := range c.filters {
		names = append(names, f.name)
	}
	return names
}

// headersDeadline is when the head of a request that began at start must have come; zero: never.
func (c *Config) headersDeadline(start time.Time) time.Time {
	if c.headersTimeout <= 0 {
		return time.Time{}
	}
	return start.Add(c.headersTimeout)
}

// firstByteDeadline is when a new connection must have sent something; zero: never.
func (c *Config) firstByteDeadline() time.Time {
	if c.idleTimeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(c.idleTimeout)
}

func parse(p *hcmpb.HttpConnectionManager, ps filter.Parsers) (filter.NetworkConfig, error) {
	if err := refused(p); err != nil {
		return nil, err
	}
	c := &Config{statPrefix: p.GetStatPrefix(), via: p.GetVia(), addUserAgent: p.GetAddUserAgent().GetValue(), proxy100: p.GetProxy_100Continue()}
	for _, step := range [...]func(*hcmpb.HttpConnectionManager, filter.Parsers) error{
		c.parseCodec, c.parseRoutes, c.parseFilters, c.parseUpgrades, c.parseTimeouts, c.parseHeaders, c.parseForwarding, c.parsePath, c.parseObservability,
	} {
		if err := step(p, ps); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// refused names the fields that ask for what is not done.
func refused(p *hcmpb.HttpConnectionManager) error {
	for _, f := range [...]struct {
		name string
		set  bool
	}{
		{"codec_type HTTP3", p.GetCodecType() == hcmpb.HttpConnectionManager_HTTP3},
		{"http3_protocol_options", p.GetHttp3ProtocolOptions() != nil},
		{"scoped_routes", p.GetScopedRoutes() != nil},
		{"http1_safe_max_connection_duration", p.GetHttp1SafeMaxConnectionDuration()},
		{"access_log_flush_interval", p.GetAccessLogFlushInterval() != nil},    //nolint:staticcheck // still sent
		{"flush_access_log_on_new_request", p.GetFlushAccessLogOnNewRequest()}, //nolint:staticcheck // still sent
		{"access_log_options.access_log_flush_interval", p.GetAccessLogOptions().GetAccessLogFlushInterval() != nil},
		{"access_log_options.flush_access_log_on_new_request", p.GetAccessLogOptions().GetFlushAccessLogOnNewRequest()},
		{"access_log_options.flush_log_on_tunnel_successfully_established", p.GetAccessLogOptions().GetFlushLogOnTunnelSuccessfullyEstablished()},
		{"original_ip_detection_extensions", len(p.GetOriginalIpDetectionExtensions()) > 0},
		{"early_header_mutation_extensions", len(p.GetEarlyHeaderMutationExtensions()) > 0},
		{"forward_client_cert_matcher", p.GetForwardClientCertMatcher() != nil},
		{"set_current_client_cert_details.format JSON", p.GetSetCurrentClientCertDetails().GetFormat() != hcmpb.HttpConnectionManager_TEXT},
		{"path_normalization_options", p.GetPathNormalizationOptions() != nil},
		{"proxy_status_config", p.GetProxyStatusConfig() != nil},
		{"typed_header_validation_config", p.GetTypedHeaderValidationConfig() != nil},
		{"append_local_overload", p.GetAppendLocalOverload()},
		{"forward_proto_config", p.GetForwardProtoConfig() != nil},
		{"record_route_resolution_stats", p.GetRecordRouteResolutionStats()},
		{"drain_timeout_jitter", p.GetDrainTimeoutJitter() != nil},
	} {
		if f.set {
			return fmt.Errorf("HttpConnectionManager.%s is not supported", f.name)
		}
	}
	// represent_ipv4_remote_address_as_ipv4_mapped_ipv6 changes nothing that can be seen, in Envoy either.
	// add_proxy_protocol_connection_state concerns an object that nothing here reads.
	return nil
}

func (c *Config) parseCodec(p *hcmpb.HttpConnectionManager, _ filter.Parsers) error {
	switch p.GetCodecType() {
	case hcmpb.HttpConnectionManager_HTTP1:
		c.codec = codecHTTP1
	case hcmpb.HttpConnectionManager_HTTP2:
		c.codec = codecHTTP2
	case hcmpb.HttpConnectionManager_AUTO, hcmpb.HttpConnectionManager_HTTP3:
	}
	o := &c.http1
	o.AllowCustomMethods = false
	h1 := p.GetHttpProtocolOptions()
	o.AcceptHTTP10, o.DefaultHost = h1.GetAcceptHttp_10(), h1.GetDefaultHostForHttp_10()
	o.RejectAbsoluteURL = h1.GetAllowAbsoluteUrl() != nil && !h1.GetAllowAbsoluteUrl().GetValue()
	o.EnableTrailers, o.AllowChunkedLength, o.AllowCustomMethods = h1.GetEnableTrailers(), h1.GetAllowChunkedLength(), h1.GetAllowCustomMethods()
	var err error
	if o.KeepCase, o.ProperCase, err = headerKeyFormat(h1.GetHeaderKeyFormat()); err != nil {
		return err
	}
	if len(h1.GetIgnoreHttp_11Upgrade()) > 0 {
		if o.IgnoreUpgrade, err = compileIgnoreUpgrade(h1.GetIgnoreHttp_11Upgrade()); err != nil {
			return err
		}
	}
	o.MaxHeaderBytes = http1.DefaultMaxHeaderBytes
	if k := p.GetMaxRequestHeadersKb(); k != nil {
		o.MaxHeaderBytes = int(k.GetValue()) << 10
	}
	common := p.GetCommonHttpProtocolOptions()
	o.MaxHeaders = int(common.GetMaxHeadersCount().GetValue())
	switch common.GetHeadersWithUnderscoresAction() {
	case corepb.HttpProtocolOptions_REJECT_REQUEST:
		o.Underscores = http1.UnderscoreReject
	case corepb.HttpProtocolOptions_DROP_HEADER:
		o.Underscores = http1.UnderscoreDrop
	case corepb.HttpProtocolOptions_ALLOW:
	}
	return nil
}

func (c *Config) parseRoutes(p *hcmpb.HttpConnectionManager, ps filter.Parsers) error {
	switch r := p.GetRouteSpecifier().(type) {
	case *hcmpb.HttpConnectionManager_RouteConfig:
		t, err := route.Compile(r.RouteConfig, ps.Routes(true))
		c.table = t
		return err
	case *hcmpb.HttpConnectionManager_Rds:
		source, timeout, err := route.Source(r.Rds.GetConfigSource())
		if err != nil {
			return fmt.Errorf("rds.config_source: %w", err)
		}
		c.rds = &filter.Need{TypeURL: route.URL, Name: r.Rds.GetRouteConfigName(), Source: source, Timeout: int64(timeout)}
		return nil
	}
	return errors.New("route_specifier is required")
}

func (c *Config) parseTimeouts(p *hcmpb.HttpConnectionManager, _ filter.Parsers) error {
	common := p.GetCommonHttpProtocolOptions()
	c.idleTimeout = time.Hour
	if d := common.GetIdleTimeout(); d != nil {
		c.idleTimeout = d.AsDuration()
	}
	c.maxConnectionDuration = common.GetMaxConnectionDuration().AsDuration()
	c.maxStreamDuration = common.GetMaxStreamDuration().AsDuration()
	c.maxRequests = uint64(common.GetMaxRequestsPerConnection().GetValue())
	c.streamIdleTimeout = 5 * time.Minute
	if d := p.GetStreamIdleTimeout(); d != nil {
		c.streamIdleTimeout = d.AsDuration()
	}
	c.requestTimeout = p.GetRequestTimeout().AsDuration()
	c.headersTimeout = p.GetRequestHeadersTimeout().AsDuration()
	c.drainTimeout = 5 * time.Second
	if d := p.GetDrainTimeout(); d != nil {
		c.drainTimeout = d.AsDuration()
	}
	c.delayedClose = time.Second
	if d := p.GetDelayedCloseTimeout(); d != nil {
		c.delayedClose = d.AsDuration()
	}
	return nil
}

func (c *Config) parseForwarding(p *hcmpb.HttpConnectionManager, _ filter.Parsers) error {
	f := &c.forward
	f.useRemoteAddress, f.trustedHops = p.GetUseRemoteAddress().GetValue(), p.GetXffNumTrustedHops()
	f.skipAppend, f.appendPort = p.GetSkipXffAppend(), p.GetAppendXForwardedPort()
	internal := p.GetInternalAddressConfig()
	f.internalUnix = internal.GetUnixSockets()
	for _, r := range internal.GetCidrRanges() {
		a, err := netip.ParseAddr(r.GetAddressPrefix())
		if err != nil {
			return fmt.Errorf("internal_address_config.cidr_ranges: %w", err)
		}
		n := min(int(r.GetPrefixLen().GetValue()), a.BitLen())
		f.internal = append(f.internal, netip.PrefixFrom(a, n).Masked())
	}
	return nil
}
