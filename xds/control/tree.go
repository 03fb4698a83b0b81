package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is one value of a YAML or JSON document together with the line that it was written on, so that
// whatever is wrong with it can be reported by file and line.
type node struct {
	file string
	line int
	kind nodeKind
	// scalar is the JSON text of a scalar.
	scalar string
	// keys and vals are an object's members in order; vals alone are a list's items.
	keys []key
	vals []*node
}

type key struct {
	name string
	line int
}

type nodeKind byte

const (
	scalarNode nodeKind = iota
	objectNode
	listNode
)

// fileError is an error in a file, by name and line. Line 0 is not known.
type fileError struct {
	file string
	line int
	err  error
}

func (e *fileError) Error() string {
	if e.line == 0 {
		return fmt.Sprintf("%s: %v", e.file, e.err)
	}
	return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err)
}

func (e *fileError) Unwrap() error { return e.err }

// at makes err an error of this node's file and line. A line that it has already is the better one.
func (n *node) at(err error) error {
	if fe := (*fileError)(nil); err == nil {
		return nil
	} else if errors.As(err, &fe) {
		if n != nil {
			fe.file = cmp.Or(fe.file, n.file)
		}
		return err
	}
	if n == nil {
		return err
	}
	return &fileError{n.file, n.line, err}
}

func (n *node) errorf(format string, args ...any) error {
	return &fileError{n.file, n.line, fmt.Errorf(format, args...)}
}

// get returns an object's member by its snake_case name, whichever way it was spelled, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i, k := range n.keys {
		if k.name == name || k.name == camel(name) {
			return n.vals[i]
		}
	}
	return nil
}

// text returns a scalar string, or "".
func (n *node) text() string {
	var s string
	if n == nil || n.kind != scalarNode || json.Unmarshal([]byte(n.scalar), &s) != nil {
		return ""
	}
	return s
}

// camel turns snake_case into the lowerCamelCase that protobuf's JSON writes.
func camel(s string) string {
	parts := strings.Split(s, "_")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

// json writes the value as JSON in which everything is on the line that it came from: the positions in
// the errors of protojson are then those of the file.
func (n *node) json() []byte {
	w := &lineWriter{line: 1}
	w.value(n)
	return w.b.Bytes()
}

type lineWriter struct {
	b    bytes.Buffer
	line int
}

// reach goes on to a line. An alias may point backwards, which cannot be followed.
func (w *lineWriter) reach(line int) {
	for ; w.line < line; w.line++ {
		w.b.WriteByte('\n')
	}
}

func (w *lineWriter) value(n *node) {
	w.reach(n.line)
	switch n.kind {
	case scalarNode:
		w.b.WriteString(n.scalar)
	case listNode:
		w.b.WriteByte('[')
		for i, v := range n.vals {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.value(v)
		}
		w.b.WriteByte(']')
	case objectNode:
		w.b.WriteByte('{')
		for i, v := range n.vals {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.reach(n.keys[i].line)
			w.b.WriteString(quote(n.keys[i].name))
			w.b.WriteByte(':')
			w.value(v)
		}
		w.b.WriteByte('}')
	}
}

func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// parseTree reads the documents of a file: JSON if it begins like it, else YAML.
func parseTree(file string, data []byte) ([]*node, error) {
	trimmed := bytes.TrimSpace(data)
	if len(trimmed) == 0 {
		return nil, &fileError{file, 0, errors.New("the file is empty")}
	}
	if trimmed[0] == '{' {
		n, err := parseJSON(file, data)
		if err == nil {
			return []*node{n}, nil
		}
		// A flow mapping of YAML begins like JSON, too.
		if docs, yamlErr := parseYAML(file, data); yamlErr == nil {
			return docs, nil
		}
		return nil, err
	}
	return parseYAML(file, data)
}

func parseYAML(file string, data []byte) ([]*node, error) {
	var docs []*node
	r := &yamlReader{file: file, left: maxNodes}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, yamlError(file, err)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue
		}
		n, err := r.read(doc.Content[0], 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
}

// yamlError moves the line of a syntax error out of its text.
func yamlError(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if _, scan := fmt.Sscanf(text, "line %d:", &line); scan != nil {
		return &fileError{file, 0, errors.New(text)}
	}
	_, text, _ = strings.Cut(text, ": ")
	return &fileError{file, line, errors.New(text)}
}

// maxDepth and maxNodes bound what aliases that contain one another can do.
const (
	maxDepth = 200
	maxNodes = 1 << 21
)

// yamlReader reads the documents of one file.
type yamlReader struct {
	file string
	left int
}

func (r *yamlReader) read(y *yaml.Node, depth int) (*node, error) {
	if r.left--; depth > maxDepth || r.left < 0 {
		return nil, &fileError{r.file, y.Line, errors.New("nested too deeply")}
	}
	n := &node{file: r.file, line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return r.read(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.kind = listNode
		for _, c := range y.Content {
			v, err := r.read(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.vals = append(n.vals, v)
		}
	case yaml.MappingNode:
		n.kind = objectNode
		return n, r.members(n, y, depth)
	default:
		text, err := yamlScalar(y)
		if err != nil {
			return nil, &fileError{r.file, y.Line, err}
		}
		n.scalar = text
	}
	return n, nil
}

// members adds a mapping's members; "<<" merges another mapping's, which explicit ones override.
func (r *yamlReader) members(n *node, y *yaml.Node, depth int) error {
	var merged []*node
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		val, err := r.read(v, depth+1)
		if err != nil {
			return err
		}
		if k.Tag == "!!merge" {
			if merged = append(merged, val); val.kind == listNode {
				merged = append(merged, val.vals...)
			}
			continue
		}
		if seen[k.Value] {
			return &fileError{n.file, k.Line, fmt.Errorf("key %q is given twice", k.Value)}
		}
		seen[k.Value] = true
		n.keys, n.vals = append(n.keys, key{k.Value, k.Line}), append(n.vals, val)
	}
	for _, m := range merged {
		for i, k := range m.keys {
			if n.get(k.name) == nil {
				n.keys, n.vals = append(n.keys, k), append(n.vals, m.vals[i])
			}
		}
	}
	return nil
}

// yamlScalar is a scalar's JSON text. What looks like a date stays the string that it is.
func yamlScalar(y *yaml.Node) (string, error) {
	switch y.ShortTag() {
	case "!!null":
		return "null", nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := y.Decode(&v); err != nil {
			return "", err
		}
		b, err := json.Marshal(v)
		return string(b), err
	}
	return quote(y.Value), nil
}
