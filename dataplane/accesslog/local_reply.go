package accesslog

import (
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// LocalReply is a compiled LocalReplyConfig: it rewrites the replies that the proxy makes itself. It is
// immutable.
type LocalReply struct {
	mappers []mapper
	format  *formatter.Substitution // nil: the body as it is
}

type mapper struct {
	filter  Filter
	code    int // 0: as it was
	body    *string
	format  *formatter.Substitution // nil: the reply's
	headers []replyHeader
}

// Reply is a local reply on its way.
type Reply struct {
	Code int
	Body []byte
	// ContentType goes with a body that is not empty, unless the response's headers have a type already.
	ContentType string
}

// CompileLocalReply compiles a LocalReplyConfig; nil is none, for which a nil LocalReply is good.
func CompileLocalReply(p *hcmpb.LocalReplyConfig, o Options) (*LocalReply, error) {
	if p == nil {
		return nil, nil
	}
	if err := constraint(p.Validate()); err != nil {
		return nil, err
	}
	out := &LocalReply{}
	var err error
	for _, m := range p.GetMappers() {
		var c mapper
		if c, err = compileMapper(m, o); err != nil {
			return nil, err
		}
		out.mappers = append(out.mappers, c)
	}
	out.format, err = compileBodyFormat(p.GetBodyFormat(), o)
	return out, err
}

func compileMapper(p *hcmpb.ResponseMapper, o Options) (m mapper, err error) {
	if m.filter, err = CompileFilter(p.GetFilter(), o); err != nil {
		return m, err
	}
	m.code = int(p.GetStatusCode().GetValue())
	if p.GetBody() != nil {
		body, err := formatter.ReadDataSource(p.GetBody())
		if err != nil {
			return m, err
		}
		m.body = &body
	}
	if m.format, err = compileBodyFormat(p.GetBodyFormatOverride(), o); err != nil {
		return m, err
	}
	m.headers, err = compileReplyHeaders(p.GetHeadersToAdd(), o.Format)
	return m, err
}

func compileBodyFormat(p *corepb.SubstitutionFormatString, o Options) (*formatter.Substitution, error) {
	if p == nil {
		return nil, nil
	}
	return formatter.CompileSubstitution(p, o.Format)
}

// Rewrite applies the first mapper whose filter matches, and the format. e.Response holds the headers
// that the reply has so far; mappers add to them. The code is set in e.Info and e.Response as it
// changes, because filters and formats look at it there. l may be nil.
func (l *LocalReply) Rewrite(e *Entry, rt *runtime.Loader, r *Reply) {
	e.Info.ResponseCode, e.Response.Status = r.Code, r.Code
	r.ContentType = "text/plain"
	if l == nil {
		return
	}
	format := l.format
	for i := range l.mappers {
		m := &l.mappers[i]
		if !m.filter.Match(e, rt) {
			continue
		}
		m.apply(e, r)
		if m.format != nil {
			format = m.format
		}
		break
	}
	if format == nil {
		return
	}
	e.LocalReplyBody = header.Borrow(r.Body)
	r.Body = format.AppendContext(nil, e)
	e.LocalReplyBody = ""
	r.ContentType = format.ContentType
}

// apply changes everything but what the format makes of the body. Headers see the old code.
func (m *mapper) apply(e *Entry, r *Reply) {
	if m.body != nil {
		r.Body = []byte(*m.body)
	}
	applyReplyHeaders(m.headers, e)
	if m.code != 0 {
		r.Code = m.code
		e.Info.ResponseCode, e.Response.Status = m.code, m.code
	}
}
