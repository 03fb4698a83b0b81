package headermutation

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// queryMutation is a compiled KeyValueMutation of a query parameter.
type queryMutation struct {
	remove string
	key    string
	action corepb.KeyValueAppend_KeyValueAppendAction
	format formatter.Formatter
}

func compileQuery(ps []*corepb.KeyValueMutation, o accesslog.Options) ([]queryMutation, error) {
	list := make([]queryMutation, len(ps))
	for i, p := range ps {
		m := &list[i]
		a := p.GetAppend()
		if a == nil {
			if m.remove = p.GetRemove(); m.remove == "" {
				return nil, errors.New("One of 'append'/'remove' must be specified.") //nolint:staticcheck,revive // Envoy's text
			}
			continue
		}
		if p.GetRemove() != "" {
			return nil, errors.New("Only one of 'append'/'remove can be specified.") //nolint:staticcheck,revive // Envoy's text
		}
		var value string
		switch e := a.GetEntry(); { //nolint:staticcheck // deprecated, and in use
		case a.GetRecord() != nil:
			v, ok := a.GetRecord().GetValue().GetKind().(*structpb.Value_StringValue)
			if !ok {
				return nil, errors.New("Only string value is allowed for record value.") //nolint:staticcheck,revive // Envoy's text
			}
			m.key, value = a.GetRecord().GetKey(), v.StringValue
		case e != nil:
			m.key, value = e.GetKey(), string(e.GetValue())
		default:
			return nil, errors.New("No record specified.") //nolint:staticcheck,revive // Envoy's text
		}
		m.action = a.GetAction()
		var err error
		if m.format, err = formatter.CompileHeader(value, o.Format); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// param is a parameter: its key and value decoded, and as they are written.
type param struct{ key, value, keyText, valueText string }

// mutateQuery changes the path's query. As in Envoy parameters come out sorted by key.
func mutateQuery(list []queryMutation, h *header.Map, i *streaminfo.Info) {
	path, query, _ := strings.Cut(h.Path, "?")
	params := parseQuery(query)
	for n := range list {
		m := &list[n]
		if m.remove != "" {
			params = slices.DeleteFunc(params, func(p param) bool { return p.key == m.remove })
			continue
		}
		value := urlEncode(string(m.format.Append(nil, h, nil, i)))
		params = m.put(params, param{m.key, value, m.key, value})
	}
	slices.SortStableFunc(params, func(a, b param) int { return cmp.Compare(a.key, b.key) })
	h.Path = h.Keep(appendQuery([]byte(path), params))
}

func (m *queryMutation) put(params []param, p param) []param {
	at := slices.IndexFunc(params, func(o param) bool { return o.key == p.key })
	switch {
	case at < 0 && m.action == corepb.KeyValueAppend_OVERWRITE_IF_EXISTS, at >= 0 && m.action == corepb.KeyValueAppend_ADD_IF_ABSENT:
		return params
	case at >= 0 && m.action != corepb.KeyValueAppend_APPEND_IF_EXISTS_OR_ADD:
		params = slices.DeleteFunc(params, func(o param) bool { return o.key == p.key })
	}
	return append(params, p)
}

func parseQuery(query string) (list []param) {
	if query == "" {
		return nil
	}
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		p := param{key: decode(key), value: decode(value)}
		p.keyText, p.valueText = plain(p.key, key), plain(p.value, value)
		list = append(list, p)
	}
	return list
}

// plain is decoded, as Envoy writes it, where that means the same in a URL; else the text as it came, where
// Envoy would write what was escaped.
func plain(decoded, text string) string {
	for i := range len(decoded) {
		if c := decoded[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("#%&=", c) >= 0 {
			return text
		}
	}
	return decoded
}

func appendQuery(dst []byte, params []param) []byte {
	for i, p := range params {
		sep := byte('&')
		if i == 0 {
			sep = '?'
		}
		dst = append(append(append(append(dst, sep), p.keyText...), '='), p.valueText...)
	}
	return dst
}

const hex = "0123456789ABCDEF"

// urlEncode escapes everything but letters, digits, "-", "." and "_".
func urlEncode(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			out = append(out, c)
		default:
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

// decode undoes percent encoding where it is well formed.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := digit(s[i+1]), digit(s[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func digit(c byte) int {
	if c >= 'a' && c <= 'f' {
		c -= 'a' - 'A'
	}
	return strings.IndexByte(hex, c)
}
