package hcm

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// prepare checks a request, brings it into the form that filters and routes see, and matches its route.
// It returns Stop after a local reply.
func (m *manager) prepare(s *filter.Stream) filter.Status {
	h := &s.Request.Map
	s.GRPC = isGRPC(h)
	if s.Info.Protocol <= streaminfo.HTTP11 {
		s.Info.RequestHeaderBytes = uint64(h.ByteSize())
	}
	if v, ok := h.Lookup(header.Expect); ok && !m.c.proxy100 && strings.EqualFold(v, "100-continue") {
		m.continue100(s)
	}
	if !h.HasAuthority && h.Authority == "" {
		return m.reject(s, 400, "", streaminfo.DetailMissingHost, "request has no Host")
	}
	if st := m.checkPath(s); st == filter.Stop {
		return st
	}
	m.c.host.apply(h, s.Conn.Info.Local.Port())
	if st := m.originate(s); st == filter.Stop {
		return st
	}
	s.Route = m.Match(s)
	m.traceReason(s)
	s.Info.StreamID = h.Value(header.XRequestID)
	m.applyRoute(s)
	return m.upgradeAllowed(s)
}

// reject answers a request that is refused before the filters.
func (m *manager) reject(s *filter.Stream, code int, body, details, because string) filter.Status {
	s.Stage, s.Because = "connection manager", because
	return s.SendLocalReply(code, body, details, 0)
}

func isGRPC(h *header.Map) bool {
	ct := h.Value(header.ContentType)
	const grpc = "application/grpc"
	return strings.HasPrefix(ct, grpc) && (len(ct) == len(grpc) || ct[len(grpc)] == '+')
}

// continue100 answers the expectation itself, as Envoy does unless proxy_100_continue is set.
func (m *manager) continue100(s *filter.Stream) {
	s.Request.DelID(header.Expect)
	var h header.Map
	h.Status = 100
	_ = m.Informational(s, &h)
}

func (m *manager) checkPath(s *filter.Stream) filter.Status {
	h := &s.Request.Map
	if h.Path == "" {
		if h.Method == "CONNECT" {
			return filter.Continue
		}
		return m.reject(s, 404, "", streaminfo.DetailMissingPath, "request has no path")
	}
	if h.Path[0] != '/' {
		m.stats.RqNonRelativePath.Inc(s.Worker)
		return m.reject(s, 404, "", streaminfo.DetailAbsolutePath, "path does not begin with a slash")
	}
	switch m.c.path.apply(h, m.ctx.Runtime) {
	case pathReject:
		m.stats.RqFailedPathNormalization.Inc(s.Worker)
		return m.reject(s, 400, "", streaminfo.DetailPathNormalizationFailed, "path cannot be normalised, or has an escaped slash or a fragment")
	case pathRedirect:
		m.stats.RqRedirectedWithNormalizedPath.Inc(s.Worker)
		return s.LocalReply(filter.LocalReply{Code: 307, Details: streaminfo.DetailPathNormalizationFailed, GRPCStatus: -1,
			Headers: []header.Field{{Name: "location", ID: header.Location, Value: h.Path}}})
	case pathOK:
	}
	return filter.Continue
}

// originate finds out who the request is from, and cleans what only trusted clients may say.
func (m *manager) originate(s *filter.Stream) filter.Status {
	h := &s.Request.Map
	for _, mutate := range m.c.early {
		mutate(s)
	}
	m.cleanHopByHop(s)
	o := m.forward.apply(s)
	if o.reject != 0 {
		m.stats.RqRejectedViaIPDetection.Inc(s.Worker)
		return m.reject(s, o.reject, "", streaminfo.DetailIPDetection, "original IP detection refused the request")
	}
	s.Info.Remote = o.addr
	if h.Scheme == "" {
		h.Scheme = schemeOf(h.Value(header.XForwardedProto), s)
	}
	if m.c.scheme != "" {
		h.Scheme = m.c.scheme
	}
	if o.internal {
		h.SetID(header.XEnvoyInternal, "true")
	} else {
		m.cleanExternal(h, o.edge)
	}
	m.addUserAgent(h)
	if m.c.via != "" {
		h.AppendID(header.Via, m.c.via, ", ")
	}
	if o.edge && o.addr.IsValid() {
		var b [64]byte
		h.SetID(header.XEnvoyExternalAddress, h.Keep(o.addr.Addr().AppendTo(b[:0])))
	}
	if m.c.requestID.generate {
		m.c.requestID.set(s, o.edge)
	}
	m.c.xfcc.apply(s)
	return filter.Continue
}

func schemeOf(forwarded string, s *filter.Stream) string {
	if forwarded == "http" || forwarded == "https" {
		return forwarded
	}
	return scheme(s)
}

// cleanHopByHop removes what concerns one hop alone (RFC 9110 section 7.6.1). The Connection and Upgrade
// of an upgrade go on.
func (m *manager) cleanHopByHop(s *filter.Stream) {
	h := &s.Request.Map
	if isUpgrade(h) {
		if !h.Has(header.TransferEncoding) && !h.Has(header.ContentLength) && s.Info.Protocol <= streaminfo.HTTP11 && h.Method != "GET" {
			h.SetID(header.ContentLength, "0")
		}
	} else {
		h.DelID(header.Connection)
		h.DelID(header.Upgrade)
	}
	h.DelID(header.XEnvoyInternal)
	h.DelID(header.KeepAlive)
	h.DelID(header.ProxyConnection)
	h.DelID(header.TransferEncoding)
	if te, ok := h.Lookup(header.TE); ok && te != "trailers" {
		if hasToken(te, "trailers") {
			h.SetID(header.TE, "trailers")
		} else {
			h.DelID(header.TE)
		}
	}
}

func hasToken(list, word string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(t), word) {
			return true
		}
	}
	return false
}

// external are the headers that a client which is not internal may not send.
var external = [...]header.ID{
	header.XEnvoyRetriableStatusCodes, header.XEnvoyRetriableHeaderNames, header.XEnvoyRetryOn, header.XEnvoyRetryGrpcOn, header.XEnvoyMaxRetries,
	header.XEnvoyUpstreamAltStatName, header.XEnvoyUpstreamRqTimeoutMs, header.XEnvoyUpstreamRqPerTryTimeoutMs,
	header.XEnvoyUpstreamRqTimeoutAltResponse, header.XEnvoyExpectedRqTimeoutMs, header.XEnvoyForceTrace, header.XEnvoyIPTags,
	header.XEnvoyHedgeOnPerTryTimeout,
}

func (m *manager) cleanExternal(h *header.Map, edge bool) {
	for _, id := range external {
		h.DelID(id)
	}
	if edge {
		h.DelID(header.XEnvoyDecoratorOperation)
		h.DelID(header.XEnvoyDownstreamServiceCluster)
		h.DelID(header.XEnvoyDownstreamServiceNode)
	}
	if t := m.routes.Load(); t != nil {
		for _, name := range t.InternalOnlyHeaders {
			h.Del(name)
		}
	}
}

func (m *manager) addUserAgent(h *header.Map) {
	if !m.c.addUserAgent {
		return
	}
	h.SetID(header.XEnvoyDownstreamServiceCluster, m.ctx.Node.Cluster)
	if h.Value(header.UserAgent) == "" {
		h.SetID(header.UserAgent, m.ctx.Node.Cluster)
	}
	if m.ctx.Node.ID != "" {
		h.SetID(header.XEnvoyDownstreamServiceNode, m.ctx.Node.ID)
	}
}

// hostOptions are the connection manager's fields that touch the authority.
type hostOptions struct {
	stripMatchingPort, stripAnyPort, stripDot bool
}

func (o *hostOptions) apply(h *header.Map, local uint16) {
	if o.stripDot {
		host, port := cutPort(h.Authority)
		if strings.HasSuffix(host, ".") {
			h.Authority = h.KeepString(strings.TrimSuffix(host, ".") + port)
		}
	}
	if !o.stripAnyPort && !o.stripMatchingPort {
		return
	}
	host, port := cutPort(h.Authority)
	if port == "" || h.Method == "CONNECT" && h.Protocol == "" && !o.stripAnyPort {
		return
	}
	if o.stripAnyPort || port[1:] == string(appendInt(nil, int(local))) {
		h.Authority = host
	}
}

// cutPort splits a host and its port, with the colon.
func cutPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 || i == len(authority)-1 {
		return authority, ""
	}
	return authority[:i], authority[i:]
}

// applyRoute takes over what the route says of the stream itself.
func (m *manager) applyRoute(s *filter.Stream) {
	r := s.Route
	if r == nil {
		return
	}
	s.Info.RouteName, s.Info.VirtualHostName = r.Name, r.VirtualHost.Name
	if r.Kind != route.Forward {
		return
	}
	if t := r.Action.IdleTimeout; t.Set {
		s.IdleTimeout = t.D
	}
	m.routeDuration(s)
}
