// Package transcode turns JSON and YAML, as lenient as Envoy's own reader takes them, into the
// protobuf wire format of a message, in one pass and without building the message.
//
// Envoy reads JSON by protobuf's legacy reader: trailing commas, single quotes, unquoted keys, both
// spellings of a field's name, enum names of any case and enum numbers, numbers and booleans in quotes,
// one value in the place of a list, and repeated keys, which merge. Comments, and durations that do not
// end in a lone "s", it refuses.
package transcode

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Options are what a caller decides about a document.
type Options struct {
	// DropUnknown passes over fields and enum names that the message does not have.
	DropUnknown bool
	// Resolver finds the types of Any; nil: all that are linked in.
	Resolver protoregistry.MessageTypeResolver
}

// Report tells what was passed over.
type Report struct {
	// Unknown are the unknown fields and enum names, in Envoy's words; only with DropUnknown.
	Unknown []string
	// Types are the type URLs of Any that are not linked in: their payload is lost, their URL is kept.
	Types []string
}

// JSON transcodes one JSON document to a message of m's type.
func JSON(m protoreflect.MessageDescriptor, src []byte, o Options) (wire []byte, _ Report, err error) {
	e := encoder{src: src, schema: schema{}, root: string(m.FullName()), opts: o, out: make([]byte, 0, len(src)/2)}
	if o.Resolver == nil {
		e.opts.Resolver = protoregistry.GlobalTypes
	}
	if e.peek(); e.pos == len(src) {
		return nil, e.report, errors.New("Unable to parse JSON as proto (INVALID_ARGUMENT: unexpected EOF)")
	}
	err = e.message(e.schema.of(m))
	if err == nil && e.peek() != 0 {
		err = errors.New("Unable to parse JSON as proto (INVALID_ARGUMENT: extraneous characters after end of JSON object)")
	}
	if err != nil {
		return nil, e.report, err
	}
	if cap(e.out) > len(e.out)+len(e.out)/4 {
		e.out = bytes.Clone(e.out) // who keeps pieces of it keeps all of it
	}
	return e.out, e.report, nil
}

// maxDepth bounds nesting, as a document may come from anywhere.
const maxDepth = 200

// encoder is one run over one document. It is owned by its caller's goroutine.
type encoder struct {
	src    []byte
	pos    int
	out    []byte
	schema schema
	opts   Options
	report Report
	root   string
	path   []step // where we are, for errors
	depth  int
	text   []byte // the last string that had escapes
}

// step is one field or one element on the way to a value.
type step struct {
	name  string
	index int // of an element; -1: a field
	field *field
	msg   *message // of an Any, which is no field's
}

func (s step) what() string {
	if s.field == nil {
		return "message " + string(s.msg.desc.FullName())
	}
	return s.field.what()
}

func (e *encoder) enter() error {
	if e.depth++; e.depth > maxDepth {
		return e.errorf("JSON content was too deeply nested")
	}
	return nil
}

func (e *encoder) leave() { e.depth-- }

// errorf is an error at the current place, in Envoy's words.
func (e *encoder) errorf(format string, a ...any) error {
	return errors.New("Unable to parse JSON as proto (INVALID_ARGUMENT: " + e.where() + fmt.Sprintf(format, a...) + ")")
}

// unknown records, or fails on, something that the message does not have.
func (e *encoder) unknown(reason string) error {
	if e.opts.DropUnknown {
		e.report.Unknown = append(e.report.Unknown, fmt.Sprintf("type %s reason INVALID_ARGUMENT: %s", e.root, reason))
		return nil
	}
	return fmt.Errorf("Protobuf message (type %s reason INVALID_ARGUMENT: %s) has unknown fields", e.root, reason)
}

// where is the place in the document and in the message.
func (e *encoder) where() string {
	var b strings.Builder
	b.WriteString("invalid JSON in " + e.root)
	for i, s := range e.path {
		switch {
		case i == 0:
			b.WriteString(" @ " + s.name)
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		default:
			b.WriteString("." + s.name)
		}
	}
	if n := len(e.path); n > 0 {
		b.WriteString(": " + e.path[n-1].what())
	}
	line, column := 1, 1
	for _, c := range e.src[:min(e.pos, len(e.src))] {
		if column++; c == '\n' {
			line, column = line+1, 1
		}
	}
	fmt.Fprintf(&b, ", near %d:%d (offset %d): ", line, column, e.pos)
	return b.String()
}

// missing records a type that is not linked in.
func (e *encoder) missing(url string) {
	if !slices.Contains(e.report.Types, url) {
		e.report.Types = append(e.report.Types, url)
	}
}
