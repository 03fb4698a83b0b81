package route

import (
	"errors"
	"fmt"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// RateLimit is a compiled RateLimit: how a request makes a descriptor.
type RateLimit struct {
	Stage uint32
	// DisableKey is the runtime key ratelimit.KEY.http_filter_enabled; "": none.
	DisableKey string
	Actions    []RateLimitAction
	// Limit is the static override, or LimitKey the dynamic metadata that it is in; nil: none.
	Limit    *LimitOverride
	LimitKey *MetadataKey
	// Hits is hits_addend; nil: the request's.
	Hits              *HitsAddend
	ApplyOnStreamDone bool
	HeadersOption     routepb.RateLimit_XRateLimitOption
}

// LimitOverride is a limit that goes along with a descriptor.
type LimitOverride struct {
	Requests uint32
	Unit     typepb.RateLimitUnit
}

// HitsAddend is how much a request counts.
type HitsAddend struct {
	Number   uint64
	Format   formatter.Formatter // instead of Number
	Negative bool
}

// DescriptorEntry is one entry of a rate limit descriptor.
type DescriptorEntry struct{ Key, Value string }

// CompileRateLimits compiles a list of RateLimits, of a route or of a filter's own configuration.
func CompileRateLimits(ps []*routepb.RateLimit, o Options) ([]*RateLimit, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	list := make([]*RateLimit, len(ps))
	for i, p := range ps {
		var err error
		if list[i], err = compileRateLimit(p, o); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func compileRateLimit(p *routepb.RateLimit, o Options) (*RateLimit, error) {
	r := &RateLimit{Stage: p.GetStage().GetValue(), DisableKey: p.GetDisableKey(), ApplyOnStreamDone: p.GetApplyOnStreamDone(), HeadersOption: p.GetXRatelimitOption()}
	if len(p.GetActions()) == 0 {
		return nil, errors.New("RateLimit.actions: value must contain at least 1 item(s)")
	}
	for _, a := range p.GetActions() {
		c, err := compileRateLimitAction(a, o)
		if err != nil {
			return nil, err
		}
		r.Actions = append(r.Actions, c)
	}
	switch l := p.GetLimit().GetOverrideSpecifier().(type) {
	case *routepb.RateLimit_Override_RateLimit:
		r.Limit = &LimitOverride{l.RateLimit.GetRequestsPerUnit(), l.RateLimit.GetUnit()}
	case *routepb.RateLimit_Override_DynamicMetadata_:
		k := compileMetadataKey(l.DynamicMetadata.GetMetadataKey())
		r.LimitKey = &k
	}
	return r, r.setHits(p.GetHitsAddend(), o)
}

func (r *RateLimit) setHits(p *routepb.RateLimit_HitsAddend, o Options) error {
	if p == nil {
		return nil
	}
	if (p.GetNumber() != nil) == (p.GetFormat() != "") {
		return errors.New("hits_addend: either number or format must be set")
	}
	r.Hits = &HitsAddend{Number: p.GetNumber().GetValue(), Negative: p.GetIsNegativeHits()}
	if p.GetFormat() == "" {
		return nil
	}
	var err error
	r.Hits.Format, err = formatter.CompileHeader(p.GetFormat(), o.Formatter)
	return err
}

// Override is the limit to send along with a descriptor, as configured or found in dynamic metadata.
func (r *RateLimit) Override(i *streaminfo.Info) (LimitOverride, bool) {
	if r.Limit != nil {
		return *r.Limit, true
	}
	if r.LimitKey == nil {
		return LimitOverride{}, false
	}
	fields := r.LimitKey.Value(i.Metadata).GetStructValue().GetFields()
	unit, known := typepb.RateLimitUnit_value[fields["unit"].GetStringValue()]
	if fields["requests_per_unit"] == nil || !known {
		return LimitOverride{}, false
	}
	return LimitOverride{uint32(fields["requests_per_unit"].GetNumberValue()), typepb.RateLimitUnit(unit)}, true
}

// AppendDescriptor appends the entries that the actions make of a request. It reports false where one of
// them cannot be made, and the descriptor is not to be sent.
func (r *RateLimit) AppendDescriptor(dst []DescriptorEntry, x *DescriptorContext) ([]DescriptorEntry, bool) {
	for n := range r.Actions {
		e, ok := r.Actions[n].entry(x)
		if !ok {
			return dst, false
		}
		if e.Key != "" {
			dst = append(dst, e)
		}
	}
	return dst, true
}

// DescriptorContext is what descriptors are made of.
type DescriptorContext struct {
	Request *header.Map
	Info    *streaminfo.Info
	Route   *Route
	// ServiceCluster is our own --service-cluster.
	ServiceCluster string
}

func compileRateLimitAction(p *routepb.RateLimit_Action, o Options) (RateLimitAction, error) {
	var a RateLimitAction
	var err error
	switch k := p.GetActionSpecifier().(type) {
	case *routepb.RateLimit_Action_SourceCluster_:
		a.Kind, a.Key = LimitSourceCluster, "source_cluster"
	case *routepb.RateLimit_Action_DestinationCluster_:
		a.Kind, a.Key = LimitDestinationCluster, "destination_cluster"
	case *routepb.RateLimit_Action_RequestHeaders_:
		a.Kind, a.Key, a.Name = LimitRequestHeader, k.RequestHeaders.GetDescriptorKey(), lowerString(k.RequestHeaders.GetHeaderName())
		a.SkipIfAbsent = k.RequestHeaders.GetSkipIfAbsent()
	case *routepb.RateLimit_Action_QueryParameters_:
		a.Kind, a.Key, a.Name = LimitQueryParameter, k.QueryParameters.GetDescriptorKey(), k.QueryParameters.GetQueryParameterName()
		a.SkipIfAbsent = k.QueryParameters.GetSkipIfAbsent()
	case *routepb.RateLimit_Action_RemoteAddress_:
		a.Kind, a.Key = LimitRemoteAddress, "remote_address"
	case *routepb.RateLimit_Action_MaskedRemoteAddress_:
		a.Kind, a.Key, a.V4Mask, a.V6Mask = LimitMaskedAddress, "masked_remote_address", 32, 128
		if m := k.MaskedRemoteAddress.GetV4PrefixMaskLen(); m != nil {
			a.V4Mask = int(m.GetValue())
		}
		if m := k.MaskedRemoteAddress.GetV6PrefixMaskLen(); m != nil {
			a.V6Mask = int(m.GetValue())
		}
	case *routepb.RateLimit_Action_GenericKey_:
		a.Kind, a.Key, a.Value = LimitGenericKey, orDefault(k.GenericKey.GetDescriptorKey(), "generic_key"), k.GenericKey.GetDescriptorValue()
	case *routepb.RateLimit_Action_HeaderValueMatch_:
		a.Kind, a.Key, a.Value = LimitHeaderMatch, orDefault(k.HeaderValueMatch.GetDescriptorKey(), "header_match"), k.HeaderValueMatch.GetDescriptorValue()
		a.ExpectMatch = k.HeaderValueMatch.GetExpectMatch() == nil || k.HeaderValueMatch.GetExpectMatch().GetValue()
		a.Headers, err = matcher.CompileHeaders(k.HeaderValueMatch.GetHeaders(), o.Matcher)
	case *routepb.RateLimit_Action_QueryParameterValueMatch_:
		v := k.QueryParameterValueMatch
		a.Kind, a.Key, a.Value = LimitQueryMatch, orDefault(v.GetDescriptorKey(), "query_match"), v.GetDescriptorValue()
		a.ExpectMatch = v.GetExpectMatch() == nil || v.GetExpectMatch().GetValue()
		a.Queries, err = compileAll(v.GetQueryParameters(), o.Matcher, matcher.CompileQuery)
	default:
		return compileMoreActions(p, o)
	}
	return a, err
}

func compileMoreActions(p *routepb.RateLimit_Action, o Options) (RateLimitAction, error) {
	var a RateLimitAction
	var err error
	switch k := p.GetActionSpecifier().(type) {
	case *routepb.RateLimit_Action_DynamicMetadata:
		a.Kind, a.Key, a.Default = LimitMetadata, k.DynamicMetadata.GetDescriptorKey(), k.DynamicMetadata.GetDefaultValue()
		a.Metadata = compileMetadataKey(k.DynamicMetadata.GetMetadataKey())
	case *routepb.RateLimit_Action_Metadata:
		a.Kind, a.Key, a.Default = LimitMetadata, k.Metadata.GetDescriptorKey(), k.Metadata.GetDefaultValue()
		a.Metadata, a.SkipIfAbsent = compileMetadataKey(k.Metadata.GetMetadataKey()), k.Metadata.GetSkipIfAbsent()
		a.OfRoute = k.Metadata.GetSource() == routepb.RateLimit_Action_MetaData_ROUTE_ENTRY
	case *routepb.RateLimit_Action_RemoteAddressMatch_:
		m := k.RemoteAddressMatch
		a.Kind, a.Key, a.Default = LimitAddressMatch, orDefault(m.GetDescriptorKey(), "remote_address_match"), m.GetDefaultValue()
		if a.Address, err = matcher.CompileAddress(m.GetAddressMatcher()); err != nil {
			return a, err
		}
		a.Format, err = formatter.CompileHeader(m.GetDescriptorValue(), o.Formatter)
	case *routepb.RateLimit_Action_Extension:
		a.Kind, a.Key = LimitInput, k.Extension.GetName()
		a.Input, err = matcher.HTTPInputs(k.Extension)
		if err == nil && a.Input == nil {
			err = fmt.Errorf("field RateLimit.Action.extension is not supported: %w", matcher.Unregistered(k.Extension))
		}
	default:
		err = errors.New(`RateLimit.Action: field: "action_specifier", reason: is required`)
	}
	return a, err
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
