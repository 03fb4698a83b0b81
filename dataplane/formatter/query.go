package formatter

import (
	"fmt"
	"strings"
)

// query is the query of the request's path; false if there is no question mark.
func (c *Context) query() (string, bool) {
	if c.Request == nil {
		return "", false
	}
	_, query, ok := strings.Cut(c.Request.Path, "?")
	return query, ok
}

// compileQueryParam compiles %QUERY_PARAM(name)%: the decoded value of the first parameter whose
// decoded name this is.
func compileQueryParam(name string) (Operator, error) {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		rest, _ := c.query()
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, "&")
			key, value, _ := strings.Cut(pair, "=")
			if decodesTo(key, name) {
				return appendDecoded(dst, value), String
			}
		}
		return dst, Missing
	}, nil
}

// compileQueryParams compiles %QUERY_PARAMS(ORIG|DECODED)%: the whole query.
func compileQueryParams(param string) (Operator, error) {
	switch param {
	case "", "ORIG":
		return func(dst []byte, c *Context) ([]byte, Kind) {
			query, ok := c.query()
			if !ok {
				return dst, Missing
			}
			return append(dst, query...), String
		}, nil
	case "DECODED":
		return func(dst []byte, c *Context) ([]byte, Kind) {
			query, ok := c.query()
			if !ok {
				return dst, Missing
			}
			return appendVisible(dst, query), String
		}, nil
	}
	return nil, fmt.Errorf("Invalid QUERY_PARAMS option: '%s', only 'ORIG'/'DECODED' are allowed", param)
}

// decodeAt decodes the byte of s at i and says where the next one is. What is no escape stays.
func decodeAt(s string, i int) (b byte, next int) {
	if s[i] == '%' && i+2 < len(s) {
		if high, low := unhex(s[i+1]), unhex(s[i+2]); high < 16 && low < 16 {
			return high<<4 | low, i + 3
		}
	}
	return s[i], i + 1
}

func appendDecoded(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		var b byte
		b, i = decodeAt(s, i)
		dst = append(dst, b)
	}
	return dst
}

func decodesTo(s, want string) bool {
	n := 0
	for i := 0; i < len(s); n++ {
		var b byte
		b, i = decodeAt(s, i)
		if n == len(want) || b != want[n] {
			return false
		}
	}
	return n == len(want)
}

// appendVisible decodes the escapes of printable ASCII other than the space, and drops the percent
// sign of what only looks like an escape: Envoy's decoding of a whole query.
func appendVisible(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			dst = append(dst, s[i])
			continue
		}
		high, low := unhex(s[i+1]), unhex(s[i+2])
		switch b := high<<4 | low; {
		case high > 15 || low > 15:
		case b > ' ' && b < 0x7f:
			dst = append(dst, b)
			i += 2
		default:
			dst = append(dst, s[i:i+3]...)
			i += 2
		}
	}
	return dst
}

// unhex is the value of a hexadecimal digit, or 255.
func unhex(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10
	}
	return 255
}
