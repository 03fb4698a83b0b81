package router

import (
	"net/netip"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// pick fills what the load balancer goes by.
func (r *router) pick() {
	s, p := r.s, &r.s.Pick
	p.Headers, p.Info, p.Worker, p.Conn, p.Random = &s.Request.Map, &s.Info, s.Worker, &s.Conn.Info, s.Random
	p.OriginalDst = s.Conn.Info.Local
	p.Criteria = r.criteria()
	p.Hash, p.HasHash = r.route.Hash(&s.Request.Map, &s.Info, r.setCookie)
}

// criteria are what the hosts' metadata must be: what the request's dynamic metadata says, over what the
// route does.
func (r *router) criteria() *lb.Criteria {
	c, _ := r.route.Subset.(*lb.Criteria)
	if m := r.s.Info.Metadata["envoy.lb"]; m != nil {
		return c.Merge(m.GetFields())
	}
	return c
}

// setCookie sends a cookie that a hash policy made.
func (r *router) setCookie(cookie string) { r.cookies = append(r.cookies, cookie) }

// choose tells the load balancer which hosts a retry should not take.
func (t *retryState) choose(r *router) {
	p := &r.s.Pick
	if t.policy == nil {
		return
	}
	if t.policy.PreviousHosts || t.policy.OmitCanary || len(t.policy.OmitMetadata) > 0 {
		p.Predicate, p.HostSelectionAttempts = r, t.policy.HostSelectionAttempts
	}
	if t.policy.PreviousPriorities > 0 {
		if t.priorities == nil {
			t.priorities = &priorities{every: t.policy.PreviousPriorities}
		}
		t.priorities.tried = append(t.priorities.tried, r.host)
		p.Priorities = t.priorities
	}
}

// ShouldSelectAnother turns down the hosts that retry_host_predicate names.
func (r *router) ShouldSelectAnother(h *endpoint.Host) bool {
	p := r.retry.policy
	if p.PreviousHosts {
		for _, tried := range r.retry.hosts {
			if tried == h {
				return true
			}
		}
	}
	if p.OmitCanary && h.Endpoint().Canary {
		return true
	}
	for _, m := range p.OmitMetadata {
		if hasMetadata(h, m) {
			return true
		}
	}
	return false
}

func hasMetadata(h *endpoint.Host, want []route.MetadataPair) bool {
	fields := h.Endpoint().Metadata["envoy.lb"].GetFields()
	for _, m := range want {
		if v, ok := fields[m.Key]; !ok || !proto.Equal(v, m.Value) {
			return false
		}
	}
	return true
}

// poolOptions are what the connection has to differ in from the others of the host.
func (r *router) poolOptions() pool.Options {
	s := r.s
	o := r.owner.PoolOptions(r.host, s.Info.Protocol, r.route.HighPriority, &s.Conn.Info)
	r.transport(&o)
	return o
}

// transport adds what filters have asked of the upstream connection, and the names that auto_sni and
// auto_san_validation take from the request.
func (r *router) transport(o *pool.Options) {
	s := r.s
	if len(s.Info.FilterState.Objects()) > 0 {
		stateOptions(o, &s.Info.FilterState)
	}
	if len(s.Conn.Info.FilterState.Objects()) > 0 {
		stateOptions(o, &s.Conn.Info.FilterState)
	}
	http := &r.spec.HTTP
	if !http.AutoSNI && !http.AutoSAN {
		return
	}
	name := s.Request.Authority
	if http.SNIHeader != "" {
		if v, ok := s.Request.Get(http.SNIHeader); ok {
			name = v
		}
	}
	name = withoutPort(name)
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	if http.AutoSNI && o.ServerName == "" && err != nil {
		o.ServerName = strings.Clone(name)
	}
	if http.AutoSAN && o.SANs == "" {
		o.SANs = strings.Clone(strings.Trim(name, "[]"))
	}
}

// The filter state objects that transport sockets go by, as Envoy names them.
const (
	stateServerName = "envoy.network.upstream_server_name"
	stateSANs       = "envoy.network.upstream_subject_alt_names"
	stateALPN       = "envoy.network.application_protocols"
)

func stateOptions(o *pool.Options, st *streaminfo.FilterState) {
	for _, x := range st.Objects() {
		t, text := x.Value.(streaminfo.Serializer)
		switch {
		case text && x.Name == stateServerName && o.ServerName == "":
			o.ServerName = t.FilterStateString()
		case text && x.Name == stateSANs && o.SANs == "":
			o.SANs = t.FilterStateString()
		case text && x.Name == stateALPN && o.ALPN == "":
			o.ALPN = t.FilterStateString()
		}
		if h, ok := x.Value.(streaminfo.Hasher); ok && x.Shared != streaminfo.SharedNone {
			o.FilterState += x.Name + "=" + h.FilterStateHash() + ";"
		}
	}
}

// bufferLimit is how much of the request may be kept for another attempt.
func (r *router) bufferLimit() int {
	limit := r.s.Conn.BufferLimit
	if b := r.route.BufferLimit; b.Set {
		if !b.Capped || int(b.Bytes) < limit {
			limit = int(b.Bytes)
		}
	}
	return limit
}

var _ lb.HostPredicate = (*router)(nil)
