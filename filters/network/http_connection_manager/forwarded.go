package hcm

import (
	"net/netip"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// forwarding are the connection manager's fields about who the client is.
type forwarding struct {
	useRemoteAddress bool
	trustedHops      uint32
	skipAppend       bool
	appendPort       bool
	internal         []netip.Prefix // internal_address_config.cidr_ranges
	internalUnix     bool
	detectors        []detector
	// local is this machine's address, which Envoy appends for a client on the loopback.
	local string
}

// detector is one of original_ip_detection_extensions.
type detector interface {
	// detect returns the client's address, and whether it may count as internal; or a status to refuse
	// the request with.
	detect(s *filter.Stream) (addr netip.Addr, trusted bool, reject int)
}

// origin is what the client's address was found to be.
type origin struct {
	addr     netip.AddrPort
	internal bool
	edge     bool
	reject   int
}

// apply finds the client's address and brings x-forwarded-for and -proto up to date.
func (f *forwarding) apply(s *filter.Stream) origin {
	var o origin
	h := &s.Request.Map
	remote := s.Conn.Info.Remote
	single := false
	if f.useRemoteAddress {
		single = !h.Has(header.XForwardedFor)
		if f.trustedHops > 0 {
			if a, ok := lastOf(h.Value(header.XForwardedFor), int(f.trustedHops)-1); ok {
				o.addr = netip.AddrPortFrom(a, 0)
			}
		}
		if !o.addr.IsValid() {
			o.addr = remote
		}
		f.append(s, remote)
		if f.trustedHops == 0 || !h.Has(header.XForwardedProto) {
			h.SetID(header.XForwardedProto, scheme(s))
		}
		if f.appendPort && (f.trustedHops == 0 || !h.Has(header.XForwardedPort)) {
			h.SetID(header.XForwardedPort, h.Keep(appendInt(nil, int(s.Conn.Info.Local.Port()))))
		}
	} else {
		o.addr, single, o.reject = f.detect(s)
		if !o.addr.IsValid() {
			o.addr = remote
			single = false
		}
		if !h.Has(header.XForwardedProto) {
			h.SetID(header.XForwardedProto, scheme(s))
		}
	}
	o.internal = single && f.isInternal(o.addr)
	o.edge = !o.internal && f.useRemoteAddress
	return o
}

// detect asks the extensions, or reads x-forwarded-for from its end.
func (f *forwarding) detect(s *filter.Stream) (netip.AddrPort, bool, int) {
	for _, d := range f.detectors {
		addr, trusted, reject := d.detect(s)
		if reject != 0 {
			return netip.AddrPort{}, false, reject
		}
		if addr.IsValid() {
			return netip.AddrPortFrom(addr, 0), trusted, 0
		}
	}
	if f.detectors != nil {
		return netip.AddrPort{}, false, 0
	}
	xff := s.Request.Value(header.XForwardedFor)
	if xff == "" {
		return netip.AddrPort{}, false, 0
	}
	a, ok := lastOf(xff, int(f.trustedHops))
	if !ok {
		return netip.AddrPort{}, false, 0
	}
	return netip.AddrPortFrom(a, 0), !strings.Contains(xff, ","), 0
}

// append adds the peer to x-forwarded-for.
func (f *forwarding) append(s *filter.Stream, remote netip.AddrPort) {
	if f.skipAppend {
		return
	}
	h := &s.Request.Map
	if remote.Addr().IsLoopback() && f.local != "" {
		h.AppendID(header.XForwardedFor, f.local, ",")
		return
	}
	if remote.IsValid() {
		var b [64]byte
		h.AppendID(header.XForwardedFor, h.Keep(remote.Addr().Unmap().WithZone("").AppendTo(b[:0])), ",")
	}
}

func (f *forwarding) isInternal(a netip.AddrPort) bool {
	addr := a.Addr().Unmap()
	for _, p := range f.internal {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func scheme(s *filter.Stream) string {
	if s.Conn.Info.TLS != nil {
		return "https"
	}
	return "http"
}

// lastOf returns the address in x-forwarded-for that has skip others behind it. An element that is no
// address, or has a port, makes the whole of it worthless.
func lastOf(xff string, skip int) (netip.Addr, bool) {
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(xff, ',')
		if i < 0 {
			return netip.Addr{}, false
		}
		xff = xff[:i]
	}
	xff = strings.Trim(xff[strings.LastIndexByte(xff, ',')+1:], " ")
	if len(xff) > 2 && xff[0] == '[' && xff[len(xff)-1] == ']' {
		xff = xff[1 : len(xff)-1]
	}
	a, err := netip.ParseAddr(xff)
	return a.Unmap(), err == nil
}
