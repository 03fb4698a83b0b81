package listener

import (
	"fmt"

	xdsmatcherpb "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// chainMatcher is a compiled filter_chain_matcher: a matching tree whose actions are names of chains.
type chainMatcher struct{ tree *matcher.Tree[int] }

func compileChainMatcher(p *xdsmatcherpb.Matcher, chains []*listenerpb.FilterChain) (*chainMatcher, error) {
	byName := map[string]int{}
	for i, c := range chains {
		if c.GetName() == "" {
			return nil, fmt.Errorf("filter chain must have a name to be used with filter_chain_matcher")
		}
		if _, ok := byName[c.GetName()]; ok {
			return nil, fmt.Errorf("filter chain '%s' is not unique", c.GetName())
		}
		byName[c.GetName()] = i
	}
	tree, err := matcher.CompileTree(p, matcher.TreeOptions{Inputs: matcher.NetworkInputs}, func(x matcher.Extension) (int, error) {
		name := &wrapperspb.StringValue{}
		if err := x.GetTypedConfig().UnmarshalTo(name); err != nil {
			return 0, fmt.Errorf("filter_chain_matcher action %q is no StringValue: %w", x.GetName(), err)
		}
		if i, ok := byName[name.GetValue()]; ok {
			return i, nil
		}
		return none, nil // Envoy: a chain that does not exist is no match
	})
	if err != nil {
		return nil, err
	}
	return &chainMatcher{tree}, nil
}

func (m *chainMatcher) find(c *network.Conn) int {
	if i, r := m.tree.Match(matcher.Data{Conn: &c.Info}); r == matcher.Matched {
		return i
	}
	return none
}
