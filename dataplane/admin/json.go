package admin

import (
	"cmp"
	"encoding/base64"
	"io"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// printer writes messages as JSON in the dialect of Envoy's admin interface, which is that of
// protobuf's C++ printer: the fields in the order of their numbers under the names of the proto, one
// space of indentation, 64-bit numbers in quotes. What is marked as sensitive is redacted. It never
// fails on what it is to print: an Any of an unknown type is printed as base64.
type printer struct {
	// defaults prints fields that are not set, where they have no presence.
	defaults bool

	out   io.Writer
	b     []byte
	err   error
	depth int
	// secret tells that we are in a field that is marked as sensitive.
	secret bool
	orders map[protoreflect.FullName][]protoreflect.FieldDescriptor
}

func newPrinter(out io.Writer) *printer {
	return &printer{out: out, orders: map[protoreflect.FullName][]protoreflect.FieldDescriptor{}}
}

// document prints m with a final newline, and reports what writing came to.
func (p *printer) document(m proto.Message) error {
	p.message(m.ProtoReflect(), "")
	return p.end()
}

// end ends the document.
func (p *printer) end() error {
	p.b = append(p.b, '\n')
	p.flush()
	return p.err
}

func (p *printer) flush() {
	if p.err == nil && len(p.b) > 0 {
		_, p.err = p.out.Write(p.b)
	}
	p.b = p.b[:0]
}

// flushSize is how much is gathered before it is written.
const flushSize = 32 << 10

// list prints the brackets and commas of an array or an object of n members; 0 is "[]".
func (p *printer) list(open, end byte, n int, member func(i int)) {
	p.b = append(p.b, open)
	if n > 0 {
		p.depth++
		for i := range n {
			if i > 0 {
				p.b = append(p.b, ',')
			}
			p.newline()
			member(i)
			if len(p.b) >= flushSize {
				p.flush()
			}
		}
		p.depth--
		p.newline()
	}
	p.b = append(p.b, end)
}

func (p *printer) newline() {
	p.b = append(p.b, '\n')
	for range p.depth {
		p.b = append(p.b, ' ')
	}
}

func (p *printer) key(name string) {
	p.text(name)
	p.b = append(p.b, ": "...)
}

func (p *printer) text(s string) { p.b = append(appendJSONString(append(p.b, '"'), s), '"') }

// typed prints m as what an Any of it looks like.
func (p *printer) typed(m proto.Message) {
	p.message(m.ProtoReflect(), typePrefix+string(proto.MessageName(m)))
}

const typePrefix = "type.googleapis.com/"

// message prints a message; typeURL is what it has as "@type", "" none.
func (p *printer) message(m protoreflect.Message, typeURL string) {
	md := m.Descriptor()
	if f := wellKnown(md.FullName()); f != nil {
		if typeURL == "" {
			f(p, m)
			return
		}
		p.list('{', '}', 2, func(i int) {
			if i == 0 {
				p.key("@type")
				p.text(typeURL)
				return
			}
			p.key("value")
			f(p, m)
		})
		return
	}
	var set []protoreflect.FieldDescriptor
	for _, fd := range p.order(md) {
		if (m.Has(fd) || p.defaults && !fd.HasPresence()) && !(p.secret && !redactable(fd)) {
			set = append(set, fd)
		}
	}
	first := 0
	if typeURL != "" {
		first = 1
	}
	p.list('{', '}', len(set)+first, func(i int) {
		if i < first {
			p.key("@type")
			p.text(typeURL)
			return
		}
		fd := set[i-first]
		p.key(string(fd.Name()))
		was := p.secret
		p.secret = was || sensitive(fd)
		p.field(m, fd)
		p.secret = was
	})
}

// order is the fields of a type by their numbers.
func (p *printer) order(md protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	fields, ok := p.orders[md.FullName()]
	if !ok {
		for i := range md.Fields().Len() {
			fields = append(fields, md.Fields().Get(i))
		}
		slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
		p.orders[md.FullName()] = fields
	}
	return fields
}

func (p *printer) field(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	switch v := m.Get(fd); {
	case structValues(fd, m.Descriptor()):
		p.typedStructValue(m, fd)
	case fd.IsMap():
		p.mapField(v.Map(), fd)
	case fd.IsList():
		p.list('[', ']', v.List().Len(), func(i int) { p.value(v.List().Get(i), fd) })
	default:
		p.value(v, fd)
	}
}

// mapField prints a map in the order of its keys: C++ has none.
func (p *printer) mapField(v protoreflect.Map, fd protoreflect.FieldDescriptor) {
	type entry struct {
		key   string
		value protoreflect.Value
	}
	entries := make([]entry, 0, v.Len())
	v.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		entries = append(entries, entry{k.String(), v})
		return true
	})
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	p.list('{', '}', len(entries), func(i int) {
		p.key(entries[i].key)
		p.value(entries[i].value, fd.MapValue())
	})
}

func (p *printer) value(v protoreflect.Value, fd protoreflect.FieldDescriptor) {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		p.message(v.Message(), "")
	case protoreflect.BoolKind:
		p.b = strconv.AppendBool(p.b, v.Bool())
	case protoreflect.EnumKind:
		p.enum(v.Enum(), fd.Enum())
	case protoreflect.StringKind:
		p.text(p.redacted(v.String()))
	case protoreflect.BytesKind:
		p.text(base64.StdEncoding.EncodeToString([]byte(p.redacted(string(v.Bytes())))))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		p.b = strconv.AppendInt(p.b, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		p.b = strconv.AppendUint(p.b, v.Uint(), 10)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		p.b = append(strconv.AppendInt(append(p.b, '"'), v.Int(), 10), '"')
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		p.b = append(strconv.AppendUint(append(p.b, '"'), v.Uint(), 10), '"')
	case protoreflect.FloatKind:
		p.b = appendFloat(p.b, v.Float(), 32)
	case protoreflect.DoubleKind:
		p.b = appendFloat(p.b, v.Float(), 64)
	}
}

func (p *printer) enum(n protoreflect.EnumNumber, ed protoreflect.EnumDescriptor) {
	switch v := ed.Values().ByNumber(n); {
	case ed.FullName() == "google.protobuf.NullValue":
		p.b = append(p.b, "null"...)
	case v == nil:
		p.b = strconv.AppendInt(p.b, int64(n), 10)
	default:
		p.text(string(v.Name()))
	}
}

// any prints an Any with what is in it. What cannot be read is printed as it is: the dump goes on.
func (p *printer) any(m protoreflect.Message) {
	url, value := anyParts(m)
	if url == "" && len(value) == 0 {
		p.b = append(p.b, "{}"...)
		return
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err == nil {
		inner := mt.New()
		if proto.Unmarshal(value, inner.Interface()) == nil {
			p.message(inner, url)
			return
		}
	}
	p.list('{', '}', 2, func(i int) {
		if i == 0 {
			p.key("@type")
			p.text(url)
			return
		}
		p.key("value")
		p.text(base64.StdEncoding.EncodeToString([]byte(p.redacted(string(value)))))
	})
}

func anyParts(m protoreflect.Message) (url string, value []byte) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		return a.GetTypeUrl(), a.GetValue()
	}
	fields := m.Descriptor().Fields()
	return m.Get(fields.ByNumber(1)).String(), m.Get(fields.ByNumber(2)).Bytes()
}
