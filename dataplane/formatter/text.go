package formatter

import (
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// text is a compiled text format.
type text struct {
	segments  []segment
	omitEmpty bool
}

func (t *text) Append(dst []byte, req, resp *header.Map, i *streaminfo.Info) []byte {
	return appendPlain(t, dst, req, resp, i)
}

func (t *text) AppendContext(dst []byte, c *Context) []byte {
	for i := range t.segments {
		s := &t.segments[i]
		dst = append(dst, s.literal...)
		if s.op != nil {
			dst = s.appendValue(dst, c, t.omitEmpty)
		}
	}
	return dst
}

func (t *text) Literal() (string, bool) {
	if len(t.segments) == 1 && t.segments[0].op == nil {
		return t.segments[0].literal, true
	}
	return "", false
}

// appendValue appends the operator's value as text.
func (s *segment) appendValue(dst []byte, c *Context, omitEmpty bool) []byte {
	mark := len(dst)
	dst, kind := s.op(dst, c)
	if kind == Missing {
		if omitEmpty {
			return dst
		}
		return append(dst, '-')
	}
	return cut(dst, mark, s.max)
}

// cut shortens what was appended after mark to max bytes; -1 is no limit.
func cut(dst []byte, mark, max int) []byte {
	if max >= 0 && len(dst)-mark > max {
		return dst[:mark+max]
	}
	return dst
}

var _ Formatter = (*text)(nil)
