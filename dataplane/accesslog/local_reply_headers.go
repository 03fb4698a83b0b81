package accesslog

import (
	"errors"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// replyHeader is a header that a mapper adds to a local reply.
type replyHeader struct {
	name      string // lower case
	value     formatter.Formatter
	action    corepb.HeaderValueOption_HeaderAppendAction
	keepEmpty bool
}

func compileReplyHeaders(ps []*corepb.HeaderValueOption, o formatter.Options) ([]replyHeader, error) {
	out := make([]replyHeader, 0, len(ps))
	for _, p := range ps {
		h := replyHeader{name: strings.ToLower(p.GetHeader().GetKey()), action: p.GetAppendAction(), keepEmpty: p.GetKeepEmptyValue()}
		if strings.HasPrefix(h.name, ":") || h.name == "host" {
			return nil, errors.New(":-prefixed or host headers may not be modified")
		}
		if a := p.GetAppend(); a != nil {
			if h.action != corepb.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
				return nil, errors.New("Both append and append_action are set and it's not allowed")
			}
			if !a.GetValue() {
				h.action = corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
			}
		}
		value := p.GetHeader().GetValue()
		if value == "" {
			value = string(p.GetHeader().GetRawValue())
		}
		var err error
		if h.value, err = formatter.CompileHeader(value, o); err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// applyReplyHeaders adds the headers to the response. All values are made before the first is added;
// those that overwrite come before those that are appended, as in Envoy.
func applyReplyHeaders(headers []replyHeader, e *Entry) {
	if len(headers) == 0 {
		return
	}
	values := make([]string, len(headers))
	use := make([]bool, len(headers))
	var value []byte
	for i := range headers {
		h := &headers[i]
		value = h.value.AppendContext(value[:0], e)
		values[i] = e.Response.Keep(value)
		use[i] = (len(value) > 0 || h.keepEmpty) && h.applies(e.Response)
	}
	for i := range headers {
		if use[i] && headers[i].overwrites() {
			e.Response.Set(headers[i].name, values[i])
		}
	}
	for i := range headers {
		if use[i] && !headers[i].overwrites() {
			e.Response.Add(headers[i].name, values[i])
		}
	}
}

func (h *replyHeader) applies(m *header.Map) bool {
	switch _, has := m.Get(h.name); h.action {
	case corepb.HeaderValueOption_ADD_IF_ABSENT:
		return !has
	case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS:
		return has
	default:
		return true
	}
}

func (h *replyHeader) overwrites() bool {
	return h.action == corepb.HeaderValueOption_OVERWRITE_IF_EXISTS || h.action == corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
}
