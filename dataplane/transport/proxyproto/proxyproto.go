// Package proxyproto reads and writes the PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/2.1/doc/proxy-protocol.txt): of a buffer, so that a reader may
// peek, and with the TLVs in their order.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// Header is one PROXY protocol header.
type Header struct {
	// Version is 1 or 2.
	Version int
	// Local tells that the header names no addresses (UNKNOWN, LOCAL): those of the connection count.
	Local               bool
	Source, Destination netip.AddrPort
	// TLVs are those of version 2, in order, as they were sent; Each ranges over them.
	TLVs []byte
}

// TLV is one type-length-value field.
type TLV struct {
	Type  byte
	Value []byte
}

// The errors of Parse.
var (
	// ErrMore asks for more bytes.
	ErrMore = errors.New("PROXY protocol: header is incomplete")
	// ErrNone tells that the bytes do not begin as a header does.
	ErrNone = errors.New("PROXY protocol: no header")
	// ErrBad tells that a header is broken, ErrUnsupported that it is of a kind that is not read.
	ErrBad         = errors.New("PROXY protocol: header is malformed")
	ErrUnsupported = errors.New("PROXY protocol: unsupported address family, transport or command")
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
	// maxV1 is the longest line of version 1, its end included.
	maxV1 = 107
	// headV2 is what stands before the addresses in version 2.
	headV2 = 16
	// MaxLen is the longest header of version 2.
	MaxLen = headV2 + 0xffff
)

// Parse reads the header that b begins with, and returns how long it is. The header's TLVs are b's.
func Parse(b []byte) (h Header, n int, err error) {
	switch {
	case hasPrefix(b, signature2):
		if len(b) < headV2 {
			return h, 0, ErrMore
		}
		return parseV2(b)
	case hasPrefix(b, signature1):
		if len(b) < len(signature1) {
			return h, 0, ErrMore
		}
		return parseV1(b)
	}
	return h, 0, ErrNone
}

// hasPrefix tells whether b begins with s, as far as b goes.
func hasPrefix(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

func parseV1(b []byte) (h Header, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxV1)], '\n')
	switch {
	case end < 0 && len(b) >= maxV1:
		return h, 0, ErrBad
	case end < 0:
		return h, 0, ErrMore
	case b[end-1] != '\r':
		return h, 0, ErrBad
	}
	h.Version = 1
	line := string(b[len(signature1) : end-1])
	if line == "UNKNOWN" || len(line) > 7 && line[:8] == "UNKNOWN " {
		h.Local = true
		return h, end + 1, nil
	}
	var parts [5]string
	if !split(line, &parts) {
		return h, 0, ErrBad
	}
	source, err1 := parseAddr(parts[1], parts[3])
	dest, err2 := parseAddr(parts[2], parts[4])
	if err1 != nil || err2 != nil {
		return h, 0, ErrBad
	}
	switch parts[0] {
	case "TCP4":
		if !source.Addr().Is4() || !dest.Addr().Is4() {
			return h, 0, ErrBad
		}
	case "TCP6":
		if !source.Addr().Is6() || !dest.Addr().Is6() {
			return h, 0, ErrBad
		}
	default:
		return h, 0, ErrBad
	}
	h.Source, h.Destination = source, dest
	return h, end + 1, nil
}

// split cuts a line at single spaces into exactly as many parts.
func split(line string, parts *[5]string) bool {
	for i := range parts {
		part, rest, more := strings.Cut(line, " ")
		if last := i == len(parts)-1; more == last || part == "" {
			return false
		}
		parts[i], line = part, rest
	}
	return true
}

func parseAddr(ip, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, ErrBad
	}
	n := 0
	if port == "" || len(port) > 5 {
		return netip.AddrPort{}, ErrBad
	}
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return netip.AddrPort{}, ErrBad
		}
		n = 10*n + int(c-'0')
	}
	if n > 0xffff {
		return netip.AddrPort{}, ErrBad
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// The values of version 2's fields.
const (
	version2Local = 0x20
	version2Proxy = 0x21
	familyTCP4    = 0x11
	familyTCP6    = 0x21
)

func parseV2(b []byte) (h Header, n int, err error) {
	h.Version = 2
	command, family := b[12], b[13]
	if command>>4 != 2 {
		return h, 0, ErrBad
	}
	if command != version2Local && command != version2Proxy {
		return h, 0, ErrUnsupported
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	addresses := 0
	switch {
	case command == version2Local:
		h.Local = true
	case family == familyTCP4:
		addresses = 12
	case family == familyTCP6:
		addresses = 36
	case family>>4 == 0: // AF_UNSPEC: the sender knows no addresses
		h.Local = true
	default:
		return h, 0, ErrUnsupported
	}
	if length < addresses {
		return h, 0, ErrBad
	}
	if len(b) < headV2+length {
		return h, 0, ErrMore
	}
	body := b[headV2 : headV2+length]
	switch addresses {
	case 12:
		h.Source = v2Addr(body[0:4], body[8:10])
		h.Destination = v2Addr(body[4:8], body[10:12])
	case 36:
		h.Source = v2Addr(body[0:16], body[32:34])
		h.Destination = v2Addr(body[16:32], body[34:36])
	}
	if !h.Local {
		h.TLVs = body[addresses:]
		if !validTLVs(h.TLVs) {
			return h, 0, ErrBad
		}
	}
	return h, headV2 + length, nil
}

func v2Addr(ip, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
}

func validTLVs(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 3 {
			return false
		}
		n := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < n {
			return false
		}
		b = b[n:]
	}
	return true
}

// Each calls f for every TLV of tlvs, which Parse has accepted, in order, until f returns false.
func Each(tlvs []byte, f func(kind byte, value []byte) bool) {
	for len(tlvs) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(tlvs[1:]))
		if n > len(tlvs) || !f(tlvs[0], tlvs[3:n]) {
			return
		}
		tlvs = tlvs[n:]
	}
}
