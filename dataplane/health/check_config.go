package health

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filesinkpb "github.com/envoyproxy/go-control-plane/envoy/extensions/health_check/event_sinks/file/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/pool"
)

// Check is a compiled core.v3.HealthCheck. It is immutable.
type Check struct {
	Name     string
	Timeout  time.Duration
	Interval time.Duration
	// InitialJitter and IntervalJitter are upper bounds, IntervalPercent one in percent of the interval.
	InitialJitter, IntervalJitter time.Duration
	IntervalPercent               uint32

	NoTraffic, NoTrafficHealthy, Unhealthy, UnhealthyEdge, HealthyEdge time.Duration

	UnhealthyThreshold, HealthyThreshold uint32
	// Reuse keeps a connection for the next check.
	Reuse bool
	// ALPN is what is offered, separated by commas; "": the transport socket's own.
	ALPN string
	// Match stands in for the host's metadata where transport_socket_matches are matched; nil: it does not.
	Match                     *structpb.Struct
	LogFailures, LogSuccesses bool
	LogPaths                  []string // files for events
	HTTP                      *HTTPCheck
	TCP                       *TCPCheck
	GRPC                      *GRPCCheck
}

// HTTPCheck is HttpHealthCheck.
type HTTPCheck struct {
	Host, Path, Method string
	Protocol           pool.Protocol // Auto: by ALPN
	Body               []byte
	Receive            [][]byte
	BufferSize         uint64 // 0: all of the body
	Add                []headerOption
	Remove             []string
	Expected, Retry    []statusRange
	ServiceName        *matcher.String // nil: it is not verified
}

// TCPCheck is TcpHealthCheck.
type TCPCheck struct {
	Send    []byte
	Receive [][]byte
}

// GRPCCheck is GrpcHealthCheck.
type GRPCCheck struct {
	Service, Authority string
	Add                []headerOption
}

type headerOption struct {
	name, value string
	action      corepb.HeaderValueOption_HeaderAppendAction
}

type statusRange struct{ start, end int64 }

func in(ranges []statusRange, status int) bool {
	for _, r := range ranges {
		if int64(status) >= r.start && int64(status) < r.end {
			return true
		}
	}
	return false
}

const (
	defaultNoTraffic  = 60 * time.Second
	defaultBufferSize = 1024
)

// CompileChecks compiles a cluster's health checks, which have been validated. Error texts are Envoy's.
func CompileChecks(ps []*corepb.HealthCheck) ([]*Check, error) {
	var out []*Check
	for i, p := range ps {
		if len(ps) > 1 && p.GetName() == "" {
			return nil, fmt.Errorf("health check at index %d is missing a name; all health checks must have a name when multiple health checks are configured", i)
		}
		c, err := compileCheck(p)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) > 31 {
		return nil, errors.New("more than 31 health checks are not supported")
	}
	return out, nil
}

func compileCheck(p *corepb.HealthCheck) (*Check, error) {
	c := &Check{
		Name: p.GetName(), Timeout: p.GetTimeout().AsDuration(), Interval: p.GetInterval().AsDuration(),
		InitialJitter: p.GetInitialJitter().AsDuration(), IntervalJitter: p.GetIntervalJitter().AsDuration(), IntervalPercent: p.GetIntervalJitterPercent(),
		UnhealthyThreshold: p.GetUnhealthyThreshold().GetValue(), HealthyThreshold: p.GetHealthyThreshold().GetValue(),
		Reuse: true, ALPN: strings.Join(p.GetTlsOptions().GetAlpnProtocols(), ","), Match: p.GetTransportSocketMatchCriteria(),
		LogFailures: p.GetAlwaysLogHealthCheckFailures(), LogSuccesses: p.GetAlwaysLogHealthCheckSuccess(),
	}
	if r := p.GetReuseConnection(); r != nil {
		c.Reuse = r.GetValue()
	}
	c.NoTraffic = milliseconds(p.GetNoTrafficInterval(), defaultNoTraffic)
	c.NoTrafficHealthy = milliseconds(p.GetNoTrafficHealthyInterval(), c.NoTraffic)
	c.Unhealthy = milliseconds(p.GetUnhealthyInterval(), c.Interval)
	c.UnhealthyEdge = milliseconds(p.GetUnhealthyEdgeInterval(), c.Unhealthy)
	c.HealthyEdge = milliseconds(p.GetHealthyEdgeInterval(), c.Interval)
	// alt_port and event_service are not implemented by Envoy either.
	if err := c.compileLogs(p); err != nil {
		return nil, err
	}
	var err error
	switch k := p.GetHealthChecker().(type) {
	case *corepb.HealthCheck_HttpHealthCheck_:
		c.HTTP, err = compileHTTPCheck(k.HttpHealthCheck)
	case *corepb.HealthCheck_TcpHealthCheck_:
		c.TCP, err = compileTCPCheck(k.TcpHealthCheck)
	case *corepb.HealthCheck_GrpcHealthCheck_:
		c.GRPC = &GRPCCheck{Service: k.GrpcHealthCheck.GetServiceName(), Authority: k.GrpcHealthCheck.GetAuthority()}
		c.GRPC.Add, err = compileHeaders(k.GrpcHealthCheck.GetInitialMetadata())
	case *corepb.HealthCheck_CustomHealthCheck_:
		err = fmt.Errorf("field HealthCheck.custom_health_check (%s) is not supported", k.CustomHealthCheck.GetName())
	}
	return c, err
}

func (c *Check) compileLogs(p *corepb.HealthCheck) error {
	if path := p.GetEventLogPath(); path != "" { //nolint:staticcheck // The deprecated field still counts.
		c.LogPaths = append(c.LogPaths, path)
	}
	for _, l := range p.GetEventLogger() {
		sink := &filesinkpb.HealthCheckEventFileSink{}
		if !l.GetTypedConfig().MessageIs(sink) {
			return fmt.Errorf("health check event sink %s (%s) is not supported", l.GetName(), l.GetTypedConfig().GetTypeUrl())
		}
		if err := l.GetTypedConfig().UnmarshalTo(sink); err != nil {
			return fmt.Errorf("Unable to unpack as %s: %w", sink.ProtoReflect().Descriptor().FullName(), err) //nolint:staticcheck // Envoy's text.
		}
		if err := sink.Validate(); err != nil {
			return endpoint.Constraint(err)
		}
		c.LogPaths = append(c.LogPaths, sink.GetEventLogPath())
	}
	return nil
}

func compileHTTPCheck(p *corepb.HealthCheck_HttpHealthCheck) (*HTTPCheck, error) {
	h := &HTTPCheck{Host: p.GetHost(), Path: p.GetPath(), Method: "GET", BufferSize: defaultBufferSize, Remove: lowered(p.GetRequestHeadersToRemove())}
	if m := p.GetMethod(); m != corepb.RequestMethod_METHOD_UNSPECIFIED {
		h.Method = m.String()
	}
	var err error
	if p.GetSend() != nil {
		switch h.Method {
		case "POST", "PUT", "PATCH", "OPTIONS":
		default:
			return nil, fmt.Errorf("HTTP health check cannot specify a request payload with method '%s'. Only methods that support a request body (POST, PUT, PATCH, OPTIONS) can be used with payload.", h.Method) //nolint:revive // Envoy's text.
		}
		if h.Body, err = compilePayload(p.GetSend()); err != nil {
			return nil, err
		}
	}
	if h.Receive, err = compilePayloads(p.GetReceive()); err != nil {
		return nil, err
	}
	if n := p.GetResponseBufferSize(); n != nil {
		h.BufferSize = n.GetValue()
	}
	if h.Expected, err = compileRanges("expected", p.GetExpectedStatuses()); err != nil {
		return nil, err
	}
	if len(h.Expected) == 0 {
		h.Expected = []statusRange{{200, 201}}
	}
	if h.Retry, err = compileRanges("retriable", p.GetRetriableStatuses()); err != nil {
		return nil, err
	}
	if h.Add, err = compileHeaders(p.GetRequestHeadersToAdd()); err != nil {
		return nil, err
	}
	switch p.GetCodecClientType() {
	case typepb.CodecClientType_HTTP1:
	case typepb.CodecClientType_HTTP2:
		h.Protocol = pool.HTTP2
	default:
		return nil, fmt.Errorf("field HttpHealthCheck.codec_client_type %v is not supported", p.GetCodecClientType())
	}
	if p.GetUseAlpnProtocol() {
		h.Protocol = pool.Auto
	}
	if m := p.GetServiceNameMatcher(); m != nil {
		s, err := matcher.CompileString(m, matcher.Options{})
		if err != nil {
			return nil, err
		}
		h.ServiceName = &s
	}
	return h, nil
}

func compileTCPCheck(p *corepb.HealthCheck_TcpHealthCheck) (*TCPCheck, error) {
	if p.GetProxyProtocolConfig() != nil {
		return nil, errors.New("field TcpHealthCheck.proxy_protocol_config is not supported")
	}
	t := &TCPCheck{}
	var err error
	if t.Send, err = compilePayload(p.GetSend()); err != nil {
		return nil, err
	}
	t.Receive, err = compilePayloads(p.GetReceive())
	return t, err
}

func compilePayloads(ps []*corepb.HealthCheck_Payload) (out [][]byte, err error) {
	for _, p := range ps {
		b, err := compilePayload(p)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// compilePayload reads a text payload as hexadecimal, as Envoy does.
func compilePayload(p *corepb.HealthCheck_Payload) ([]byte, error) {
	if b, ok := p.GetPayload().(*corepb.HealthCheck_Payload_Binary); ok {
		return b.Binary, nil
	}
	b, err := hex.DecodeString(p.GetText())
	if err != nil {
		return nil, fmt.Errorf("invalid hex string '%s'", p.GetText())
	}
	return b, nil
}

func compileRanges(what string, ps []*typepb.Int64Range) (out []statusRange, err error) {
	for _, p := range ps {
		switch {
		case p.GetStart() >= p.GetEnd():
			return nil, fmt.Errorf("Invalid http %s status range: expecting start < end, but found start=%d and end=%d", what, p.GetStart(), p.GetEnd()) //nolint:staticcheck // Envoy's text.
		case p.GetStart() < 100:
			return nil, fmt.Errorf("Invalid http %s status range: expecting start >= 100, but found start=%d", what, p.GetStart()) //nolint:staticcheck // Envoy's text.
		case p.GetEnd() > 600:
			return nil, fmt.Errorf("Invalid http %s status range: expecting end <= 600, but found end=%d", what, p.GetEnd()) //nolint:staticcheck // Envoy's text.
		}
		out = append(out, statusRange{p.GetStart(), p.GetEnd()})
	}
	return out, nil
}

func compileHeaders(ps []*corepb.HeaderValueOption) (out []headerOption, err error) {
	for _, p := range ps {
		name := strings.ToLower(p.GetHeader().GetKey())
		if strings.HasPrefix(name, ":") || name == header.Host.String() {
			return nil, errors.New(":-prefixed or host headers may not be modified")
		}
		value := p.GetHeader().GetValue()
		if raw := p.GetHeader().GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		if strings.Contains(strings.ReplaceAll(value, "%%", ""), "%") {
			return nil, fmt.Errorf("command operators in HealthCheck header %q are not supported", name)
		}
		if value == "" && !p.GetKeepEmptyValue() {
			continue
		}
		o := headerOption{name, strings.ReplaceAll(value, "%%", "%"), p.GetAppendAction()}
		if a := p.GetAppend(); a != nil && !a.GetValue() { //nolint:staticcheck // The deprecated field still counts.
			o.action = corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
		out = append(out, o)
	}
	return out, nil
}

func lowered(names []string) (out []string) {
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}
