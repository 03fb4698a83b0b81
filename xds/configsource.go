package xds

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The schemes of Ref.Source; ADS is the empty source.
const (
	SchemeADS   = ""
	SchemePath  = "path"
	SchemeGRPC  = "grpc"
	SchemeDelta = "delta"
)

// DefaultFetchTimeout is how long Envoy waits for the first answer where a config source does not say.
const DefaultFetchTimeout = 15 * time.Second

// Source is a config source as Ref.Source and Ref.Timeout. It refuses by name what is not done. A
// source with options beyond its cluster or path carries them in an encoded suffix: see ParseSource.
func Source(c *corepb.ConfigSource) (source string, timeout time.Duration, err error) {
	if c == nil || c.ConfigSourceSpecifier == nil {
		return "", 0, errors.New("Proto constraint validation failed (ConfigSourceValidationError.ConfigSourceSpecifier: value is required)")
	}
	if len(c.Authorities) > 0 {
		return "", 0, errors.New("field ConfigSource.authorities is not supported")
	}
	// resource_api_version is not looked at: Envoy reads AUTO and V2 as V3.
	if timeout, err = fetchTimeout(c.InitialFetchTimeout); err != nil {
		return "", 0, err
	}
	switch s := c.ConfigSourceSpecifier.(type) {
	case *corepb.ConfigSource_Ads, *corepb.ConfigSource_Self:
		return SchemeADS, timeout, nil
	case *corepb.ConfigSource_Path:
		source, err = pathSource(&corepb.PathConfigSource{Path: s.Path})
	case *corepb.ConfigSource_PathConfigSource:
		source, err = pathSource(s.PathConfigSource)
	case *corepb.ConfigSource_ApiConfigSource:
		source, err = apiSource(s.ApiConfigSource)
	default:
		err = fmt.Errorf("config source specifier %T is not supported", s)
	}
	return source, timeout, err
}

func fetchTimeout(d *durationpb.Duration) (time.Duration, error) {
	switch {
	case d == nil:
		return DefaultFetchTimeout, nil
	case d.CheckValid() != nil:
		return 0, d.CheckValid()
	case d.AsDuration() < 0:
		return 0, fmt.Errorf("Invalid duration: Expected positive duration: %s", d.AsDuration())
	}
	return d.AsDuration(), nil
}

func pathSource(p *corepb.PathConfigSource) (string, error) {
	switch {
	case p.GetPath() == "":
		return "", errors.New("Proto constraint validation failed (PathConfigSourceValidationError.Path: value length must be at least 1 characters)")
	case p.PollInterval != nil:
		return "", errors.New("field PathConfigSource.poll_interval is not supported")
	case p.WatchedDirectory == nil && !strings.Contains(p.Path, "?"):
		return SchemePath + ":" + p.Path, nil
	}
	return encode(SchemePath, p.Path, p)
}

func apiSource(a *corepb.ApiConfigSource) (string, error) {
	if err := CheckAPI(a); err != nil {
		return "", err
	}
	scheme := SchemeGRPC
	if a.ApiType == corepb.ApiConfigSource_DELTA_GRPC {
		scheme = SchemeDelta
	}
	cluster := a.GrpcServices[0].GetEnvoyGrpc().GetClusterName()
	// Such a stream carries one type: its node goes with the first request alone, which the protocol
	// allows, so that set_node_on_first_message_only makes no difference.
	plain := &corepb.ApiConfigSource{
		ApiType: a.ApiType, TransportApiVersion: a.TransportApiVersion, SetNodeOnFirstMessageOnly: a.SetNodeOnFirstMessageOnly,
		RefreshDelay: a.RefreshDelay, RequestTimeout: a.RequestTimeout, // of REST: without effect here, as in Envoy
		GrpcServices: []*corepb.GrpcService{{TargetSpecifier: &corepb.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corepb.GrpcService_EnvoyGrpc{ClusterName: cluster}}}},
	}
	if proto.Equal(a, plain) && !strings.Contains(cluster, "?") {
		return scheme + ":" + cluster, nil
	}
	return encode(scheme, cluster, a)
}

// CheckAPI refuses what is not done, or what Envoy refuses, in an API config source for gRPC.
func CheckAPI(a *corepb.ApiConfigSource) error {
	const name = "envoy.config.core.v3.ApiConfigSource"
	switch a.GetApiType() {
	case corepb.ApiConfigSource_GRPC, corepb.ApiConfigSource_DELTA_GRPC:
	case corepb.ApiConfigSource_DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE:
		return errors.New("REST_LEGACY no longer a supported ApiConfigSource. Please specify an explicit supported api_type")
	case corepb.ApiConfigSource_REST:
		return errors.New("ApiConfigSource.api_type REST is not supported")
	default:
		return fmt.Errorf("Unsupported config source %s", a.ApiType)
	}
	switch {
	case a.TransportApiVersion == corepb.ApiVersion_V2:
		return errors.New("V2 xDS transport protocol version is deprecated in " + name)
	case len(a.GrpcServices) == 0 && len(a.ClusterNames) == 0:
		return errors.New("API configs must have either a gRPC service or a cluster name defined")
	case len(a.ClusterNames) > 0:
		return errors.New(name + "::(AGGREGATED_)(DELTA_)GRPC must not have a cluster name specified")
	case len(a.GrpcServices) > 1:
		return errors.New(name + "::(AGGREGATED_)(DELTA_)GRPC must have no more than 1 gRPC services specified")
	case len(a.ConfigValidators) > 0:
		return errors.New("field ApiConfigSource.config_validators is not supported")
	}
	return checkService(a.GrpcServices[0])
}

func checkService(s *corepb.GrpcService) error {
	e := s.GetEnvoyGrpc()
	switch {
	case s.GetGoogleGrpc() != nil:
		return errors.New("field GrpcService.google_grpc is not supported")
	case e.GetClusterName() == "":
		return errors.New("Proto constraint validation failed (EnvoyGrpcValidationError.ClusterName: value length must be at least 1 characters)")
	}
	// GrpcService.timeout is that of a request and not of a stream; skip_envoy_headers asks for less of
	// what is never sent here.
	for _, h := range s.InitialMetadata {
		if strings.Contains(strings.ReplaceAll(h.GetValue(), "%%", ""), "%") {
			return fmt.Errorf("field GrpcService.initial_metadata %q: substitution is not supported", h.GetKey())
		}
	}
	for _, p := range []*corepb.RetryPolicy{s.RetryPolicy, e.RetryPolicy} {
		switch {
		case p == nil:
		case p.RetryPriority != nil:
			return errors.New("field RetryPolicy.retry_priority is not supported")
		case len(p.RetryHostPredicate) > 0:
			return errors.New("field RetryPolicy.retry_host_predicate is not supported")
		}
	}
	return nil
}

// encode is a source with all its options.
func encode(scheme, target string, m proto.Message) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return scheme + ":" + target + "?" + base64.RawURLEncoding.EncodeToString(b), err
}

// ParsedSource is a Ref.Source taken apart.
type ParsedSource struct {
	// Scheme is one of the constants; Target the cluster or the path.
	Scheme, Target string
	// API is what a stream of its own is configured by, Path what a file is.
	API  *corepb.ApiConfigSource
	Path *corepb.PathConfigSource
}

// ParseSource takes a Ref.Source apart.
func ParseSource(source string) (p ParsedSource, err error) {
	if source == "" {
		return p, nil
	}
	scheme, target, _ := strings.Cut(source, ":")
	p.Scheme = scheme
	var options []byte
	if at := strings.LastIndexByte(target, '?'); at >= 0 {
		if options, err = base64.RawURLEncoding.DecodeString(target[at+1:]); err != nil {
			return p, fmt.Errorf("source %q: %w", source, err)
		}
		target = target[:at]
	}
	p.Target = target
	switch scheme {
	case SchemePath:
		p.Path = &corepb.PathConfigSource{Path: target}
		if options != nil {
			err = proto.Unmarshal(options, p.Path)
		}
	case SchemeGRPC, SchemeDelta:
		p.API = &corepb.ApiConfigSource{ApiType: corepb.ApiConfigSource_GRPC}
		if scheme == SchemeDelta {
			p.API.ApiType = corepb.ApiConfigSource_DELTA_GRPC
		}
		if options != nil {
			err = proto.Unmarshal(options, p.API)
			break
		}
		p.API.GrpcServices = []*corepb.GrpcService{{TargetSpecifier: &corepb.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corepb.GrpcService_EnvoyGrpc{ClusterName: target}}}}
	default:
		err = fmt.Errorf("source %q has no scheme that is known", source)
	}
	return p, err
}
