package admin

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// wellKnown is how a type with a JSON form of its own is printed; nil: it has none.
func wellKnown(name protoreflect.FullName) func(p *printer, m protoreflect.Message) {
	short, ok := strings.CutPrefix(string(name), "google.protobuf.")
	if !ok {
		return nil
	}
	switch short {
	case "Any":
		return (*printer).any
	case "Duration":
		return (*printer).duration
	case "Timestamp":
		return (*printer).timestamp
	case "FieldMask":
		return (*printer).fieldMask
	case "Struct":
		return func(p *printer, m protoreflect.Message) { p.object(structOf(m)) }
	case "Value":
		return func(p *printer, m protoreflect.Message) { p.structValue(valueOf(m)) }
	case "ListValue":
		return func(p *printer, m protoreflect.Message) { p.array(listOf(m)) }
	case "DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue":
		return func(p *printer, m protoreflect.Message) {
			fd := m.Descriptor().Fields().ByNumber(1)
			p.value(m.Get(fd), fd)
		}
	}
	return nil
}

func seconds(m protoreflect.Message) (s, nanos int64) {
	f := m.Descriptor().Fields()
	return m.Get(f.ByNumber(1)).Int(), m.Get(f.ByNumber(2)).Int()
}

// duration prints "10s", "0.250s", with 0, 3, 6 or 9 digits.
func (p *printer) duration(m protoreflect.Message) {
	s, nanos := seconds(m)
	p.b = append(p.b, '"')
	if s < 0 || nanos < 0 {
		p.b = append(p.b, '-')
		s, nanos = -s, -nanos
	}
	p.b = appendFraction(strconv.AppendInt(p.b, s, 10), nanos)
	p.b = append(p.b, 's', '"')
}

func (p *printer) timestamp(m protoreflect.Message) {
	s, nanos := seconds(m)
	p.b = time.Unix(s, 0).UTC().AppendFormat(append(p.b, '"'), "2006-01-02T15:04:05")
	p.b = append(appendFraction(p.b, nanos), 'Z', '"')
}

func appendFraction(b []byte, nanos int64) []byte {
	digits := 9
	switch {
	case nanos == 0:
		return b
	case nanos%1e6 == 0:
		nanos, digits = nanos/1e6, 3
	case nanos%1e3 == 0:
		nanos, digits = nanos/1e3, 6
	}
	s := strconv.FormatInt(nanos, 10)
	b = append(b, '.')
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}

// fieldMask prints the paths, in camel case, with commas between.
func (p *printer) fieldMask(m protoreflect.Message) {
	paths := m.Get(m.Descriptor().Fields().ByNumber(1)).List()
	all := make([]string, paths.Len())
	for i := range all {
		words := strings.Split(paths.Get(i).String(), "_")
		for j := 1; j < len(words); j++ {
			if words[j] != "" {
				words[j] = strings.ToUpper(words[j][:1]) + words[j][1:]
			}
		}
		all[i] = strings.Join(words, "")
	}
	p.text(strings.Join(all, ","))
}

func structOf(m protoreflect.Message) *structpb.Struct {
	s, _ := m.Interface().(*structpb.Struct)
	return s
}

func valueOf(m protoreflect.Message) *structpb.Value {
	v, _ := m.Interface().(*structpb.Value)
	return v
}

func listOf(m protoreflect.Message) *structpb.ListValue {
	l, _ := m.Interface().(*structpb.ListValue)
	return l
}

func (p *printer) object(s *structpb.Struct) {
	keys := slices.Sorted(maps.Keys(s.GetFields()))
	p.list('{', '}', len(keys), func(i int) {
		p.key(keys[i])
		p.structValue(s.GetFields()[keys[i]])
	})
}

func (p *printer) array(l *structpb.ListValue) {
	p.list('[', ']', len(l.GetValues()), func(i int) { p.structValue(l.GetValues()[i]) })
}

// structValue prints a Value.
func (p *printer) structValue(v *structpb.Value) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		p.text(p.redacted(k.StringValue))
	case *structpb.Value_NumberValue:
		p.b = appendFloat(p.b, k.NumberValue, 64)
	case *structpb.Value_BoolValue:
		p.b = strconv.AppendBool(p.b, k.BoolValue)
	case *structpb.Value_StructValue:
		p.object(k.StructValue)
	case *structpb.Value_ListValue:
		p.array(k.ListValue)
	default:
		p.b = append(p.b, "null"...)
	}
}

// appendFloat prints a number as C's %g does, with 15 digits (6 of a float), or as many as it takes to
// read it back.
func appendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	few, many := 15, 17
	if bits == 32 {
		few, many = 6, 9
	}
	from := len(b)
	b = strconv.AppendFloat(b, f, 'g', few, 64)
	back, err := strconv.ParseFloat(string(b[from:]), bits)
	if err == nil && (back == f || bits == 32 && float32(back) == float32(f)) {
		return b
	}
	return strconv.AppendFloat(b[:from], f, 'g', many, 64)
}
