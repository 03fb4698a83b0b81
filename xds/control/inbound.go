package control

import (
	"fmt"
	"slices"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	origdstpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	origsrcpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// proxyMark is the mark by which the iptables rules of TPROXY know the proxy's own packets.
const proxyMark = 1337

// inboundPort is a port of the application behind a sidecar, and the service that first names it.
type inboundPort struct {
	target  uint32
	port    *port
	service *service
}

// inboundName is Istio's name for the cluster of an application's port.
func inboundName(target uint32) string { return fmt.Sprintf("inbound|%d||", target) }

// inboundPorts are the ports that a workload serves, by the services that select it.
func (m *mesh) inboundPorts(w *workload) []inboundPort {
	var all []inboundPort
	if w == nil {
		return nil
	}
	for i := range m.Services {
		s := &m.Services[i]
		if s.Namespace != w.Namespace || !selects(s.Selector, w.Labels) {
			continue
		}
		for j := range s.Ports {
			p := &s.Ports[j]
			if !slices.ContainsFunc(all, func(have inboundPort) bool { return have.target == p.Target }) {
				all = append(all, inboundPort{p.Target, p, s})
			}
		}
	}
	slices.SortFunc(all, func(a, b inboundPort) int { return int(a.target) - int(b.target) })
	return all
}

// inboundListeners makes virtualInbound, or without interception one listener for each port.
func (m *mesh) inboundListeners(c *connections, mode string, w *workload) ([]*listenerpb.Listener, error) {
	ports := m.inboundPorts(w)
	if mode == interceptNone {
		return m.boundInbound(c, w, ports)
	}
	chains := []*listenerpb.FilterChain{{
		Name:             "virtualInbound-blackhole",
		FilterChainMatch: &listenerpb.FilterChainMatch{DestinationPort: wrapperspb.UInt32(inboundListenerPort)},
		Filters:          c.tcp(blackHole, true),
	}}
	rest, err := m.inboundChains(c, inboundChain{
		names: [2]string{"virtualInbound-catchall-http", "virtualInbound"}, stat: inboundPassthrough, cluster: inboundPassthrough,
		routes: inboundRoutes(inboundPassthrough, "inbound|http|0", inboundPassthrough, ":0/*"), protocol: protoAuto,
	})
	if err != nil {
		return nil, err
	}
	chains = append(chains, rest...)
	for _, in := range ports {
		add, err := m.inboundChains(c, inboundChainOf(in, anyAddress))
		if err != nil {
			return nil, err
		}
		chains = append(chains, add...)
	}
	l := inboundListener(c, "virtualInbound", socketAddress(anyAddress, inboundListenerPort), chains)
	l.Transparent = transparent(mode)
	l.ListenerFilters = m.inboundFilters(mode, ports)
	return []*listenerpb.Listener{l}, nil
}

func inboundListener(c *connections, name string, at *corepb.Address, chains []*listenerpb.FilterChain) *listenerpb.Listener {
	return &listenerpb.Listener{
		Name:                                 name,
		Address:                              at,
		FilterChains:                         chains,
		ListenerFiltersTimeout:               durationpb.New(0),
		ContinueOnListenerFiltersTimeout:     true,
		TrafficDirection:                     corepb.TrafficDirection_INBOUND,
		AccessLog:                            c.noChainLogs(),
		MaxConnectionsToAcceptPerSocketEvent: wrapperspb.UInt32(1),
	}
}

// boundInbound listens where the workload is: what istiod makes of a Sidecar's ingress without capture.
func (m *mesh) boundInbound(c *connections, w *workload, ports []inboundPort) ([]*listenerpb.Listener, error) {
	var all []*listenerpb.Listener
	for _, in := range ports {
		chain := inboundChainOf(in, w.Address)
		chain.port = 0
		chains, err := m.inboundChains(c, chain)
		if err != nil {
			return nil, err
		}
		l := inboundListener(c, chain.names[0], socketAddress(w.Address, in.target), chains)
		if m.Settings.MTLS != mtlsDisable {
			l.ListenerFilters = append(l.ListenerFilters, tlsInspector())
		}
		if in.port.Protocol == protoAuto {
			l.ListenerFilters = append(l.ListenerFilters, httpInspector())
		}
		all = append(all, l)
	}
	return all, nil
}

// inboundChain is what the chains of one port have in common.
type inboundChain struct {
	port uint32
	// names are the HTTP chains' and the others'.
	names         [2]string
	stat, cluster string
	routes        *routepb.RouteConfiguration
	protocol      string
}

func inboundChainOf(in inboundPort, address string) inboundChain {
	name, cluster := fmt.Sprintf("%s_%d", address, in.target), inboundName(in.target)
	return inboundChain{
		port: in.target, names: [2]string{name, name}, stat: "inbound_" + name, cluster: cluster, protocol: in.port.Protocol,
		routes: inboundRoutes(cluster, fmt.Sprintf("inbound|http|%d", in.target), cluster, hostPort(in.service, in.port)+"/*"),
	}
}

// inboundChains makes a port's chains by its protocol and the mesh's mode of mutual TLS; see the table in
// the README.
func (m *mesh) inboundChains(c *connections, in inboundChain) ([]*listenerpb.FilterChain, error) {
	isHTTP := in.protocol == protoHTTP || in.protocol == protoHTTP2 || in.protocol == protoGRPC
	detect := in.protocol == protoAuto
	var http []*listenerpb.Filter
	if isHTTP || detect {
		var err error
		if http, err = c.http(in.stat, in.routes, ""); err != nil {
			return nil, err
		}
	}
	var all []*listenerpb.FilterChain
	add := func(name string, filters []*listenerpb.Filter, tls *corepb.TransportSocket, transport string, alpn ...string) {
		all = append(all, &listenerpb.FilterChain{
			Name: name, FilterChainMatch: chainMatch(in.port, transport, alpn...), Filters: filters, TransportSocket: tls,
		})
	}
	mutual, plain := m.Settings.MTLS != mtlsDisable, m.Settings.MTLS != mtlsStrict
	httpTLS, tcp := m.downstreamTLS("h2", "http/1.1"), c.tcp(in.cluster, true)
	tcpTLS := m.downstreamTLS("istio-peer-exchange", "h2", "http/1.1")
	switch {
	case isHTTP && mutual:
		add(in.names[0], http, httpTLS, "tls", "istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
	case detect && mutual:
		add(in.names[0], http, httpTLS, "tls", "istio-http/1.0", "istio-http/1.1", "istio-h2")
	}
	switch {
	case isHTTP && plain:
		add(in.names[0], http, nil, "raw_buffer")
	case detect && plain:
		add(in.names[0], http, nil, "raw_buffer", "http/1.1", "h2c")
	}
	if isHTTP {
		return all, nil
	}
	if mutual {
		add(in.names[1], tcp, tcpTLS, "tls", "istio-peer-exchange", "istio")
	}
	if plain {
		add(in.names[1], tcp, nil, "raw_buffer")
		if mutual {
			add(in.names[1], tcp, nil, "tls")
		}
	}
	return all, nil
}

// inboundFilters find out where a connection was going and what it speaks, but for the ports where that
// is known.
func (m *mesh) inboundFilters(mode string, ports []inboundPort) []*listenerpb.ListenerFilter {
	all := []*listenerpb.ListenerFilter{listenerFilter("envoy.filters.listener.original_dst", &origdstpb.OriginalDst{})}
	if mode == interceptTproxy {
		all = append(all, listenerFilter("envoy.filters.listener.original_src", &origsrcpb.OriginalSrc{Mark: proxyMark}))
	}
	if m.Settings.MTLS != mtlsDisable {
		t := tlsInspector()
		t.FilterDisabled = onPort(inboundListenerPort)
		all = append(all, t)
	}
	known := []*listenerpb.ListenerFilterChainMatchPredicate{}
	for _, in := range ports {
		if in.port.Protocol != protoAuto {
			known = append(known, onPort(in.target))
		}
	}
	h := httpInspector()
	if h.FilterDisabled = onPort(inboundListenerPort); len(known) > 0 {
		h.FilterDisabled = &listenerpb.ListenerFilterChainMatchPredicate{
			Rule: &listenerpb.ListenerFilterChainMatchPredicate_OrMatch{
				OrMatch: &listenerpb.ListenerFilterChainMatchPredicate_MatchSet{Rules: append(known, onPort(inboundListenerPort))},
			},
		}
	}
	return append(all, h)
}

func onPort(p uint32) *listenerpb.ListenerFilterChainMatchPredicate {
	return &listenerpb.ListenerFilterChainMatchPredicate{
		Rule: &listenerpb.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typepb.Int32Range{Start: int32(p), End: int32(p) + 1},
		},
	}
}
