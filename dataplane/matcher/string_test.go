package matcher

import (
	"testing"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

func exactPB(s string) *matcherpb.StringMatcher {
	return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: s}}
}

func prefixPB(s string) *matcherpb.StringMatcher {
	return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Prefix{Prefix: s}}
}

func suffixPB(s string) *matcherpb.StringMatcher {
	return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Suffix{Suffix: s}}
}

func containsPB(s string) *matcherpb.StringMatcher {
	return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Contains{Contains: s}}
}

func regexPB(s string) *matcherpb.StringMatcher {
	return &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_SafeRegex{SafeRegex: &matcherpb.RegexMatcher{Regex: s}}}
}

func ignoreCase(p *matcherpb.StringMatcher) *matcherpb.StringMatcher {
	p.IgnoreCase = true
	return p
}

func TestStringMatchers(t *testing.T) {
	for _, c := range []struct {
		p       *matcherpb.StringMatcher
		yes, no []string
	}{
		{exactPB("abc"), []string{"abc"}, []string{"", "ABC", "abcd"}},
		{exactPB(""), []string{""}, []string{"a"}},
		{prefixPB("abc"), []string{"abc", "abcd"}, []string{"ab", "xabc", "ABCd"}},
		{suffixPB("xyz"), []string{"xyz", "wxyz"}, []string{"yz", "xyzw"}},
		{containsPB("mid"), []string{"mid", "amidst"}, []string{"mi", "mId"}},
		{ignoreCase(exactPB("aBc")), []string{"abc", "ABC"}, []string{"abcd", "ab"}},
		{ignoreCase(prefixPB("aBc")), []string{"ABCd"}, []string{"ab"}},
		{ignoreCase(suffixPB("aBc")), []string{"dABC"}, []string{"bc", "abcd"}},
		{ignoreCase(containsPB("aBc")), []string{"ABC", "xAbCx"}, []string{"ab", "abxc", ""}},
		{ignoreCase(exactPB("é")), []string{"é"}, []string{"É"}}, // ASCII letters alone have a case
		{regexPB("[a-c]+[0-9]"), []string{"abc1"}, []string{"abc12", "xabc1"}},
		{regexPB("a|ab"), []string{"a", "ab"}, []string{"abc"}},
		{regexPB(".*"), []string{"", "x/y?z", "\xff"}, []string{"a\nb"}},
		{regexPB("/a/.+"), []string{"/a/b"}, []string{"/a/", "/b/a", "/a/\n"}},
		{regexPB("^/a$"), []string{"/a"}, []string{"/a/", "/"}},
		{regexPB("(?i)abc"), []string{"ABC"}, []string{"ABCD"}},
		{regexPB("x(?s:.*)"), []string{"x\n"}, []string{"y"}},
		{regexPB("a{0}"), []string{""}, []string{"a"}},
		{regexPB(".."), []string{"ab", "é"}, []string{"a", "aé"}}, // a character is a byte
		{regexPB("é+"), []string{"é", "é\xa9"}, []string{"éé"}},
	} {
		m, err := CompileString(c.p, Options{})
		if err != nil {
			t.Fatalf("%v: %v", c.p, err)
		}
		for _, s := range c.yes {
			if !m.Match(s) {
				t.Errorf("%v does not match %q", c.p, s)
			}
		}
		for _, s := range c.no {
			if m.Match(s) {
				t.Errorf("%v matches %q", c.p, s)
			}
		}
	}
}

func TestStringErrorsAreEnvoys(t *testing.T) {
	const limit = " Increase configured max program size if necessary."
	for _, c := range []struct {
		p    *matcherpb.StringMatcher
		want string
	}{
		{regexPB("a("), "missing ): a("},
		{regexPB("a)"), "unexpected ): a)"},
		{regexPB("[a"), "missing ]: [a"},
		{regexPB("(?=a)"), "invalid perl operator: (?="},
		{regexPB("a**"), "bad repetition operator: **"},
		{regexPB(`\x{100}`), `invalid escape sequence: \x{100`},
		{regexPB("[a-z]{200}"), "regex '[a-z]{200}' RE2 program size of 204 > max program size of 100 set for the error level threshold." + limit},
		{ignoreCase(regexPB("a")), "ignore_case has no effect for safe_regex."},
	} {
		if _, err := CompileString(c.p, Options{}); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.p, err, c.want)
		}
	}
	old := regexPB("[a-z]{20}")
	old.GetSafeRegex().EngineType = &matcherpb.RegexMatcher_GoogleRe2{GoogleRe2: &matcherpb.RegexMatcher_GoogleRE2{MaxProgramSize: uint32PB(10)}}
	want := "regex '[a-z]{20}' RE2 program size of 24 > max program size of 10." + limit
	if _, err := CompileString(old, Options{}); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := CompileString(regexPB("[a-z]{200}"), Options{MaxProgramSize: 204}); err != nil {
		t.Error("the runtime's limit counts:", err)
	}
}

// What Envoy 1.40 answered.
func TestRewriteReplacesAllMatches(t *testing.T) {
	for _, c := range []struct{ pattern, substitution, in, out string }{
		{"a", "b", "/0/aabab", "/0/bbbbb"},
		{"a*", "x", "/2/aabab", "x/x2x/xbxbx"},
		{"a*", "x", "/2/xx", "x/x2x/xxxxx"},
		{"^/(.)", `/\1\1`, "/3/aabab", "/33/aabab"},
		{"b", `[\0]`, "/4/aabab", "/4/aa[b]a[b]"},
		{"(.)(.)", `\2\1`, "/5/aabab", "5/a/baba"},
		{"/x", `\\`, "/6/xx", `/6\x`},
		{"$", "!", "/7/", "/7/!"},
		{".*", "q", "/8/", "q"},
		{"/", "", "/9/xx", "9xx"},
		{"a", `\1`, "/0/aabab", "/0/aabab"}, // no such group: nothing is replaced
		{"a", `Z\xY`, "/2/aabab", "/2/ZZbZb"},
		{"a", `Z\`, "/3/aabab", "/3/ZZbZb"},
		{"(a)|b", `[\1]`, "/5/aabab", "/5/[a][a][][a][]"},
		{"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)", `\10`, "/6/abcdefghij", "/6/a0"},
		{"a", "$1&", "/7/aabab", "/7/$1&$1&b$1&b"},
		{"é", "e", "xéy", "xey"},
		{"\xa9", "x", "é", "\xc3x"},
		{"x", "é", "axb", "aéb"},
	} {
		r, err := CompileRewrite(&matcherpb.RegexMatchAndSubstitute{Pattern: &matcherpb.RegexMatcher{Regex: c.pattern}, Substitution: c.substitution}, Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.pattern, err)
		}
		if got := r.Replace(c.in); got != c.out {
			t.Errorf("%s → %s in %q: %q, want %q", c.pattern, c.substitution, c.in, got, c.out)
		}
	}
}

func FuzzStringMatch(f *testing.F) {
	f.Add("a(b|c)*", "abc", uint8(4))
	f.Add("A", "a", uint8(8))
	f.Fuzz(func(t *testing.T, pattern, s string, kind uint8) {
		p := [...]func(string) *matcherpb.StringMatcher{exactPB, prefixPB, suffixPB, containsPB, regexPB}[kind%5](pattern)
		p.IgnoreCase = kind >= 8
		m, err := CompileString(p, Options{})
		if err != nil {
			return
		}
		m.Match(s)
		_ = m.String()
	})
}
