package formatter

import (
	"strconv"
	"time"
)

func (f timeFormat) append(dst []byte, t time.Time) []byte {
	for i := range f {
		if f[i].verb == verbNone {
			dst = append(dst, f[i].literal...)
		} else {
			dst = f[i].append(dst, t)
		}
	}
	return dst
}

func (p *timePart) append(dst []byte, t time.Time) []byte {
	switch p.verb {
	case verbFraction:
		return appendFraction(dst, t.Nanosecond(), p.digits, true)
	case verbSeconds:
		dst = appendPadded(dst, t.Second(), 2, '0')
		if p.digits == 0 || p.digits < 0 && t.Nanosecond() == 0 {
			return dst
		}
		return appendFraction(append(dst, '.'), t.Nanosecond(), p.digits, false)
	case verbZone:
		return appendZone(dst, t, 1)
	case verbZoneLong:
		return appendZone(dst, t, 2)
	case 's':
		return strconv.AppendInt(dst, t.Unix(), 10)
	case 'z':
		return appendZone(dst, t, 0)
	case 'Z':
		name, _ := t.Zone()
		return append(dst, name...)
	case 'a', 'A', 'b', 'B', 'p', 'P':
		return append(dst, timeName(p.verb, t)...)
	}
	n, width, pad := timeNumber(p.verb, t)
	switch p.pad {
	case '-':
		width = 0
	case '_':
		pad = ' '
	case '0':
		pad = '0'
	case '4':
		width = 4
	}
	return appendPadded(dst, n, width, pad)
}

func timeName(verb timeVerb, t time.Time) string {
	switch verb {
	case 'a':
		return t.Weekday().String()[:3]
	case 'A':
		return t.Weekday().String()
	case 'b':
		return t.Month().String()[:3]
	case 'B':
		return t.Month().String()
	}
	const upper, lower = "AMPM", "ampm"
	at := t.Hour() / 12 * 2
	if verb == 'p' {
		return upper[at : at+2]
	}
	return lower[at : at+2]
}

// timeNumber is the value of a numeric conversion, its width and what it is padded with.
func timeNumber(verb timeVerb, t time.Time) (n, width int, pad byte) {
	switch verb {
	case 'C':
		return t.Year() / 100, 2, '0'
	case 'd':
		return t.Day(), 2, '0'
	case 'e':
		return t.Day(), 2, ' '
	case 'H':
		return t.Hour(), 2, '0'
	case 'I':
		return (t.Hour()+11)%12 + 1, 2, '0'
	case 'j':
		return t.YearDay(), 3, '0'
	case 'k':
		return t.Hour(), 2, ' '
	case 'l':
		return (t.Hour()+11)%12 + 1, 2, ' '
	case 'm':
		return int(t.Month()), 2, '0'
	case 'M':
		return t.Minute(), 2, '0'
	case 'S':
		return t.Second(), 2, '0'
	case 'y':
		return t.Year() % 100, 2, '0'
	case 'Y':
		return t.Year(), 0, '0'
	}
	return weekNumber(verb, t)
}

func weekNumber(verb timeVerb, t time.Time) (n, width int, pad byte) {
	day := int(t.Weekday())
	year, week := t.ISOWeek()
	switch verb {
	case 'u':
		return (day+6)%7 + 1, 1, '0'
	case 'w':
		return day, 1, '0'
	case 'U':
		return (t.YearDay() + 6 - day) / 7, 2, '0'
	case 'W':
		return (t.YearDay() + 6 - (day+6)%7) / 7, 2, '0'
	case 'V':
		return week, 2, '0'
	case 'g':
		return year % 100, 2, '0'
	}
	return year, 0, '0' // 'G'
}

func appendPadded(dst []byte, n, width int, pad byte) []byte {
	for limit := pow10(width - 1); limit > n && limit > 1; limit /= 10 {
		dst = append(dst, pad)
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// appendFraction appends the first digits of a fraction of nanoseconds; -1 are as many as it has, and
// one at least if there is to be one.
func appendFraction(dst []byte, nanos, digits int, one bool) []byte {
	mark := len(dst)
	for place := 100_000_000; place > 0; place /= 10 {
		dst = append(dst, byte('0'+nanos/place%10))
	}
	if digits < 0 {
		for len(dst) > mark && dst[len(dst)-1] == '0' && !(one && len(dst) == mark+1) {
			dst = dst[:len(dst)-1]
		}
		return dst
	}
	for len(dst)-mark < digits {
		dst = append(dst, '0')
	}
	return dst[:mark+digits]
}

// appendZone appends the offset from UTC: +0100, +01:00 or +01:00:00.
func appendZone(dst []byte, t time.Time, colons int) []byte {
	_, offset := t.Zone()
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = appendPadded(append(dst, sign), offset/3600, 2, '0')
	if colons > 0 {
		dst = append(dst, ':')
	}
	dst = appendPadded(dst, offset/60%60, 2, '0')
	if colons > 1 {
		dst = appendPadded(append(dst, ':'), offset%60, 2, '0')
	}
	return dst
}
