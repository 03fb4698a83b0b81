package route

import (
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// CORS is the deprecated CorsPolicy of routes and virtual hosts, which the CORS filter falls back to.
type CORS struct {
	AllowOrigin                                       matcher.Strings
	AllowMethods, AllowHeaders, ExposeHeaders, MaxAge string
	AllowCredentials, AllowPrivateNetworkAccess       Bool
	ForwardNotMatchingPreflights                      Bool
	// Enabled is filter_enabled; Shadow is shadow_enabled, if HasShadow.
	Enabled, Shadow runtime.Fraction
	HasEnabled      bool
	HasShadow       bool
}

// Bool is a truth value that may be absent.
type Bool struct{ Value, Set bool }

// Or is the value, or def where it is absent.
func (b Bool) Or(def bool) bool {
	if b.Set {
		return b.Value
	}
	return def
}

func boolOf(p interface{ GetValue() bool }, set bool) Bool {
	if !set {
		return Bool{}
	}
	return Bool{Value: p.GetValue(), Set: true}
}

func (o Options) cors(p *routepb.CorsPolicy) (*CORS, error) {
	c := &CORS{AllowMethods: p.GetAllowMethods(), AllowHeaders: p.GetAllowHeaders(), ExposeHeaders: p.GetExposeHeaders(), MaxAge: p.GetMaxAge(),
		AllowCredentials:             boolOf(p.GetAllowCredentials(), p.GetAllowCredentials() != nil),
		AllowPrivateNetworkAccess:    boolOf(p.GetAllowPrivateNetworkAccess(), p.GetAllowPrivateNetworkAccess() != nil),
		ForwardNotMatchingPreflights: boolOf(p.GetForwardNotMatchingPreflights(), p.GetForwardNotMatchingPreflights() != nil),
		Enabled:                      runtime.CompileFraction(p.GetFilterEnabled()), HasEnabled: p.GetFilterEnabled() != nil,
		Shadow: runtime.CompileFraction(p.GetShadowEnabled()), HasShadow: p.GetShadowEnabled() != nil,
	}
	var err error
	c.AllowOrigin, err = matcher.CompileStrings(p.GetAllowOriginStringMatch(), o.Matcher)
	return c, err
}
