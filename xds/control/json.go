package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseJSON reads one JSON document with the line of every value.
func parseJSON(file string, data []byte) (*node, error) {
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(data)), file: file, data: data, line: 1}
	p.dec.UseNumber()
	n, err := p.value(0)
	if err == nil {
		if _, end := p.dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p.pos, p.line = 0, 1
			p.reach(syntax.Offset)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &fileError{file, p.line, err}
	}
	return n, nil
}

type jsonParser struct {
	dec  *json.Decoder
	file string
	data []byte
	pos  int64
	line int
}

// reach counts the lines up to an offset.
func (p *jsonParser) reach(offset int64) {
	offset = min(offset, int64(len(p.data)))
	if offset > p.pos {
		p.line += bytes.Count(p.data[p.pos:offset], []byte{'\n'})
		p.pos = offset
	}
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err == nil {
		p.reach(p.dec.InputOffset())
	}
	return t, err
}

func (p *jsonParser) value(depth int) (*node, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	return p.from(t, depth)
}

func (p *jsonParser) from(t json.Token, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	n := &node{file: p.file, line: p.line}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			n.kind = objectNode
			return n, p.object(n, depth)
		}
		n.kind = listNode
		for p.dec.More() {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.vals = append(n.vals, v)
		}
		_, err := p.token()
		return n, err
	case string:
		n.scalar = quote(t)
	case json.Number:
		n.scalar = t.String()
	case bool:
		n.scalar = fmt.Sprint(t)
	case nil:
		n.scalar = "null"
	}
	return n, nil
}

func (p *jsonParser) object(n *node, depth int) error {
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("object key is %v", t)
		}
		k := key{name, p.line}
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.keys, n.vals = append(n.keys, k), append(n.vals, v)
	}
	_, err := p.token()
	return err
}
