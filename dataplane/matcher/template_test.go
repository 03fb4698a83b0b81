package matcher

import (
	"slices"
	"strings"
	"testing"
)

// What Envoy 1.40 matched of these paths.
func TestTemplateMatchesAsEnvoy(t *testing.T) {
	paths := []string{"/", "//", "/a", "/a/", "/a//", "/b", "/ab", "/a/b", "/b/a", "/x/b/a", "/.x", "/a.x", "/a/b.x", "/xy", "/xzy", "/b/c",
		"/b/q/c", "/b/q/r/c", "/q/b", "/a*", "/xa", "/x*", "/v1/users/2.json", "/v1/users/.json", "/v/users/2.json", "/q/w/e", "/a%20b", "/a|"}
	for _, c := range []struct{ template, want string }{
		{"/", "/"},
		{"/a/", "/a/"},
		{"/*", "/a /b /ab /.x /a.x /xy /xzy /a* /xa /x* /a%20b"},
		{"/**/a", "/b/a /x/b/a"},
		{"/*/a", "/b/a"},
		{"/a*", "/ /a"}, // a literal's * repeats what is before it
		{"/*a", "/xa"},
		{"/**.x", "/.x /a.x /a/b.x"},
		{"/x{a}y", "/xzy"},
		{"/{a=**}/b", "/a/b /q/b"},
		{"/{a=b/**/c}", "/b/q/c /b/q/r/c"},
		{"/**/", "// /a/ /a//"},
		{"/***", ""},
		{"/a**", ""},
		{"/v{version}/users/{id}.json", "/v1/users/2.json"},
		{"/a%20b", "/a%20b"},
		{"/{a}x", "/.x /a.x"},
		{"/x{a=**}", "/x/b/a /xy /xzy /xa /x*"},
	} {
		tpl, err := CompileTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !tpl.Match(p) })
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.template, s, c.want)
		}
	}
}

func TestTemplateErrorsAreEnvoys(t *testing.T) {
	for template, want := range map[string]string{
		"a": `Invalid pattern: "a"`, "//": `Invalid literal: ""`, "/a//b": `Invalid literal: ""`, "/a b": `Invalid pattern: "/a b"`,
		"/{a}/{a}": `Repeated variable name: "a"`, "/x{a}y{b}": `Invalid suffix literal: "y{b}"`, "/{a}{b}": `Invalid suffix literal: "{b}"`,
		"/{}": `Invalid variable name: ""`, "/{1a}": `Invalid variable name: "1a"`, "/{a-b}": `Invalid variable name: "a-b"`, "/{_a}": `Invalid variable name: "_a"`,
		"/{a": `Unmatched variable bracket in mixed pattern: "{a"`, "/a}": `Invalid literal: "a}"`, "/{a=}": "Empty variable match",
		"/{a=/b}": `Invalid literal: ""`, "/{a={b}}": `Invalid suffix literal: "}"`, "/a?b": `Invalid literal: "a?b"`, "/a\"": `Invalid literal: "a""`,
		"/{a}/{b}/{c}/{d}/{e}/{f}": "Exceeded variable count limit (5)",
		"/{abcdefghijklmnopq}":     `Invalid variable name length (length of "abcdefghijklmnopq" should be at least 1 and no more than 16)`,
		"/{a=*x}":                  `Invalid variable match: "x"`, "/{a=**.m4s}": `Invalid variable match: ".m4s"`, "/x{a=b/*}": `Invalid literal: "x{a=b"`,
		"/{a}.{b}": `Invalid suffix literal: ".{b}"`, "/**/*": "Glob after text glob.", "/**{a}": `Invalid literal: "{a}"`,
		"/{a=**}/*": "Glob after text glob.", "/**/{a}": "Implicit variable path glob after text glob.", "/*{a}": `Invalid literal: "{a}"`,
		"/{a=**/*}": "Glob after text glob.", "/{{a}": `Invalid variable name: "{a"`, "/x{a": `Invalid literal: "x{a"`, "/x}{a}": `Invalid prefix literal: "x}"`,
		"/{a=b/c}d{e}": `Invalid suffix literal: "d{e}"`, "/{a=b/c": `Unmatched variable bracket in mixed pattern: "{a=b/c"`,
	} {
		want = "path_match_policy.path_template " + template + " is invalid: " + want
		if _, err := CompileTemplate(template); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", template, err, want)
		}
	}
	for _, template := range []string{"/", "/a/", "/a*", "/*a", "/**.x", "/{a}x", "/{a=b/*}", "/{a=b/**/c}", "/{a_b}", "/~", "/a;b=c", "/a$b", "/*.*", "/*/**", "/{a=x*}", "/a{b}*", "/{a=**/b}"} {
		if _, err := CompileTemplate(template); err != nil {
			t.Error(err)
		}
	}
}

// What Envoy 1.40 rewrote.
func TestTemplateRewrite(t *testing.T) {
	for _, c := range []struct{ match, rewrite, in, out string }{
		{"/u/{id}/{rest=**}", "/{rest}/of/{id}", "/u/42/a/b", "/a/b/of/42"},
		{"/u/{id}/{rest=**}", "/{rest}/of/{id}", "/u/42/", "//of/42"},
		{"/v/{a=b/*}/{c}", "/{c}{a}", "/v/b/q/c", "/cb/q"},
		{"/w/{a}.json", "/x/{a}", "/w/a.b.json", "/x/a.b"},
		{"/y/{a=**}", "/{a}", "/y//", "//"},
		{"/z/{a=**}.x", "/q{a}/", "/z/.x", "/q/"},
		{"/lit/*", "/fixed*", "/lit/q", "/fixed*"},
	} {
		m, err := CompileTemplate(c.match)
		if err != nil {
			t.Fatal(err)
		}
		r, err := CompileTemplateRewrite(c.rewrite, m)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Append(nil, c.in); !ok || string(got) != c.out {
			t.Errorf("%s → %s of %s: %s, want %s", c.match, c.rewrite, c.in, got, c.out)
		}
	}
	m, _ := CompileTemplate("/{a}")
	for _, rewrite := range []string{"{a}", "//", "/a?b", "/{", "/}", "/{}", "/é", "/{a=*}", "/{a}//", "/{a}/?x", "/{1}"} {
		if _, err := CompileTemplateRewrite(rewrite, m); err == nil || err.Error() != "path_rewrite_policy.path_template_rewrite "+rewrite+" is invalid" {
			t.Errorf("%s: %v", rewrite, err)
		}
	}
	if _, err := CompileTemplateRewrite("/{b}", m); err == nil || err.Error() != "mismatch between variables in path_match_policy /{a} and path_rewrite_policy /{b}" {
		t.Error(err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/v{a=x/*}/{b}.json", "/{b}/{a}", "/vx/1/2.json")
	f.Fuzz(func(t *testing.T, match, rewrite, path string) {
		m, err := CompileTemplate(match)
		if err != nil {
			return
		}
		matched := m.Match(path)
		if r, err := CompileTemplateRewrite(rewrite, m); err == nil {
			if _, ok := r.Append(nil, path); ok != matched {
				t.Errorf("match %v, rewrite %v", matched, ok)
			}
		}
	})
}
