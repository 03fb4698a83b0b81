package hcm

import (
	"io"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// encode writes the response: the head, then the body as it comes, then trailers.
func (m *manager) encode(s *filter.Stream, r responder) {
	i := &s.Info
	m.finishHeaders(s)
	i.ResponseCode = s.Response.Status
	i.ResponseHeaderBytes = uint64(s.Response.ByteSize())
	body := s.Response.Body
	i.FirstDownstreamTx = i.Now()
	if err := r.Headers(s, body == nil && !s.Upgraded); err != nil {
		m.writeFailed(s, r)
		return
	}
	if s.Upgraded {
		m.stats.CxUpgradesTotal.Inc(s.Worker)
		m.stats.CxUpgradesActive.Inc(s.Worker)
		defer m.stats.CxUpgradesActive.Dec(s.Worker)
		r.Raw()
	}
	if body != nil {
		if !m.encodeBody(s, r, body) {
			return
		}
	}
	var trailers *header.Map
	if body != nil {
		trailers = body.Trailers()
	}
	if err := r.End(trailers); err != nil {
		m.writeFailed(s, r)
		return
	}
	i.LastDownstreamTx = i.Now()
}

// encodeBody moves the body. It reports false if the response could not be finished.
func (m *manager) encodeBody(s *filter.Stream, r responder, body filter.Body) bool {
	try, _ := body.(filter.TryBody)
	for {
		p, ok, err := []byte(nil), false, error(nil)
		if try != nil {
			p, ok, err = try.TryNext()
		}
		if !ok {
			if r.Flush() != nil {
				m.writeFailed(s, r)
				return false
			}
			p, err = body.Next()
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			// The response cannot be finished; the client must be able to tell.
			r.Reset()
			return false
		}
		s.Info.BytesSent += uint64(len(p))
		s.Touch()
		m.writeDeadline(s)
		if r.Data(p) != nil {
			m.writeFailed(s, r)
			return false
		}
	}
}

// writeDeadline bounds how long a client may take none of the response: the stream's idle timeout.
func (m *manager) writeDeadline(s *filter.Stream) {
	if s.IdleTimeout > 0 {
		_ = s.Conn.SetWriteDeadline(time.Now().Add(s.IdleTimeout))
	}
}

// writeFailed ends a stream whose client takes no more.
func (m *manager) writeFailed(s *filter.Stream, r responder) {
	s.Abort(filter.DownstreamDisconnect)
	if s.Response.Body != nil {
		_ = s.Response.Body.Close()
	}
	r.Reset()
}

// finishHeaders brings the response's head into the form that leaves the proxy.
func (m *manager) finishHeaders(s *filter.Stream) {
	h := &s.Response.Map
	if !h.Has(header.Date) {
		h.SetID(header.Date, m.date.at(s.Info.Start.Add(s.Info.Now())))
	}
	switch m.c.serverHeader {
	case serverOverwrite:
		h.SetID(header.Server, m.c.serverName)
	case serverAppendIfAbsent:
		if !h.Has(header.Server) {
			h.SetID(header.Server, m.c.serverName)
		}
	case serverPassThrough:
	}
	if s.Upgraded && s.Response.Status == 101 {
		h.SetID(header.Connection, "upgrade")
	} else {
		h.DelID(header.Connection)
		h.DelID(header.Upgrade)
	}
	h.DelID(header.TransferEncoding)
	h.DelID(header.KeepAlive)
	h.DelID(header.ProxyConnection)
	if m.c.requestID.inResponse || s.Request.Has(header.XEnvoyForceTrace) {
		if id := s.Request.Value(header.XRequestID); id != "" {
			h.SetID(header.XRequestID, id)
		}
	}
	if m.c.via != "" {
		h.AppendID(header.Via, m.c.via, ", ")
	}
	m.decorate(s)
}
