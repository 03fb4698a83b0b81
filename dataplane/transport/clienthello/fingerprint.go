package clienthello

import (
	"crypto/md5" //nolint:gosec // G501: JA3 is defined by it; nothing relies on its strength.
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// grease tells the values that clients make up so that servers keep ignoring unknown ones (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// JA3 is the JA3 fingerprint (https://github.com/salesforce/ja3): the MD5, in hexadecimal, of version,
// cipher suites, extensions, curves and point formats. GREASE values are left out, but for those among
// the curves, which Envoy keeps, against the specification: its users compare with its fingerprints.
func (h *Hello) JA3() string {
	b := strconv.AppendUint(make([]byte, 0, 256), uint64(h.LegacyVersion), 10)
	for n, l := range [...]List{h.CipherSuites, h.Extensions, h.Curves} {
		b = append(b, ',')
		first := true
		for i := range l.Len() {
			if v := l.At(i); !grease(v) || n == 2 {
				if !first {
					b = append(b, '-')
				}
				first = false
				b = strconv.AppendUint(b, uint64(v), 10)
			}
		}
	}
	b = append(b, ',')
	for i, v := range h.PointFormats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	sum := md5.Sum(b) //nolint:gosec // G401: see the import.
	return hex.EncodeToString(sum[:])
}

// JA4 is the JA4 fingerprint of a TLS client over TCP
// (https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md), as "t13d1516h2_…_…".
func (h *Hello) JA4() string {
	b := make([]byte, 0, 36)
	b = append(b, 't')
	b = append(b, h.ja4Version()...)
	if h.HasServerName {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	suites, extensions := sorted(h.CipherSuites, nil), sorted(h.Extensions, nil)
	b = twoDigits(b, len(suites))
	b = twoDigits(b, len(extensions))
	b = append(b, h.ja4ALPN()...)
	b = append(b, '_')
	b = hash12(b, hexList(nil, suites))
	b = append(b, '_')
	text := hexList(nil, sorted(h.Extensions, []uint16{extServerName, extALPN}))
	if h.SignatureAlgorithms.Len() > 0 && len(text) > 0 {
		text = append(text, '_')
		text = hexList(text, plain(h.SignatureAlgorithms))
	}
	return string(hash12(b, text))
}

// ja4Version is the highest version on offer.
func (h *Hello) ja4Version() string {
	version := h.LegacyVersion
	if h.Versions.Len() > 0 {
		version = 0
		for i := range h.Versions.Len() {
			if v := h.Versions.At(i); !grease(v) {
				version = max(version, v)
			}
		}
	}
	switch version {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol, or, where one of them is no letter or
// digit, of its hexadecimal form.
func (h *Hello) ja4ALPN() string {
	if len(h.ALPN) == 0 || h.ALPN[0] == "" {
		return "00"
	}
	p := h.ALPN[0]
	first, last := p[0], p[len(p)-1]
	if alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	const digits = "0123456789abcdef"
	return string([]byte{digits[first>>4], digits[last&15]})
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// plain is a list's values without GREASE.
func plain(l List) []uint16 {
	out := make([]uint16, 0, l.Len())
	for i := range l.Len() {
		if v := l.At(i); !grease(v) {
			out = append(out, v)
		}
	}
	return out
}

func sorted(l List, without []uint16) []uint16 {
	out := plain(l)
	out = slices.DeleteFunc(out, func(v uint16) bool { return slices.Contains(without, v) })
	slices.Sort(out)
	return out
}

func hexList(b []byte, l []uint16) []byte {
	for i, v := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
	}
	return b
}

// hash12 appends the first twelve digits of the SHA-256; of nothing, twelve zeros.
func hash12(b, text []byte) []byte {
	if len(text) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(b, sum[:6])
}

func twoDigits(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}
