package route

import (
	"errors"
	"slices"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	allowpb "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"
	statepb "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/filter_state/v3"
	previouspb "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
	safepb "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/safe_cross_scheme/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// InternalRedirect is a compiled InternalRedirectPolicy.
type InternalRedirect struct {
	// Max is how many redirects may have been followed already, 1 by default.
	Max int
	// CrossScheme allows a target with another scheme.
	CrossScheme bool
	// CopyHeaders are the response's headers to copy into the next request, lower case.
	CopyHeaders []string

	// AllowListedRoutes, if not nil, are the names of the only routes to go to.
	AllowListedRoutes []string
	// PreviousRoutes refuses a route that was redirected to before; SafeCrossScheme refuses https behind
	// http.
	PreviousRoutes, SafeCrossScheme bool
	// StateKey, if not empty, is the filter state object that allows a redirect by "true"; without such
	// an object StateAbsent counts.
	StateKey    string
	StateAbsent bool

	codes []uint32
}

// internalRedirect returns nil where redirects are not followed.
func internalRedirect(p *routepb.RouteAction) (*InternalRedirect, error) {
	ir := p.GetInternalRedirectPolicy()
	if ir == nil {
		if p.GetInternalRedirectAction() != routepb.RouteAction_HANDLE_INTERNAL_REDIRECT { //nolint:staticcheck // deprecated
			return nil, nil
		}
		ir = &routepb.InternalRedirectPolicy{MaxInternalRedirects: p.GetMaxInternalRedirects()} //nolint:staticcheck // deprecated
	}
	r := &InternalRedirect{Max: 1, CrossScheme: ir.GetAllowCrossSchemeRedirect()}
	if n := ir.GetMaxInternalRedirects(); n != nil {
		r.Max = int(n.GetValue())
	}
	for _, code := range ir.GetRedirectResponseCodes() {
		if slices.Contains(redirectCodes[:], int(code)) { // any other codes will be ignored
			r.codes = append(r.codes, code)
		}
	}
	if len(ir.GetRedirectResponseCodes()) == 0 {
		r.codes = []uint32{302}
	}
	for _, name := range ir.GetResponseHeadersToCopy() {
		name = lowerString(name)
		if strings.HasPrefix(name, ":") || name == "host" {
			return nil, errors.New(":-prefixed headers or Hosts may not be specified here.")
		}
		r.CopyHeaders = append(r.CopyHeaders, name)
	}
	for _, x := range ir.GetPredicates() {
		if err := r.addPredicate(x); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *InternalRedirect) addPredicate(x matcher.Extension) error {
	a := x.GetTypedConfig()
	switch {
	case a.MessageIs((*allowpb.AllowListedRoutesConfig)(nil)):
		var c allowpb.AllowListedRoutesConfig
		if err := a.UnmarshalTo(&c); err != nil {
			return err
		}
		r.AllowListedRoutes = append(make([]string, 0, len(c.GetAllowedRouteNames())), c.GetAllowedRouteNames()...)
	case a.MessageIs((*previouspb.PreviousRoutesConfig)(nil)):
		r.PreviousRoutes = true
	case a.MessageIs((*safepb.SafeCrossSchemeConfig)(nil)):
		r.SafeCrossScheme = true
	case a.MessageIs((*statepb.FilterStateConfig)(nil)):
		var c statepb.FilterStateConfig
		if err := a.UnmarshalTo(&c); err != nil {
			return err
		}
		r.StateKey, r.StateAbsent = c.GetRedirectEnabledKey(), c.GetRedirectIfAbsent()
	default:
		return matcher.Unregistered(x)
	}
	return nil
}

// Follows tells whether a response of this status is a redirect to follow.
func (r *InternalRedirect) Follows(status int) bool {
	return r != nil && slices.Contains(r.codes, uint32(status))
}
