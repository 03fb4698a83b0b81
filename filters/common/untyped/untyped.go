// Package untyped reads configuration messages that have no Go type, as Istio's filters have: from the
// TypedStruct in which istiod sends them, or from the message itself.
package untyped

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
)

// Message describes a message: its fields. It is immutable.
type Message []Field

// Field is one field of a Message. Its type is a message if Message is not nil, else that of Kind.
type Field struct {
	Number   protowire.Number
	Name     string
	Kind     Kind
	Message  Message
	Repeated bool
}

// Kind is a field's scalar type.
type Kind uint8

// The kinds that are needed.
const (
	String Kind = iota
	Bool
)

// Empty describes a message without fields.
var Empty = Message{}

// Decode reads a message called name. The fields of what it returns are those of m, under their own
// names; others are refused.
func Decode(a *anypb.Any, name string, m Message) (*structpb.Struct, error) {
	s, err := filter.UnpackStruct(a)
	if err != nil {
		return m.fromBytes(a.GetValue(), name)
	}
	return m.fromStruct(s, name)
}

func (m Message) fromStruct(s *structpb.Struct, name string) (*structpb.Struct, error) {
	out := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(s.GetFields()))}
	for key, v := range s.GetFields() {
		i := slices.IndexFunc(m, func(f Field) bool { return f.Name == key || camel(f.Name) == key })
		if i < 0 {
			return nil, fmt.Errorf("field %s.%s is not supported", name, key)
		}
		f := &m[i]
		v, err := f.fromValue(v, name+"."+f.Name)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out.Fields[f.Name] = v
		}
	}
	return out, nil
}

// fromValue checks a value; nil is null, which is no value.
func (f *Field) fromValue(v *structpb.Value, name string) (*structpb.Value, error) {
	if _, null := v.GetKind().(*structpb.Value_NullValue); null {
		return nil, nil
	}
	if !f.Repeated {
		return f.one(v, name)
	}
	list, ok := v.GetKind().(*structpb.Value_ListValue)
	if !ok {
		return nil, fmt.Errorf("field %s is not a list", name)
	}
	out := &structpb.ListValue{}
	for _, e := range list.ListValue.GetValues() {
		e, err := f.one(e, name)
		if err != nil {
			return nil, err
		}
		out.Values = append(out.Values, e)
	}
	return structpb.NewListValue(out), nil
}

func (f *Field) one(v *structpb.Value, name string) (*structpb.Value, error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		if f.Message != nil {
			s, err := f.Message.fromStruct(k.StructValue, name)
			return structpb.NewStructValue(s), err
		}
	case *structpb.Value_StringValue:
		if f.Message == nil && f.Kind == String {
			return v, nil
		}
	case *structpb.Value_BoolValue:
		if f.Message == nil && f.Kind == Bool {
			return v, nil
		}
	}
	return nil, fmt.Errorf("field %s has a value of another type", name)
}

// camel is a field's name in JSON.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

func (m Message) fromBytes(b []byte, name string) (*structpb.Struct, error) {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		b = b[size:]
		i := slices.IndexFunc(m, func(f Field) bool { return f.Number == n })
		if i < 0 {
			return nil, fmt.Errorf("field %d of %s is not supported", n, name)
		}
		f := &m[i]
		v, size, err := f.consume(b, kind, name)
		if err != nil {
			return nil, err
		}
		b = b[size:]
		if !f.Repeated {
			out.Fields[f.Name] = v
			continue
		}
		list := out.Fields[f.Name].GetListValue()
		if list == nil {
			list = &structpb.ListValue{}
			out.Fields[f.Name] = structpb.NewListValue(list)
		}
		list.Values = append(list.Values, v)
	}
	return out, nil
}

func (f *Field) consume(b []byte, kind protowire.Type, name string) (*structpb.Value, int, error) {
	name += "." + f.Name
	switch {
	case f.Message == nil && f.Kind == Bool && kind == protowire.VarintType:
		v, size := protowire.ConsumeVarint(b)
		return structpb.NewBoolValue(v != 0), size, protowire.ParseError(min(size, 0))
	case (f.Message != nil || f.Kind == String) && kind == protowire.BytesType:
		p, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return nil, 0, protowire.ParseError(size)
		}
		if f.Message == nil {
			return structpb.NewStringValue(string(p)), size, nil
		}
		s, err := f.Message.fromBytes(p, name)
		return structpb.NewStructValue(s), size, err
	}
	return nil, 0, fmt.Errorf("field %s has a value of another type", name)
}
