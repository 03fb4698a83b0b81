package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func compileConnections(p *clusterpb.Cluster, c *Config, s *Spec) (err error) {
	s.ConnectTimeout = duration(p.GetConnectTimeout(), defaultConnectTimeout)
	if n := p.GetPerConnectionBufferLimitBytes(); n != nil {
		s.BufferLimit = int(n.GetValue())
	}
	if s.Bind, err = CompileBind(p.GetUpstreamBindConfig(), "Cluster "+c.Name); err != nil {
		return err
	}
	o := p.GetUpstreamConnectionOptions()
	if k := o.GetTcpKeepalive(); k != nil {
		seconds := func(v *wrapperspb.UInt32Value) time.Duration {
			if v == nil {
				return -1
			}
			return time.Duration(v.GetValue()) * time.Second
		}
		s.Keepalive = &Keepalive{Idle: seconds(k.GetKeepaliveTime()), Interval: seconds(k.GetKeepaliveInterval()), Probes: -1}
		if n := k.GetKeepaliveProbes(); n != nil {
			s.Keepalive.Probes = int(n.GetValue())
		}
	}
	// set_local_interface_name_on_upstream_connections: nothing here reads the interface's name.
	s.Eyeballs.Count = 1
	if h := o.GetHappyEyeballsConfig(); h != nil {
		switch h.GetFirstAddressFamilyVersion() {
		case clusterpb.UpstreamConnectionOptions_V4:
			s.Eyeballs.Family = V4Family
		case clusterpb.UpstreamConnectionOptions_V6:
			s.Eyeballs.Family = V6Family
		}
		if n := h.GetFirstAddressFamilyCount(); n != nil {
			s.Eyeballs.Count = int(n.GetValue())
		}
	}
	s.Preconnect = 1
	if r := p.GetPreconnectPolicy().GetPerUpstreamPreconnectRatio(); r != nil {
		s.Preconnect = r.GetValue()
	}
	t := p.GetTrackClusterStats()
	s.TrackTimeouts = t.GetTimeoutBudgets() || p.GetTrackTimeoutBudgets() //nolint:staticcheck // The deprecated field still counts.
	s.TrackSizes, s.TrackEndpoints = t.GetRequestResponseSizes(), t.GetPerEndpointStats()
	return nil
}

// Bind is where upstream connections come from. It is immutable.
type Bind struct {
	// Sources are one address for each family at most. Port 0 is any.
	Sources  []Source
	FreeBind bool
}

// Source is a local address with the options of sockets bound to it.
type Source struct {
	Addr    netip.AddrPort // not valid: sockets are not bound
	Options []SocketOption
}

// SocketOption is set before the socket is bound.
type SocketOption struct {
	Level, Name int
	Int         int
	Bytes       []byte // instead of Int, if not nil
	// V4 and V6 say for which sockets it is.
	V4, V6 bool
}

// CompileBind compiles a BindConfig; what names its owner in errors: "Cluster NAME", or "Bootstrap". It
// is nil where nothing is bound or set.
func CompileBind(p *corepb.BindConfig, what string) (*Bind, error) {
	if p == nil {
		return nil, nil
	}
	extra := len(p.GetExtraSourceAddresses()) + len(p.GetAdditionalSourceAddresses()) //nolint:staticcheck // The deprecated field still counts.
	switch {
	case len(p.GetExtraSourceAddresses()) > 0 && len(p.GetAdditionalSourceAddresses()) > 0: //nolint:staticcheck // As above.
		return nil, fmt.Errorf("Can't specify both `extra_source_addresses` and `additional_source_addresses` in the %s's upstream binding config", what) //nolint:staticcheck // Envoy's text.
	case extra > 0 && p.GetSourceAddress() == nil:
		return nil, fmt.Errorf("%s's upstream binding config has extra/additional source addresses but no source_address. Extra/additional addresses cannot be specified if source_address is not set.", what) //nolint:revive // Envoy's text.
	case extra > 1:
		return nil, fmt.Errorf("%s's upstream binding config has more than one extra/additional source addresses. Only one extra/additional source can be supported in BindConfig's extra_source_addresses/additional_source_addresses field", what)
	}
	if l := p.GetLocalAddressSelector(); l != nil && typeName(l.GetTypedConfig()) != "envoy.config.upstream.local_address_selector.v3.DefaultLocalAddressSelector" {
		return nil, unregistered(l)
	}
	b := &Bind{FreeBind: p.GetFreebind().GetValue()}
	options, err := compileSocketOptions(p.GetSocketOptions())
	if err != nil {
		return nil, err
	}
	if err := b.add(p.GetSourceAddress(), options); err != nil {
		return nil, err
	}
	for _, e := range p.GetExtraSourceAddresses() {
		own := options
		if e.GetSocketOptions() != nil {
			if own, err = compileSocketOptions(e.GetSocketOptions().GetSocketOptions()); err != nil {
				return nil, err
			}
		}
		if err := b.add(e.GetAddress(), own); err != nil {
			return nil, err
		}
	}
	for _, a := range p.GetAdditionalSourceAddresses() { //nolint:staticcheck // As above.
		if err := b.add(a, options); err != nil {
			return nil, err
		}
	}
	if len(b.Sources) == 2 && b.Sources[0].Addr.Addr().Is4() == b.Sources[1].Addr.Addr().Is4() {
		return nil, fmt.Errorf("%s's upstream binding config has two same IP version source addresses. Only two different IP version source addresses can be supported in BindConfig's source_address and extra_source_addresses/additional_source_addresses fields", what)
	}
	return b, nil
}

// add adds a source; an address without address and port is not bound, but its options are set.
func (b *Bind) add(p *corepb.SocketAddress, options []SocketOption) error {
	if p.GetNetworkNamespaceFilepath() != "" {
		return errors.New("field BindConfig.source_address.network_namespace_filepath is not supported")
	}
	s := Source{Options: options}
	if p != nil {
		a, err := netip.ParseAddr(p.GetAddress())
		if err != nil {
			return fmt.Errorf("malformed IP address: %s", p.GetAddress())
		}
		s.Addr = netip.AddrPortFrom(a, uint16(p.GetPortValue()))
	}
	b.Sources = append(b.Sources, s)
	return nil
}

func compileSocketOptions(ps []*corepb.SocketOption) (out []SocketOption, err error) {
	for _, p := range ps {
		if p.GetState() == corepb.SocketOption_STATE_LISTENING || p.GetType().GetDatagram() != nil && p.GetType().GetStream() == nil {
			continue // not a socket that connects
		}
		o := SocketOption{Level: int(p.GetLevel()), Name: int(p.GetName()), Int: int(p.GetIntValue()), V4: true, V6: true}
		if v, ok := p.GetValue().(*corepb.SocketOption_BufValue); ok {
			o.Bytes = v.BufValue
			if o.Bytes == nil {
				o.Bytes = []byte{}
			}
		}
		switch p.GetIpVersion() {
		case corepb.SocketOption_SOCKET_IP_VERSION_IPV4:
			o.V6 = false
		case corepb.SocketOption_SOCKET_IP_VERSION_IPV6:
			o.V4 = false
		}
		out = append(out, o)
	}
	return out, nil
}
