package matcher

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
	"google.golang.org/protobuf/types/known/wrapperspb"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// CIDRs is a set of address ranges.
type CIDRs struct {
	few  []netip.Prefix
	many *bart.Lite // instead of few
}

// fewCIDRs is up to where looking at one range after the other beats a trie.
const fewCIDRs = 8

// CIDRRange is a CidrRange, of Envoy's core.v3 or of xds.core.v3.
type CIDRRange interface {
	GetAddressPrefix() string
	GetPrefixLen() *wrapperspb.UInt32Value
}

// CompileCIDR compiles one CidrRange. Without prefix_len it is of length 0, as in Envoy.
func CompileCIDR(p CIDRRange) (netip.Prefix, error) {
	n := p.GetPrefixLen().GetValue()
	a, err := netip.ParseAddr(p.GetAddressPrefix())
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("invalid ip/mask combo '%s/%d' (format is <ip>/<# mask bits>)", p.GetAddressPrefix(), n)
	}
	return netip.PrefixFrom(a, min(int(n), a.BitLen())).Masked(), nil
}

// CompileCIDRs compiles a list of CidrRanges.
func CompileCIDRs[T CIDRRange](ps []T) (*CIDRs, error) {
	list := make([]netip.Prefix, len(ps))
	for i, p := range ps {
		var err error
		if list[i], err = CompileCIDR(p); err != nil {
			return nil, err
		}
	}
	return NewCIDRs(list), nil
}

// NewCIDRs makes a set of ranges.
func NewCIDRs(list []netip.Prefix) *CIDRs {
	if len(list) <= fewCIDRs {
		return &CIDRs{few: list}
	}
	c := &CIDRs{many: &bart.Lite{}}
	for _, p := range list {
		c.many.Insert(p)
	}
	return c
}

// Contains tells whether a is in one of the ranges. An IPv4 address mapped into IPv6 counts as IPv4.
func (c *CIDRs) Contains(a netip.Addr) bool { return c.contains(a.Unmap()) }

func (c *CIDRs) contains(a netip.Addr) bool {
	if c.many != nil {
		return c.many.Contains(a)
	}
	for _, p := range c.few {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Address is a compiled AddressMatcher.
type Address struct {
	ranges *CIDRs
	invert bool
}

// CompileAddress compiles an AddressMatcher.
func CompileAddress(p *matcherpb.AddressMatcher) (Address, error) {
	c, err := CompileCIDRs(p.GetRanges())
	return Address{ranges: c, invert: p.GetInvertMatch()}, err
}

// Match tells whether a matches.
func (m *Address) Match(a netip.Addr) bool { return m.ranges.Contains(a) != m.invert }
