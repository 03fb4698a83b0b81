package formatter

import "strconv"

// Kind is what an Operator has appended.
type Kind uint8

// The kinds.
const (
	// Missing is no value, and nothing appended: "-" in text, null in JSON.
	Missing Kind = iota
	// String is plain text, which JSON quotes.
	String
	// Number is a number as JSON writes it.
	Number
	// JSON is a JSON value other than a string or a number; text prints it as it is.
	JSON
	// Blank is nothing in text but null in JSON: the port of an address that has none.
	Blank
)

// str is the value of an operator whose empty string means that there is none.
func str(dst []byte, s string) ([]byte, Kind) {
	if s == "" {
		return dst, Missing
	}
	return append(dst, s...), String
}

func number[T int | int64 | uint64 | uint16](dst []byte, n T) ([]byte, Kind) {
	return strconv.AppendInt(dst, int64(n), 10), Number
}

// underscored is str with white space replaced, so that the value stays one word of a log line.
func underscored(dst []byte, s string) ([]byte, Kind) {
	mark := len(dst)
	dst, kind := str(dst, s)
	for i := mark; i < len(dst); i++ {
		switch dst[i] {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			dst[i] = '_'
		}
	}
	return dst, kind
}

// joined is the value of an operator that lists: joined by commas, missing if there are none.
func joined(dst []byte, list []string) ([]byte, Kind) {
	if len(list) == 0 {
		return dst, Missing
	}
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, s...)
	}
	return dst, String
}

// constant is an operator whose value is known when the format is compiled.
func constant(s string) Operator {
	return func(dst []byte, _ *Context) ([]byte, Kind) { return append(dst, s...), String }
}
