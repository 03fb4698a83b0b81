package filtertest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Stream makes the stream of a request, as the connection manager hands it to the chain.
func (h *Harness) Stream(r *envoytest.Request) *filter.Stream {
	conn := &network.Conn{Worker: 1}
	conn.Sock.Conn = &net.TCPConn{} // nothing is ever read from it
	conn.Info.Remote = netip.MustParseAddrPort("127.0.0.1:50000")
	conn.Info.DirectRemote = conn.Info.Remote
	conn.Info.Local = netip.MustParseAddrPort("127.0.0.1:10000")
	conn.Info.DirectLocal = conn.Info.Local
	s := &filter.Stream{}
	s.Begin(conn, h, now(), 0)
	s.Info.Protocol = streaminfo.HTTP11
	m := &s.Request.Map
	m.Method, m.Path, m.Authority, m.HasAuthority, m.Scheme = r.Method, r.Path, r.Host, true, "http"
	for _, line := range r.Headers {
		name, value := splitLine(line)
		if id := header.IDOf(name); id.InlineRequest() && m.Has(id) {
			m.AppendID(id, value, ",")
			continue
		}
		m.Add(name, value)
	}
	for _, id := range []header.ID{header.XEnvoyInternal, header.XEnvoyIPTags} {
		m.DelID(id) // the client is external
	}
	m.SetID(header.XForwardedProto, "http")
	s.GRPC = strings.HasPrefix(m.Value(header.ContentType), "application/grpc") && !strings.HasPrefix(m.Value(header.ContentType), "application/grpc-web")
	switch {
	case len(r.Pieces) > 0 || len(r.Trailers) > 0:
		pieces := r.Pieces
		if r.Body != nil {
			pieces = []string{*r.Body}
		}
		s.Request.Body = NewBody(pieces, r.Trailers)
	case r.Body != nil && *r.Body != "":
		m.SetID(header.ContentLength, itoa(len(*r.Body)))
		s.Request.Body = NewBody([]string{*r.Body}, nil)
	case r.Body != nil:
		m.SetID(header.ContentLength, "0")
	}
	s.Route = h.Match(s)
	return s
}

// LocalReply implements filter.Manager: there is no local_reply_config.
func (h *Harness) LocalReply(s *filter.Stream, r *accesslog.Reply) {
	s.Response.Status = r.Code
	if r.ContentType == "" {
		r.ContentType = "text/plain"
	}
}

// Match implements filter.Manager.
func (h *Harness) Match(s *filter.Stream) *route.Route {
	r := h.Table.Match(&s.Request.Map, &s.Info, s.Random, h.Server.Runtime)
	if r != nil {
		s.Info.RouteName, s.Info.VirtualHostName, s.Info.RouteMetadata = r.Name, r.VirtualHost.Name, r.Metadata()
	}
	return r
}

// Informational implements filter.Manager.
func (h *Harness) Informational(*filter.Stream, *header.Map) error { return nil }

// Body is a body in pieces.
type Body struct {
	pieces   []string
	trailers *header.Map
	buf      []byte
	// Err is what Next returns at the end instead of io.EOF.
	Err    error
	closed bool
}

// NewBody makes a body with trailers, "name: value".
func NewBody(pieces, trailers []string) *Body {
	b := &Body{pieces: pieces}
	if len(trailers) > 0 {
		b.trailers = &header.Map{}
		for _, line := range trailers {
			b.trailers.Add(splitLine(line))
		}
	}
	return b
}

// Next returns the next piece.
func (b *Body) Next() ([]byte, error) {
	switch {
	case b.closed:
		return nil, filter.ErrBodyClosed
	case len(b.pieces) == 0 && b.Err != nil:
		return nil, b.Err
	case len(b.pieces) == 0:
		return nil, io.EOF
	}
	// The piece before is gone: who kept it sees it overwritten.
	b.buf = append(b.buf[:0], b.pieces[0]...)
	b.pieces = b.pieces[1:]
	return b.buf, nil
}

// TryNext is Next.
func (b *Body) TryNext() ([]byte, bool, error) {
	p, err := b.Next()
	return p, true, err
}

// Trailers are the trailers.
func (b *Body) Trailers() *header.Map { return b.trailers }

// Close makes Next fail.
func (b *Body) Close() error {
	b.closed = true
	return nil
}

func readAll(b filter.Body) (string, error) {
	var out strings.Builder
	for {
		p, err := b.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
		out.Write(p)
	}
}

func headerLines(fields []header.Field) (out []string) {
	for _, f := range fields {
		out = append(out, f.Name+": "+f.Value)
	}
	return sorted(out)
}

func trailerLines(b filter.Body) []string {
	if t := b.Trailers(); t != nil {
		return headerLines(t.Fields())
	}
	return nil
}

var (
	_ filter.Manager = (*Harness)(nil)
	_ filter.TryBody = (*Body)(nil)
)
