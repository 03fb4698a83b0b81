package admin

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// mask is a FieldMask: paths under the names of the proto. nil is none: everything is kept.
type mask []string

func parseMask(s string) (m mask) {
	for path := range strings.SplitSeq(s, ",") {
		if path != "" {
			m = append(m, path)
		}
	}
	return m
}

// String is the mask as it was given.
func (m mask) String() string { return strings.Join(m, ",") }

// fits tells whether every path leads to a field of md; lists are not looked into.
func (m mask) fits(md protoreflect.MessageDescriptor) bool {
	for _, path := range m {
		at := md
		for name := range strings.SplitSeq(path, ".") {
			if at == nil {
				return false
			}
			fd := at.Fields().ByName(protoreflect.Name(name))
			if fd == nil {
				return false
			}
			if at = fd.Message(); fd.IsList() || fd.IsMap() {
				at = nil
			}
		}
	}
	return true
}

// trim clears what no path leads to.
func (m mask) trim(msg protoreflect.Message) {
	if len(m) == 0 {
		return
	}
	below := map[protoreflect.Name]mask{}
	whole := map[protoreflect.Name]bool{}
	for _, path := range m {
		name, rest, more := strings.Cut(path, ".")
		if more {
			below[protoreflect.Name(name)] = append(below[protoreflect.Name(name)], rest)
		} else {
			whole[protoreflect.Name(name)] = true
		}
	}
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch inner := below[fd.Name()]; {
		case whole[fd.Name()]:
		case inner != nil:
			inner.trim(v.Message())
		default:
			msg.Clear(fd)
		}
		return true
	})
}

// trimResource trims an element of a section, looking into its Any; false: the mask does not fit.
func (m mask) trimResource(msg protoreflect.Message) bool {
	var outer, inner mask
	var in protoreflect.FieldDescriptor
	for _, path := range m {
		name, rest, _ := strings.Cut(path, ".")
		fd := msg.Descriptor().Fields().ByName(protoreflect.Name(name))
		if fd != nil && fd.Message() != nil && !fd.IsList() && fd.Message().FullName() == "google.protobuf.Any" {
			in, outer, inner = fd, append(outer, name), append(inner, rest)
			continue
		}
		outer = append(outer, path)
	}
	if in != nil && msg.Has(in) {
		packed, ok := msg.Get(in).Message().Interface().(*anypb.Any)
		if !ok {
			return false
		}
		if packed = inner.trimAny(packed); packed == nil {
			return false
		}
		msg.Set(in, protoreflect.ValueOfMessage(packed.ProtoReflect()))
	}
	if !outer.fits(msg.Descriptor()) {
		return false
	}
	outer.trim(msg)
	return true
}

// trimAny trims a copy of what is packed; nil: the mask does not fit.
func (m mask) trimAny(a *anypb.Any) *anypb.Any {
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(a.GetTypeUrl())
	if err != nil || !m.fits(mt.Descriptor()) {
		return nil
	}
	msg := mt.New()
	if proto.Unmarshal(a.GetValue(), msg.Interface()) != nil {
		return nil
	}
	m.trim(msg)
	b, err := proto.Marshal(msg.Interface())
	if err != nil {
		return nil
	}
	return &anypb.Any{TypeUrl: a.GetTypeUrl(), Value: b}
}
