package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	casepb "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	httppb "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	tcppb "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/tcp/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/pool"
)

const (
	httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	tcpOptions  = "envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions"

	defaultIdle       = time.Hour
	defaultHeaders    = 100
	defaultHeaderKB   = 60
	defaultStreams    = 1024
	defaultStreamWin  = 16 << 20
	defaultConnWin    = 24 << 20
	defaultHpack      = 4096
	defaultFrames     = 10_000
	defaultControl    = 1000
	defaultEmpty      = 1
	defaultPriority   = 100
	defaultWindowUpd  = 10
	defaultFieldKB    = 64
	defaultKeepJitter = 15
)

func compileHTTP(p *clusterpb.Cluster, c *Config, s *Spec) error {
	for _, key := range slices.Sorted(maps.Keys(p.GetTypedExtensionProtocolOptions())) {
		switch key {
		case httpOptions, tcpOptions:
		case "envoy.filters.network.redis_proxy", "envoy.filters.network.thrift_proxy", "envoy.filters.network.dubbo_proxy", "envoy.upstreams.http.generic":
			// Of filters that do not exist here: nothing reads them.
		default:
			return fmt.Errorf("Didn't find a registered network or http filter or protocol options implementation for name: '%s'", key) //nolint:staticcheck // Envoy's text.
		}
	}
	if a := p.GetTypedExtensionProtocolOptions()[tcpOptions]; a != nil {
		t := &tcppb.TcpProtocolOptions{}
		if err := unpack(a, t); err != nil {
			return err
		}
		s.TCP.HasIdle, s.TCP.IdleTimeout = t.GetIdleTimeout() != nil, t.GetIdleTimeout().AsDuration()
	}
	s.PerDownstream = p.GetConnectionPoolPerDownstreamConnection()
	if a := p.GetTypedExtensionProtocolOptions()[httpOptions]; a != nil {
		h := &httppb.HttpProtocolOptions{}
		if err := unpack(a, h); err != nil {
			return err
		}
		return compileHTTPOptions(h, p, c, s)
	}
	return compileOldHTTP(p, s)
}

// compileOldHTTP takes the cluster's own, deprecated fields.
func compileOldHTTP(p *clusterpb.Cluster, s *Spec) (err error) {
	h := &s.HTTP
	if p.GetHttp2ProtocolOptions() != nil { //nolint:staticcheck // The deprecated fields still count.
		h.Protocol, h.AllowHTTP2 = pool.HTTP2, true
	}
	h.FollowDownstream = p.GetProtocolSelection() == clusterpb.Cluster_USE_DOWNSTREAM_PROTOCOL //nolint:staticcheck // As above.
	if h.FollowDownstream {
		h.AllowHTTP2 = true
	}
	if err := h.common(p.GetCommonHttpProtocolOptions(), p, p.GetUpstreamHttpProtocolOptions()); err != nil { //nolint:staticcheck // As above.
		return err
	}
	if h.HTTP1, err = compileHTTP1(p.GetHttpProtocolOptions()); err != nil { //nolint:staticcheck // As above.
		return err
	}
	h.HTTP2, err = compileHTTP2(p.GetHttp2ProtocolOptions()) //nolint:staticcheck // As above.
	return err
}

func compileHTTPOptions(p *httppb.HttpProtocolOptions, cluster *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	h := &s.HTTP
	var h1 *corepb.Http1ProtocolOptions
	var h2 *corepb.Http2ProtocolOptions
	switch k := p.GetUpstreamProtocolOptions().(type) {
	case *httppb.HttpProtocolOptions_ExplicitHttpConfig_:
		h1, h2 = k.ExplicitHttpConfig.GetHttpProtocolOptions(), k.ExplicitHttpConfig.GetHttp2ProtocolOptions()
		if k.ExplicitHttpConfig.GetHttp3ProtocolOptions() != nil {
			return fmt.Errorf("field ExplicitHttpConfig.http3_protocol_options is not supported")
		}
		if h2 != nil {
			h.Protocol, h.AllowHTTP2 = pool.HTTP2, true
		}
	case *httppb.HttpProtocolOptions_UseDownstreamProtocolConfig:
		h1, h2 = k.UseDownstreamProtocolConfig.GetHttpProtocolOptions(), k.UseDownstreamProtocolConfig.GetHttp2ProtocolOptions()
		// http3_protocol_options: no client speaks it here, so that there is nothing to follow.
		h.FollowDownstream, h.AllowHTTP2 = true, h2 != nil
	case *httppb.HttpProtocolOptions_AutoConfig:
		h1, h2 = k.AutoConfig.GetHttpProtocolOptions(), k.AutoConfig.GetHttp2ProtocolOptions()
		if k.AutoConfig.GetHttp3ProtocolOptions() != nil {
			if k.AutoConfig.GetAlternateProtocolsCacheOptions() == nil {
				return errors.New("alternate protocols cache must be configured when HTTP/3 is enabled with auto_config")
			}
			return errors.New("field AutoHttpConfig.http3_protocol_options is not supported")
		}
		h.Protocol, h.AllowHTTP2 = pool.Auto, true
	}
	if err := h.common(p.GetCommonHttpProtocolOptions(), cluster, p.GetUpstreamHttpProtocolOptions()); err != nil {
		return err
	}
	if h.HTTP1, err = compileHTTP1(h1); err != nil {
		return err
	}
	if h.HTTP2, err = compileHTTP2(h2); err != nil {
		return err
	}
	return h.extra(p, c)
}

// extra hands over what is the router's. header_validation_config is not implemented by Envoy either.
func (h *HTTP) extra(p *httppb.HttpProtocolOptions, c *Config) (err error) {
	var field string
	switch {
	case len(p.GetHttpFilters()) > 0:
		field = "http_filters"
	case len(p.GetRequestMirrorPolicies()) > 0:
		field = "request_mirror_policies"
	case len(p.GetHashPolicy()) > 0:
		field = "hash_policy"
	case p.GetRetryPolicy() != nil:
		field = "retry_policy"
	case p.GetOutlierDetection().GetErrorMatcher() != nil:
		field = "outlier_detection.error_matcher"
	default:
		return nil
	}
	if c.options.HTTP == nil {
		return fmt.Errorf("field HttpProtocolOptions.%s is not supported", field)
	}
	h.Extra, err = c.options.HTTP(p)
	return err
}

func (h *HTTP) common(p *corepb.HttpProtocolOptions, cluster *clusterpb.Cluster, up *corepb.UpstreamHttpProtocolOptions) error {
	h.IdleTimeout = duration(p.GetIdleTimeout(), defaultIdle)
	h.MaxDuration = p.GetMaxConnectionDuration().AsDuration()
	h.MaxDurationJitter = p.GetMaxConnectionDurationJitter().GetValue() / 100
	h.MaxHeaders, h.MaxHeadersBytes = defaultHeaders, defaultHeaderKB<<10
	if n := p.GetMaxHeadersCount(); n != nil {
		h.MaxHeaders = int(n.GetValue())
	}
	if n := p.GetMaxResponseHeadersKb(); n != nil {
		h.MaxHeadersBytes = int(n.GetValue()) << 10
	}
	h.MaxStreamDuration = p.GetMaxStreamDuration().AsDuration()
	// headers_with_underscores_action is about requests, which the listener's side has seen to.
	h.MaxRequests = uint64(cluster.GetMaxRequestsPerConnection().GetValue()) //nolint:staticcheck // The deprecated field still counts.
	if n := p.GetMaxRequestsPerConnection(); n != nil {
		h.MaxRequests = uint64(n.GetValue())
	}
	h.AutoSNI, h.AutoSAN, h.SNIHeader = up.GetAutoSni(), up.GetAutoSanValidation(), strings.ToLower(up.GetOverrideAutoSniHeader())
	return nil
}

// compileHTTP1 takes what concerns the upstream side. allow_absolute_url, accept_http_10,
// default_host_for_http_10, allow_custom_methods and ignore_http_11_upgrade are about requests that come
// in; use_balsa_parser chooses between Envoy's parsers; override_stream_error_on_invalid_http_message
// keeps a client's connection.
func compileHTTP1(p *corepb.Http1ProtocolOptions) (pool.HTTP1Options, error) {
	o := pool.HTTP1Options{EnableTrailers: p.GetEnableTrailers(), AllowChunkedLength: p.GetAllowChunkedLength(), SendFullyQualified: p.GetSendFullyQualifiedUrl()}
	f := p.GetHeaderKeyFormat()
	o.ProperCase = f.GetProperCaseWords() != nil
	if t := f.GetStatefulFormatter(); t != nil {
		k := &casepb.PreserveCaseFormatterConfig{}
		if !t.GetTypedConfig().MessageIs(k) {
			return o, unregistered(t)
		}
		if err := unpack(t.GetTypedConfig(), k); err != nil {
			return o, err
		}
		if k.GetForwardReasonPhrase() {
			return o, errors.New("field PreserveCaseFormatterConfig.forward_reason_phrase is not supported")
		}
		o.KeepCase = true
		o.ProperCase = k.GetFormatterTypeOnEnvoyHeaders() == casepb.PreserveCaseFormatterConfig_PROPER_CASE
	}
	return o, nil
}

// compileHTTP2 fills in Envoy's defaults. max_metadata_size is for METADATA frames, which allow_metadata
// lets through; use_oghttp2_codec chooses between Envoy's codecs; stream_reset_burst and
// stream_reset_rate are about clients.
func compileHTTP2(p *corepb.Http2ProtocolOptions) (pool.HTTP2Options, error) {
	value := func(v *wrapperspb.UInt32Value, def uint32) uint32 {
		if v == nil {
			return def
		}
		return v.GetValue()
	}
	o := pool.HTTP2Options{
		HpackTableSize: value(p.GetHpackTableSize(), defaultHpack), MaxConcurrentStreams: value(p.GetMaxConcurrentStreams(), defaultStreams),
		InitialStreamWindow: value(p.GetInitialStreamWindowSize(), defaultStreamWin), InitialConnectionWindow: value(p.GetInitialConnectionWindowSize(), defaultConnWin),
		AllowConnect: p.GetAllowConnect(), AllowMetadata: p.GetAllowMetadata(),
		MaxOutboundFrames: value(p.GetMaxOutboundFrames(), defaultFrames), MaxOutboundControlFrames: value(p.GetMaxOutboundControlFrames(), defaultControl),
		MaxConsecutiveInboundFramesWithEmptyPayload:  value(p.GetMaxConsecutiveInboundFramesWithEmptyPayload(), defaultEmpty),
		MaxInboundPriorityFramesPerStream:            value(p.GetMaxInboundPriorityFramesPerStream(), defaultPriority),
		MaxInboundWindowUpdateFramesPerDataFrameSent: value(p.GetMaxInboundWindowUpdateFramesPerDataFrameSent(), defaultWindowUpd),
		StreamErrorOnInvalidHTTPMessaging:            p.GetStreamErrorOnInvalidHttpMessaging(), //nolint:staticcheck // The deprecated field still counts.
		MaxHeaderFieldSize:                           value(p.GetMaxHeaderFieldSizeKb(), defaultFieldKB) << 10,
	}
	if v := p.GetOverrideStreamErrorOnInvalidHttpMessage(); v != nil {
		o.StreamErrorOnInvalidHTTPMessaging = v.GetValue()
	}
	if v := p.GetEnableHuffmanEncoding(); v != nil {
		o.DisableHuffman = !v.GetValue()
	}
	if p.GetDisallowObsText().GetValue() {
		return o, errors.New("field Http2ProtocolOptions.disallow_obs_text is not supported")
	}
	for _, x := range p.GetCustomSettingsParameters() {
		if x.GetIdentifier().GetValue() == 2 && x.GetValue().GetValue() == 1 {
			return o, errors.New("server push is not supported by Envoy and can not be enabled via a SETTINGS parameter.") //nolint:revive // Envoy's text.
		}
		return o, errors.New("field Http2ProtocolOptions.custom_settings_parameters is not supported")
	}
	if k := p.GetConnectionKeepalive(); k != nil {
		o.KeepaliveInterval, o.KeepaliveTimeout, o.IdlePing = k.GetInterval().AsDuration(), k.GetTimeout().AsDuration(), k.GetConnectionIdleInterval().AsDuration()
		o.KeepaliveJitter = defaultKeepJitter / 100.0
		if j := k.GetIntervalJitter(); j != nil {
			o.KeepaliveJitter = j.GetValue() / 100
		}
	}
	return o, nil
}
