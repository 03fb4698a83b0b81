package admin

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/secret"
)

// sensitive tells whether a field is marked with (udpa.annotations.sensitive): all text in it is
// redacted, file names too, and numbers are left out, as Envoy does.
func sensitive(fd protoreflect.FieldDescriptor) bool {
	o := fd.Options()
	if o == nil || !proto.HasExtension(o, annotations.E_Sensitive) {
		return false
	}
	marked, _ := proto.GetExtension(o, annotations.E_Sensitive).(bool)
	return marked
}

// redactable tells the fields that are printed within a sensitive one.
func redactable(fd protoreflect.FieldDescriptor) bool {
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return true
	default:
		return false
	}
}

func (p *printer) redacted(s string) string {
	if p.secret {
		return secret.Redacted
	}
	return s
}

// structValues tells the value of a TypedStruct, whose keys are fields of another type.
func structValues(fd protoreflect.FieldDescriptor, md protoreflect.MessageDescriptor) bool {
	return fd.Name() == "value" && (md.FullName() == "xds.type.v3.TypedStruct" || md.FullName() == "udpa.type.v1.TypedStruct")
}

// typedStructValue prints the value of a TypedStruct. What its type marks as sensitive is redacted; of
// a type that is not known nothing is.
func (p *printer) typedStructValue(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	s := structOf(m.Get(fd).Message())
	url := m.Get(m.Descriptor().Fields().ByName("type_url")).String()
	p.guided(structpb.NewStructValue(s), typeOf(url))
}

func typeOf(url string) protoreflect.MessageDescriptor {
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil
	}
	return mt.Descriptor()
}

// guided prints a Value whose keys are the fields of md; nil: they are nobody's.
func (p *printer) guided(v *structpb.Value, md protoreflect.MessageDescriptor) {
	if l := v.GetListValue(); l != nil && md != nil {
		p.list('[', ']', len(l.GetValues()), func(i int) { p.guided(l.GetValues()[i], md) })
		return
	}
	s := v.GetStructValue()
	if s == nil || md == nil {
		p.structValue(v)
		return
	}
	if url := s.GetFields()["@type"].GetStringValue(); url != "" {
		md = typeOf(url)
	}
	keys := slices.Sorted(maps.Keys(s.GetFields()))
	p.list('{', '}', len(keys), func(i int) {
		p.key(keys[i])
		member := s.GetFields()[keys[i]]
		fd := fieldOf(md, keys[i])
		was := p.secret
		switch {
		case fd == nil:
			p.structValue(member)
		case sensitive(fd):
			p.secret = true
			p.structValue(member)
		case fd.IsMap() && fd.MapValue().Message() != nil:
			p.guidedMap(member.GetStructValue(), fd.MapValue().Message())
		default:
			p.guided(member, fd.Message())
		}
		p.secret = was
	})
}

func (p *printer) guidedMap(s *structpb.Struct, md protoreflect.MessageDescriptor) {
	keys := slices.Sorted(maps.Keys(s.GetFields()))
	p.list('{', '}', len(keys), func(i int) {
		p.key(keys[i])
		p.guided(s.GetFields()[keys[i]], md)
	})
}

// fieldOf finds a field by either of its names.
func fieldOf(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if md == nil {
		return nil
	}
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	return md.Fields().ByJSONName(name)
}

// appendJSONString appends s as the inside of a JSON string. What would be dangerous in a page, and
// what cannot be seen, is escaped as protobuf's C++ printer does.
func appendJSONString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	plain := 0
	for i, r := range s {
		if !escaped(r) {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + len(string(r))
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = appendUTF16(b, r)
		}
	}
	return append(b, s[plain:]...)
}

func appendUTF16(b []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendUTF16(appendUTF16(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	s := strconv.FormatUint(uint64(r), 16)
	return append(append(b, `\u0000`[:6-len(s)]...), s...)
}

func escaped(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r <= 0x9f, r >= 0x600 && r <= 0x603, r == 0x17b4, r == 0x17b5, r >= 0x200b && r <= 0x200f,
		r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x2064, r >= 0x206a && r <= 0x206f, r >= 0xfff9 && r <= 0xfffb,
		r >= 0x1d173 && r <= 0x1d17a, r >= 0xe0020 && r <= 0xe007f:
		return true
	}
	switch r {
	case '"', '\\', '<', '>', 0xad, 0x6dd, 0x70f, 0xfeff, 0xe0001:
		return true
	}
	return false
}
