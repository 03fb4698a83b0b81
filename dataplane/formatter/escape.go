package formatter

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// quote makes a JSON string of what was appended after mark.
func quote(dst []byte, mark int) []byte {
	dst = append(dst, 0)
	copy(dst[mark+1:], dst[mark:])
	dst[mark] = '"'
	return append(escapeTail(dst, mark+1), '"')
}

// escapeTail escapes what was appended after mark for the inside of a JSON string. It does nothing,
// most of the time.
func escapeTail(dst []byte, mark int) []byte {
	ascii := true
	for _, b := range dst[mark:] {
		if b < ' ' || b == '"' || b == '\\' {
			return rewriteTail(dst, mark)
		}
		ascii = ascii && b < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(dst[mark:]) {
		return rewriteTail(dst, mark)
	}
	return dst
}

// rewriteTail appends the escaped form, then moves it to where the plain form was.
func rewriteTail(dst []byte, mark int) []byte {
	end := len(dst)
	dst = appendEscaped(dst, dst[mark:end])
	n := copy(dst[mark:], dst[end:])
	return dst[:mark+n]
}

// appendEscaped appends s for the inside of a JSON string. Text that is no UTF-8 is taken for Latin-1
// and escaped byte by byte, quotes and control characters as numbers too, as Envoy does it.
func appendEscaped(dst, s []byte) []byte {
	valid := utf8.Valid(s)
	for _, b := range s {
		special := b < ' ' || b == '"' || b == '\\'
		switch {
		case !valid && (special || b >= utf8.RuneSelf):
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		case !special:
			dst = append(dst, b)
		default:
			dst = appendEscapedByte(dst, b)
		}
	}
	return dst
}

func appendEscapedByte(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}

func appendQuoted(dst []byte, s string) []byte {
	mark := len(dst)
	return quote(append(dst, s...), mark)
}

// appendDouble writes a number of a Struct as Envoy does (C++'s std::to_chars): the shorter of the
// plain and the scientific form, "100000" being "1e+05".
func appendDouble(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		// JSON has no such numbers.
		return append(dst, "null"...)
	}
	mark := len(dst)
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	scientific := len(dst) - mark
	plain := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	if len(dst)-plain > scientific {
		return dst[:plain]
	}
	if math.Abs(v) >= 1<<53 {
		// All digits of a whole number are written, not zeros after the significant ones.
		dst = strconv.AppendFloat(dst[:plain], v, 'f', 0, 64)
	}
	n := copy(dst[mark:], dst[plain:])
	return dst[:mark+n]
}
