package route

import (
	"errors"
	"fmt"
	"strings"

	mutationpb "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// MirrorPolicy is a compiled RequestMirrorPolicy.
type MirrorPolicy struct {
	// Cluster, or the request header ClusterHeader, says where the copy goes.
	Cluster, ClusterHeader string
	Fraction               runtime.Fraction
	// TraceSampled says whether the copy's span is sampled, if HasTraceSampled; else it is as its parent.
	TraceSampled, HasTraceSampled bool

	keepHost  bool // disable_shadow_host_suffix_append
	host      string
	mutations MutationList
}

func (c *compiler) mirrors(ps []*routepb.RouteAction_RequestMirrorPolicy) ([]*MirrorPolicy, error) {
	list := make([]*MirrorPolicy, len(ps))
	for i, p := range ps {
		var err error
		if list[i], err = c.mirror(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (c *compiler) mirror(p *routepb.RouteAction_RequestMirrorPolicy) (*MirrorPolicy, error) {
	cluster, name := p.GetCluster(), p.GetClusterHeader()
	switch {
	case cluster == "" && name == "":
		return nil, errors.New("Exactly one of cluster or cluster_header in request mirror policy need to be specified")
	case cluster != "" && name != "":
		return nil, fmt.Errorf("Only one of cluster '%s' or cluster_header '%s' in request mirror policy can be specified", cluster, name)
	}
	if err := c.clusterExists("shadow cluster", cluster); err != nil {
		return nil, err
	}
	m := &MirrorPolicy{Cluster: cluster, ClusterHeader: lowerString(name), Fraction: runtime.CompileFraction(p.GetRuntimeFraction()),
		keepHost: p.GetDisableShadowHostSuffixAppend() || p.GetHostRewriteLiteral() != "", host: p.GetHostRewriteLiteral()}
	if s := p.GetTraceSampled(); s != nil {
		m.TraceSampled, m.HasTraceSampled = s.GetValue(), true
	}
	var err error
	m.mutations, err = c.o.MutationList(p.GetRequestHeadersMutations(), true)
	return m, err
}

// ClusterName is the cluster that the copy goes to; "" is nowhere.
func (m *MirrorPolicy) ClusterName(h *header.Map) string {
	if m.ClusterHeader == "" {
		return m.Cluster
	}
	name, _ := h.Get(m.ClusterHeader)
	return name
}

// Finalize makes the mirrored request's headers of a copy of the request's.
func (m *MirrorPolicy) Finalize(h *header.Map, i *streaminfo.Info) {
	m.mutations.Apply(h, h, nil, i)
	if m.host != "" {
		h.Authority, h.HasAuthority = m.host, true
	}
	if m.keepHost {
		return
	}
	const suffix = "-shadow"
	host, port := h.Authority, ""
	if at := strings.IndexByte(host, ':'); at > 0 && at == strings.LastIndexByte(host, ':') {
		host, port = host[:at], host[at:]
	}
	to := h.Grow(len(h.Authority) + len(suffix))[:0]
	h.Authority, h.HasAuthority = header.Borrow(append(append(append(to, host...), suffix...), port...)), true
}

// MutationList is a compiled list of HeaderMutations, which are applied one after the other.
type MutationList []listed

type listed struct {
	remove  string
	matches *matcher.String // remove_on_match
	add     headerAdd
}

// MutationList compiles HeaderMutations. Other than in headers_to_add pseudo headers may be set.
func (o Options) MutationList(ps []*mutationpb.HeaderMutation, request bool) (MutationList, error) {
	var list MutationList
	for _, p := range ps {
		var m listed
		switch k := p.GetAction().(type) {
		case *mutationpb.HeaderMutation_Remove:
			m.remove = lowerString(k.Remove)
		case *mutationpb.HeaderMutation_RemoveOnMatch_:
			s, err := matcher.CompileString(k.RemoveOnMatch.GetKeyMatcher(), o.Matcher)
			if err != nil {
				return nil, err
			}
			m.matches = &s
		case *mutationpb.HeaderMutation_Append:
			var err error
			if m.add, err = o.anyHeaderAdd(k.Append, request); err != nil {
				return nil, err
			}
		default:
			return nil, errors.New(`HeaderMutation: field: "action", reason: is required`)
		}
		list = append(list, m)
	}
	return list, nil
}

// Apply changes to, which is req or resp.
func (l MutationList) Apply(to, req, resp *header.Map, i *streaminfo.Info) {
	for n := range l {
		m := &l[n]
		switch {
		case m.remove != "":
			to.Del(m.remove)
		case m.matches != nil:
			to.DelFunc(func(f *header.Field) bool { return m.matches.Match(f.Name) })
		default:
			m.add.now(to, req, resp, i)
		}
	}
}

// now evaluates the format and sets the header at once.
func (a *headerAdd) now(to, req, resp *header.Map, i *streaminfo.Info) {
	value := a.text
	if a.format != nil {
		value = formatted(a.format, to, req, resp, i)
	}
	switch {
	case value == "" && !a.keep || !a.wants(to):
	case a.overwrites():
		a.set(to, value)
	default:
		a.append(to, value)
	}
}

// anyHeaderAdd is headerAdd of any header at all.
func (o Options) anyHeaderAdd(p *corepb.HeaderValueOption, request bool) (headerAdd, error) {
	name := lowerString(p.GetHeader().GetKey())
	a := headerAdd{name: name, id: header.IDOf(name), action: p.GetAppendAction(), keep: p.GetKeepEmptyValue(), joined: isJoined(name, request) || fixed(name)}
	return a, a.setValue(p, o.Formatter)
}

// setValue compiles the value.
func (a *headerAdd) setValue(p *corepb.HeaderValueOption, o formatter.Options) error {
	value := p.GetHeader().GetValue()
	if value == "" {
		value = string(p.GetHeader().GetRawValue())
	}
	f, err := formatter.CompileHeader(value, o)
	if err != nil {
		return err
	}
	var literal bool
	if a.text, literal = f.Literal(); !literal {
		a.format = f
	}
	return nil
}
