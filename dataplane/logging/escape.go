package logging

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

const hexDigits = "0123456789abcdef"

// appendJSON appends s as the inside of a JSON string.
func appendJSON[S string | []byte](dst []byte, s S) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			dst = utf8.AppendRune(dst, r) // U+FFFD for what is no UTF-8
			i += n
			continue
		}
		i++
	}
	return dst
}

// appendLines appends s on one line (%_).
func appendLines(dst []byte, s []byte) []byte {
	for _, c := range s {
		if c == '\n' {
			dst = append(dst, '\\', 'n')
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendC appends s with the escape sequences of C, as --log-format-escaped asks.
func appendC(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '"' || c == '\'' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// jsonFormat makes a pattern of json_format: the object as JSON, in whose strings the patterns are. The
// message must be escaped, so that what does not escape it is refused; the texts are Envoy's.
func jsonFormat(s *structpb.Struct) (string, error) {
	format := string(appendStruct(nil, s))
	for _, flag := range []string{"v", "_"} {
		if strings.Contains(format, "%"+flag) || compilePattern(format).has(flag[0]) {
			return "", errors.New("setJsonLogFormat error: INVALID_ARGUMENT: Usage of %" + flag + " is unavailable for JSON log formats")
		}
	}
	return format, nil
}

func appendStruct(dst []byte, s *structpb.Struct) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSON(append(dst, '"'), key), `":`...)
		dst = appendValue(dst, s.GetFields()[key])
	}
	return append(dst, '}')
}

func appendValue(dst []byte, v *structpb.Value) []byte {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return append(appendJSON(append(dst, '"'), k.StringValue), '"')
	case *structpb.Value_NumberValue:
		return strconv.AppendFloat(dst, k.NumberValue, 'g', -1, 64)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(dst, k.BoolValue)
	case *structpb.Value_StructValue:
		return appendStruct(dst, k.StructValue)
	case *structpb.Value_ListValue:
		dst = append(dst, '[')
		for i, e := range k.ListValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, e)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}
