package control

import (
	"time"

	alspb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelogpb "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	corspb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstatspb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	routerpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcppb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	uuidpb "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// istioLine is Istio's default access log line.
const istioLine = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
	`%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% ` +
	`%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ` +
	`"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ` +
	`%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"

// connections makes the network filters that end a chain.
type connections struct {
	mesh *mesh
	logs []*alspb.AccessLog
	// words are the mesh's own over every HTTP connection manager.
	words *node
}

func (m *mesh) connections() (*connections, error) {
	c := &connections{mesh: m, words: m.Settings.HTTPConnections}
	switch n := m.Settings.AccessLog; {
	case n == nil:
	case n.text() != "":
		c.logs = []*alspb.AccessLog{istioLog(n.text())}
	case n.kind == listNode:
		for _, item := range n.vals {
			l := &alspb.AccessLog{}
			if err := m.dec.message(item, l); err != nil {
				return nil, err
			}
			c.logs = append(c.logs, l)
		}
	default:
		return nil, n.errorf("access_log is a path or a list of AccessLog")
	}
	return c, nil
}

func istioLog(path string) *alspb.AccessLog {
	return &alspb.AccessLog{
		Name: "envoy.access_loggers.file",
		ConfigType: &alspb.AccessLog_TypedConfig{TypedConfig: packed(&filelogpb.FileAccessLog{
			Path: path,
			AccessLogFormat: &filelogpb.FileAccessLog_LogFormat{LogFormat: &corepb.SubstitutionFormatString{
				Format: &corepb.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corepb.DataSource{
					Specifier: &corepb.DataSource_InlineString{InlineString: istioLine},
				}},
			}},
		})},
	}
}

// noChainLogs are a listener's own: for connections that no filter chain took.
func (c *connections) noChainLogs() []*alspb.AccessLog {
	var all []*alspb.AccessLog
	for _, l := range c.logs {
		l = proto.CloneOf(l)
		l.Filter = &alspb.AccessLogFilter{FilterSpecifier: &alspb.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &alspb.ResponseFlagFilter{Flags: []string{"NR"}},
		}}
		all = append(all, l)
	}
	return all
}

// http makes an HTTP connection manager, with its network filters before it.
func (c *connections) http(statPrefix string, inline *routepb.RouteConfiguration, rds string) ([]*listenerpb.Filter, error) {
	h := &hcmpb.HttpConnectionManager{
		StatPrefix:                   statPrefix + ";",
		StreamIdleTimeout:            durationpb.New(0),
		UseRemoteAddress:             wrapperspb.Bool(false),
		Proxy_100Continue:            true,
		UpgradeConfigs:               []*hcmpb.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		NormalizePath:                wrapperspb.Bool(true),
		PathWithEscapedSlashesAction: hcmpb.HttpConnectionManager_KEEP_UNCHANGED,
		RequestIdExtension: &hcmpb.RequestIDExtension{TypedConfig: packed(&uuidpb.UuidRequestIdConfig{
			UseRequestIdForTraceSampling: wrapperspb.Bool(true),
		})},
		AccessLog: c.logs,
	}
	inbound := inline != nil
	if inbound {
		h.RouteSpecifier = &hcmpb.HttpConnectionManager_RouteConfig{RouteConfig: inline}
		h.ServerName = "istio-envoy"
		h.ForwardClientCertDetails = hcmpb.HttpConnectionManager_APPEND_FORWARD
		h.SetCurrentClientCertDetails = &hcmpb.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(true), Dns: true, Uri: true,
		}
	} else {
		h.RouteSpecifier = &hcmpb.HttpConnectionManager_Rds{Rds: &hcmpb.Rds{ConfigSource: adsSource(), RouteConfigName: rds}}
	}
	h.HttpFilters = c.httpFilters(inbound)
	if err := c.mesh.dec.lay(c.words, h, "stat_prefix", "rds", "route_config"); err != nil {
		return nil, err
	}
	before := []*listenerpb.Filter{}
	if inbound {
		before = c.mesh.metadataExchange()
	}
	return append(before, networkFilter("envoy.filters.network.http_connection_manager", h)), c.words.at(validate(h))
}

func (c *connections) httpFilters(inbound bool) []*hcmpb.HttpFilter {
	istio := c.mesh.istioHTTP(inbound)
	all := istio.first
	all = append(all, httpFilter("envoy.filters.http.grpc_stats", &grpcstatspb.FilterConfig{
		EmitFilterState: true,
		PerMethodStatSpecifier: &grpcstatspb.FilterConfig_StatsForAllMethods{
			StatsForAllMethods: wrapperspb.Bool(false),
		},
	}))
	all = append(all, istio.alpn...)
	all = append(all,
		httpFilter("envoy.filters.http.fault", &faultpb.HTTPFault{}),
		httpFilter("envoy.filters.http.cors", &corspb.Cors{}))
	all = append(all, istio.stats...)
	return append(all, httpFilter("envoy.filters.http.router", &routerpb.Router{}))
}

func httpFilter(name string, config proto.Message) *hcmpb.HttpFilter {
	return &hcmpb.HttpFilter{Name: name, ConfigType: &hcmpb.HttpFilter_TypedConfig{TypedConfig: packed(config)}}
}

func networkFilter(name string, config proto.Message) *listenerpb.Filter {
	return &listenerpb.Filter{Name: name, ConfigType: &listenerpb.Filter_TypedConfig{TypedConfig: packed(config)}}
}

// tcp makes a tcp_proxy to one cluster.
func (c *connections) tcp(cluster string, inbound bool) []*listenerpb.Filter {
	return c.tcpProxy(&tcppb.TcpProxy{StatPrefix: cluster, ClusterSpecifier: &tcppb.TcpProxy_Cluster{Cluster: cluster}}, inbound)
}

func (c *connections) tcpProxy(t *tcppb.TcpProxy, inbound bool) []*listenerpb.Filter {
	if t.GetAccessLog() == nil {
		t.AccessLog = c.logs
	}
	var before []*listenerpb.Filter
	if inbound {
		before = c.mesh.metadataExchange()
	}
	before = append(before, c.mesh.istioTCPStats(inbound)...)
	return append(before, networkFilter("envoy.filters.network.tcp_proxy", t))
}

// outboundTCP leads to a service, by its tcp_proxy words if it has some.
func (c *connections) outboundTCP(s *service, p *port) ([]*listenerpb.Filter, error) {
	cluster := outboundName(p.Port, "", s.Host)
	if s.TCPProxy == nil {
		return c.tcp(cluster, false), nil
	}
	t := &tcppb.TcpProxy{StatPrefix: s.Name + "." + s.Namespace, ClusterSpecifier: &tcppb.TcpProxy_Cluster{Cluster: cluster}}
	if err := c.mesh.dec.lay(s.TCPProxy, t); err != nil {
		return nil, err
	}
	if given := s.TCPProxy; given.get("cluster") != nil || given.get("weighted_clusters") != nil {
		if err := (&resolver{mesh: c.mesh, s: s, port: p.Port}).tcp(t); err != nil {
			return nil, given.at(err)
		}
	}
	return c.tcpProxy(t, false), s.TCPProxy.at(validate(t))
}

// connectTimeout is how long istiod gives a handshake.
func connectTimeout() *durationpb.Duration { return durationpb.New(15 * time.Second) }
