package matcher

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Rewrite is a compiled RegexMatchAndSubstitute.
type Rewrite struct {
	pattern *regexp.Regexp
	// template is the substitution as Go writes it; never is set where it refers to a group that there
	// is not, which makes RE2 replace nothing.
	template string
	never    bool
}

// CompileRewrite compiles a RegexMatchAndSubstitute.
func CompileRewrite(p *matcherpb.RegexMatchAndSubstitute, o Options) (*Rewrite, error) {
	if p.GetPattern() == nil {
		return nil, errors.New("RegexMatchAndSubstitute.pattern: value is required")
	}
	_, pattern, err := parseRegex(p.GetPattern(), o)
	if err != nil {
		return nil, err
	}
	r := &Rewrite{}
	if r.pattern, err = regexp.Compile(pattern); err != nil {
		return nil, regexError(err)
	}
	r.setTemplate(latin1(p.GetSubstitution()))
	return r, nil
}

// setTemplate turns RE2's \1 into Go's ${1}. What follows an invalid escape is lost, as in Envoy.
func (r *Rewrite) setTemplate(s string) {
	var to strings.Builder
	valid := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			switch next := s[i]; {
			case next >= '0' && next <= '9':
				r.never = r.never || int(next-'0') > r.pattern.NumSubexp()
				c = 0
				if valid {
					to.WriteString("${" + strconv.Itoa(int(next-'0')) + "}")
				}
			case next == '\\':
			default:
				valid = false
			}
		} else if c == '\\' {
			valid = false
		}
		switch {
		case !valid || c == 0:
		case c == '$':
			to.WriteString("$$")
		default:
			to.WriteByte(c)
		}
	}
	r.template = to.String()
}

// Replace returns s with every match of the pattern replaced.
func (r *Rewrite) Replace(s string) string {
	if r.never {
		return s
	}
	subject := latin1(s)
	out := r.pattern.ReplaceAllString(subject, r.template)
	if len(subject) == len(s) && latin1(r.template) == r.template {
		return out
	}
	return bytesOf([]rune(out))
}
