package listener

import (
	"errors"
	"fmt"
	"time"

	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

func (c *Config) compileChains(l *listenerpb.Listener, o CompileOptions) error {
	if len(l.GetFilterChains()) == 0 && l.GetDefaultFilterChain() == nil {
		return fmt.Errorf("error adding listener '%s': no filter chains specified", c.addressText())
	}
	for _, p := range l.GetFilterChains() {
		cc, err := c.compileChain(p, o)
		if err != nil {
			return err
		}
		c.chains = append(c.chains, cc)
	}
	if p := l.GetDefaultFilterChain(); p != nil {
		cc, err := c.compileChain(p, o)
		if err != nil {
			return err
		}
		c.deflt = cc
	}
	if m := l.GetFilterChainMatcher(); m != nil {
		matcher, err := compileChainMatcher(m, l.GetFilterChains())
		c.matcher = matcher
		return err
	}
	m, err := CompileMatch(c.addressText(), l.GetFilterChains())
	c.match = m
	return err
}

func (c *Config) addressText() string {
	if len(c.Addresses) == 0 {
		return c.Name
	}
	return c.Addresses[0].String()
}

func (c *Config) compileChain(p *listenerpb.FilterChain, o CompileOptions) (*ChainConfig, error) {
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(contentOf(p))
	if err != nil {
		return nil, err
	}
	cc := &ChainConfig{Name: p.GetName(), Content: string(content), Metadata: metadata(p.GetMetadata()), ConnectTimeout: p.GetTransportSocketConnectTimeout().AsDuration(),
		UseProxyProtocol: p.GetUseProxyProto().GetValue()} //nolint:staticcheck // still sent
	if cc.UseProxyProtocol {
		return nil, errors.New("FilterChain.use_proxy_proto is not supported: use the listener filter envoy.filters.listener.proxy_protocol")
	}
	if cc.ConnectTimeout < 0 {
		cc.ConnectTimeout = 0
	}
	if t := p.GetTransportSocket(); t != nil {
		if cc.transport, err = transport.CompileDownstream(t); err != nil {
			return nil, err
		}
		c.refs = append(c.refs, cc.transport.Refs()...)
	}
	for i, f := range p.GetFilters() {
		if err := c.compileNetworkFilter(cc, f, i == len(p.GetFilters())-1, o); err != nil {
			return nil, err
		}
	}
	return cc, nil
}

// contentOf is a chain without its match: where that alone changes, the connections are not concerned.
func contentOf(p *listenerpb.FilterChain) *listenerpb.FilterChain {
	q := proto.CloneOf(p)
	q.FilterChainMatch = nil
	return q
}

func (c *Config) compileNetworkFilter(cc *ChainConfig, f *listenerpb.Filter, last bool, o CompileOptions) error {
	if f.GetConfigDiscovery() != nil {
		return fmt.Errorf("network filter %q: config_discovery is not supported", f.GetName())
	}
	config, terminal, err := o.Registry.Network(f.GetName(), f.GetTypedConfig())
	if err != nil {
		return err
	}
	if terminal != last {
		if terminal {
			return fmt.Errorf("Error: terminal filter named %s of type %s must be the last filter in a network filter chain.", f.GetName(), f.GetName()) //nolint:revive,staticcheck // Envoy's text
		}
		return fmt.Errorf("Error: non-terminal filter named %s of type %s is the last filter in a network filter chain.", f.GetName(), f.GetName()) //nolint:revive,staticcheck // Envoy's text
	}
	cc.filters = append(cc.filters, networkFilter{f.GetName(), config, terminal})
	if n, ok := config.(filter.Needy); ok {
		for _, need := range n.Needs() {
			c.refs = append(c.refs, xds.Ref{TypeURL: need.TypeURL, Name: need.Name, Source: need.Source, Timeout: time.Duration(need.Timeout)})
		}
	}
	return nil
}
