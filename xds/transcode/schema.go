package transcode

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schema is what one document's messages look like, found once each: a look-up by the document's own
// bytes costs no string.
type schema map[protoreflect.FullName]*message

// message is one message type.
type message struct {
	desc   protoreflect.MessageDescriptor
	fields map[string]*field
	special
}

// field is one field of a message.
type field struct {
	desc     protoreflect.FieldDescriptor
	kind     protoreflect.Kind
	tag      uint64
	repeated bool
	presence bool // zero is not the same as absent
	oneof    int  // the index of its oneof; -1: none
	msg      *message
	enum     map[string]int32
	key, val *field // of a map
}

// special tells the well-known types, whose JSON is not that of a message.
type special uint8

const (
	plain special = iota
	anyType
	duration
	timestamp
	structType
	valueType
	listType
	wrapper
	fieldMask
)

var specials = map[protoreflect.FullName]special{
	"google.protobuf.Any": anyType, "google.protobuf.Duration": duration, "google.protobuf.Timestamp": timestamp,
	"google.protobuf.Struct": structType, "google.protobuf.Value": valueType, "google.protobuf.ListValue": listType,
	"google.protobuf.BoolValue": wrapper, "google.protobuf.StringValue": wrapper, "google.protobuf.BytesValue": wrapper,
	"google.protobuf.Int32Value": wrapper, "google.protobuf.UInt32Value": wrapper, "google.protobuf.Int64Value": wrapper,
	"google.protobuf.UInt64Value": wrapper, "google.protobuf.FloatValue": wrapper, "google.protobuf.DoubleValue": wrapper,
	"google.protobuf.FieldMask": fieldMask,
}

func (s schema) of(d protoreflect.MessageDescriptor) *message {
	if m := s[d.FullName()]; m != nil {
		return m
	}
	m := &message{desc: d, special: specials[d.FullName()]}
	s[d.FullName()] = m
	return m
}

// field finds a field by either spelling of its name.
func (s schema) field(m *message, name []byte) *field {
	if m.fields == nil {
		m.fields = make(map[string]*field, 2*m.desc.Fields().Len())
		for i := range m.desc.Fields().Len() {
			d := m.desc.Fields().Get(i)
			f := s.make(d)
			m.fields[string(d.Name())] = f
			m.fields[d.JSONName()] = f
		}
	}
	return m.fields[string(name)]
}

func (s schema) make(d protoreflect.FieldDescriptor) *field {
	f := &field{desc: d, kind: d.Kind(), repeated: d.IsList(), presence: d.HasPresence(), oneof: -1}
	if o := d.ContainingOneof(); o != nil && !o.IsSynthetic() {
		f.oneof = o.Index()
	}
	f.tag = protowire.EncodeTag(d.Number(), wireType(f.kind))
	switch {
	case d.IsMap():
		f.key, f.val = s.make(d.MapKey()), s.make(d.MapValue())
		f.key.presence, f.val.presence = true, true // an entry has both, as is usual
	case d.Message() != nil:
		f.msg = s.of(d.Message())
	case d.Enum() != nil:
		f.enum = map[string]int32{}
		for i := range d.Enum().Values().Len() {
			v := d.Enum().Values().Get(i)
			f.enum[strings.ToUpper(string(v.Name()))] = int32(v.Number())
			f.enum[string(v.Name())] = int32(v.Number())
		}
	}
	return f
}

// what names a field's type as Envoy's errors do.
func (f *field) what() string {
	switch {
	case f.msg != nil:
		return "message " + string(f.msg.desc.FullName())
	case f.key != nil:
		return "message " + string(f.desc.Message().FullName())
	case f.enum != nil:
		return "enum " + string(f.desc.Enum().FullName())
	}
	return f.kind.String()
}

func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	default:
		return protowire.VarintType
	}
}
