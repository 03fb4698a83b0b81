package admin

import (
	"net"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// serveListeners is /listeners.
func (a *Admin) serveListeners(q *request, r *reply) {
	rows, ok := a.listeners(r)
	if !ok {
		return
	}
	if q.value("format") == "json" {
		out := &adminpb.Listeners{}
		for i := range rows {
			if rows[i].Shown {
				out.ListenerStatuses = append(out.ListenerStatuses, rows[i].status())
			}
		}
		r.json(out, false)
		return
	}
	for i := range rows {
		l := &rows[i]
		switch {
		case !l.Shown:
		case len(l.Addresses) == 0:
			r.text(l.Name + "::envoy://" + l.Name + "/\n")
		default:
			for _, addr := range l.Addresses {
				r.text(l.Name + "::" + addr.String() + "\n")
			}
		}
	}
}

// listeners asks for the rows on the main goroutine.
func (a *Admin) listeners(r *reply) (rows []Listener, ok bool) {
	if a.o.Listeners == nil {
		return nil, true
	}
	ok = a.main(r, func() { rows = a.o.Listeners() })
	return rows, ok
}

func (l *Listener) status() *adminpb.ListenerStatus {
	s := &adminpb.ListenerStatus{Name: l.Name}
	if len(l.Addresses) == 0 {
		s.LocalAddress = &corepb.Address{Address: &corepb.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corepb.EnvoyInternalAddress{
			AddressNameSpecifier: &corepb.EnvoyInternalAddress_ServerListenerName{ServerListenerName: l.Name},
		}}}
		return s
	}
	s.LocalAddress = address(l.Addresses[0])
	for _, more := range l.Addresses[1:] {
		s.AdditionalLocalAddresses = append(s.AdditionalLocalAddresses, address(more))
	}
	return s
}

func address(a net.Addr) *corepb.Address {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return &corepb.Address{Address: &corepb.Address_Pipe{Pipe: &corepb.Pipe{Path: a.String()}}}
	}
	ap := addrPort(t)
	return &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
		Address: ap.Addr().String(), PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: uint32(ap.Port())},
	}}}
}
