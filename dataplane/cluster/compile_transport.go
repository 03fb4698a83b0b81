package cluster

import (
	"errors"
	"fmt"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

func compileTransports(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	compile := c.options.Transport
	if compile == nil {
		compile = transport.CompileUpstream
	}
	if s.Transport, err = compile(p.GetTransportSocket()); err != nil {
		return err
	}
	c.addRefs(s.Transport.Refs())
	s.PassesOn = passesOn(p.GetTransportSocket())
	for _, m := range p.GetTransportSocketMatches() {
		if m.GetTransportSocket() == nil {
			return errors.New("Didn't find a registered implementation for '' with type URL: ''") //nolint:staticcheck // Envoy's text.
		}
		t := TransportMatch{Name: m.GetName(), Match: map[string]string{}}
		for k, v := range m.GetMatch().GetFields() {
			t.Match[k] = lb.ValueKey(v)
		}
		if t.Transport, err = compile(m.GetTransportSocket()); err != nil {
			return err
		}
		c.addRefs(t.Transport.Refs())
		t.PassesOn = passesOn(m.GetTransportSocket())
		s.Matches = append(s.Matches, t)
	}
	if s.HTTP.Protocol == pool.Auto && !s.HTTP.FollowDownstream && !s.secure() {
		return fmt.Errorf("ALPN configured for cluster %s which has a non-ALPN transport socket", c.Name)
	}
	for _, f := range p.GetFilters() {
		switch {
		case f.GetConfigDiscovery() != nil:
			return errors.New("field Cluster.filters.config_discovery is not supported")
		case c.options.Filter == nil:
			return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", f.GetName(), typeName(f.GetTypedConfig())) //nolint:staticcheck // Envoy's text.
		}
		compiled, err := c.options.Filter(f.GetName(), f.GetTypedConfig())
		if err != nil {
			return err
		}
		s.Filters = append(s.Filters, compiled)
	}
	return nil
}

// passesOn tells whether a transport socket tells the peer about the client.
func passesOn(p *corepb.TransportSocket) bool {
	switch typeName(p.GetTypedConfig()) {
	case "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
		"envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport":
		return true
	}
	return false
}
