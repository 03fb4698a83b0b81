package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// AppendV1 appends a header of version 1; addresses that are invalid make it UNKNOWN.
func AppendV1(b []byte, source, dest netip.AddrPort) []byte {
	source, dest, six, ok := sameFamily(source, dest)
	if !ok {
		return append(b, "PROXY UNKNOWN\r\n"...)
	}
	if six {
		b = append(b, "PROXY TCP6 "...)
	} else {
		b = append(b, "PROXY TCP4 "...)
	}
	b = source.Addr().AppendTo(b)
	b = append(b, ' ')
	b = dest.Addr().AppendTo(b)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(source.Port()), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(dest.Port()), 10)
	return append(b, "\r\n"...)
}

// AppendV2 appends a header of version 2; addresses that are invalid make it LOCAL, without TLVs. TLVs
// that do not fit are left out, all of them.
func AppendV2(b []byte, source, dest netip.AddrPort, tlvs []TLV) []byte {
	b = append(b, signature2...)
	source, dest, six, ok := sameFamily(source, dest)
	if !ok {
		return append(b, version2Local, 0, 0, 0)
	}
	length, family := 12, byte(familyTCP4)
	if six {
		length, family = 36, familyTCP6
	}
	total := length
	for _, t := range tlvs {
		total += 3 + len(t.Value)
	}
	if total > 0xffff {
		total, tlvs = length, nil
	}
	b = append(b, version2Proxy, family)
	b = binary.BigEndian.AppendUint16(b, uint16(total))
	b = append(b, source.Addr().AsSlice()...)
	b = append(b, dest.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	b = binary.BigEndian.AppendUint16(b, dest.Port())
	for _, t := range tlvs {
		b = append(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.Value)))
		b = append(b, t.Value...)
	}
	return b
}

// sameFamily brings two addresses to one family: both IPv4, or both IPv6.
func sameFamily(a, b netip.AddrPort) (source, dest netip.AddrPort, six, ok bool) {
	if !a.IsValid() || !b.IsValid() {
		return a, b, false, false
	}
	x, y := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if x.Is4() && y.Is4() {
		return netip.AddrPortFrom(x, a.Port()), netip.AddrPortFrom(y, b.Port()), false, true
	}
	return netip.AddrPortFrom(netip.AddrFrom16(x.As16()), a.Port()), netip.AddrPortFrom(netip.AddrFrom16(y.As16()), b.Port()), true, true
}
