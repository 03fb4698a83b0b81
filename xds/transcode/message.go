package transcode

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message transcodes a message's JSON to its body.
func (e *encoder) message(m *message) error {
	if m.special != plain {
		return e.wellKnown(m)
	}
	return e.object(m, false)
}

// object transcodes an object's members as the fields of m; typed: inside an Any, whose @type it passes
// over.
func (e *encoder) object(m *message, typed bool) error {
	if err := e.expect('{'); err != nil {
		return err
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	var oneofs uint64
	more, err := !e.take('}'), error(nil)
	for ; more && err == nil; more, err = e.next('}') {
		at := e.pos
		name, err := e.key()
		if err != nil {
			return err
		}
		f := e.schema.field(m, name)
		switch {
		case typed && string(name) == "@type":
			err = e.skip()
		case f == nil:
			end := e.pos
			e.pos = at
			e.peek()
			err = e.unknown(e.where() + "no such field: '" + string(name) + "'")
			if e.pos = end; err == nil {
				err = e.skip()
			}
		default:
			err = e.member(f, &oneofs)
		}
		if err != nil {
			return err
		}
	}
	return err
}

// member transcodes one field.
func (e *encoder) member(f *field, oneofs *uint64) error {
	e.path = append(e.path, step{name: string(f.desc.Name()), index: -1, field: f})
	defer func() { e.path = e.path[:len(e.path)-1] }()
	if f.msg == nil || f.msg.special != valueType || f.repeated {
		if e.null() {
			return nil
		}
	}
	if f.oneof >= 0 {
		bit := uint64(1) << (f.oneof & 63)
		if *oneofs&bit != 0 {
			return e.errorf("'%s' has already been set (either directly or as part of a oneof)", f.desc.Name())
		}
		*oneofs |= bit
	}
	switch {
	case f.key != nil:
		return e.mapField(f)
	case f.repeated:
		if e.peek() == '[' {
			return e.list(f, new(int))
		}
		return e.element(f, 0)
	}
	return e.value(f, f.presence)
}

// list transcodes a list; lists in a list are one list, as the legacy reader has it.
func (e *encoder) list(f *field, n *int) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	e.pos++
	more, err := !e.take(']'), error(nil)
	for ; more && err == nil; more, err = e.next(']') {
		if e.peek() == '[' && (f.msg == nil || f.msg.special != valueType && f.msg.special != listType) {
			err = e.list(f, n)
		} else {
			err = e.element(f, *n)
			*n++
		}
		if err != nil {
			return err
		}
	}
	return err
}

// element transcodes one element of a list. A null is the default value.
func (e *encoder) element(f *field, i int) error {
	e.path = append(e.path, step{index: i, field: f})
	defer func() { e.path = e.path[:len(e.path)-1] }()
	if (f.msg == nil || f.msg.special != valueType) && e.null() {
		e.out = protowire.AppendVarint(e.out, f.tag)
		switch wireType(f.kind) {
		case protowire.Fixed32Type:
			e.out = append(e.out, 0, 0, 0, 0)
		case protowire.Fixed64Type:
			e.out = append(e.out, 0, 0, 0, 0, 0, 0, 0, 0)
		default:
			e.out = append(e.out, 0)
		}
		return nil
	}
	return e.value(f, true)
}

// value transcodes one value with its tag; force: even if it is zero.
func (e *encoder) value(f *field, force bool) error {
	if f.msg == nil {
		return e.scalar(f, force)
	}
	e.out = protowire.AppendVarint(e.out, f.tag)
	from := e.begin()
	if err := e.message(f.msg); err != nil {
		return err
	}
	e.end(from)
	return nil
}

// begin starts a length-delimited body; end writes its length. Most bodies are short, so that one byte
// kept free is enough; a longer body is moved.
func (e *encoder) begin() int {
	e.out = append(e.out, 0)
	return len(e.out)
}

func (e *encoder) end(from int) {
	n := len(e.out) - from
	if size := protowire.SizeVarint(uint64(n)); size > 1 {
		e.out = append(e.out, make([]byte, size-1)...)
		copy(e.out[from+size-1:], e.out[from:from+n])
		protowire.AppendVarint(e.out[:from-1], uint64(n))
		return
	}
	e.out[from-1] = byte(n)
}

// mapField transcodes an object as the entries of a map.
func (e *encoder) mapField(f *field) error {
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
		if err := e.entry(f, seen); err != nil {
			return err
		}
	}
	return err
}

func (e *encoder) entry(f *field, seen map[string]struct{}) error {
	e.path = append(e.path, step{index: len(seen), field: f})
	defer func() { e.path = e.path[:len(e.path)-1] }()
	e.out = protowire.AppendVarint(e.out, f.tag)
	from := e.begin()
	k, err := e.key()
	if err != nil {
		return err
	}
	if _, dup := seen[string(k)]; dup {
		return e.errorf("got unexpectedly-repeated repeated map key: '%s'", k)
	}
	seen[string(k)] = struct{}{}
	if err := e.mapKey(f.key, k); err != nil {
		return err
	}
	if (f.val.msg == nil || f.val.msg.special != valueType) && e.null() {
		if f.val.msg != nil {
			e.out = append(protowire.AppendVarint(e.out, f.val.tag), 0)
		}
	} else if err := e.value(f.val, true); err != nil {
		return err
	}
	e.end(from)
	return nil
}

// mapKey transcodes a map's key, which is a string in the document whatever its type.
func (e *encoder) mapKey(f *field, k []byte) error {
	switch f.kind {
	case protoreflect.StringKind:
		e.out = protowire.AppendBytes(protowire.AppendVarint(e.out, f.tag), k)
		return nil
	case protoreflect.BoolKind:
		return e.boolean(f, k, true)
	}
	return e.numeric(f, k, true)
}
