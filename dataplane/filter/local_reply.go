package filter

import (
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// SendLocalReply makes the proxy answer itself: it replaces s.Response, sets flags and details, and
// returns Stop. Headers may be added to s.Response afterwards. A gRPC request is answered by a gRPC
// status (https://www.envoyproxy.io/docs/envoy/v1.40.0/faq/…: trailers-only, HTTP 200).
func (s *Stream) SendLocalReply(code int, body, details string, f streaminfo.Flag) Status {
	return s.LocalReply(LocalReply{Code: code, Body: body, Details: details, Flag: f, GRPCStatus: -1})
}

// LocalReply is what SendLocalReply sends, with what few need to say.
type LocalReply struct {
	Code    int
	Body    string
	Details string
	Flag    streaminfo.Flag
	// GRPCStatus overrides the gRPC status that goes with Code; negative: it does not.
	GRPCStatus int
	// ContentType of Body; "": text/plain.
	ContentType string
	// Headers are added before the framing headers.
	Headers []header.Field
	// Modify changes the head before local_reply_config sees it; nil: nothing.
	Modify func(h *header.Map)
}

// LocalReply is SendLocalReply in full.
func (s *Stream) LocalReply(r LocalReply) Status {
	s.Info.Set(r.Flag)
	s.Info.Details = r.Details
	if s.Response.Body != nil {
		_ = s.Response.Body.Close()
	}
	resp := &s.Response
	resp.Map.Reset()
	resp.Body, resp.Local = nil, true
	resp.Status = r.Code
	s.Info.LocalReplyBody = r.Body
	for _, f := range r.Headers {
		resp.AddField(f)
	}
	if r.Modify != nil {
		r.Modify(&resp.Map)
	}
	reply := accesslog.Reply{Code: r.Code, ContentType: r.ContentType}
	if r.Body != "" {
		reply.Body = []byte(r.Body)
	}
	s.Manager.LocalReply(s, &reply)
	resp.Status = reply.Code
	if s.GRPC {
		s.grpcReply(reply.Body, r.GRPCStatus)
		return Stop
	}
	s.localBody(&reply)
	s.Info.ResponseCode = resp.Status
	return Stop
}

// localBody gives the reply its body and the headers that go with it.
func (s *Stream) localBody(r *accesslog.Reply) {
	resp := &s.Response
	if len(r.Body) == 0 {
		resp.DelID(header.ContentLength)
		resp.DelID(header.ContentType)
		return
	}
	resp.SetID(header.ContentLength, resp.Keep(strconv.AppendInt(nil, int64(len(r.Body)), 10)))
	if !resp.Has(header.ContentType) {
		resp.SetID(header.ContentType, orText(r.ContentType))
	}
	if s.Request.Method != "HEAD" {
		s.LocalBody.Set(r.Body, nil)
		resp.Body = &s.LocalBody
	}
}

func orText(contentType string) string {
	if contentType == "" {
		return "text/plain"
	}
	return contentType
}

// grpcReply turns the local reply into a trailers-only gRPC response.
func (s *Stream) grpcReply(body []byte, status int) {
	resp := &s.Response
	if status < 0 {
		status = GRPCStatusOf(resp.Status)
	}
	resp.Status = 200
	resp.DelID(header.ContentLength)
	resp.SetID(header.ContentType, "application/grpc")
	resp.SetID(header.GrpcStatus, resp.Keep(strconv.AppendInt(nil, int64(status), 10)))
	if len(body) > 0 {
		resp.SetID(header.GrpcMessage, resp.Keep(percentEncode(body)))
	}
	s.Info.ResponseCode = 200
}

// GRPCStatusOf is the gRPC status for an HTTP status
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md, as Envoy has it).
func GRPCStatusOf(code int) int {
	switch code {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}

// percentEncode writes a grpc-message: bytes outside of printable ASCII, and the percent sign, are
// escaped (gRPC over HTTP/2, "Status-Message").
func percentEncode(b []byte) []byte {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c >= ' ' && c <= '~' && c != '%' {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return out
}
