package route

import (
	"errors"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

type hashKind uint8

const (
	hashHeader hashKind = iota
	hashCookie
	hashSourceIP
	hashQuery
	hashFilterState
	hashNothing
)

// hashPolicy is a compiled HashPolicy.
type hashPolicy struct {
	kind     hashKind
	terminal bool
	name     string
	rewrite  *matcher.Rewrite // of a header's value; nil: none
	cookie   *newCookie       // nil: none is made
}

// newCookie is how a cookie is made where the request brings none.
type newCookie struct{ before, after string }

func (o Options) hashPolicies(ps []*routepb.RouteAction_HashPolicy) ([]hashPolicy, error) {
	var list []hashPolicy
	for _, p := range ps {
		h := hashPolicy{terminal: p.GetTerminal()}
		var err error
		switch k := p.GetPolicySpecifier().(type) {
		case *routepb.RouteAction_HashPolicy_Header_:
			h.kind, h.name = hashHeader, lowerString(k.Header.GetHeaderName())
			if k.Header.GetRegexRewrite() != nil {
				h.rewrite, err = matcher.CompileRewrite(k.Header.GetRegexRewrite(), o.Matcher)
			}
		case *routepb.RouteAction_HashPolicy_Cookie_:
			h.kind, h.name = hashCookie, k.Cookie.GetName()
			h.cookie, err = compileNewCookie(k.Cookie)
		case *routepb.RouteAction_HashPolicy_ConnectionProperties_:
			h.kind = hashNothing
			if k.ConnectionProperties.GetSourceIp() {
				h.kind = hashSourceIP
			}
		case *routepb.RouteAction_HashPolicy_QueryParameter_:
			h.kind, h.name = hashQuery, k.QueryParameter.GetName()
		case *routepb.RouteAction_HashPolicy_FilterState_:
			h.kind, h.name = hashFilterState, k.FilterState.GetKey()
		default:
			err = errors.New(`HashPolicy: field: "policy_specifier", reason: is required`)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func compileNewCookie(p *routepb.RouteAction_HashPolicy_Cookie) (*newCookie, error) {
	if p.GetTtl() == nil {
		return nil, nil
	}
	ttl, err := positive(p.GetTtl())
	if err != nil {
		return nil, err
	}
	c := &newCookie{before: p.GetName() + `="`, after: `"`}
	if s := int64(ttl / time.Second); s > 0 {
		c.after += "; Max-Age=" + strconv.FormatInt(s, 10)
	}
	if p.GetPath() != "" {
		c.after += "; Path=" + p.GetPath()
	}
	for _, a := range p.GetAttributes() {
		c.after += "; " + a.GetName()
		if a.GetValue() != "" {
			c.after += "=" + a.GetValue()
		}
	}
	c.after += "; HttpOnly"
	return c, nil
}

// HasHash tells whether there are hash policies.
func (a *Action) HasHash() bool { return len(a.hash) > 0 }

// Hash is what the hash policies make of a request; ok is false where they make nothing. setCookie takes
// the set-cookie header of a new cookie, which lies in h's arena; nil: none is made.
func (a *Action) Hash(h *header.Map, i *streaminfo.Info, setCookie func(cookie string)) (hash uint64, ok bool) {
	for n := range a.hash {
		p := &a.hash[n]
		if v, is := p.evaluate(h, i, setCookie); is {
			// The old value is rotated, lest equal policies cancel each other out.
			hash, ok = (hash<<1|hash>>63)^v, true
		}
		if ok && p.terminal {
			break
		}
	}
	return hash, ok
}

func (p *hashPolicy) evaluate(h *header.Map, i *streaminfo.Info, setCookie func(string)) (uint64, bool) {
	switch p.kind {
	case hashHeader:
		return p.hashHeader(h)
	case hashCookie:
		v, _ := matcher.CookieValue(h, p.name)
		if v == "" && p.cookie != nil && setCookie != nil {
			v = p.cookie.make(h, i, setCookie)
		}
		return xxhash.Sum64String(v), v != ""
	case hashSourceIP:
		return hashAddr(i)
	case hashQuery:
		v, has := matcher.QueryParam(h.Path, p.name)
		return xxhash.Sum64String(v), has
	case hashFilterState:
		if v, is := i.Find(p.name).(streaminfo.Hasher); is {
			return xxhash.Sum64String(v.FilterStateHash()), true
		}
	}
	return 0, false
}

// hashHeader hashes the values in sorted order, so that their order in the request does not matter.
func (p *hashPolicy) hashHeader(h *header.Map) (uint64, bool) {
	first, has := h.Get(p.name)
	if !has {
		return 0, false
	}
	if h.Count(p.name) == 1 {
		return xxhash.Sum64String(p.valueOf(first)), true
	}
	var space [16]string
	values := space[:0]
	fields := h.Fields()
	for n := range fields {
		if fields[n].Name != p.name {
			continue
		}
		v := p.valueOf(fields[n].Value)
		at := len(values)
		values = append(values, v)
		for ; at > 0 && values[at-1] > v; at-- {
			values[at] = values[at-1]
		}
		values[at] = v
	}
	var seed uint64
	for _, v := range values {
		var d xxhash.Digest
		d.ResetWithSeed(seed)
		_, _ = d.WriteString(v)
		seed = d.Sum64()
	}
	return seed, true
}

func (p *hashPolicy) valueOf(v string) string {
	if p.rewrite == nil {
		return v
	}
	return p.rewrite.Replace(v)
}

// hashAddr hashes the client's address as it is written.
func hashAddr(i *streaminfo.Info) (uint64, bool) {
	from := i.DownstreamRemote().Addr().Unmap()
	if !from.IsValid() {
		return 0, false
	}
	var buf [64]byte
	return xxhash.Sum64(from.AppendTo(buf[:0])), true
}

// make makes a cookie out of the addresses of the client's connection, so that streams that race each
// other get the same one; it returns the value.
func (c *newCookie) make(h *header.Map, i *streaminfo.Info, setCookie func(string)) string {
	var buf [128]byte
	key := buf[:0]
	if i.Conn != nil {
		key = i.Conn.Remote.AppendTo(key)
		key = i.Conn.Local.AppendTo(key)
	}
	const digits = "0123456789abcdef"
	var hex [16]byte
	sum := xxhash.Sum64(key)
	for n := range hex {
		hex[n] = digits[sum>>(60-4*n)&0xf]
	}
	to := h.Grow(len(c.before) + len(hex) + len(c.after))[:0]
	to = append(append(append(to, c.before...), hex[:]...), c.after...)
	setCookie(header.Borrow(to))
	return header.Borrow(to[len(c.before) : len(c.before)+len(hex)])
}
