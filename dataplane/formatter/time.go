package formatter

import (
	"errors"
	"strings"
	"time"
)

// moment is a point in time to format; the zero time if there is none.
type moment func(c *Context) time.Time

func startTime(c *Context) time.Time {
	if c.Info == nil {
		return time.Time{}
	}
	return c.Info.Start
}

func emitTime(*Context) time.Time { return time.Now() }

// zone is the time zone that an operator formats in, and its default format.
type zone struct {
	local  bool
	format string
}

var (
	utc   = zone{false, "%Y-%m-%dT%H:%M:%E3SZ"}
	local = zone{true, "%Y-%m-%dT%H:%M:%E3S%z"}
)

// timeOf compiles an operator like %START_TIME(%Y-%m-%d)%.
func timeOf(when moment, in zone) func(param string) (Operator, error) {
	return func(param string) (Operator, error) {
		if hasNewline(param) {
			return nil, errors.New("Invalid header configuration. Format string contains newline.")
		}
		if param == "" {
			param = in.format
		}
		format := compileTime(param)
		return func(dst []byte, c *Context) ([]byte, Kind) {
			t := when(c)
			switch {
			case t.IsZero():
				return dst, Missing
			case in.local:
				t = t.Local()
			default:
				t = t.UTC()
			}
			return format.append(dst, t), String
		}, nil
	}
}

// hasNewline finds what strftime would make a newline of.
func hasNewline(format string) bool {
	return strings.Contains(format, "%n") || strings.Contains(format, "%En") || strings.Contains(format, "%On")
}
