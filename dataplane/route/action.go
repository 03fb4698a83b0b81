package route

import (
	"fmt"
	"strings"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// Action is a compiled RouteAction, but for where it goes, which is the Route's. It is immutable, and
// shared by all routes that say the same.
type Action struct {
	// Timeout is for the whole request, 15 s by default; 0 is none.
	Timeout                   time.Duration
	IdleTimeout, FlushTimeout Duration
	// Retry and Hedge are the route's, or the virtual host's; nil: none.
	Retry *RetryPolicy
	Hedge *HedgePolicy
	// Mirrors are the route's, the virtual host's or the configuration's request_mirror_policies.
	Mirrors      []*MirrorPolicy
	HighPriority bool
	RateLimits   []*RateLimit
	// IncludeVHRateLimits applies the virtual host's rate limits beside the route's.
	IncludeVHRateLimits bool
	// CORS is the deprecated cors field, or the virtual host's; nil: none.
	CORS *CORS
	// MaxGRPCTimeout and GRPCTimeoutOffset are the deprecated fields of those names.
	MaxGRPCTimeout, GRPCTimeoutOffset Duration
	InternalRedirect                  *InternalRedirect // nil: not followed
	MaxStreamDuration                 MaxStreamDuration
	// ClusterNotFoundCode is the status where the cluster does not exist.
	ClusterNotFoundCode int
	// AutoHostRewrite asks for SetHost with the chosen host's name, if it has one.
	AutoHostRewrite, AppendXForwardedHost bool

	host     hostRewrite
	path     pathRewrite
	hash     []hashPolicy
	upgrades []Upgrade
}

// MaxStreamDuration is a RouteAction's max_stream_duration.
type MaxStreamDuration struct {
	// Max is the limit, if HasMax; 0 is none, whatever the connection manager says.
	Max    time.Duration
	HasMax bool
	// GRPCMax limits grpc-timeout, which counts if HasGRPCMax; 0 is no limit. GRPCOffset is subtracted.
	GRPCMax    time.Duration
	HasGRPCMax bool
	GRPCOffset time.Duration
}

// Upgrade is one of upgrade_configs.
type Upgrade struct {
	// Type is in lower case.
	Type    string
	Enabled bool
	// Connect is connect_config; nil: none.
	Connect *ConnectConfig
}

// ConnectConfig says how CONNECT's payload goes upstream as plain TCP.
type ConnectConfig struct {
	// ProxyProtocol is the version of the PROXY protocol's header to send first; 0: none.
	ProxyProtocol int
	AllowPost     bool
}

// earlyDataURL is the only early data policy that Envoy brings.
const earlyDataURL = "type.googleapis.com/envoy.extensions.early_data.v3.DefaultEarlyDataPolicy"

const defaultTimeout = 15 * time.Second

// inherited is what a route gets from its virtual host and configuration where it does not say itself.
type inherited struct {
	retry   *RetryPolicy
	hedge   *HedgePolicy
	mirrors []*MirrorPolicy
	cors    *CORS
}

func (c *compiler) action(p *routepb.RouteAction, m *pathMatch, from inherited) (*Action, error) {
	a := &Action{Timeout: defaultTimeout, Retry: from.retry, Hedge: from.hedge, Mirrors: from.mirrors, CORS: from.cors,
		HighPriority: p.GetPriority() == corepb.RoutingPriority_HIGH, AppendXForwardedHost: p.GetAppendXForwardedHost(),
		IncludeVHRateLimits: p.GetIncludeVhRateLimits().GetValue()} //nolint:staticcheck // deprecated, and in use
	switch p.GetClusterNotFoundResponseCode() {
	case routepb.RouteAction_NOT_FOUND:
		a.ClusterNotFoundCode = 404
	case routepb.RouteAction_INTERNAL_SERVER_ERROR:
		a.ClusterNotFoundCode = 500
	default:
		a.ClusterNotFoundCode = 503
	}
	if p.GetRetryPolicyTypedConfig() != nil {
		return nil, unsupported("RouteAction.retry_policy_typed_config")
	}
	// early_data_policy is about HTTP/3 and TLS early data, which there are none of here: 425 never comes.
	if x := p.GetEarlyDataPolicy(); x != nil && x.GetTypedConfig().GetTypeUrl() != earlyDataURL {
		return nil, matcher.Unregistered(x)
	}
	steps := [...]func(*Action, *routepb.RouteAction) error{c.setTimeouts, c.setPolicies, c.setUpgrades}
	for _, step := range steps {
		if err := step(a, p); err != nil {
			return nil, err
		}
	}
	var err error
	if a.path, err = c.o.pathRewrite(rewriteConfig{prefix: p.GetPrefixRewrite(), regex: p.GetRegexRewrite(), policy: p.GetPathRewritePolicy(),
		format: p.GetPathRewrite(), what: "path rewrite"}, m); err != nil {
		return nil, err
	}
	a.host, a.AutoHostRewrite, err = c.o.hostRewrite(p)
	return a, err
}

func (c *compiler) setTimeouts(a *Action, p *routepb.RouteAction) error {
	timeout, err := optional(p.GetTimeout())
	if err != nil {
		return err
	}
	a.Timeout = timeout.Or(defaultTimeout)
	if a.IdleTimeout, err = optional(p.GetIdleTimeout()); err != nil {
		return err
	}
	if a.FlushTimeout, err = optional(p.GetFlushTimeout()); err != nil {
		return err
	}
	if a.MaxGRPCTimeout, err = optional(p.GetMaxGrpcTimeout()); err != nil { //nolint:staticcheck // deprecated, and in use
		return err
	}
	if a.GRPCTimeoutOffset, err = optional(p.GetGrpcTimeoutOffset()); err != nil { //nolint:staticcheck // deprecated, and in use
		return err
	}
	d := p.GetMaxStreamDuration()
	var limit, grpc Duration
	if limit, err = optional(d.GetMaxStreamDuration()); err != nil {
		return err
	}
	if grpc, err = optional(d.GetGrpcTimeoutHeaderMax()); err != nil {
		return err
	}
	offset, err := positive(d.GetGrpcTimeoutHeaderOffset())
	a.MaxStreamDuration = MaxStreamDuration{Max: limit.D, HasMax: limit.Set, GRPCMax: grpc.D, HasGRPCMax: grpc.Set, GRPCOffset: offset}
	return err
}

func (c *compiler) setPolicies(a *Action, p *routepb.RouteAction) error {
	var err error
	if p.GetRetryPolicy() != nil {
		if a.Retry, err = c.o.retryPolicy(p.GetRetryPolicy()); err != nil {
			return err
		}
	}
	if p.GetHedgePolicy() != nil {
		a.Hedge = compileHedge(p.GetHedgePolicy())
	}
	if len(p.GetRequestMirrorPolicies()) > 0 {
		if a.Mirrors, err = c.mirrors(p.GetRequestMirrorPolicies()); err != nil {
			return err
		}
	}
	if a.RateLimits, err = CompileRateLimits(p.GetRateLimits(), c.o); err != nil {
		return err
	}
	if a.hash, err = c.o.hashPolicies(p.GetHashPolicy()); err != nil {
		return err
	}
	if p.GetCors() != nil { //nolint:staticcheck // deprecated, and in use
		if a.CORS, err = c.o.cors(p.GetCors()); err != nil { //nolint:staticcheck // deprecated, and in use
			return err
		}
	}
	a.InternalRedirect, err = internalRedirect(p)
	return err
}

func (c *compiler) setUpgrades(a *Action, p *routepb.RouteAction) error {
	for _, u := range p.GetUpgradeConfigs() {
		up := Upgrade{Type: strings.ToLower(u.GetUpgradeType()), Enabled: u.GetEnabled() == nil || u.GetEnabled().GetValue()}
		for _, other := range a.upgrades {
			if other.Type == up.Type {
				return fmt.Errorf("Duplicate upgrade %s", u.GetUpgradeType())
			}
		}
		if cc := u.GetConnectConfig(); cc != nil {
			if up.Type != "connect" && up.Type != "connect-udp" {
				return fmt.Errorf("Non-CONNECT upgrade type %s has ConnectConfig", u.GetUpgradeType())
			}
			up.Connect = &ConnectConfig{AllowPost: cc.GetAllowPost()}
			if pp := cc.GetProxyProtocolConfig(); pp != nil {
				up.Connect.ProxyProtocol = int(pp.GetVersion()) + 1
				if len(pp.GetAddedTlvs()) > 0 || pp.GetPassThroughTlvs() != nil {
					return unsupported("ConnectConfig.proxy_protocol_config.added_tlvs or pass_through_tlvs")
				}
			}
		}
		a.upgrades = append(a.upgrades, up)
	}
	return nil
}

// UpgradeEnabled tells whether the route allows an upgrade, whose type is in lower case; ok is false
// where the route says nothing of it.
func (a *Action) UpgradeEnabled(kind string) (enabled, ok bool) {
	if u := a.UpgradeOf(kind); u != nil {
		return u.Enabled, true
	}
	return false, false
}

// UpgradeOf returns what the route says of an upgrade, whose type is in lower case; nil: nothing.
func (a *Action) UpgradeOf(kind string) *Upgrade {
	for i := range a.upgrades {
		if a.upgrades[i].Type == kind {
			return &a.upgrades[i]
		}
	}
	return nil
}

// unsupported refuses a field that would change what the proxy does.
func unsupported(field string) error { return fmt.Errorf("field %s is not supported", field) }
