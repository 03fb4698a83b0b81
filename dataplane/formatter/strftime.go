package formatter

// timeFormat is a compiled time format: strftime's conversions in the C locale, absl::FormatTime's, and
// Envoy's %f, %1f to %9f and %s.
type timeFormat []timePart

type timePart struct {
	literal string
	verb    timeVerb
	digits  int  // of fractions of a second; -1: as many as there are
	pad     byte // in the place of the conversion's own padding; 0: that
}

type timeVerb byte

// The verbs that are no strftime letter.
const (
	verbNone     timeVerb = 0
	verbFraction timeVerb = 1 // %3f: the digits
	verbSeconds  timeVerb = 2 // %E3S: the seconds with their fraction
	verbZone     timeVerb = 3 // %Ez: +01:00
	verbZoneLong timeVerb = 4 // %E*z: +01:00:00
)

// composite conversions stand for others.
var composite = map[byte]string{
	'c': "%a %b %e %H:%M:%S %Y", 'D': "%m/%d/%y", 'F': "%Y-%m-%d", 'r': "%I:%M:%S %p", 'R': "%H:%M", 'T': "%H:%M:%S",
	'x': "%m/%d/%y", 'X': "%H:%M:%S", 't': "\t", '%': "%%", 'h': "%b",
}

const (
	simpleVerbs = "aAbBCdeFgGHIjklmMpPsSuUVwWyYzZ"
	afterE      = "cCxXyY"
	afterO      = "deHImMSuUVwWy"
)

func compileTime(format string) timeFormat {
	var out timeFormat
	literal := func(s string) {
		if n := len(out); n > 0 && out[n-1].verb == verbNone {
			out[n-1].literal += s
		} else if s != "" {
			out = append(out, timePart{literal: s})
		}
	}
	for i := 0; i < len(format); {
		if format[i] != '%' {
			literal(format[i : i+1])
			i++
			continue
		}
		part, n := parseConversion(format[i:])
		switch {
		case n == 0:
			literal("%")
			i++
		case part.verb == '%':
			literal("%")
			i += n
		default:
			for _, p := range expand(part) {
				if p.verb == verbNone {
					literal(p.literal)
				} else {
					out = append(out, p)
				}
			}
			i += n
		}
	}
	return out
}

func expand(p timePart) timeFormat {
	if p.verb < ' ' {
		return timeFormat{p}
	}
	if s, ok := composite[byte(p.verb)]; ok {
		return compileTime(s)
	}
	return timeFormat{p}
}

// parseConversion reads the conversion at the start of s; 0 bytes are none, and the percent sign is text.
func parseConversion(s string) (p timePart, n int) {
	i := 1
	if len(s) > 2 && s[1] == '%' && (s[2] == 'f' || s[2] == 's' || len(s) > 3 && isDigit(s[2]) && s[3] == 'f') {
		// Envoy replaces its own conversions first, so that "%%f" is a percent sign and a fraction.
		return p, 0
	}
	if i < len(s) && (s[i] == '-' || s[i] == '_' || s[i] == '0') {
		p.pad = s[i]
		i++
	}
	if i >= len(s) {
		return p, 0
	}
	switch b := s[i]; {
	case b == 'f' && p.pad == 0:
		return timePart{verb: verbFraction, digits: 9}, i + 1
	case b >= '1' && b <= '9' && i+1 < len(s) && (s[i+1] == 'f' || s[i+1] == 's'):
		if s[i+1] == 's' {
			return timePart{verb: 's'}, i + 2
		}
		return timePart{verb: verbFraction, digits: int(b - '0')}, i + 2
	case b == ':':
		return parseColons(s, i)
	case b == 'E':
		return parseE(s, i+1)
	case b == 'O' && i+1 < len(s) && has(afterO, s[i+1]):
		i++
	}
	if _, ok := composite[s[i]]; !ok && !has(simpleVerbs, s[i]) {
		return p, 0
	}
	p.verb = timeVerb(s[i])
	return p, i + 1
}

// parseColons reads %:z, %::z and %:::z.
func parseColons(s string, i int) (timePart, int) {
	n := 0
	for i < len(s) && s[i] == ':' {
		n++
		i++
	}
	switch {
	case i == len(s) || s[i] != 'z' || n > 3:
		return timePart{}, 0
	case n == 1:
		return timePart{verb: verbZone}, i + 1
	}
	return timePart{verb: verbZoneLong}, i + 1
}

// parseE reads what follows %E: absl's extensions, or strftime's letters for other calendars.
func parseE(s string, i int) (timePart, int) {
	if i == len(s) {
		return timePart{}, 0
	}
	if s[i] == '*' && i+1 < len(s) {
		switch s[i+1] {
		case 'S':
			return timePart{verb: verbSeconds, digits: -1}, i + 2
		case 'f':
			return timePart{verb: verbFraction, digits: -1}, i + 2
		case 'z':
			return timePart{verb: verbZoneLong}, i + 2
		}
	}
	switch {
	case s[i] == 'z':
		return timePart{verb: verbZone}, i + 1
	case s[i] == 'T':
		return timePart{literal: "T"}, i + 1
	case has(afterE, s[i]):
		return timePart{verb: timeVerb(s[i])}, i + 1
	case len(s) > i+1 && s[i:i+2] == "4Y":
		return timePart{verb: 'Y', pad: '4'}, i + 2
	}
	n := 0
	j := i
	for j < len(s) && isDigit(s[j]) && j < i+3 {
		n = n*10 + int(s[j]-'0')
		j++
	}
	if j == i || j == len(s) {
		return timePart{}, 0
	}
	switch s[j] {
	case 'S':
		return timePart{verb: verbSeconds, digits: n}, j + 1
	case 'f':
		return timePart{verb: verbFraction, digits: n}, j + 1
	}
	return timePart{}, 0
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func has(set string, b byte) bool {
	for i := range len(set) {
		if set[i] == b {
			return true
		}
	}
	return false
}
