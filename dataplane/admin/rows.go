package admin

import (
	"cmp"
	"net"
	"slices"

	"github.com/pillion-proxy/pillion/dataplane/listener"
	"github.com/pillion-proxy/pillion/xds"
)

// Listeners lists the listeners of m, those that are warming among them: static ones first, then by
// name. It is for the main goroutine.
func Listeners(m *listener.Manager, s *xds.Snapshot) []Listener {
	if s == nil {
		s = &xds.Snapshot{}
	}
	rows := map[string]*Listener{}
	for _, l := range m.Listeners() {
		rows[l.Name()] = &Listener{Name: l.Name(), Addresses: l.Addresses(), Shown: true, Active: m.Active(l.Name())}
	}
	for name, r := range s.All(xds.ListenerURL) {
		row := rows[name]
		switch {
		case row == nil:
			// As in Envoy a static listener is there before it is warm.
			rows[name] = &Listener{Name: name, Addresses: configured(r), Shown: r.Static, Warming: r}
		case row.Active != r && !s.Warm(r):
			row.Warming = r
		}
	}
	out := make([]Listener, 0, len(rows))
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b Listener) int { return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Name, b.Name)) })
	return out
}

func (l *Listener) rank() int {
	for _, r := range []*xds.Resource{l.Active, l.Warming} {
		if r != nil && r.Static {
			return 0
		}
	}
	return 1
}

// configured are the addresses that a listener has by its configuration.
func configured(r *xds.Resource) (out []net.Addr) {
	c, ok := r.Value.(*listener.Config)
	if !ok {
		return nil
	}
	for _, a := range c.Addresses {
		if a.Pipe != "" {
			out = append(out, &net.UnixAddr{Name: a.Pipe, Net: "unix"})
		} else {
			out = append(out, net.TCPAddrFromAddrPort(a.TCP))
		}
	}
	return out
}
