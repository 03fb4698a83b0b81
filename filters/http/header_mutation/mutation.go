package headermutation

import (
	"errors"
	"strings"

	rulespb "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	mutationpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// mutation is a compiled HeaderMutation: it removes a header by name, or those whose names match, or sets
// one.
type mutation struct {
	remove string
	match  *matcher.String
	name   string // lower case
	id     header.ID
	action corepb.HeaderValueOption_HeaderAppendAction
	keep   bool // keep_empty_value
	inline bool // a second value goes into the same line
	text   string
	format formatter.Formatter // instead of text
}

func compileMutations(p *mutationpb.Mutations, o accesslog.Options) (*mutations, error) {
	if len(p.GetFormatters()) > 0 {
		var err error
		if o.Format, err = o.Format.With(p.GetFormatters()); err != nil {
			return nil, err
		}
	}
	m := &mutations{}
	var err error
	for _, l := range [...]struct {
		from    []*rulespb.HeaderMutation
		to      *[]mutation
		request bool
	}{
		{p.GetRequestMutations(), &m.request, true}, {p.GetResponseMutations(), &m.response, false},
		{p.GetRequestTrailersMutations(), &m.requestTrailers, true}, {p.GetResponseTrailersMutations(), &m.responseTrailers, false},
	} {
		if *l.to, err = compileList(l.from, o, l.request); err != nil {
			return nil, err
		}
	}
	m.query, err = compileQuery(p.GetQueryParameterMutations(), o)
	return m, err
}

func compileList(ps []*rulespb.HeaderMutation, o accesslog.Options, request bool) ([]mutation, error) {
	list := make([]mutation, len(ps))
	for i, p := range ps {
		m := &list[i]
		switch a := p.GetAction().(type) {
		case *rulespb.HeaderMutation_Remove:
			m.remove = strings.ToLower(a.Remove)
		case *rulespb.HeaderMutation_RemoveOnMatch_:
			s, err := matcher.CompileString(a.RemoveOnMatch.GetKeyMatcher(), o.Matcher)
			if err != nil {
				return nil, err
			}
			m.match = &s
		case *rulespb.HeaderMutation_Append:
			if err := m.compileAppend(a.Append, o, request); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (m *mutation) compileAppend(p *corepb.HeaderValueOption, o accesslog.Options, request bool) error {
	m.name, m.action, m.keep = strings.ToLower(p.GetHeader().GetKey()), p.GetAppendAction(), p.GetKeepEmptyValue()
	if m.name == "" || m.name[0] == ':' || m.name == "host" {
		return errors.New(":-prefixed or host headers may not be modified")
	}
	m.id = header.IDOf(m.name)
	m.inline = request && m.id.InlineRequest() || !request && m.id.InlineResponse()
	if old := p.GetAppend(); old != nil { //nolint:staticcheck // deprecated, and in use
		if m.action != corepb.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			return errors.New("Both append and append_action are set and it's not allowed") //nolint:staticcheck,revive // Envoy's text
		}
		if !old.GetValue() {
			m.action = corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
	}
	value := p.GetHeader().GetValue()
	if raw := p.GetHeader().GetRawValue(); len(raw) > 0 {
		value = string(raw)
	}
	f, err := formatter.CompileHeader(value, o.Format)
	if err != nil {
		return err
	}
	if text, ok := f.Literal(); ok || value == "" {
		m.text = text
		return nil
	}
	m.format = f
	return nil
}

// apply changes to, which is the request's, the response's or a trailer's map. missing is a pseudo header
// that was removed and without which there is no such message.
func (m *mutation) apply(to, req, resp *header.Map, i *streaminfo.Info) (missing string) {
	switch {
	case m.name != "":
		m.set(to, req, resp, i)
		return ""
	case m.match != nil:
		to.DelFunc(func(f *header.Field) bool { return m.match.Match(f.Name) })
		to.EachPseudo(func(name, _ string) {
			if m.match.Match(name) && (missing == "" || name == ":method") {
				missing = name
			}
		})
		if missing == ":authority" || missing == ":scheme" || missing == ":protocol" {
			to.Del(missing)
			missing = ""
		}
		return missing
	case m.remove == ":path" || m.remove == ":method" || m.remove == ":status":
		if _, has := to.Get(m.remove); has {
			return m.remove
		}
	default:
		to.Del(m.remove)
	}
	return ""
}

func (m *mutation) set(to, req, resp *header.Map, i *streaminfo.Info) {
	value := m.text
	if m.format != nil {
		const usual = 128
		value = header.Borrow(m.format.Append(to.Grow(usual)[:0], req, resp, i))
	}
	if value == "" && !m.keep {
		return
	}
	_, has := to.Get(m.name)
	switch m.action {
	case corepb.HeaderValueOption_ADD_IF_ABSENT:
		if !has {
			m.add(to, value)
		}
	case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS:
		if has {
			to.Set(m.name, value)
		}
	case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
		to.Set(m.name, value)
	case corepb.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
		if has && m.inline {
			to.AppendID(m.id, value, ",")
			return
		}
		m.add(to, value)
	}
}

func (m *mutation) add(to *header.Map, value string) {
	to.AddField(header.Field{Name: m.name, Value: value, ID: m.id})
}
