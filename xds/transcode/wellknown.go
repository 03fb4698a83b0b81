package transcode

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// wellKnown transcodes a well-known type to its body.
func (e *encoder) wellKnown(m *message) error {
	c := e.peek()
	switch m.special {
	case anyType:
		return e.any()
	case duration, timestamp:
		if c == '{' {
			return e.object(m, false)
		}
		s, err := e.str()
		if err != nil {
			return err
		}
		if m.special == duration {
			return e.duration(s)
		}
		return e.timestamp(s)
	case structType:
		return e.structFields()
	case valueType:
		return e.dynamic()
	case listType:
		return e.dynamicList()
	case fieldMask:
		return e.mask()
	default: // a wrapper: its bare value, or an object
		if c == '{' {
			return e.object(m, false)
		}
		return e.value(e.schema.field(m, []byte("value")), false)
	}
}

// any transcodes an Any: its @type may be anywhere among the members.
func (e *encoder) any() error {
	if e.peek() != '{' {
		return e.expect('{')
	}
	url, empty, err := e.findType()
	if err != nil {
		return err
	}
	if url == "" {
		if !empty {
			return e.errorf("in legacy mode, missing @type in Any is only allowed for an empty object")
		}
		return e.skip()
	}
	if i := strings.LastIndexByte(url, '/'); i <= 0 {
		return e.errorf("@type must contain at least one / and a nonempty host; got: %s", url)
	}
	e.out = protowire.AppendString(protowire.AppendTag(e.out, 1, protowire.BytesType), url)
	t, err := e.opts.Resolver.FindMessageByURL(url)
	if err != nil {
		e.missing(url)
		return e.skip()
	}
	at := len(e.out)
	e.out = protowire.AppendTag(e.out, 2, protowire.BytesType)
	from := e.begin()
	m := e.schema.of(t.Descriptor())
	e.path = append(e.path, step{name: "<any>", index: -1, msg: m})
	if m.special == plain {
		err = e.object(m, true)
	} else {
		err = e.anyValue(m)
	}
	if err != nil {
		return err
	}
	e.path = e.path[:len(e.path)-1]
	if len(e.out) == from {
		e.out = e.out[:at]
		return nil
	}
	e.end(from)
	return nil
}

// findType looks for the @type of the object that is next, and does not pass it.
func (e *encoder) findType() (url string, empty bool, err error) {
	at := e.pos
	defer func() { e.pos = at }()
	e.pos++
	if e.take('}') {
		return "", true, nil
	}
	for more := true; more; more, err = e.next('}') {
		if err != nil {
			return "", false, err
		}
		k, err := e.key()
		if err != nil {
			return "", false, err
		}
		if string(k) == "@type" {
			s, err := e.str()
			return string(s), false, err
		}
		if err := e.skip(); err != nil {
			return "", false, err
		}
	}
	return "", false, err
}

// anyValue transcodes the "value" member of a well-known type in an Any.
func (e *encoder) anyValue(m *message) error {
	e.pos++
	more, err := !e.take('}'), error(nil)
	for ; more && err == nil; more, err = e.next('}') {
		k, err := e.key()
		if err != nil {
			return err
		}
		switch string(k) {
		case "@type":
			err = e.skip()
		case "value":
			err = e.message(m)
		default:
			err = e.errorf("fields in a well-known-typed Any must be @type or value")
		}
		if err != nil {
			return err
		}
	}
	return err
}

// duration is seconds with up to nine decimals and an "s".
func (e *encoder) duration(s []byte) error {
	text, ok := bytes.CutSuffix(s, []byte("s"))
	if !ok || bytes.ContainsAny(text, "msuh") {
		return e.errorf("duration must end with a single 's'")
	}
	whole, fraction, point := strings.Cut(string(text), ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.HasPrefix(whole, "+") {
		return e.errorf("duration must start with an integer")
	}
	if seconds > 315576000000 || seconds < -315576000000 {
		return e.errorf("duration out of range")
	}
	nanos := int64(0)
	if point {
		if n := len(fraction); n == 0 || n > 9 || strings.Trim(fraction, "0123456789") != "" {
			return e.errorf("duration had bad nanoseconds")
		}
		nanos, _ = strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
		if strings.HasPrefix(whole, "-") {
			nanos = -nanos
		}
	}
	e.moment(seconds, nanos)
	return nil
}

func (e *encoder) timestamp(s []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return e.errorf("invalid timestamp: '%s'", s)
	}
	e.moment(t.Unix(), int64(t.Nanosecond()))
	return nil
}

// moment is the body of Duration and Timestamp alike.
func (e *encoder) moment(seconds, nanos int64) {
	if seconds != 0 {
		e.out = protowire.AppendVarint(protowire.AppendTag(e.out, 1, protowire.VarintType), uint64(seconds))
	}
	if nanos != 0 {
		e.out = protowire.AppendVarint(protowire.AppendTag(e.out, 2, protowire.VarintType), uint64(nanos))
	}
}

// structFields transcodes an object to the body of a Struct.
func (e *encoder) structFields() error {
	if err := e.expect('{'); err != nil {
		return err
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	seen := map[string]struct{}{}
	more, err := !e.take('}'), error(nil)
	for ; more && err == nil; more, err = e.next('}') {
		k, err := e.key()
		if err != nil {
			return err
		}
		if _, dup := seen[string(k)]; dup {
			return e.errorf("got unexpectedly-repeated repeated map key: '%s'", k)
		}
		seen[string(k)] = struct{}{}
		e.out = protowire.AppendTag(e.out, 1, protowire.BytesType)
		entry := e.begin()
		e.out = protowire.AppendBytes(protowire.AppendTag(e.out, 1, protowire.BytesType), k)
		if err := e.dynamicField(2); err != nil {
			return err
		}
		e.end(entry)
	}
	return err
}

func (e *encoder) dynamicField(n protowire.Number) error {
	e.out = protowire.AppendTag(e.out, n, protowire.BytesType)
	from := e.begin()
	if err := e.dynamic(); err != nil {
		return err
	}
	e.end(from)
	return nil
}

// dynamic transcodes any JSON value to the body of a Value.
func (e *encoder) dynamic() error {
	switch e.peek() {
	case '{':
		e.out = protowire.AppendTag(e.out, 5, protowire.BytesType)
		from := e.begin()
		if err := e.structFields(); err != nil {
			return err
		}
		e.end(from)
		return nil
	case '[':
		e.out = protowire.AppendTag(e.out, 6, protowire.BytesType)
		from := e.begin()
		if err := e.dynamicList(); err != nil {
			return err
		}
		e.end(from)
		return nil
	case '"', '\'':
		s, err := e.str()
		e.out = protowire.AppendBytes(protowire.AppendTag(e.out, 3, protowire.BytesType), s)
		return err
	case 't', 'f', 'n':
		return e.literal()
	}
	text, err := e.number()
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return e.errorf("invalid number: '%s'", text)
	}
	e.out = protowire.AppendFixed64(protowire.AppendTag(e.out, 2, protowire.Fixed64Type), math.Float64bits(v))
	return nil
}

func (e *encoder) literal() error {
	n, bit := protowire.Number(4), uint64(0)
	switch string(e.word()) {
	case "null":
		n = 1
	case "true":
		bit = 1
	case "false":
	default:
		return e.errorf("expected 'true', 'false' or 'null'")
	}
	e.out = protowire.AppendVarint(protowire.AppendTag(e.out, n, protowire.VarintType), bit)
	return nil
}

func (e *encoder) dynamicList() error {
	if err := e.expect('['); err != nil {
		return err
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	more, err := !e.take(']'), error(nil)
	for ; more && err == nil; more, err = e.next(']') {
		if err := e.dynamicField(1); err != nil {
			return err
		}
	}
	return err
}

// mask transcodes a field mask's comma-joined paths, in lowerCamel as JSON has them.
func (e *encoder) mask() error {
	s, err := e.str()
	if err != nil || len(s) == 0 {
		return err
	}
	for path := range strings.SplitSeq(string(s), ",") {
		var snake []byte
		for _, c := range []byte(path) {
			if c >= 'A' && c <= 'Z' {
				snake = append(snake, '_', c|0x20)
			} else {
				snake = append(snake, c)
			}
		}
		e.out = protowire.AppendBytes(protowire.AppendTag(e.out, 1, protowire.BytesType), snake)
	}
	return nil
}
