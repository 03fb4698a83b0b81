package matcher

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Regex is a compiled RegexMatcher. Like Envoy it works on bytes: RE2 runs with Latin-1 there, so that
// "." is any byte but a line feed and a pattern's é is the two bytes of its UTF-8.
type Regex struct {
	// source is the pattern as it was configured.
	source string
	// Patterns of the form literal, literal.* and literal.+ need no automaton: tail tells which, and
	// full is nil then.
	literal string
	tail    tail
	full    *regexp.Regexp
}

type tail uint8

const (
	tailNone tail = iota
	tailStar      // any bytes but line feeds
	tailPlus      // one or more of them
)

// CompileRegex compiles a RegexMatcher, which has to match the whole of a string.
func CompileRegex(p *matcherpb.RegexMatcher, o Options) (*Regex, error) {
	parsed, pattern, err := parseRegex(p, o)
	if err != nil {
		return nil, err
	}
	r := &Regex{source: p.GetRegex()}
	if r.simple(parsed) {
		return r, nil
	}
	if r.full, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil {
		return nil, regexError(err)
	}
	return r, nil
}

// String is the pattern.
func (r *Regex) String() string { return r.source }

// Match tells whether the whole of s matches.
func (r *Regex) Match(s string) bool {
	if r.full != nil {
		return r.full.MatchString(latin1(s))
	}
	if r.tail == tailNone {
		return s == r.literal
	}
	rest, ok := strings.CutPrefix(s, r.literal)
	return ok && (r.tail == tailStar || rest != "") && strings.IndexByte(rest, '\n') < 0
}

// simple recognises the patterns that need no automaton.
func (r *Regex) simple(p *syntax.Regexp) bool {
	parts := []*syntax.Regexp{p}
	if p.Op == syntax.OpConcat {
		parts = p.Sub
	}
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		parts = parts[:n-1]
	}
	if len(parts) > 0 && parts[0].Op == syntax.OpLiteral {
		if parts[0].Flags&syntax.FoldCase != 0 {
			return false
		}
		r.literal, parts = bytesOf(parts[0].Rune), parts[1:]
	}
	switch {
	case len(parts) == 0:
		return r.literal != ""
	case len(parts) > 1 || len(parts[0].Sub) != 1 || parts[0].Sub[0].Op != syntax.OpAnyCharNotNL:
		return false
	case parts[0].Op == syntax.OpStar:
		r.tail = tailStar
	case parts[0].Op == syntax.OpPlus:
		r.tail = tailPlus
	}
	return r.tail != tailNone
}

// parseRegex parses and checks a pattern; it returns it as Go writes it, too.
func parseRegex(p *matcherpb.RegexMatcher, o Options) (*syntax.Regexp, string, error) {
	if p.GetRegex() == "" {
		return nil, "", errors.New("RegexMatcher.regex: value length must be at least 1 characters")
	}
	pattern := latin1(p.GetRegex())
	if err := checkEscapes(pattern); err != nil {
		return nil, "", err
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, "", regexError(err)
	}
	size, limit := programSize(parsed), o.maxProgramSize()
	if m := p.GetGoogleRe2().GetMaxProgramSize(); m != nil {
		if limit = int(m.GetValue()); size > limit {
			return nil, "", fmt.Errorf("regex '%s' RE2 program size of %d > max program size of %d. "+
				"Increase configured max program size if necessary.", p.GetRegex(), size, limit)
		}
	} else if size > limit {
		return nil, "", fmt.Errorf("regex '%s' RE2 program size of %d > max program size of %d set for the error level threshold. "+
			"Increase configured max program size if necessary.", p.GetRegex(), size, limit)
	}
	return parsed, pattern, nil
}

// latin1 makes every byte of s one character. It returns s itself where that changes nothing.
func latin1(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			b := make([]rune, len(s))
			for i := range b {
				b[i] = rune(s[i])
			}
			return string(b)
		}
	}
	return s
}

// bytesOf takes latin1 back.
func bytesOf(rs []rune) string {
	b := make([]byte, len(rs))
	for i, r := range rs {
		b[i] = byte(r)
	}
	return string(b)
}

// checkEscapes refuses escapes of characters that are no bytes, as RE2 does in Latin-1.
func checkEscapes(pattern string) error {
	for i := 0; i+1 < len(pattern); i++ {
		if pattern[i] != '\\' {
			continue
		}
		if i++; pattern[i] != 'x' || i+1 >= len(pattern) || pattern[i+1] != '{' {
			continue
		}
		v := 0
		for j := i + 2; j < len(pattern); j++ {
			d := strings.IndexByte("0123456789abcdef", lower(pattern[j]))
			if d < 0 {
				break
			}
			if v = v*16 + d; v > 0xff {
				return errors.New("invalid escape sequence: " + pattern[i-1:j+1])
			}
		}
	}
	return nil
}

// regexError words an error of Go's parser as RE2 does.
func regexError(err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err
	}
	text := map[syntax.ErrorCode]string{
		syntax.ErrInvalidCharClass:      "invalid character class",
		syntax.ErrInvalidCharRange:      "invalid character class range",
		syntax.ErrInvalidEscape:         "invalid escape sequence",
		syntax.ErrInvalidNamedCapture:   "invalid named capture group",
		syntax.ErrInvalidPerlOp:         "invalid perl operator",
		syntax.ErrInvalidRepeatOp:       "bad repetition operator",
		syntax.ErrInvalidRepeatSize:     "invalid repetition size",
		syntax.ErrInvalidUTF8:           "invalid UTF-8",
		syntax.ErrMissingBracket:        "missing ]",
		syntax.ErrMissingParen:          "missing )",
		syntax.ErrMissingRepeatArgument: "no argument for repetition operator",
		syntax.ErrTrailingBackslash:     "trailing \\",
		syntax.ErrUnexpectedParen:       "unexpected )",
		syntax.ErrLarge:                 "pattern too large - compile failed",
		syntax.ErrNestingDepth:          "pattern too large - compile failed",
	}[e.Code]
	if text == "" {
		return err
	}
	if e.Expr != "" {
		text += ": " + e.Expr
	}
	return errors.New(text)
}
