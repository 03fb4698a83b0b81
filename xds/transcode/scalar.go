package transcode

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar transcodes one scalar with its tag; a zero only with force.
func (e *encoder) scalar(f *field, force bool) error {
	switch f.kind {
	case protoreflect.StringKind:
		s, err := e.str()
		if err == nil && (force || len(s) > 0) {
			e.out = protowire.AppendBytes(protowire.AppendVarint(e.out, f.tag), s)
		}
		return err
	case protoreflect.BytesKind:
		s, err := e.str()
		if err != nil {
			return err
		}
		return e.base64(f, s, force)
	case protoreflect.BoolKind:
		return e.boolValue(f, force)
	case protoreflect.EnumKind:
		return e.enumValue(f, force)
	}
	text, err := e.numberText()
	if err != nil {
		return err
	}
	return e.numeric(f, text, force)
}

// numberText is a number, in quotes or not.
func (e *encoder) numberText() ([]byte, error) {
	if c := e.peek(); c != '"' && c != '\'' {
		return e.number()
	}
	s, err := e.str()
	if err == nil && bytes.ContainsAny(s, " \t\r\n") {
		err = e.errorf("non-number characters in quoted number")
	}
	return s, err
}

// numeric transcodes a number's text as f's kind.
func (e *encoder) numeric(f *field, text []byte, force bool) error {
	var bits uint64
	var err error
	switch f.kind {
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return e.float(f, text, force)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		bits, err = e.unsigned(text, 32)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		bits, err = e.unsigned(text, 64)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		bits, err = e.signed(text, 64)
	default:
		bits, err = e.signed(text, 32)
	}
	if err != nil || bits == 0 && !force {
		return err
	}
	e.out = protowire.AppendVarint(e.out, f.tag)
	switch f.kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		e.out = protowire.AppendFixed32(e.out, uint32(bits))
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		e.out = protowire.AppendFixed64(e.out, bits)
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		e.out = protowire.AppendVarint(e.out, protowire.EncodeZigZag(int64(bits)))
	default:
		e.out = protowire.AppendVarint(e.out, bits)
	}
	return nil
}

func (e *encoder) unsigned(text []byte, size int) (uint64, error) {
	if n, err := strconv.ParseUint(string(text), 10, size); err == nil {
		return n, nil
	}
	v, err := e.integral(text)
	switch {
	case err != nil:
		return 0, err
	case v < 0 || v >= 1<<64:
		return 0, e.errorf("JSON number out of range for int")
	case size == 32 && v > math.MaxUint32:
		return 0, e.errorf("integer out of range")
	}
	return uint64(v), nil
}

func (e *encoder) signed(text []byte, size int) (uint64, error) {
	if n, err := strconv.ParseInt(string(text), 10, size); err == nil {
		return uint64(n), nil
	}
	v, err := e.integral(text)
	switch {
	case err != nil:
		return 0, err
	case v < -1<<63 || v >= 1<<63:
		return 0, e.errorf("JSON number out of range for int")
	case size == 32 && (v < math.MinInt32 || v > math.MaxInt32):
		return 0, e.errorf("integer out of range")
	}
	return uint64(int64(v)), nil
}

// integral is a number that may be written with a point or an exponent but has no fraction.
func (e *encoder) integral(text []byte) (float64, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || !numeral(text) {
		return 0, e.errorf("invalid number: '%s'", text)
	}
	if v != math.Trunc(v) {
		return 0, e.errorf("expected integer, but JSON number had fractional part")
	}
	return v, nil
}

// numeral tells whether text is written as JSON writes numbers: ParseFloat takes more.
func numeral(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c|0x20 != 'e' {
			return false
		}
	}
	return true
}

func (e *encoder) float(f *field, text []byte, force bool) error {
	var v float64
	switch string(text) {
	case "NaN":
		v = math.NaN()
	case "Infinity":
		v = math.Inf(1)
	case "-Infinity":
		v = math.Inf(-1)
	default:
		var err error
		if v, err = strconv.ParseFloat(string(text), 64); err != nil || !numeral(text) {
			return e.errorf("invalid number: '%s'", text)
		}
	}
	if v == 0 && !force {
		return nil
	}
	e.out = protowire.AppendVarint(e.out, f.tag)
	if f.kind == protoreflect.FloatKind {
		e.out = protowire.AppendFixed32(e.out, math.Float32bits(float32(v)))
	} else {
		e.out = protowire.AppendFixed64(e.out, math.Float64bits(v))
	}
	return nil
}

func (e *encoder) boolValue(f *field, force bool) error {
	c := e.peek()
	if c == '"' || c == '\'' {
		s, err := e.str()
		if err != nil {
			return err
		}
		return e.boolean(f, s, force)
	}
	from := e.pos
	w := e.word()
	if s := string(w); s != "true" && s != "false" {
		e.pos = from
		return e.errorf("expected 'true' or 'false'")
	}
	return e.boolean(f, w, force)
}

func (e *encoder) boolean(f *field, text []byte, force bool) error {
	v := bytes.EqualFold(text, []byte("true"))
	if !v && !bytes.EqualFold(text, []byte("false")) {
		return e.errorf("expected 'true' or 'false'")
	}
	if v || force {
		e.out = protowire.AppendVarint(protowire.AppendVarint(e.out, f.tag), protowire.EncodeBool(v))
	}
	return nil
}

// enumValue transcodes an enum's name, of any case, or its number.
func (e *encoder) enumValue(f *field, force bool) error {
	var n int32
	if c := e.peek(); c == '"' || c == '\'' {
		s, err := e.str()
		if err != nil {
			return err
		}
		var known bool
		if n, known = f.enum[string(s)]; !known {
			n, known = f.enum[string(bytes.ToUpper(s))]
		}
		if !known {
			v, err := strconv.ParseInt(string(s), 10, 32)
			if err != nil {
				return e.unknown("unknown enum value: '" + string(s) + "'")
			}
			n = int32(v)
		}
	} else {
		text, err := e.number()
		if err != nil {
			return err
		}
		v, err := e.signed(text, 32)
		if err != nil {
			return err
		}
		n = int32(v)
	}
	if n != 0 || force {
		e.out = protowire.AppendVarint(protowire.AppendVarint(e.out, f.tag), uint64(int64(n)))
	}
	return nil
}

// base64 transcodes bytes, of either alphabet, padded or not.
func (e *encoder) base64(f *field, s []byte, force bool) error {
	s = bytes.TrimRight(s, "=")
	enc := base64.RawStdEncoding
	if bytes.ContainsAny(s, "-_") {
		enc = base64.RawURLEncoding
	}
	b, err := enc.AppendDecode(nil, s)
	if err != nil {
		return e.errorf("corrupt base64")
	}
	if force || len(b) > 0 {
		e.out = protowire.AppendBytes(protowire.AppendVarint(e.out, f.tag), b)
	}
	return nil
}
