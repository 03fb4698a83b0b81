package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Kind tells what an Address is.
type Kind uint8

// The kinds. NameKind is a DNS name that a cluster resolves.
const (
	NoAddress Kind = iota
	IPKind
	PipeKind
	InternalKind
	NameKind
)

// Address is where an endpoint is reached: an IP address and port, a Unix domain socket, an internal
// listener, or a DNS name and port. It is immutable and comparable.
type Address struct {
	Kind Kind
	// IP is set for IPKind.
	IP netip.AddrPort
	// Name is the DNS name, the socket's path (an abstract one begins with "@"), or the internal
	// listener's name; EndpointID the internal address's endpoint_id.
	Name, EndpointID string
	// Port is set for NameKind.
	Port uint16

	text string
}

// String is the address as %UPSTREAM_HOST% and /clusters print it: "10.0.0.1:80", "[::1]:80",
// "/run/x.sock", "envoy://listener/id".
func (a Address) String() string { return a.text }

// Valid tells whether there is an address.
func (a Address) Valid() bool { return a.Kind != NoAddress }

// Network is "tcp", "unix" or "internal", and what net.Dial takes with it.
func (a Address) Network() string {
	switch a.Kind {
	case PipeKind:
		return "unix"
	case InternalKind:
		return "internal"
	default:
		return "tcp"
	}
}

// WithPort is the address with another port; addresses without ports stay as they are.
func (a Address) WithPort(port uint16) Address {
	switch a.Kind {
	case IPKind:
		return IPAddress(netip.AddrPortFrom(a.IP.Addr(), port))
	case NameKind:
		return nameAddress(a.Name, port)
	default:
		return a
	}
}

// IPAddress is the Address of an IP address and port.
func IPAddress(ap netip.AddrPort) Address {
	return Address{Kind: IPKind, IP: ap, text: ap.String()}
}

// PipeAddress is the Address of a Unix domain socket.
func PipeAddress(path string) Address { return Address{Kind: PipeKind, Name: path, text: path} }

func nameAddress(name string, port uint16) Address {
	return Address{Kind: NameKind, Name: name, Port: port, text: net.JoinHostPort(name, strconv.Itoa(int(port)))}
}

// resolverHint is what Envoy adds to every address that it cannot take literally.
const resolverHint = "%s. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"

// maxPipe is sun_path's size.
const maxPipe = 108

// CompileAddress compiles a literal address. Error texts are Envoy's.
func CompileAddress(p *corepb.Address) (Address, error) {
	switch v := p.GetAddress().(type) {
	case *corepb.Address_SocketAddress:
		return compileSocket(v.SocketAddress)
	case *corepb.Address_Pipe:
		return compilePipe(v.Pipe)
	case *corepb.Address_EnvoyInternalAddress:
		return compileInternal(v.EnvoyInternalAddress)
	default:
		return Address{}, fmt.Errorf(resolverHint, "Address must be set: "+strings.TrimSpace(p.String()))
	}
}

// CompileName compiles the address of an endpoint of a DNS cluster: a name, or a literal address.
func CompileName(p *corepb.Address) (Address, error) {
	s := p.GetSocketAddress()
	if s == nil {
		return CompileAddress(p)
	}
	if err := checkSocket(s); err != nil {
		return Address{}, err
	}
	if ip, err := netip.ParseAddr(s.GetAddress()); err == nil {
		return IPAddress(netip.AddrPortFrom(ip, uint16(s.GetPortValue()))), nil
	}
	return nameAddress(s.GetAddress(), uint16(s.GetPortValue())), nil
}

func compileSocket(s *corepb.SocketAddress) (Address, error) {
	if s.GetResolverName() != "" {
		return Address{}, fmt.Errorf(resolverHint, "Unknown address resolver: "+s.GetResolverName())
	}
	if _, named := s.GetPortSpecifier().(*corepb.SocketAddress_NamedPort); named {
		return Address{}, fmt.Errorf(resolverHint, "IP resolver can't handle port specifier type 4")
	}
	if err := checkSocket(s); err != nil {
		return Address{}, err
	}
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil {
		return Address{}, fmt.Errorf(resolverHint, "malformed IP address: "+s.GetAddress())
	}
	return IPAddress(netip.AddrPortFrom(ip, uint16(s.GetPortValue()))), nil
}

// checkSocket refuses what no kind of cluster takes. Envoy ignores the protocol of a host's address and
// ipv4_compat; so do we.
func checkSocket(s *corepb.SocketAddress) error {
	if s.GetNetworkNamespaceFilepath() != "" {
		return errors.New("Invalid host configuration: hosts cannot specify network namespaces with their address") //nolint:staticcheck // Envoy's text.
	}
	return nil
}

func compilePipe(p *corepb.Pipe) (Address, error) {
	if len(p.GetPath()) >= maxPipe {
		return Address{}, fmt.Errorf(resolverHint, fmt.Sprintf("Path \"%s\" exceeds maximum UNIX domain socket path size of %d.", p.GetPath(), maxPipe))
	}
	// mode is for listeners.
	return PipeAddress(p.GetPath()), nil
}

func compileInternal(p *corepb.EnvoyInternalAddress) (Address, error) {
	name := p.GetServerListenerName()
	return Address{
		Kind: InternalKind, Name: name, EndpointID: p.GetEndpointId(),
		text: "envoy://" + name + "/" + p.GetEndpointId(),
	}, nil
}

// Proto writes the address as configuration has it.
func (a Address) Proto() *corepb.Address {
	switch a.Kind {
	case PipeKind:
		return &corepb.Address{Address: &corepb.Address_Pipe{Pipe: &corepb.Pipe{Path: a.Name}}}
	case InternalKind:
		return &corepb.Address{Address: &corepb.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corepb.EnvoyInternalAddress{
			AddressNameSpecifier: &corepb.EnvoyInternalAddress_ServerListenerName{ServerListenerName: a.Name}, EndpointId: a.EndpointID,
		}}}
	case NameKind:
		return socketProto(a.Name, a.Port)
	default:
		return socketProto(a.IP.Addr().String(), a.IP.Port())
	}
}

func socketProto(address string, port uint16) *corepb.Address {
	return &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
		Address: address, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// Proto writes the locality as configuration has it.
func (l Locality) Proto() *corepb.Locality {
	return &corepb.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
}
