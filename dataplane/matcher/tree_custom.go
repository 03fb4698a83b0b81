package matcher

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	xdspb "github.com/cncf/xds/go/xds/type/matcher/v3"
	"github.com/gaissmai/bart"
)

func sortPrefixes[A any](ps []prefixMatch[A]) {
	slices.SortFunc(ps, func(a, b prefixMatch[A]) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
}

// customTree compiles the custom_match of a MatcherTree.
func (c *treeCompiler[A]) customTree(n *node[A], x Extension) error {
	if p, ok, err := as[xdspb.IPMatcher](x); ok {
		if err == nil {
			n.ranges, err = c.ranges(p)
		}
		return err
	}
	if p, ok, err := as[xdspb.ServerNameMatcher](x); ok {
		if err == nil {
			n.domains, err = c.domains(p)
		}
		return err
	}
	return Unregistered(x)
}

// rangeMatch is an IPMatcher: of the ranges that hold an address the narrowest goes first, of equal ones
// the first.
type rangeMatch[A any] struct {
	table bart.Table[[]rangeOn[A]]
}

type rangeOn[A any] struct {
	on        *onMatch[A]
	exclusive bool
}

func (c *treeCompiler[A]) ranges(p *xdspb.IPMatcher) (*rangeMatch[A], error) {
	m := &rangeMatch[A]{}
	for _, r := range p.GetRangeMatchers() {
		on, err := c.on(r.GetOnMatch())
		if err != nil {
			return nil, err
		}
		list, err := compileIPRanges(r.GetRanges())
		if err != nil {
			return nil, err
		}
		for _, pfx := range list {
			old, _ := m.table.Get(pfx)
			m.table.Insert(pfx, append(slices.Clip(old), rangeOn[A]{on, r.GetExclusive()}))
		}
	}
	return m, nil
}

func (m *rangeMatch[A]) match(v InputValue, d Data, kept func(A)) (a A, r Result) {
	addr, ok := v.Addr()
	if !ok {
		return a, NoMatch
	}
	pfx := netip.PrefixFrom(addr, addr.BitLen())
	for first := true; ; {
		at, list, ok := m.table.LookupPrefixLPM(pfx)
		if !ok {
			return a, NoMatch
		}
		for _, on := range list {
			if on.exclusive && !first {
				continue // it wants to be the narrowest range
			}
			first = false
			if a, r = on.on.take(d, kept); r != NoMatch {
				return a, r
			}
		}
		if at.Bits() == 0 {
			return a, NoMatch
		}
		pfx = netip.PrefixFrom(addr, at.Bits()-1)
	}
}

// domainMatch is a ServerNameMatcher: an exact name goes first, then the longest wildcard. Unlike the
// domains of a virtual host they have a case.
type domainMatch[A any] struct {
	exact, wildcard map[string]*onMatch[A] // of a wildcard without "*", that is with the dot
	any             *onMatch[A]
}

func (c *treeCompiler[A]) domains(p *xdspb.ServerNameMatcher) (*domainMatch[A], error) {
	m := &domainMatch[A]{exact: map[string]*onMatch[A]{}, wildcard: map[string]*onMatch[A]{}}
	seen := map[string]bool{}
	for _, dm := range p.GetDomainMatchers() {
		on, err := c.on(dm.GetOnMatch())
		if err != nil {
			return nil, err
		}
		for _, domain := range dm.GetDomains() {
			if err := checkDomain(domain); err != nil {
				return nil, err
			}
			if seen[domain] {
				return nil, fmt.Errorf("Duplicate domain in ServerNameMatcher: %s", domain)
			}
			seen[domain] = true
			switch {
			case domain == "*":
				m.any = on
			case domain[0] == '*':
				m.wildcard[domain[1:]] = on
			default:
				m.exact[domain] = on
			}
		}
	}
	return m, nil
}

func checkDomain(s string) error {
	switch {
	case s == "":
		return errors.New("Empty domain in ServerNameMatcher")
	case s == "*" || !strings.Contains(s, "*"):
		return nil
	case !strings.HasPrefix(s, "*.") || s == "*.":
		return fmt.Errorf("Invalid wildcard domain format: %s. Only '*' and '*.domain' patterns are supported", s)
	case strings.Contains(s[1:], "*"):
		return fmt.Errorf("Invalid wildcard domain format: %s. Multiple wildcards are not supported", s)
	}
	return nil
}

func (m *domainMatch[A]) match(name string, d Data, kept func(A)) (a A, r Result) {
	if name == "" {
		return a, NoMatch
	}
	if a, r = m.exact[name].take(d, kept); r != NoMatch {
		return a, r
	}
	for rest := name; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return m.any.take(d, kept)
		}
		if rest = rest[i:]; len(rest) < len(name) {
			if a, r = m.wildcard[rest].take(d, kept); r != NoMatch {
				return a, r
			}
		}
		rest = rest[1:]
	}
}
