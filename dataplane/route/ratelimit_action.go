package route

import (
	"net/netip"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// LimitKind is what a RateLimitAction makes its entry of.
type LimitKind uint8

// The kinds.
const (
	LimitSourceCluster LimitKind = iota
	LimitDestinationCluster
	LimitRequestHeader
	LimitQueryParameter
	LimitRemoteAddress
	LimitMaskedAddress
	LimitGenericKey
	LimitHeaderMatch
	LimitQueryMatch
	LimitAddressMatch
	LimitMetadata
	LimitInput
)

// RateLimitAction is a compiled RateLimit.Action.
type RateLimitAction struct {
	Kind LimitKind
	// Key is the entry's key. Value, or Format, is the value of those that match something; Default is
	// the value where there is none.
	Key, Value, Default string
	Format              formatter.Formatter
	// Name is of the header or the query parameter.
	Name                      string
	SkipIfAbsent, ExpectMatch bool
	V4Mask, V6Mask            int
	Headers                   matcher.Headers
	Queries                   []matcher.Query
	Address                   matcher.Address
	Metadata                  MetadataKey
	// OfRoute looks into the route's metadata instead of the dynamic metadata.
	OfRoute bool
	Input   matcher.Input
}

// entry makes the entry: without a key it is left out, and false gives the whole descriptor up.
func (a *RateLimitAction) entry(x *DescriptorContext) (DescriptorEntry, bool) {
	switch a.Kind {
	case LimitSourceCluster:
		return DescriptorEntry{a.Key, x.ServiceCluster}, true
	case LimitDestinationCluster:
		return DescriptorEntry{a.Key, x.Route.ClusterName(x.Request, x.Info)}, true
	case LimitRequestHeader:
		return a.maybe(x.Request.Get(a.Name))
	case LimitQueryParameter:
		return a.maybe(matcher.QueryParam(x.Request.Path, a.Name))
	case LimitRemoteAddress, LimitMaskedAddress:
		return a.address(x.Info.DownstreamRemote().Addr().Unmap())
	case LimitGenericKey:
		return DescriptorEntry{a.Key, a.Value}, true
	case LimitHeaderMatch:
		return DescriptorEntry{a.Key, a.Value}, a.Headers.Match(x.Request) == a.ExpectMatch
	case LimitQueryMatch:
		return DescriptorEntry{a.Key, a.Value}, a.queriesMatch(x.Request) == a.ExpectMatch
	case LimitAddressMatch:
		from := x.Info.DownstreamRemote().Addr()
		if !from.IsValid() || !a.Address.Match(from) {
			return DescriptorEntry{}, false
		}
		v := orDefault(string(a.Format.Append(nil, x.Request, nil, x.Info)), a.Default)
		return DescriptorEntry{a.Key, v}, v != ""
	case LimitMetadata:
		return a.metadata(x)
	default:
		v, ok := a.Input.Get(matcher.Data{Request: x.Request, Info: x.Info}).Text()
		return DescriptorEntry{a.Key, v}, ok
	}
}

func (a *RateLimitAction) maybe(v string, ok bool) (DescriptorEntry, bool) {
	if !ok {
		return DescriptorEntry{}, a.SkipIfAbsent
	}
	return DescriptorEntry{a.Key, v}, true
}

func (a *RateLimitAction) address(from netip.Addr) (DescriptorEntry, bool) {
	switch {
	case !from.IsValid():
		return DescriptorEntry{}, false
	case a.Kind == LimitRemoteAddress:
		return DescriptorEntry{a.Key, from.String()}, true
	}
	bits := a.V6Mask
	if from.Is4() {
		bits = a.V4Mask
	}
	p, err := from.Prefix(min(bits, from.BitLen()))
	return DescriptorEntry{a.Key, p.String()}, err == nil
}

func (a *RateLimitAction) queriesMatch(h *header.Map) bool {
	for i := range a.Queries {
		if !a.Queries[i].Match(h.Path) {
			return false
		}
	}
	return true
}

func (a *RateLimitAction) metadata(x *DescriptorContext) (DescriptorEntry, bool) {
	var md streaminfo.Metadata
	if !a.OfRoute {
		md = x.Info.Metadata
	} else if x.Route != nil {
		md = x.Route.Metadata()
	}
	v := orDefault(a.Metadata.Value(md).GetStringValue(), a.Default)
	return a.maybe(v, v != "")
}
