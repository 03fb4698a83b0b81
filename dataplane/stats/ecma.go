package stats

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// The regular expressions of stats_tags are ECMAScript's in Envoy. Go's are a subset of them in all
// that keeps to the common ground: both take the leftmost match and prefer the first alternative. What
// is not common ground is translated if that changes nothing, and refused by name if not.

// lookaheadDot is how Envoy's own tag expressions were written, and so Istio's and those of others:
// after a word there must be a dot, then as little as possible up to a dot. Without look-ahead that is
// nothing, or a dot and as little as possible, up to a dot.
const (
	lookaheadDot      = `(?=\.).*?\.`
	withoutLookahead  = `(?:|\..*?)\.`
	groupsOfTagRegexp = 2
)

// compileECMA compiles the expression of a tag in stats_tags.
func compileECMA(tag, expr string) (*regexp.Regexp, error) {
	translated := strings.ReplaceAll(expr, lookaheadDot, withoutLookahead)
	if what := unsupported(translated); what != "" {
		return nil, fmt.Errorf("stats_tags: tag %s: regex '%s' is not supported: %s", tag, expr, what)
	}
	parsed, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("Invalid regex '%s': %s", expr, ecmaError(err)) //nolint:revive,staticcheck // Envoy's text
	}
	if captureRepeats(parsed, false) {
		return nil, fmt.Errorf("stats_tags: tag %s: regex '%s' is not supported: a repeated group", tag, expr)
	}
	return regexp.Compile(translated)
}

// unsupported names what in expr means something else to Go, or nothing.
func unsupported(expr string) string {
	class := false
	for i := 0; i < len(expr); i++ {
		rest := expr[i:]
		switch {
		case expr[i] == '\\':
			i++
			if what := unsupportedEscape(rest, class); what != "" {
				return what
			}
		case class && expr[i] == '[':
			if strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[=") {
				return "collating element"
			}
			if end := strings.Index(rest, ":]"); strings.HasPrefix(rest, "[:") && end > 0 {
				i += end + 1
			}
		case class:
			class = expr[i] != ']'
		case expr[i] == '[':
			class = true
			if after := strings.TrimPrefix(rest[1:], "^"); strings.HasPrefix(after, "]") {
				return "empty character class"
			}
		case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!"):
			return "look-ahead"
		case strings.HasPrefix(rest, "(?") && !strings.HasPrefix(rest, "(?:"):
			return "group option"
		}
	}
	return ""
}

// unsupportedEscape looks at a backslash and what follows it.
func unsupportedEscape(rest string, class bool) string {
	if len(rest) < 2 {
		return ""
	}
	switch c := rest[1]; {
	case '1' <= c && c <= '9':
		return "back reference"
	case strings.IndexByte("dDwWsSfnrtv", c) >= 0, c >= 0x80, !isWord(c), c == '_':
		return ""
	case (c == 'b' || c == 'B') && !class:
		return ""
	default:
		return "escape " + rest[:2]
	}
}

// captureRepeats finds a group that the tag needs inside a repetition: which of its rounds counts
// is not the same everywhere.
func captureRepeats(re *syntax.Regexp, repeated bool) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		repeated = true
	case syntax.OpCapture:
		if repeated && re.Cap <= groupsOfTagRegexp {
			return true
		}
	}
	for _, sub := range re.Sub {
		if captureRepeats(sub, repeated) {
			return true
		}
	}
	return false
}

// ecmaError says what is wrong with an expression in the words of Envoy's C++ library.
func ecmaError(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		switch e.Code {
		case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
			return "The expression contained mismatched ( and )."
		case syntax.ErrMissingBracket:
			return "The expression contained mismatched [ and ]."
		case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
			return "One of *?+{ was not preceded by a valid regular expression."
		}
	}
	return err.Error()
}

// re2Error says it in the words of RE2, for filters and stats_matcher.
func re2Error(err error) string {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	code := string(e.Code)
	switch e.Code {
	case syntax.ErrMissingParen:
		code = "missing )"
	case syntax.ErrMissingBracket:
		code = "missing ]"
	case syntax.ErrInvalidPerlOp:
		code = "invalid perl operator"
	case syntax.ErrMissingRepeatArgument:
		code = "no argument for repetition operator"
	case syntax.ErrInvalidRepeatOp:
		code = "bad repetition operator"
	case syntax.ErrInvalidRepeatSize:
		code = "invalid repetition size"
	case syntax.ErrInvalidNamedCapture:
		code = "invalid named capture group"
	case syntax.ErrTrailingBackslash:
		return `trailing \`
	case syntax.ErrInvalidUTF8:
		return "invalid UTF-8"
	}
	return code + ": " + e.Expr
}
