package logging

import (
	"strconv"
	"time"
)

// timeFlag are the flags about the time, which is local.
func timeFlag(c byte) func(dst []byte, l *line) []byte {
	if layout := layoutOf(c); layout != "" {
		return func(dst []byte, l *line) []byte { return l.time.AppendFormat(dst, layout) }
	}
	if f := numberOf(c); f != nil {
		return func(dst []byte, l *line) []byte { return f(dst, l.time) }
	}
	if unit := unitOf(c); unit != 0 {
		return func(dst []byte, l *line) []byte { return strconv.AppendInt(dst, int64(l.elapsed/unit), 10) }
	}
	return nil
}

// layoutOf are the flags that the time package has a layout for.
func layoutOf(c byte) string {
	switch c {
	case 'a':
		return "Mon"
	case 'A':
		return "Monday"
	case 'b', 'h':
		return "Jan"
	case 'B':
		return "January"
	case 'c':
		return "Mon Jan 2 15:04:05 2006"
	case 'C':
		return "06"
	case 'Y':
		return "2006"
	case 'D', 'x':
		return "01/02/06"
	case 'm':
		return "01"
	case 'd':
		return "02"
	case 'H':
		return "15"
	case 'M':
		return "04"
	case 'S':
		return "05"
	case 'p':
		return "PM"
	case 'R':
		return "15:04"
	case 'T', 'X':
		return "15:04:05"
	case 'z':
		return "-07:00"
	}
	return ""
}

// numberOf are the flags that it has none for.
func numberOf(c byte) func(dst []byte, t time.Time) []byte {
	switch c {
	case 'e':
		return func(dst []byte, t time.Time) []byte { return appendPadded(dst, t.Nanosecond()/1e6, 3) }
	case 'f':
		return func(dst []byte, t time.Time) []byte { return appendPadded(dst, t.Nanosecond()/1e3, 6) }
	case 'F':
		return func(dst []byte, t time.Time) []byte { return appendPadded(dst, t.Nanosecond(), 9) }
	case 'E':
		return func(dst []byte, t time.Time) []byte { return strconv.AppendInt(dst, t.Unix(), 10) }
	case 'I':
		return func(dst []byte, t time.Time) []byte { return appendPadded(dst, hour12(t), 2) }
	case 'r':
		return func(dst []byte, t time.Time) []byte {
			return t.AppendFormat(appendPadded(dst, hour12(t), 2), ":04:05 PM")
		}
	}
	return nil
}

// hour12 is spdlog's hour of the 12-hour clock, where midnight is 0.
func hour12(t time.Time) int {
	if h := t.Hour(); h <= 12 {
		return h
	}
	return t.Hour() - 12
}

// unitOf is in what the time since the last line is counted.
func unitOf(c byte) time.Duration {
	switch c {
	case 'o':
		return time.Millisecond
	case 'i':
		return time.Microsecond
	case 'u':
		return time.Nanosecond
	case 'O':
		return time.Second
	}
	return 0
}
