package transcode

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// YAML transcodes the first YAML document of src to a message of m's type.
func YAML(m protoreflect.MessageDescriptor, src []byte, o Options) ([]byte, Report, error) {
	var n *node
	if err := yaml.Unmarshal(src, &n); err != nil {
		return nil, Report{}, fmt.Errorf("Unable to convert YAML as JSON: %w", err)
	}
	if n == nil {
		return nil, Report{}, errors.New("Unable to convert YAML as JSON: ")
	}
	return JSON(m, n.append(nil), o)
}

// node is one YAML node as Envoy reads it; nil is null.
type node struct {
	fields map[string]*node
	list   []*node
	scalar string // JSON
}

// UnmarshalYAML takes the node apart by trying what it is.
func (n *node) UnmarshalYAML(unmarshal func(any) error) error {
	var fields map[string]*node
	if unmarshal(&fields) == nil {
		if n.fields = fields; fields == nil {
			n.scalar = "null"
		}
		return nil
	}
	var list []*node
	if unmarshal(&list) == nil {
		n.list = append([]*node{}, list...)
		return nil
	}
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case bool:
		n.scalar = strconv.FormatBool(v)
		return nil
	case string:
		n.scalar = quote(v)
		return nil
	}
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	n.scalar = number(text)
	return nil
}

// number is a plain scalar that is a number to somebody. To Envoy's YAML library it is one if it is an
// integer of 32 bits, decimal, octal with a 0 or hexadecimal with a 0x; any other is a string, which
// fields that are numbers take as well.
func number(text string) string {
	if i, err := strconv.ParseInt(text, 0, 64); err == nil && i >= math.MinInt32 && i <= math.MaxInt32 && !strings.ContainsAny(text, "_oObB") {
		return strconv.FormatInt(i, 10)
	}
	return quote(text)
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}

// append writes the node as JSON.
func (n *node) append(b []byte) []byte {
	switch {
	case n == nil:
		return append(b, "null"...)
	case n.scalar != "":
		return append(b, n.scalar...)
	case n.list != nil:
		b = append(b, '[')
		for i, e := range n.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.append(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(n.fields)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(k)...), ':')
		b = n.fields[k].append(b)
	}
	return append(b, '}')
}
