package listener

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// CompileOptions are what compiling a listener goes by.
type CompileOptions struct {
	Registry *filter.Registry
}

// Type is LDS. m may be nil: then nothing is bound before it is applied.
func Type(o CompileOptions, m *Manager) xds.Type[*Config] {
	t := xds.Type[*Config]{URL: xds.ListenerURL, AllRequiredInSotW: true, Refs: (*Config).Refs, Decode: func(a *anypb.Any) (string, *Config, error) {
		l := &listenerpb.Listener{}
		if err := a.UnmarshalTo(l); err != nil {
			return "", nil, err
		}
		if err := l.Validate(); err != nil {
			return l.GetName(), nil, fmt.Errorf("proto constraint validation failed (%w)", err)
		}
		c, err := Compile(l, o)
		return l.GetName(), c, err
	}}
	if m != nil {
		t.Check = m.Check
	}
	return t
}

// Compile compiles a Listener
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/listener/v3/listener.proto).
func Compile(l *listenerpb.Listener, o CompileOptions) (*Config, error) {
	if err := refused(l); err != nil {
		return nil, err
	}
	c := &Config{Name: l.GetName(), StatPrefix: l.GetStatPrefix(), UseOriginalDst: l.GetUseOriginalDst().GetValue(),
		IgnoreGlobalLimit: l.GetIgnoreGlobalConnLimit(), BypassOverload: l.GetBypassOverloadManager(),
		ModifyOnly: l.GetDrainType() == listenerpb.Listener_MODIFY_ONLY, ContinueOnTimeout: l.GetContinueOnListenerFiltersTimeout()}
	switch l.GetTrafficDirection() {
	case corepb.TrafficDirection_INBOUND:
		c.Direction = filter.Inbound
	case corepb.TrafficDirection_OUTBOUND:
		c.Direction = filter.Outbound
	case corepb.TrafficDirection_UNSPECIFIED:
	}
	c.FilterTimeout = 15 * time.Second
	if d := l.GetListenerFiltersTimeout(); d != nil {
		c.FilterTimeout = d.AsDuration()
	}
	c.BufferLimit = 1 << 20
	if b := l.GetPerConnectionBufferLimitBytes(); b != nil {
		c.BufferLimit = int(min(b.GetValue(), math.MaxInt32))
	}
	c.Metadata = metadata(l.GetMetadata())
	if err := c.compileAddresses(l); err != nil {
		return nil, err
	}
	for _, f := range l.GetListenerFilters() {
		if err := c.compileFilter(f, o); err != nil {
			return nil, err
		}
	}
	if err := c.compileChains(l, o); err != nil {
		return nil, err
	}
	logs, err := accesslog.Compile(l.GetAccessLog(), o.Registry.Logs())
	if err != nil {
		return nil, err
	}
	c.logs = logs
	settings, err := proto.MarshalOptions{Deterministic: true}.Marshal(chainless(l))
	if err != nil {
		return nil, err
	}
	c.settings = string(settings)
	return c, nil
}

// chainless is what of a listener the life of a filter chain depends on: its name, its address in stats,
// its direction, metadata and buffers. Listener filters, access logs and limits are not.
func chainless(l *listenerpb.Listener) *listenerpb.Listener {
	return &listenerpb.Listener{Name: l.GetName(), Address: l.GetAddress(), StatPrefix: l.GetStatPrefix(), TrafficDirection: l.GetTrafficDirection(), Metadata: l.GetMetadata(),
		PerConnectionBufferLimitBytes: l.GetPerConnectionBufferLimitBytes(), DrainType: l.GetDrainType()}
}

// refused names the fields that ask for what is not done.
func refused(l *listenerpb.Listener) error {
	switch {
	case l.GetUdpListenerConfig() != nil || l.GetAddress().GetSocketAddress().GetProtocol() == corepb.SocketAddress_UDP:
		return errors.New("Listener.udp_listener_config: UDP listeners are not supported") //nolint:revive // names the field
	case l.GetApiListener() != nil:
		return errors.New("Listener.api_listener is not supported") //nolint:revive // names the field
	case l.GetFcdsConfig() != nil:
		return errors.New("Listener.fcds_config is not supported") //nolint:revive // names the field
	case l.GetStatsMatcher() != nil:
		return errors.New("Listener.stats_matcher is not supported") //nolint:revive // names the field
	case l.GetConnectionBalanceConfig().GetExtendBalance() != nil:
		return errors.New("Listener.connection_balance_config.extend_balance is not supported") //nolint:revive // names the field
	}
	// exact_balance asks for what is so anyway: connections go to workers in turn. max_connections_to_
	// accept_per_socket_event is one here. deprecated_v1.bind_to_port is bind_to_port's old place.
	return nil
}

func (c *Config) compileAddresses(l *listenerpb.Listener) error {
	if l.GetInternalListener() != nil {
		c.Internal = true
		return nil
	}
	if l.GetAddress() == nil {
		return errors.New("error adding listener named '" + l.GetName() + "': address is necessary")
	}
	bound := true
	if b := l.GetBindToPort(); b != nil {
		bound = b.GetValue()
	} else if b := l.GetDeprecatedV1().GetBindToPort(); b != nil { //nolint:staticcheck // still sent
		bound = b.GetValue()
	}
	sock := SocketOptions{Transparent: l.GetTransparent().GetValue(), Freebind: l.GetFreebind().GetValue(), MPTCP: l.GetEnableMptcp(),
		Backlog: int(l.GetTcpBacklogSize().GetValue()), FastOpen: int(l.GetTcpFastOpenQueueLength().GetValue())}
	sock.ReusePort = l.GetEnableReusePort() == nil || l.GetEnableReusePort().GetValue()
	sock.KeepAlive = keepAlive(l.GetTcpKeepalive())
	sock.Options = socketOptions(l.GetSocketOptions())
	a, err := compileAddress(l.GetAddress(), sock, bound)
	if err != nil {
		return err
	}
	c.Addresses = []Address{a}
	for _, more := range l.GetAdditionalAddresses() {
		s := sock
		if o := more.GetSocketOptions(); o != nil {
			s.Options = socketOptions(o.GetSocketOptions())
		}
		if k := more.GetTcpKeepalive(); k != nil {
			s.KeepAlive = keepAlive(k)
		}
		a, err := compileAddress(more.GetAddress(), s, bound)
		if err != nil {
			return err
		}
		c.Addresses = append(c.Addresses, a)
	}
	return nil
}

func compileAddress(p *corepb.Address, sock SocketOptions, bound bool) (Address, error) {
	a := Address{Bind: bound, Sock: sock}
	switch v := p.GetAddress().(type) {
	case *corepb.Address_Pipe:
		a.Pipe, a.Mode = v.Pipe.GetPath(), v.Pipe.GetMode()
		return a, nil
	case *corepb.Address_SocketAddress:
		s := v.SocketAddress
		ip, err := netip.ParseAddr(s.GetAddress())
		if err != nil {
			return a, fmt.Errorf("malformed IP address: %s. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'", s.GetAddress())
		}
		if s.GetNamedPort() != "" {
			return a, fmt.Errorf("socket_address.named_port is not supported")
		}
		if s.GetNetworkNamespaceFilepath() != "" {
			return a, fmt.Errorf("socket_address.network_namespace_filepath is not supported")
		}
		a.Sock.V6Only = !s.GetIpv4Compat()
		a.TCP = netip.AddrPortFrom(ip, uint16(s.GetPortValue()))
		return a, nil
	}
	return a, errors.New("address must be a socket_address or a pipe")
}

func keepAlive(k *corepb.TcpKeepalive) *KeepAlive {
	if k == nil {
		return nil
	}
	return &KeepAlive{Probes: int(k.GetKeepaliveProbes().GetValue()), Time: time.Duration(k.GetKeepaliveTime().GetValue()) * time.Second,
		Interval: time.Duration(k.GetKeepaliveInterval().GetValue()) * time.Second}
}

func socketOptions(ps []*corepb.SocketOption) (out []SocketOption) {
	for _, p := range ps {
		o := SocketOption{Level: int(p.GetLevel()), Name: int(p.GetName()), Int: int(p.GetIntValue()), State: int(p.GetState())}
		if b, ok := p.GetValue().(*corepb.SocketOption_BufValue); ok {
			o.Bytes = b.BufValue
		}
		out = append(out, o)
	}
	return out
}

func (c *Config) compileFilter(f *listenerpb.ListenerFilter, o CompileOptions) error {
	if f.GetConfigDiscovery() != nil {
		return fmt.Errorf("listener filter %q: config_discovery is not supported", f.GetName())
	}
	config, err := o.Registry.Listener(f.GetName(), f.GetTypedConfig())
	if err != nil {
		return err
	}
	fc := filterConfig{name: f.GetName(), config: config}
	if p := f.GetFilterDisabled(); p != nil {
		fc.disabled = compilePredicate(p)
	}
	c.filters = append(c.filters, fc)
	return nil
}

func metadata(p *corepb.Metadata) streaminfo.Metadata {
	if len(p.GetFilterMetadata()) == 0 {
		return nil
	}
	return streaminfo.Metadata(p.GetFilterMetadata())
}
