package route

import (
	"errors"
	"fmt"
	"strings"
	"time"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	canarypb "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	omitpb "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_host_metadata/v3"
	previouspb "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiespb "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// RetryOn is a set of conditions for a retry, of x-envoy-retry-on and x-envoy-retry-grpc-on.
type RetryOn uint32

// The conditions.
const (
	Retry5xx RetryOn = 1 << iota
	RetryGatewayError
	RetryConnectFailure
	RetryRetriable4xx
	RetryRefusedStream
	RetryRetriableStatusCodes
	RetryRetriableHeaders
	RetryReset
	RetryEnvoyRatelimited
	RetryHTTP3PostConnectFailure
	RetryResetBeforeRequest
	RetryGRPCCancelled
	RetryGRPCDeadlineExceeded
	RetryGRPCResourceExhausted
	RetryGRPCUnavailable
	RetryGRPCInternal
)

var retryOn = map[string]RetryOn{
	"5xx": Retry5xx, "gateway-error": RetryGatewayError, "connect-failure": RetryConnectFailure, "retriable-4xx": RetryRetriable4xx,
	"refused-stream": RetryRefusedStream, "retriable-status-codes": RetryRetriableStatusCodes, "retriable-headers": RetryRetriableHeaders,
	"reset": RetryReset, "envoy-ratelimited": RetryEnvoyRatelimited, "http3-post-connect-failure": RetryHTTP3PostConnectFailure,
	"reset-before-request": RetryResetBeforeRequest,
}

var retryGRPCOn = map[string]RetryOn{
	"cancelled": RetryGRPCCancelled, "deadline-exceeded": RetryGRPCDeadlineExceeded, "resource-exhausted": RetryGRPCResourceExhausted,
	"unavailable": RetryGRPCUnavailable, "internal": RetryGRPCInternal,
}

// ParseRetryOn parses x-envoy-retry-on; ok is false where a condition is unknown, which is left out.
func ParseRetryOn(s string) (RetryOn, bool) { return parseRetryOn(s, retryOn) }

// ParseRetryGRPCOn parses x-envoy-retry-grpc-on.
func ParseRetryGRPCOn(s string) (RetryOn, bool) { return parseRetryOn(s, retryGRPCOn) }

func parseRetryOn(s string, known map[string]RetryOn) (on RetryOn, ok bool) {
	ok = true
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.Trim(part, " \t"); part == "" {
			continue
		}
		c := known[part]
		ok = ok && c != 0
		on |= c
	}
	return on, ok
}

// RetryPolicy is a compiled RetryPolicy.
type RetryPolicy struct {
	On         RetryOn
	NumRetries uint32
	// PerTryTimeout and PerTryIdleTimeout are 0 for none.
	PerTryTimeout, PerTryIdleTimeout time.Duration
	StatusCodes                      []uint32
	// Headers of a response that ask for a retry: any of them; RequestHeaders that a request must have
	// for retries: any of them, if there are some.
	Headers, RequestHeaders []matcher.Header

	// PreviousHosts, OmitCanary and OmitMetadata are the host predicates: hosts to turn down.
	PreviousHosts, OmitCanary bool
	OmitMetadata              [][]MetadataPair
	// HostSelectionAttempts is how often a host may be turned down, 1 by default.
	HostSelectionAttempts int
	// RefreshCluster asks for ClusterName anew before each retry.
	RefreshCluster bool
	// PreviousPriorities is the update_frequency of that priority plugin; 0: none.
	PreviousPriorities int

	// BaseInterval is 0 where the runtime's upstream.base_retry_backoff_ms counts, 25 ms by default;
	// MaxInterval is 0 for ten times the base.
	BaseInterval, MaxInterval time.Duration
	// ResetHeaders are the headers by which a rate limited response tells when to come back.
	ResetHeaders     []ResetHeader
	ResetMaxInterval time.Duration
}

// ResetHeader is a header with a number of seconds, or with a Unix time.
type ResetHeader struct {
	Name string // lower case
	Unix bool
}

const resetMaxInterval = 300 * time.Second

func (o Options) retryPolicy(p *routepb.RetryPolicy) (*RetryPolicy, error) {
	r := &RetryPolicy{NumRetries: 1, StatusCodes: p.GetRetriableStatusCodes(), HostSelectionAttempts: 1, RefreshCluster: p.GetRefreshClusterOnRetry()}
	// Unknown conditions are no error in Envoy.
	http, _ := ParseRetryOn(p.GetRetryOn())
	grpc, _ := ParseRetryGRPCOn(p.GetRetryOn())
	r.On = http | grpc
	if n := p.GetNumRetries(); n != nil {
		r.NumRetries = n.GetValue()
	}
	if n := p.GetHostSelectionRetryMaxAttempts(); n != 0 {
		r.HostSelectionAttempts = int(n)
	}
	var err error
	if r.PerTryTimeout, err = positive(p.GetPerTryTimeout()); err != nil {
		return nil, err
	}
	if r.PerTryIdleTimeout, err = positive(p.GetPerTryIdleTimeout()); err != nil {
		return nil, err
	}
	if r.Headers, err = matcher.CompileHeaders(p.GetRetriableHeaders(), o.Matcher); err != nil {
		return nil, err
	}
	if r.RequestHeaders, err = matcher.CompileHeaders(p.GetRetriableRequestHeaders(), o.Matcher); err != nil {
		return nil, err
	}
	if len(p.GetRetryOptionsPredicates()) > 0 {
		return nil, matcher.Unregistered(p.GetRetryOptionsPredicates()[0]) // Envoy brings none
	}
	if err := r.setPlugins(p); err != nil {
		return nil, err
	}
	return r, r.setBackOff(p)
}

// setPlugins knows the plugins that Envoy brings.
func (r *RetryPolicy) setPlugins(p *routepb.RetryPolicy) error {
	for _, h := range p.GetRetryHostPredicate() {
		a := h.GetTypedConfig()
		switch {
		case a.MessageIs((*previouspb.PreviousHostsPredicate)(nil)):
			r.PreviousHosts = true
		case a.MessageIs((*canarypb.OmitCanaryHostsPredicate)(nil)):
			r.OmitCanary = true
		case a.MessageIs((*omitpb.OmitHostMetadataConfig)(nil)):
			var c omitpb.OmitHostMetadataConfig
			if err := a.UnmarshalTo(&c); err != nil {
				return fmt.Errorf("retry_host_predicate %s: %w", h.GetName(), err)
			}
			if m := compileMetadataMatch(nil, c.GetMetadataMatch()); len(m) > 0 {
				r.OmitMetadata = append(r.OmitMetadata, m)
			}
		default:
			return matcher.Unregistered(h)
		}
	}
	pr := p.GetRetryPriority()
	if pr == nil {
		return nil
	}
	if !pr.GetTypedConfig().MessageIs((*prioritiespb.PreviousPrioritiesConfig)(nil)) {
		return matcher.Unregistered(pr)
	}
	var c prioritiespb.PreviousPrioritiesConfig
	if err := pr.GetTypedConfig().UnmarshalTo(&c); err != nil {
		return fmt.Errorf("retry_priority %s: %w", pr.GetName(), err)
	}
	r.PreviousPriorities = max(int(c.GetUpdateFrequency()), 1)
	return nil
}

func (r *RetryPolicy) setBackOff(p *routepb.RetryPolicy) error {
	if b := p.GetRetryBackOff(); b != nil {
		r.BaseInterval = atLeastMillisecond(b.GetBaseInterval().AsDuration())
		if b.GetMaxInterval() != nil {
			r.MaxInterval = atLeastMillisecond(b.GetMaxInterval().AsDuration())
			if r.MaxInterval < r.BaseInterval {
				return errors.New("retry_policy.max_interval must greater than or equal to the base_interval")
			}
		}
	}
	b := p.GetRateLimitedRetryBackOff()
	if b == nil {
		return nil
	}
	r.ResetMaxInterval = resetMaxInterval
	if b.GetMaxInterval() != nil {
		r.ResetMaxInterval = b.GetMaxInterval().AsDuration()
	}
	for _, h := range b.GetResetHeaders() {
		r.ResetHeaders = append(r.ResetHeaders, ResetHeader{Name: lowerString(h.GetName()), Unix: h.GetFormat() == routepb.RetryPolicy_UNIX_TIMESTAMP})
	}
	return nil
}

// Values less than 1 ms are rounded up to 1 ms.
func atLeastMillisecond(d time.Duration) time.Duration {
	if d > 0 && d < time.Millisecond {
		return time.Millisecond
	}
	return d
}

// positive refuses negative durations as Envoy does; nil is 0.
func positive(p *durationpb.Duration) (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	if p.GetSeconds() < 0 || p.GetNanos() < 0 {
		return 0, fmt.Errorf("Invalid duration: Expected positive duration: seconds: %d nanos: %d", p.GetSeconds(), p.GetNanos())
	}
	return p.AsDuration(), nil
}

// optional is positive of a duration whose absence matters.
func optional(p *durationpb.Duration) (Duration, error) {
	d, err := positive(p)
	return Duration{D: d, Set: p != nil}, err
}

// HedgePolicy is a compiled HedgePolicy. Like Envoy this proxy sends one request at first, whatever
// initial_requests and additional_request_chance say: they are not implemented there either.
type HedgePolicy struct {
	OnPerTryTimeout bool
}

func compileHedge(p *routepb.HedgePolicy) *HedgePolicy {
	if p == nil {
		return nil
	}
	return &HedgePolicy{OnPerTryTimeout: p.GetHedgeOnPerTryTimeout()}
}
