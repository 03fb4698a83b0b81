package matcher

import (
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

func uint32PB(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }

// The answers of Envoy 1.40 to every kind of matcher with invert_match (i) and
// treat_missing_header_as_empty (m), for a header that is missing, repeated and so on.
func TestHeaderMatchersAreEnvoys(t *testing.T) {
	values := [][]string{nil, {"a"}, {"b"}, {"a", "b"}, {"b", "a"}, {"a", "a"}, {"b", "c"}, {"3"}, {"3", "9"}, {"9", "8"}, {"a,b"}, {""}}
	stringMatch := func(text string) *routepb.HeaderMatcher {
		return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_StringMatch{StringMatch: exactPB(text)}}
	}
	kinds := map[string]func() *routepb.HeaderMatcher{
		"exact":      func() *routepb.HeaderMatcher { return stringMatch("a") },
		"exactcomma": func() *routepb.HeaderMatcher { return stringMatch("a,b") },
		"empty":      func() *routepb.HeaderMatcher { return stringMatch("") },
		"oldexact": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_ExactMatch{ExactMatch: "a"}}
		},
		"emptyold": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_ExactMatch{}}
		},
		"prefix": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_PrefixMatch{PrefixMatch: "a"}}
		},
		"suffix": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_SuffixMatch{SuffixMatch: "a"}}
		},
		"contains": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_ContainsMatch{ContainsMatch: "a"}}
		},
		"regex": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_SafeRegexMatch{SafeRegexMatch: regexPB("a+").GetSafeRegex()}}
		},
		"range": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_RangeMatch{RangeMatch: &typepb.Int64Range{Start: 1, End: 5}}}
		},
		"present": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_PresentMatch{PresentMatch: true}}
		},
		"absent": func() *routepb.HeaderMatcher {
			return &routepb.HeaderMatcher{HeaderMatchSpecifier: &routepb.HeaderMatcher_PresentMatch{}}
		},
		"none": func() *routepb.HeaderMatcher { return &routepb.HeaderMatcher{} },
	}
	for _, c := range []struct{ kind, flags, want string }{
		{"exact", "", ".Y.YYY......"}, {"exact", "m", ".Y.YYY......"}, {"exact", "i", "..Y...YYYYYY"}, {"exact", "im", "Y.Y...YYYYYY"},
		{"oldexact", "", ".Y.YYY......"}, {"oldexact", "im", "Y.Y...YYYYYY"},
		{"prefix", "", ".Y.YYY....Y."}, {"prefix", "i", "..Y...YYYY.Y"},
		{"suffix", "", ".Y.YYY......"}, {"suffix", "i", "..Y...YYYYYY"},
		{"contains", "", ".Y.YYY....Y."}, {"contains", "im", "Y.Y...YYYY.Y"},
		{"regex", "", ".Y.YYY......"}, {"regex", "i", "..Y...YYYYYY"},
		{"range", "", ".......YY..."}, {"range", "i", ".YYYYYY..YYY"}, {"range", "im", "YYYYYYY..YYY"},
		{"present", "", ".YYYYYYYYYYY"}, {"present", "m", "YYYYYYYYYYYY"}, {"present", "i", "Y..........."}, {"present", "im", "............"},
		{"absent", "", "Y..........."}, {"absent", "m", "............"}, {"absent", "i", ".YYYYYYYYYYY"}, {"absent", "im", "YYYYYYYYYYYY"},
		{"none", "", ".YYYYYYYYYYY"}, {"none", "i", "Y..........."},
		{"exactcomma", "", "..........Y."}, {"exactcomma", "im", "YYYYYYYYYY.Y"},
		{"empty", "", "...........Y"}, {"empty", "m", "Y..........Y"}, {"empty", "i", ".YYYYYYYYYY."}, {"empty", "im", ".YYYYYYYYYY."},
		{"emptyold", "", ".YYYYYYYYYYY"}, {"emptyold", "m", "YYYYYYYYYYYY"}, {"emptyold", "i", "............"}, {"emptyold", "im", "............"},
	} {
		for _, name := range []string{"X-Own", "User-Agent"} { // unknown and well known
			p := kinds[c.kind]()
			p.Name = name
			for _, f := range c.flags {
				p.InvertMatch = p.InvertMatch || f == 'i'
				p.TreatMissingHeaderAsEmpty = p.TreatMissingHeaderAsEmpty || f == 'm'
			}
			m, err := CompileHeader(p, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, vs := range values {
				var h header.Map
				h.Add("other", "a")
				for _, v := range vs {
					h.Add(m.Name(), v)
				}
				if m.Match(&h) {
					got += "Y"
				} else {
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("%s %s %s: %s, want %s", name, c.kind, c.flags, got, c.want)
			}
		}
	}
}

func TestHeaderMatcherSeesPseudoHeaders(t *testing.T) {
	h := header.Map{Method: "PUT", Authority: "a", HasAuthority: true}
	for name, want := range map[string]bool{":method": true, "host": false, ":authority": false, ":path": false} {
		p := &routepb.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routepb.HeaderMatcher_ExactMatch{ExactMatch: "PUT"}}
		if m, err := CompileHeader(p, Options{}); err != nil || m.Match(&h) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The answers of Envoy 1.40.
func TestCookieMatching(t *testing.T) {
	matchers := []struct {
		p    *routepb.CookieMatcher
		name string
	}{
		{&routepb.CookieMatcher{Name: "sid", StringMatch: exactPB("a")}, "eq a"},
		{&routepb.CookieMatcher{Name: "sid", StringMatch: exactPB("")}, "eq empty"},
		{&routepb.CookieMatcher{Name: "sid", StringMatch: prefixPB("q")}, "pre q"},
		{&routepb.CookieMatcher{Name: "sid", StringMatch: containsPB(`"`)}, "has quote"},
		{&routepb.CookieMatcher{Name: "sid", StringMatch: prefixPB("z"), InvertMatch: true}, "not z"},
	}
	for _, c := range []struct {
		cookies []string
		want    string
	}{
		{[]string{"sid=a"}, "eq a"}, {[]string{"sid=b; sid=a"}, "not z"}, {[]string{"x=1; sid=a"}, "eq a"}, {[]string{"x=1;sid=a"}, "eq a"},
		{[]string{"sid=b", "sid=a"}, "not z"}, {[]string{"sid=a", "sid=b"}, "eq a"}, {[]string{"sid"}, "not z"}, {[]string{"sid="}, "eq empty"},
		{[]string{`sid="qq"`}, "pre q"}, {[]string{`sid="`}, "has quote"}, {[]string{`sid=""`}, "eq empty"}, {[]string{"sid = a"}, "not z"},
		{[]string{"SID=a"}, "not z"}, {[]string{"x=1, sid=a"}, "not z"}, {[]string{"sid=zz"}, "none"}, {nil, "not z"},
		{[]string{`sid="qq`}, "has quote"}, {[]string{"sid=a=b"}, "not z"}, {[]string{"sid=q=b"}, "pre q"}, {[]string{"\tsid=a"}, "eq a"},
	} {
		var h header.Map
		for _, v := range c.cookies {
			h.Add("cookie", v)
		}
		got := "none"
		for _, m := range matchers {
			if cm, err := CompileCookie(m.p, Options{}); err != nil {
				t.Fatal(err)
			} else if cm.Match(&h) {
				got = m.name
				break
			}
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.cookies, got, c.want)
		}
	}
}

// The answers of Envoy 1.40.
func TestQueryParam(t *testing.T) {
	for query, want := range map[string]string{
		"?a=1": "1", "?a=2&a=1": "2", "?b&a=1": "1", "?a": "", "?a=": "", "?a=x%20": "x%20", "?A=1": "-", "?&&a=1": "1", "?x?a=1": "-",
		"?a=1&": "1", "?=1": "-", "?a=1=2": "1=2", "?%61=1": "-", "??a=1": "-", "?x=1?a=1": "-", "?x;a=1": "-", "": "-", "?": "-",
	} {
		got, ok := QueryParam("/p"+query, "a")
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for present, want := range map[bool]string{true: "Y.", false: ".Y"} {
		m, err := CompileQuery(&routepb.QueryParameterMatcher{Name: "a", QueryParameterMatchSpecifier: &routepb.QueryParameterMatcher_PresentMatch{PresentMatch: present}}, Options{})
		got := ""
		for _, path := range []string{"/?a", "/?b"} {
			if m.Match(path) {
				got += "Y"
			} else {
				got += "."
			}
		}
		if err != nil || got != want {
			t.Errorf("present_match %v: %s %v", present, got, err)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	var h header.Map
	h.Path = "/x?b=1&a=2"
	h.Add("cookie", "x=1; sid=abc")
	h.Add("x-own", "Amidst1")
	h.Add("x-num", "12a")
	own := func(s *Options) Headers {
		ms, err := CompileHeaders([]*routepb.HeaderMatcher{
			{Name: "x-own", HeaderMatchSpecifier: &routepb.HeaderMatcher_StringMatch{StringMatch: ignoreCase(containsPB("MID"))}},
			{Name: "x-own", HeaderMatchSpecifier: &routepb.HeaderMatcher_StringMatch{StringMatch: regexPB("A[a-z]+[0-9]")}},
			{Name: "x-num", InvertMatch: true, HeaderMatchSpecifier: &routepb.HeaderMatcher_RangeMatch{RangeMatch: &typepb.Int64Range{End: 50}}},
			{Name: "user-agent", InvertMatch: true},
		}, *s)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}(&Options{})
	cookie, _ := CompileCookie(&routepb.CookieMatcher{Name: "sid", StringMatch: exactPB("abc")}, Options{})
	query, _ := CompileQuery(&routepb.QueryParameterMatcher{Name: "a", QueryParameterMatchSpecifier: &routepb.QueryParameterMatcher_StringMatch{StringMatch: exactPB("2")}}, Options{})
	ok := true
	if n := testing.AllocsPerRun(100, func() {
		ok = ok && own.Match(&h) && cookie.Match(&h) && query.Match(h.Path)
	}); n != 0 || !ok {
		t.Errorf("%v allocations, match %v", n, ok)
	}
}
