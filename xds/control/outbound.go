package control

import (
	"cmp"
	"fmt"
	"strconv"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	tlsinspectpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The ports that Istio's iptables rules lead to.
const (
	outboundListenerPort = 15001
	inboundListenerPort  = 15006
)

const anyAddress = "0.0.0.0"

// place is where a sidecar's listeners are.
type place struct {
	mode string
	// address and ports are of the outbound listeners without interception.
	address string
	ports   map[string]uint32
}

// of is the address and port of a listener: its service's own, or without interception the sidecar's.
func (at place) of(s *service, p *port) (string, uint32) {
	if at.mode != interceptNone {
		return listenerAddress(s, p), p.Port
	}
	number := strconv.Itoa(int(p.Port))
	return at.address, cmp.Or(at.ports[s.Host+":"+number], at.ports[s.Name+":"+number], at.ports[number], p.Port)
}

// outboundListeners makes a sidecar's listeners for what its application calls, virtualOutbound first.
func (m *mesh) outboundListeners(c *connections, at place) ([]*listenerpb.Listener, error) {
	var all []*listenerpb.Listener
	if at.mode != interceptNone {
		all = append(all, m.virtualOutbound(c, at.mode))
	}
	type owner struct {
		service *service
		http    bool
		l       *listenerpb.Listener
	}
	taken := map[string]owner{}
	for i := range m.Services {
		s := &m.Services[i]
		for j := range s.Ports {
			p := &s.Ports[j]
			address, number := at.of(s, p)
			name := fmt.Sprintf("%s_%d", address, number)
			before, clash := taken[name]
			if clash && before.http && sharesHTTP(s, p) {
				continue
			}
			l, err := m.outboundListener(c, s, p, hidden(address, number))
			if err != nil {
				return nil, err
			}
			if at.mode == interceptNone {
				l.BindToPort = nil
			}
			if !clash {
				taken[name] = owner{s, sharesHTTP(s, p), l}
				all = append(all, l)
				continue
			}
			if !joinByName(before.l, l) {
				return nil, s.At.errorf("port %d of %s would be at listener %s, which is %s's", p.Port, s.Host, name, before.service.Host)
			}
		}
	}
	return all, nil
}

// sharesHTTP tells whether a port is served by the one HTTP listener of its number.
func sharesHTTP(s *service, p *port) bool {
	return p.isHTTP() || p.Protocol == protoAuto && s.VIP == ""
}

// listenerAddress is the address by which a connection finds its listener.
func listenerAddress(s *service, p *port) string {
	if sharesHTTP(s, p) || s.VIP == "" {
		return anyAddress
	}
	return s.VIP
}

// joinByName adds l's chains to a listener whose chains are told apart by server name as well.
func joinByName(have, l *listenerpb.Listener) bool {
	if serverNames(have) == nil || serverNames(l) == nil {
		return false
	}
	have.FilterChains = append(have.FilterChains, l.GetFilterChains()...)
	return true
}

func serverNames(l *listenerpb.Listener) []string {
	return l.GetFilterChains()[0].GetFilterChainMatch().GetServerNames()
}

func (m *mesh) virtualOutbound(c *connections, mode string) *listenerpb.Listener {
	rest := passthrough
	if m.Settings.OutboundPolicy == outboundRegistry {
		rest = blackHole
	}
	return &listenerpb.Listener{
		Name:    "virtualOutbound",
		Address: socketAddress(anyAddress, outboundListenerPort),
		FilterChains: []*listenerpb.FilterChain{
			{
				Name:             "virtualOutbound-blackhole",
				FilterChainMatch: &listenerpb.FilterChainMatch{DestinationPort: wrapperspb.UInt32(outboundListenerPort)},
				Filters:          c.tcp(blackHole, false),
			},
			{Name: "virtualOutbound-catchall-tcp", Filters: c.tcp(rest, false)},
		},
		UseOriginalDst:                       wrapperspb.Bool(true),
		Transparent:                          transparent(mode),
		TrafficDirection:                     corepb.TrafficDirection_OUTBOUND,
		AccessLog:                            c.noChainLogs(),
		MaxConnectionsToAcceptPerSocketEvent: wrapperspb.UInt32(1),
	}
}

func transparent(mode string) *wrapperspb.BoolValue {
	if mode == interceptTproxy {
		return wrapperspb.Bool(true)
	}
	return nil
}

// outboundListener completes the listener of one port of a service, as if it were the only one there.
func (m *mesh) outboundListener(c *connections, s *service, p *port, l *listenerpb.Listener) (*listenerpb.Listener, error) {
	rds := strconv.Itoa(int(p.Port))
	switch {
	case sharesHTTP(s, p):
		l.DefaultFilterChain = m.otherTraffic(c)
	case p.Protocol == protoAuto:
		rds = hostPort(s, p)
		filters, err := c.outboundTCP(s, p)
		if err != nil {
			return nil, err
		}
		l.DefaultFilterChain = &listenerpb.FilterChain{Filters: filters, TransportSocketConnectTimeout: connectTimeout()}
	default:
		return l, m.outboundTCP(c, s, p, l)
	}
	chains, err := c.sniffedHTTP("outbound_"+l.GetName(), rds)
	l.FilterChains, l.ListenerFilters = chains, []*listenerpb.ListenerFilter{httpInspector()}
	return l, err
}

// outboundTCP has the virtual address for itself; a TLS service without one is found by its server name.
func (m *mesh) outboundTCP(c *connections, s *service, p *port, l *listenerpb.Listener) error {
	filters, err := c.outboundTCP(s, p)
	if err != nil {
		return err
	}
	chain := &listenerpb.FilterChain{Filters: filters, TransportSocketConnectTimeout: connectTimeout()}
	l.FilterChains = []*listenerpb.FilterChain{chain}
	if s.VIP == "" && p.Protocol == protoTLS {
		chain.FilterChainMatch = &listenerpb.FilterChainMatch{ServerNames: []string{s.Host}}
		l.ListenerFilters = []*listenerpb.ListenerFilter{tlsInspector()}
		l.DefaultFilterChain = m.otherTraffic(c)
	}
	return nil
}

// hidden is a listener that is not bound: virtualOutbound hands it connections by their destination.
func hidden(address string, port uint32) *listenerpb.Listener {
	return &listenerpb.Listener{
		Name:                             fmt.Sprintf("%s_%d", address, port),
		Address:                          socketAddress(address, port),
		ListenerFiltersTimeout:           durationpb.New(0),
		ContinueOnListenerFiltersTimeout: true,
		TrafficDirection:                 corepb.TrafficDirection_OUTBOUND,
		BindToPort:                       wrapperspb.Bool(false),
	}
}

// sniffedHTTP takes what turns out to be HTTP.
func (c *connections) sniffedHTTP(statPrefix, rds string) ([]*listenerpb.FilterChain, error) {
	filters, err := c.http(statPrefix, nil, rds)
	return []*listenerpb.FilterChain{{
		FilterChainMatch:              rawMatch(0, "http/1.1", "h2c"),
		Filters:                       filters,
		TransportSocketConnectTimeout: connectTimeout(),
	}}, err
}

// otherTraffic is the chain for what no service is meant by.
func (m *mesh) otherTraffic(c *connections) *listenerpb.FilterChain {
	to := passthrough
	if m.Settings.OutboundPolicy == outboundRegistry {
		to = blackHole
	}
	return &listenerpb.FilterChain{
		Name: "PassthroughFilterChain", FilterChainMatch: &listenerpb.FilterChainMatch{}, Filters: c.tcp(to, false),
	}
}

func rawMatch(port uint32, alpn ...string) *listenerpb.FilterChainMatch {
	return chainMatch(port, "raw_buffer", alpn...)
}

func chainMatch(port uint32, transport string, alpn ...string) *listenerpb.FilterChainMatch {
	match := &listenerpb.FilterChainMatch{TransportProtocol: transport, ApplicationProtocols: alpn}
	if port != 0 {
		match.DestinationPort = wrapperspb.UInt32(port)
	}
	return match
}

func httpInspector() *listenerpb.ListenerFilter {
	return listenerFilter("envoy.filters.listener.http_inspector", &httpinspectpb.HttpInspector{})
}

func tlsInspector() *listenerpb.ListenerFilter {
	return listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectpb.TlsInspector{
		InitialReadBufferSize: wrapperspb.UInt32(512),
	})
}

func listenerFilter(name string, config proto.Message) *listenerpb.ListenerFilter {
	return &listenerpb.ListenerFilter{Name: name, ConfigType: &listenerpb.ListenerFilter_TypedConfig{TypedConfig: packed(config)}}
}
