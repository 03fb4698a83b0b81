package matcher

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The characters that * and ** take, and what may stand in a literal.
const (
	globChars    = `[a-zA-Z0-9\-._~%!$&'()*+,;=:@]`
	literalChars = "-._~%!$&'()*+,;=:@"
)

const (
	maxTemplate     = 256
	maxVariables    = 5
	maxVariableName = 16
)

// Template is a compiled path template (envoy.path.match.uri_template).
type Template struct {
	source    string
	variables []string
	pattern   *regexp.Regexp // nil: matches nothing
}

// CompileTemplate compiles a path template; errors are worded as Envoy's.
func CompileTemplate(source string) (*Template, error) {
	if source == "" || len(source) > maxTemplate {
		return nil, errors.New("UriTemplateMatchConfig.path_template: value must have between 1 and 256 characters inclusive")
	}
	p := templateParser{}
	if err := p.path(source); err != nil {
		return nil, fmt.Errorf("path_match_policy.path_template %s is invalid: %w", source, err)
	}
	t := &Template{source: source, variables: p.variables}
	// A literal's * repeats the character before it, as in Envoy, which may be no regular expression.
	if re, err := regexp.Compile(`\A` + p.regex.String() + `\z`); err == nil {
		t.pattern = re
	}
	return t, nil
}

// Match tells whether path, which has no query, matches.
func (t *Template) Match(path string) bool { return t.pattern != nil && t.pattern.MatchString(path) }

// String is the template as it was configured.
func (t *Template) String() string { return t.source }

type templateParser struct {
	variables []string
	textGlob  bool // a ** was seen
	regex     strings.Builder
}

func (p *templateParser) path(rest string) error {
	for i := range len(rest) {
		if rest[0] != '/' || rest[i] <= ' ' || rest[i] > '~' {
			return fmt.Errorf("Invalid pattern: \"%s\"", rest)
		}
	}
	if rest == "/" {
		p.regex.WriteString("/")
		return nil
	}
	for rest != "" {
		rest = rest[1:]
		p.regex.WriteByte('/')
		if rest == "" {
			return nil // a slash at the end
		}
		n, err := p.segment(rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// segment takes what is up to the next slash outside of braces, and returns its length.
func (p *templateParser) segment(rest string) (int, error) {
	end := segmentEnd(rest)
	if rest[0] == '*' {
		op := globAt(rest)
		if err := p.glob(op, "Glob after text glob."); err != nil || len(op) == end {
			return end, err
		}
		return end, p.literal(rest[len(op):end], "literal")
	}
	open := strings.IndexByte(rest[:end], '{')
	if open > 0 && strings.IndexByte(rest[open:end], '}') < 0 || open < 0 {
		return end, p.literal(rest[:end], "literal")
	}
	if open > 0 {
		if err := p.literal(rest[:open], "prefix literal"); err != nil {
			return 0, err
		}
	}
	size := strings.IndexByte(rest[open:], '}')
	if size < 0 {
		return 0, fmt.Errorf("Unmatched variable bracket in mixed pattern: \"%s\"", rest)
	}
	variable, rest := rest[open+1:open+size], rest[open+size+1:]
	suffix := rest[:segmentEnd(rest)]
	if !isLiteral(suffix) {
		return 0, fmt.Errorf("Invalid suffix literal: \"%s\"", suffix)
	}
	if err := p.variable(variable); err != nil {
		return 0, err
	}
	p.regex.WriteString(quoteLiteral(suffix))
	return open + size + 1 + len(suffix), nil
}

func segmentEnd(s string) int {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return i
	}
	return len(s)
}

func globAt(s string) string {
	if strings.HasPrefix(s, "**") {
		return s[:2]
	}
	return s[:1]
}

func (p *templateParser) glob(op, late string) error {
	if p.textGlob {
		return errors.New(late)
	}
	if op == "*" {
		p.regex.WriteString(globChars + "+")
		return nil
	}
	p.textGlob = true
	p.regex.WriteString(`[/` + globChars[1:] + "*")
	return nil
}

func (p *templateParser) literal(s, what string) error {
	if s == "" || !isLiteral(s) {
		return fmt.Errorf("Invalid %s: \"%s\"", what, s)
	}
	p.regex.WriteString(quoteLiteral(s))
	return nil
}

// variable takes name or name=pattern.
func (p *templateParser) variable(s string) error {
	name, pattern, has := strings.Cut(s, "=")
	switch {
	case !isVariable(name):
		return fmt.Errorf("Invalid variable name: \"%s\"", name)
	case len(name) > maxVariableName:
		return fmt.Errorf("Invalid variable name length (length of \"%s\" should be at least 1 and no more than %d)", name, maxVariableName)
	case has && pattern == "":
		return errors.New("Empty variable match")
	case slices.Contains(p.variables, name):
		return fmt.Errorf("Repeated variable name: \"%s\"", name)
	case len(p.variables) == maxVariables:
		return fmt.Errorf("Exceeded variable count limit (%d)", maxVariables)
	}
	p.variables = append(p.variables, name)
	p.regex.WriteString("(?P<" + name + ">")
	defer p.regex.WriteByte(')')
	if !has {
		return p.glob("*", "Implicit variable path glob after text glob.")
	}
	for i, part := range strings.Split(pattern, "/") {
		if i > 0 {
			p.regex.WriteByte('/')
		}
		if !strings.HasPrefix(part, "*") {
			if err := p.literal(part, "literal"); err != nil {
				return err
			}
			continue
		}
		op := globAt(part)
		if len(op) < len(part) {
			return fmt.Errorf("Invalid variable match: \"%s\"", part[len(op):])
		}
		if err := p.glob(op, "Glob after text glob."); err != nil {
			return err
		}
	}
	return nil
}

func isLiteral(s string) bool {
	for i := range len(s) {
		if c := s[i]; lower(c)-'a' >= 26 && c-'0' > 9 && strings.IndexByte(literalChars, c) < 0 {
			return false
		}
	}
	return true
}

func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if letter := lower(c)-'a' < 26; !letter && (i == 0 || c != '_' && c-'0' > 9) {
			return false
		}
	}
	return s != ""
}

// quoteLiteral escapes what Envoy escapes: not the *.
func quoteLiteral(s string) string {
	return strings.NewReplacer("$", `\$`, "(", `\(`, ")", `\)`, "+", `\+`, ".", `\.`).Replace(s)
}

// TemplateRewrite is a compiled path template rewrite (envoy.path.rewrite.uri_template).
type TemplateRewrite struct {
	pattern *regexp.Regexp
	parts   []templatePart
}

type templatePart struct {
	text  string
	group int // of the pattern; 0: text
}

// CompileTemplateRewrite compiles a rewrite of the paths that match takes.
func CompileTemplateRewrite(source string, match *Template) (*TemplateRewrite, error) {
	if source == "" || len(source) > maxTemplate {
		return nil, errors.New("UriTemplateRewriteConfig.path_template_rewrite: value must have between 1 and 256 characters inclusive")
	}
	invalid := fmt.Errorf("path_rewrite_policy.path_template_rewrite %s is invalid", source)
	if source[0] != '/' || strings.Contains(source, "//") {
		return nil, invalid
	}
	r := &TemplateRewrite{pattern: match.pattern}
	mismatch := false
	for rest := source; rest != ""; {
		text, after, braced := strings.Cut(rest, "{")
		for part := range strings.SplitSeq(text, "/") {
			if !isLiteral(part) {
				return nil, invalid
			}
		}
		if text != "" {
			r.parts = append(r.parts, templatePart{text: text})
		}
		if !braced {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed || !isVariable(name) {
			return nil, invalid
		}
		at := slices.Index(match.variables, name)
		mismatch = mismatch || at < 0
		r.parts = append(r.parts, templatePart{group: at + 1})
		rest = after
	}
	if mismatch {
		return nil, fmt.Errorf("mismatch between variables in path_match_policy %s and path_rewrite_policy %s", match.source, source)
	}
	return r, nil
}

// Append appends the new path for path, which has no query; ok is false where it does not match.
func (r *TemplateRewrite) Append(dst []byte, path string) (_ []byte, ok bool) {
	if r.pattern == nil {
		return dst, false
	}
	m := r.pattern.FindStringSubmatchIndex(path)
	if m == nil {
		return dst, false
	}
	for _, p := range r.parts {
		if p.group == 0 {
			dst = append(dst, p.text...)
		} else if from := m[2*p.group]; from >= 0 {
			dst = append(dst, path[from:m[2*p.group+1]]...)
		}
	}
	return dst, true
}
