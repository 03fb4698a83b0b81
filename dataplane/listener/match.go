package listener

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Match is the compiled filter_chain_match of all chains of a listener: nested maps in the order of the
// criteria, the most specific first, without backtracking
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/listener/v3/listener_components.proto#config-listener-v3-filterchainmatch).
// It is immutable. A chain is its index in the listener's list; none is -1.
type Match struct {
	ports map[uint32]*prefixes[*names] // destination_port; 0 is none given
}

// names is the level of server_names: exact, then the longest wildcard, then none.
type names struct{ exact, wildcard, none map[string]*transports }

// transports is the level of transport_protocol, protocols that of application_protocols; "" is none
// given.
type (
	transports map[string]protocols
	protocols  map[string]*prefixes[*sourceTypes]
)

// sourceTypes are the levels of direct_source_prefix_ranges' inside: source_type, then the source.
type sourceTypes [3]*prefixes[sourcePorts]

// sourcePorts is the last level; 0 is none given.
type sourcePorts map[uint32]int

const none = -1

// prefixes finds the most specific of a set of address ranges.
type prefixes[T any] struct {
	any  T
	has  bool // any is there
	list []prefixed[T]
}

type prefixed[T any] struct {
	p netip.Prefix
	v T
}

// at returns the entry for p, made by new if need be; a zero p is any address.
func (t *prefixes[T]) at(p netip.Prefix, new func() T) T {
	if !p.IsValid() {
		if !t.has {
			t.any, t.has = new(), true
		}
		return t.any
	}
	for i := range t.list {
		if t.list[i].p == p {
			return t.list[i].v
		}
	}
	v := new()
	t.list = append(t.list, prefixed[T]{p, v})
	// The most specific first, so that the first that contains an address is it.
	slices.SortStableFunc(t.list, func(a, b prefixed[T]) int { return b.p.Bits() - a.p.Bits() })
	return v
}

func (t *prefixes[T]) find(a netip.Addr) (v T, ok bool) {
	for i := range t.list {
		if t.list[i].p.Contains(a) {
			return t.list[i].v, true
		}
	}
	return t.any, t.has
}

// CompileMatch compiles the matches of chains in their order. Its error names the two chains that match
// the same.
func CompileMatch(listener string, chains []*listenerpb.FilterChain) (*Match, error) {
	m := &Match{ports: map[uint32]*prefixes[*names]{}}
	for i, c := range chains {
		if err := m.add(i, c, chains); err != nil {
			return nil, fmt.Errorf("error adding listener '%s': %w", listener, err)
		}
	}
	return m, nil
}

func (m *Match) add(i int, c *listenerpb.FilterChain, chains []*listenerpb.FilterChain) error {
	f := c.GetFilterChainMatch()
	if f.GetAddressSuffix() != "" || f.GetSuffixLen() != nil {
		return fmt.Errorf("filter chain '%s' contains unimplemented fields", c.GetName())
	}
	dst, err := ranges(f.GetPrefixRanges())
	if err != nil {
		return err
	}
	direct, err := ranges(f.GetDirectSourcePrefixRanges())
	if err != nil {
		return err
	}
	src, err := ranges(f.GetSourcePrefixRanges())
	if err != nil {
		return err
	}
	for _, s := range f.GetServerNames() {
		if strings.Contains(s, "*") && !strings.HasPrefix(s, "*.") || s == "*." {
			return fmt.Errorf("partial wildcards are not supported in \"server_names\"")
		}
	}
	port := m.ports[f.GetDestinationPort().GetValue()]
	if port == nil {
		port = &prefixes[*names]{}
		m.ports[f.GetDestinationPort().GetValue()] = port
	}
	ports := f.GetSourcePorts()
	if len(ports) == 0 {
		ports = []uint32{0}
	}
	for _, leaf := range leaves(port, f, dst, direct, src) {
		for _, p := range ports {
			if other, ok := leaf[p]; ok {
				return fmt.Errorf("filter chain '%s' has the same matching rules defined as '%s'", c.GetName(), chains[other].GetName())
			}
			leaf[p] = i
		}
	}
	return nil
}

// ranges compiles address ranges; none given is one that is not valid, which stands for any.
func ranges[T matcher.CIDRRange](ps []T) ([]netip.Prefix, error) {
	if len(ps) == 0 {
		return []netip.Prefix{{}}, nil
	}
	out := make([]netip.Prefix, len(ps))
	for i, p := range ps {
		var err error
		if out[i], err = matcher.CompileCIDR(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// leaves makes and collects the last levels that a match leads to: the product of its criteria.
func leaves(port *prefixes[*names], f *listenerpb.FilterChainMatch, dst, direct, src []netip.Prefix) (out []sourcePorts) {
	each := func(list []string, f func(string)) {
		if len(list) == 0 {
			list = []string{""}
		}
		for _, s := range list {
			f(s)
		}
	}
	for _, d := range dst {
		n := port.at(d, func() *names {
			return &names{exact: map[string]*transports{}, wildcard: map[string]*transports{}, none: map[string]*transports{}}
		})
		each(f.GetServerNames(), func(server string) {
			t := n.at(server)
			p := (*t)[f.GetTransportProtocol()]
			if p == nil {
				p = protocols{}
				(*t)[f.GetTransportProtocol()] = p
			}
			each(f.GetApplicationProtocols(), func(alpn string) {
				if p[alpn] == nil {
					p[alpn] = &prefixes[*sourceTypes]{}
				}
				for _, d := range direct {
					types := p[alpn].at(d, func() *sourceTypes { return &sourceTypes{} })
					kind := &types[f.GetSourceType()]
					if *kind == nil {
						*kind = &prefixes[sourcePorts]{}
					}
					for _, s := range src {
						out = append(out, (*kind).at(s, func() sourcePorts { return sourcePorts{} }))
					}
				}
			})
		})
	}
	return out
}

// at returns the entry for a server name, in lower case: "" is none, "*.a" a wildcard.
func (n *names) at(server string) *transports {
	server = strings.ToLower(server)
	m := n.exact
	switch {
	case server == "":
		m = n.none
	case strings.HasPrefix(server, "*."):
		m, server = n.wildcard, server[1:]
	}
	if m[server] == nil {
		m[server] = &transports{}
	}
	return m[server]
}

// Find returns the index of the chain for a connection, or -1.
func (m *Match) Find(c *streaminfo.Connection) int {
	local := c.Local
	if port, ok := m.ports[uint32(local.Port())]; ok && local.Port() != 0 {
		// A port that some chain names keeps its connections, whether one matches further on or not.
		return findDestination(port, c)
	}
	if port, ok := m.ports[0]; ok {
		return findDestination(port, c)
	}
	return none
}

func findDestination(port *prefixes[*names], c *streaminfo.Connection) int {
	n, ok := port.find(c.Local.Addr().Unmap())
	if !ok {
		return none
	}
	server := c.RequestedServerName
	if server != "" {
		if t, ok := n.exact[server]; ok {
			return findTransport(*t, c)
		}
		for rest := server; ; {
			i := strings.IndexByte(rest, '.')
			if i < 0 {
				break
			}
			rest = rest[i:]
			if t, ok := n.wildcard[rest]; ok {
				return findTransport(*t, c)
			}
			rest = rest[1:]
		}
	}
	if t, ok := n.none[""]; ok {
		return findTransport(*t, c)
	}
	return none
}

func findTransport(t transports, c *streaminfo.Connection) int {
	p, ok := t[c.TransportProtocol]
	if !ok || c.TransportProtocol == "" {
		if p, ok = t[""]; !ok {
			return none
		}
	}
	for _, a := range c.ApplicationProtocols {
		if s, ok := p[a]; ok && a != "" {
			return findSource(s, c)
		}
	}
	if s, ok := p[""]; ok {
		return findSource(s, c)
	}
	return none
}

func findSource(s *prefixes[*sourceTypes], c *streaminfo.Connection) int {
	types, ok := s.find(c.DirectRemote.Addr().Unmap())
	if !ok {
		return none
	}
	kind := types[listenerpb.FilterChainMatch_ANY]
	local, external := types[listenerpb.FilterChainMatch_SAME_IP_OR_LOOPBACK], types[listenerpb.FilterChainMatch_EXTERNAL]
	if local != nil || external != nil {
		if isLocal(c) {
			if local != nil {
				kind = local
			}
		} else if external != nil {
			kind = external
		}
	}
	if kind == nil {
		return none
	}
	ports, ok := kind.find(c.Remote.Addr().Unmap())
	if !ok {
		return none
	}
	if i, ok := ports[uint32(c.Remote.Port())]; ok && c.Remote.Port() != 0 {
		return i
	}
	if i, ok := ports[0]; ok {
		return i
	}
	return none
}

func isLocal(c *streaminfo.Connection) bool {
	return c.Remote.Addr().Unmap().IsLoopback() || c.Remote.Addr() == c.Local.Addr()
}
