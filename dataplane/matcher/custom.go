package matcher

import (
	"fmt"
	"net/netip"

	"github.com/cespare/xxhash/v2"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hashpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
	ippb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/ip/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/metadata/v3"
	fractionpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/runtime_fraction/v3"

	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Custom is a single predicate's custom_match.
type Custom interface {
	MatchInput(d Data, v InputValue) bool
}

// CustomFunc compiles a custom_match; it returns nil for one that it does not know.
type CustomFunc func(x Extension) (Custom, error)

// compileCustom knows the input matchers that need nothing but this package.
func compileCustom(x Extension, o Options) (Custom, error) {
	if p, ok, err := as[ippb.Ip](x); ok {
		if err != nil {
			return nil, err
		}
		ranges, err := compileIPRanges(p.GetCidrRanges())
		return ipCustom{NewCIDRs(ranges)}, err
	}
	if p, ok, err := as[hashpb.ConsistentHashing](x); ok {
		if err == nil && p.GetThreshold() > p.GetModulo() {
			err = fmt.Errorf("threshold cannot be greater than modulo: %d > %d", p.GetThreshold(), p.GetModulo())
		}
		return hashCustom{uint64(p.GetThreshold()), uint64(p.GetModulo()), p.GetSeed()}, err
	}
	if p, ok, err := as[fractionpb.RuntimeFraction](x); ok {
		return fractionCustom{runtime.CompileFraction(p.GetRuntimeFraction()), p.GetSeed()}, err
	}
	if p, ok, err := as[metadatapb.Metadata](x); ok {
		if err != nil {
			return nil, err
		}
		m, err := CompileValue(p.GetValue(), o)
		return metadataCustom{m, p.GetInvert()}, err
	}
	return nil, nil
}

type ipCustom struct{ ranges *CIDRs }

// MatchInput tells whether the address is in one of the ranges.
func (m ipCustom) MatchInput(_ Data, v InputValue) bool {
	a, ok := v.Addr()
	return ok && m.ranges.contains(a)
}

// compileIPRanges is for the matchers of IP inputs, which word their errors in another way.
func compileIPRanges[T CIDRRange](ps []T) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, len(ps))
	for i, p := range ps {
		a, err := netip.ParseAddr(p.GetAddressPrefix())
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("malformed IP address: %s", p.GetAddressPrefix())
		}
		if list[i], err = CompileCIDR(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

var _ CIDRRange = (*corepb.CidrRange)(nil)

type hashCustom struct{ threshold, modulo, seed uint64 }

// MatchInput tells whether the value's hash reaches the threshold.
func (m hashCustom) MatchInput(_ Data, v InputValue) bool {
	s, ok := v.Text()
	return ok && hashSeed(s, m.seed)%m.modulo >= m.threshold
}

func hashSeed(s string, seed uint64) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.WriteString(s)
	return d.Sum64()
}

type fractionCustom struct {
	fraction runtime.Fraction
	seed     uint64
}

// MatchInput takes the value's hash for the random number.
func (m fractionCustom) MatchInput(d Data, v InputValue) bool {
	s, ok := v.Text()
	return ok && m.fraction.Enabled(d.Runtime, hashSeed(s, m.seed))
}

type metadataCustom struct {
	value  Value
	invert bool
}

// MatchInput tells whether a metadata value matches.
func (m metadataCustom) MatchInput(_ Data, v InputValue) bool {
	return v.state == inputObject && m.value.Match(v.object) != m.invert
}
