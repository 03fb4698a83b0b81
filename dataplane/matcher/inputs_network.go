package matcher

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	envpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/environment_variable/v3"
	networkpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sslpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// NetworkInputs compiles the inputs that there are for a connection.
func NetworkInputs(x Extension) (Input, error) {
	name := strings.TrimPrefix(x.GetTypedConfig().GetTypeUrl(), typePrefix)
	if short, ok := strings.CutPrefix(name, "envoy.extensions.matching.common_inputs.network.v3."); ok {
		if in, ok := networkInputs[short]; ok {
			return in, nil
		}
	}
	if short, ok := strings.CutPrefix(name, "envoy.extensions.matching.common_inputs.ssl.v3."); ok {
		if in, ok := sslInputs[short]; ok {
			return in, nil
		}
	}
	switch {
	case name == fullName(&networkpb.SourceIPInput{}):
		return sourceInput{}, nil
	case name == fullName(&networkpb.SourcePortInput{}):
		return sourceInput{port: true}, nil
	}
	if p, ok, err := as[networkpb.FilterStateInput](x); ok {
		return filterStateInput{p.GetKey(), p.GetField()}, err
	}
	if p, ok, err := as[envpb.Config](x); ok {
		v, has := os.LookupEnv(p.GetName())
		return constInput{maybeText(v, has)}, err
	}
	return nil, nil
}

// The inputs without configuration.
var (
	networkInputs = map[string]connInput{
		nameOf(&networkpb.DestinationIPInput{}):       func(c *streaminfo.Connection) InputValue { return addrValue(c.Local.Addr()) },
		nameOf(&networkpb.DirectSourceIPInput{}):      func(c *streaminfo.Connection) InputValue { return addrValue(c.DirectRemote.Addr()) },
		nameOf(&networkpb.DestinationPortInput{}):     func(c *streaminfo.Connection) InputValue { return portValue(c.Local.IsValid(), c.Local.Port()) },
		nameOf(&networkpb.SourceTypeInput{}):          sourceType,
		nameOf(&networkpb.ServerNameInput{}):          func(c *streaminfo.Connection) InputValue { return unlessEmpty(c.RequestedServerName) },
		nameOf(&networkpb.TransportProtocolInput{}):   func(c *streaminfo.Connection) InputValue { return unlessEmpty(c.TransportProtocol) },
		nameOf(&networkpb.ApplicationProtocolInput{}): protocols,
		// Sockets are opened in the proxy's own network namespace alone.
		nameOf(&networkpb.NetworkNamespaceInput{}): func(*streaminfo.Connection) InputValue { return InputValue{} },
	}
	sslInputs = map[string]connInput{
		nameOf(&sslpb.UriSanInput{}):  func(c *streaminfo.Connection) InputValue { return certificate(c, uriSANs) },
		nameOf(&sslpb.DnsSanInput{}):  func(c *streaminfo.Connection) InputValue { return certificate(c, dnsSANs) },
		nameOf(&sslpb.SubjectInput{}): func(c *streaminfo.Connection) InputValue { return certificate(c, subject) },
	}
)

type connInput func(c *streaminfo.Connection) InputValue

// Get asks the connection.
func (f connInput) Get(d Data) InputValue {
	c := d.conn()
	if c == nil {
		return InputValue{}
	}
	return f(c)
}

// sourceInput is the client's address or port: a stream's may be that of x-forwarded-for.
type sourceInput struct{ port bool }

// Get asks the stream if there is one, else the connection.
func (in sourceInput) Get(d Data) InputValue {
	var from netip.AddrPort
	switch {
	case d.Info != nil:
		from = d.Info.DownstreamRemote()
	case d.Conn != nil:
		from = d.Conn.Remote
	}
	if in.port {
		return portValue(from.IsValid(), from.Port())
	}
	return addrValue(from.Addr())
}

type constInput struct{ v InputValue }

// Get returns what was there at compile time.
func (in constInput) Get(Data) InputValue { return in.v }

type filterStateInput struct{ key, field string }

// Get returns the object's string form, or one of its fields.
func (in filterStateInput) Get(d Data) InputValue {
	var v any
	switch {
	case d.Info != nil:
		v = d.Info.Find(in.key)
	case d.Conn != nil:
		v = d.Conn.FilterState.Get(in.key)
	}
	if in.field != "" {
		if f, ok := v.(streaminfo.Fielder); ok {
			return maybeText(f.FilterStateField(in.field))
		}
	}
	if s, ok := v.(streaminfo.Serializer); ok {
		return TextValue(s.FilterStateString())
	}
	return InputValue{}
}

func unlessEmpty(s string) InputValue { return maybeText(s, s != "") }

func portValue(ok bool, port uint16) InputValue {
	if !ok {
		return InputValue{}
	}
	return TextValue(strconv.Itoa(int(port)))
}

// sourceType is "local" for a connection from the same host.
func sourceType(c *streaminfo.Connection) InputValue {
	from := c.Remote.Addr().Unmap()
	return maybeText("local", c.LocalPipe != "" || from.IsLoopback() || from.IsValid() && from == c.Local.Addr().Unmap())
}

func protocols(c *streaminfo.Connection) InputValue {
	if len(c.ApplicationProtocols) == 0 {
		return InputValue{}
	}
	return TextValue("'" + strings.Join(c.ApplicationProtocols, "','") + "'")
}

func certificate(c *streaminfo.Connection, f func(*streaminfo.Certificate) string) InputValue {
	if c.TLS == nil || c.TLS.Peer == nil {
		return InputValue{}
	}
	return unlessEmpty(f(c.TLS.Peer))
}

func uriSANs(c *streaminfo.Certificate) string { return strings.Join(c.URISANs(), ",") }
func dnsSANs(c *streaminfo.Certificate) string { return strings.Join(c.DNSSANs(), ",") }
func subject(c *streaminfo.Certificate) string { return c.Subject() }
