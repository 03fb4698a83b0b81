package formatter

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// jsonFormat is a compiled json_format: one line of JSON, with its newline.
type jsonFormat struct {
	root      object
	omitEmpty bool
}

// CompileJSON compiles a json_format. Keys come out sorted; a string that is one operator and nothing
// else keeps the operator's type.
func CompileJSON(s *structpb.Struct, o Options) (Formatter, error) {
	root, err := compileObject(s, o)
	if err != nil {
		return nil, err
	}
	return &jsonFormat{root: root, omitEmpty: o.OmitEmpty}, nil
}

func (f *jsonFormat) Append(dst []byte, req, resp *header.Map, i *streaminfo.Info) []byte {
	return appendPlain(f, dst, req, resp, i)
}

func (f *jsonFormat) AppendContext(dst []byte, c *Context) []byte {
	mark := len(dst)
	dst, ok := f.root.append(dst, c, f.omitEmpty)
	if !ok {
		dst = append(dst[:mark], "{}"...)
	}
	return append(dst, '\n')
}

func (f *jsonFormat) Literal() (string, bool) { return "", false }

// node is a JSON value of the format. append reports false if omit_empty_values drops the value; what
// it has appended then is void.
type node interface {
	append(dst []byte, c *Context, omitEmpty bool) ([]byte, bool)
}

func compileNode(v *structpb.Value, o Options) (node, error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return compileObject(k.StructValue, o)
	case *structpb.Value_ListValue:
		return compileList(k.ListValue, o)
	case *structpb.Value_StringValue:
		return compileString(k.StringValue, o)
	case *structpb.Value_NumberValue:
		return fixed(appendDouble(nil, k.NumberValue)), nil
	case *structpb.Value_BoolValue:
		if k.BoolValue {
			return fixed("true"), nil
		}
		return fixed("false"), nil
	}
	return null{}, nil
}

func compileString(format string, o Options) (node, error) {
	segments, err := compileText(format, o)
	if err != nil {
		return nil, err
	}
	if len(segments) == 1 {
		switch s := segments[0]; {
		case s.op == nil:
			return fixed(appendQuoted(nil, s.literal)), nil
		case s.literal == "":
			return &typed{s}, nil
		}
	}
	for i := range segments {
		segments[i].literal = string(appendEscaped(nil, []byte(segments[i].literal)))
	}
	return mixed(segments), nil
}

type fixed string

func (f fixed) append(dst []byte, _ *Context, _ bool) ([]byte, bool) { return append(dst, f...), true }

type null struct{}

func (null) append(dst []byte, _ *Context, omitEmpty bool) ([]byte, bool) {
	return append(dst, "null"...), !omitEmpty
}

// typed is a string of the format that is one operator.
type typed struct{ segment }

func (t *typed) append(dst []byte, c *Context, omitEmpty bool) ([]byte, bool) {
	mark := len(dst)
	dst, kind := t.op(dst, c)
	switch kind {
	case Missing, Blank:
		return append(dst[:mark], "null"...), !omitEmpty
	case String:
		// The length cuts strings alone: a number or an object would not stay one.
		return quote(cut(dst, mark, t.max), mark), true
	}
	return dst, true
}

// mixed is a string of literals and operators. The literals are escaped already.
type mixed []segment

func (m mixed) append(dst []byte, c *Context, omitEmpty bool) ([]byte, bool) {
	dst = append(dst, '"')
	for i := range m {
		dst = append(dst, m[i].literal...)
		if m[i].op != nil {
			mark := len(dst)
			dst = escapeTail(m[i].appendValue(dst, c, omitEmpty), mark)
		}
	}
	return append(dst, '"'), true
}

type list []node

func compileList(l *structpb.ListValue, o Options) (node, error) {
	out := make(list, 0, len(l.GetValues()))
	for _, v := range l.GetValues() {
		n, err := compileNode(v, o)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (l list) append(dst []byte, c *Context, omitEmpty bool) ([]byte, bool) {
	dst = append(dst, '[')
	first := true
	for _, n := range l {
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = n.append(dst, c, omitEmpty); !ok {
			dst = dst[:mark]
			continue
		}
		first = false
	}
	return append(dst, ']'), true
}

type object []member

type member struct {
	key   string // quoted, with its colon
	value node
}

func compileObject(s *structpb.Struct, o Options) (object, error) {
	out := make(object, 0, len(s.GetFields()))
	for _, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		n, err := compileNode(s.GetFields()[key], o)
		if err != nil {
			return nil, err
		}
		out = append(out, member{string(append(appendQuoted(nil, key), ':')), n})
	}
	return out, nil
}

func (o object) append(dst []byte, c *Context, omitEmpty bool) ([]byte, bool) {
	dst = append(dst, '{')
	first := true
	for i := range o {
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, o[i].key...)
		var ok bool
		if dst, ok = o[i].value.append(dst, c, omitEmpty); !ok {
			dst = dst[:mark]
			continue
		}
		first = false
	}
	return append(dst, '}'), !first || !omitEmpty
}

var _ Formatter = (*jsonFormat)(nil)
