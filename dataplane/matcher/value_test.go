package matcher

import (
	"net/netip"
	"strings"
	"testing"

	xdscorepb "github.com/cncf/xds/go/xds/core/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// The answers of Envoy 1.40, through RBAC after set_metadata.
func TestMetadataMatchersAreEnvoys(t *testing.T) {
	ns, err := structpb.NewStruct(map[string]any{"n": nil, "num": 1.5, "s": "abc", "t": true, "f": false, "l": []any{"a", 1, nil},
		"el": []any{}, "st": map[string]any{"x": "y"}, "es": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	md := streaminfo.Metadata{"ns": ns}
	str := func(p *matcherpb.StringMatcher) *matcherpb.ValueMatcher {
		return &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_StringMatch{StringMatch: p}}
	}
	double := func(p *matcherpb.DoubleMatcher) *matcherpb.ValueMatcher {
		return &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_DoubleMatch{DoubleMatch: p}}
	}
	within := func(from, to float64) *matcherpb.ValueMatcher {
		return double(&matcherpb.DoubleMatcher{MatchPattern: &matcherpb.DoubleMatcher_Range{Range: &typepb.DoubleRange{Start: from, End: to}}})
	}
	boolean := func(b bool) *matcherpb.ValueMatcher {
		return &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_BoolMatch{BoolMatch: b}}
	}
	present := func(b bool) *matcherpb.ValueMatcher {
		return &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_PresentMatch{PresentMatch: b}}
	}
	null := &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_NullMatch_{NullMatch: &matcherpb.ValueMatcher_NullMatch{}}}
	list := func(p *matcherpb.ValueMatcher) *matcherpb.ValueMatcher {
		return &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_ListMatch{ListMatch: &matcherpb.ListMatcher{MatchPattern: &matcherpb.ListMatcher_OneOf{OneOf: p}}}}
	}
	or := &matcherpb.ValueMatcher{MatchPattern: &matcherpb.ValueMatcher_OrMatch{OrMatch: &matcherpb.OrMatcher{
		ValueMatchers: []*matcherpb.ValueMatcher{boolean(true), str(exactPB("abc"))}}}}
	matchers := []*matcherpb.ValueMatcher{null, double(&matcherpb.DoubleMatcher{MatchPattern: &matcherpb.DoubleMatcher_Exact{Exact: 1.5}}),
		within(1, 1.5), within(1.5, 2), str(prefixPB("a")), boolean(true), boolean(false), present(true), present(false),
		list(str(exactPB("a"))), list(null), list(present(true)), or}
	for path, want := range map[string]string{
		"n": "Y......Y.....", "num": ".Y.Y...Y.....", "s": "....Y..Y....Y", "t": ".....Y.Y....Y", "f": "......YY.....",
		"l": ".......Y.YYY.", "el": ".......Y.....", "st": ".......Y.....", "es": ".......Y.....", "missing": ".............",
		"st.x": ".......Y.....", "s.x": ".............",
	} {
		for _, invert := range []bool{false, true} {
			got := ""
			for _, v := range matchers {
				p := &matcherpb.MetadataMatcher{Filter: "ns", Value: v, Invert: invert}
				for key := range strings.SplitSeq(path, ".") {
					p.Path = append(p.Path, &matcherpb.MetadataMatcher_PathSegment{Segment: &matcherpb.MetadataMatcher_PathSegment_Key{Key: key}})
				}
				m, err := CompileMetadata(p, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if m.Match(md) != invert {
					got += "Y"
				} else {
					got += "."
				}
			}
			if got != want {
				t.Errorf("%s invert %v: %s, want %s", path, invert, got, want)
			}
		}
	}
}

type filterStateAddr struct{ a netip.Addr }

func (s filterStateAddr) FilterStateAddr() netip.Addr { return s.a }

func TestFilterStateMatcher(t *testing.T) {
	i := streaminfo.Info{Conn: &streaminfo.Connection{}}
	i.FilterState.Set(streaminfo.StateObject{Name: "text", Value: streaminfo.Text("abc")})
	i.Conn.FilterState.Set(streaminfo.StateObject{Name: "addr", Value: filterStateAddr{netip.MustParseAddr("10.0.0.1")}})
	text, err := CompileFilterState(&matcherpb.FilterStateMatcher{Key: "text", Matcher: &matcherpb.FilterStateMatcher_StringMatch{StringMatch: prefixPB("a")}}, Options{})
	if err != nil || !text.Match(&i) || text.MatchConn(i.Conn) {
		t.Error("text", err)
	}
	ten := &matcherpb.AddressMatcher{Ranges: []*xdscorepb.CidrRange{{AddressPrefix: "10.0.0.0", PrefixLen: uint32PB(8)}}}
	addr, err := CompileFilterState(&matcherpb.FilterStateMatcher{Key: "addr", Matcher: &matcherpb.FilterStateMatcher_AddressMatch{AddressMatch: ten}}, Options{})
	if err != nil || !addr.Match(&i) || !addr.MatchConn(i.Conn) {
		t.Error("address", err)
	}
	missing, err := CompileFilterState(&matcherpb.FilterStateMatcher{Key: "none", Matcher: &matcherpb.FilterStateMatcher_StringMatch{StringMatch: exactPB("")}}, Options{})
	if err != nil || missing.Match(&i) {
		t.Error("a missing object does not match", err)
	}
	ten.Ranges[0].AddressPrefix = "x"
	_, err = CompileAddress(ten)
	if err == nil || err.Error() != "invalid ip/mask combo 'x/8' (format is <ip>/<# mask bits>)" {
		t.Error(err)
	}
}

func TestCIDRs(t *testing.T) {
	for _, more := range []int{0, 20} { // linear and trie
		list := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
		for i := range more {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24))
		}
		c := NewCIDRs(list)
		for a, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.0": false, "2001:db8::1": true, "2001:db9::": false} {
			if c.Contains(netip.MustParseAddr(a)) != want {
				t.Errorf("%d more: %s", more, a)
			}
		}
	}
	p, err := CompileCIDR(&xdscorepb.CidrRange{AddressPrefix: "3.3.3.3", PrefixLen: uint32PB(40)})
	if err != nil || p != netip.MustParsePrefix("3.3.3.3/32") {
		t.Error("a length beyond the address's is the address's", p, err)
	}
	if p, _ := CompileCIDR(&xdscorepb.CidrRange{AddressPrefix: "2.2.2.2"}); p != netip.MustParsePrefix("0.0.0.0/0") {
		t.Error("no length is 0", p)
	}
}

func TestPathMatcherIgnoresQueryAndFragment(t *testing.T) {
	m, err := CompilePath(&matcherpb.PathMatcher{Rule: &matcherpb.PathMatcher_Path{Path: exactPB("/data")}}, Options{})
	if err != nil || !m.Match("/data#fragment?param=value") || !m.Match("/data?x#y") || m.Match("/data2") {
		t.Error(err)
	}
}
