package control

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// assign fills a struct from an object by its `mesh` tags. A key that no field has is an error, and so is
// a value of another kind. Fields of type *node keep their part of the document as it is: Envoy's own
// words, which are compiled where they are used. A field named At gets the object itself, for its place.
func assign(n *node, into any) error {
	return n.assign(reflect.ValueOf(into).Elem())
}

func (n *node) assign(v reflect.Value) error {
	if v.Type() == reflect.TypeFor[*node]() {
		v.Set(reflect.ValueOf(n))
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return n.assignStruct(v)
	case reflect.Slice:
		return n.assignSlice(v)
	case reflect.Map:
		return n.assignMap(v)
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return n.assign(p.Elem())
	}
	if n.kind != scalarNode {
		return n.errorf("want a %s", v.Kind())
	}
	if err := json.Unmarshal([]byte(n.scalar), v.Addr().Interface()); err != nil {
		return n.errorf("want a %s, not %s", v.Kind(), n.scalar)
	}
	return nil
}

func (n *node) assignStruct(v reflect.Value) error {
	if n.kind != objectNode {
		return n.errorf("want an object")
	}
	fields := map[string]int{}
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("mesh"); tag != "" {
			fields[tag] = i
		}
	}
	for i, k := range n.keys {
		f, ok := fields[k.name]
		if !ok {
			return &fileError{n.file, k.line, fmt.Errorf("unknown key %q, there are %s", k.name, keysOf(v.Type()))}
		}
		if n.vals[i].scalar == "null" {
			continue
		}
		if err := n.vals[i].assign(v.Field(f)); err != nil {
			return err
		}
	}
	if at := v.FieldByName("At"); at.IsValid() {
		at.Set(reflect.ValueOf(n))
	}
	return nil
}

func keysOf(t reflect.Type) string {
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("mesh"); tag != "" {
			names = append(names, tag)
		}
	}
	return strings.Join(names, ", ")
}

func (n *node) assignSlice(v reflect.Value) error {
	if n.kind != listNode {
		return n.errorf("want a list")
	}
	all := reflect.MakeSlice(v.Type(), len(n.vals), len(n.vals))
	for i, item := range n.vals {
		if err := item.assign(all.Index(i)); err != nil {
			return err
		}
	}
	v.Set(all)
	return nil
}

func (n *node) assignMap(v reflect.Value) error {
	if n.kind != objectNode {
		return n.errorf("want an object")
	}
	all := reflect.MakeMap(v.Type())
	for i, k := range n.keys {
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if key.Kind() == reflect.String {
			key.SetString(k.name)
		} else if err := json.Unmarshal([]byte(k.name), key.Addr().Interface()); err != nil {
			return &fileError{n.file, k.line, fmt.Errorf("key %q: want a %s", k.name, key.Kind())}
		}
		if err := n.vals[i].assign(val); err != nil {
			return err
		}
		all.SetMapIndex(key, val)
	}
	v.Set(all)
	return nil
}

// overlay replaces what to holds by what from gives, field by field.
func overlay[T any](to, from *T) {
	t, f := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for i := range f.NumField() {
		if t.Field(i).CanSet() && !f.Field(i).IsZero() {
			t.Field(i).Set(f.Field(i))
		}
	}
}
