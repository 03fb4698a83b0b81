package streaminfo

import (
	"encoding/asn1"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// distinguishedName prints a DER-encoded name as RFC 2253 says and BoringSSL's XN_FLAG_RFC2253 does:
// last part first, short attribute names, unknown ones as OID=#DER, and bytes that are no printable
// ASCII as \XX. Go's pkix.Name knows fewer attributes and escapes less.
func distinguishedName(der []byte) string {
	in := cryptobyte.String(der)
	var name cryptobyte.String
	if !in.ReadASN1(&name, cbasn1.SEQUENCE) {
		return ""
	}
	var parts []string // attributes in order; a '+' in front joins it to the one before
	for !name.Empty() {
		var set cryptobyte.String
		if !name.ReadASN1(&set, cbasn1.SET) {
			return ""
		}
		for first := true; !set.Empty(); first = false {
			s, ok := attribute(&set)
			if !ok {
				return ""
			}
			if !first {
				s = "+" + s
			}
			parts = append(parts, s)
		}
	}
	return reverseParts(parts)
}

// reverseParts joins the attributes last first; those of one set stay joined by '+'.
func reverseParts(parts []string) string {
	var b strings.Builder
	joined := false
	for i := len(parts) - 1; i >= 0; i-- {
		s, plus := strings.CutPrefix(parts[i], "+")
		if b.Len() > 0 {
			if joined {
				b.WriteByte('+')
			} else {
				b.WriteByte(',')
			}
		}
		b.WriteString(s)
		joined = plus
	}
	return b.String()
}

func attribute(set *cryptobyte.String) (string, bool) {
	var attr cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !set.ReadASN1(&attr, cbasn1.SEQUENCE) || !attr.ReadASN1ObjectIdentifier(&oid) {
		return "", false
	}
	whole := attr
	var value cryptobyte.String
	var tag cbasn1.Tag
	if !attr.ReadAnyASN1(&value, &tag) {
		return "", false
	}
	dotted := oid.String()
	short := attributeNames(dotted)
	text, isText := asn1Text(value, tag)
	if short == "" || !isText {
		if short == "" {
			short = dotted
		}
		return short + "=#" + strings.ToUpper(hex.EncodeToString(whole)), true
	}
	return short + "=" + escapeName(text), true
}

// asn1Text returns the value of a string type as UTF-8.
func asn1Text(value []byte, tag cbasn1.Tag) (string, bool) {
	switch tag {
	case cbasn1.UTF8String, cbasn1.PrintableString, cbasn1.IA5String, 18 /* NumericString */, 26 /* VisibleString */ :
		return string(value), true
	case cbasn1.T61String: // read as Latin-1
		r := make([]rune, len(value))
		for i, c := range value {
			r[i] = rune(c)
		}
		return string(r), true
	case 30: // BMPString
		if len(value)%2 != 0 {
			return "", false
		}
		u := make([]uint16, len(value)/2)
		for i := range u {
			u[i] = uint16(value[2*i])<<8 | uint16(value[2*i+1])
		}
		return string(utf16.Decode(u)), true
	case 28: // UniversalString
		if len(value)%4 != 0 {
			return "", false
		}
		r := make([]rune, len(value)/4)
		for i := range r {
			b := value[4*i:]
			r[i] = rune(b[0])<<24 | rune(b[1])<<16 | rune(b[2])<<8 | rune(b[3])
		}
		return string(r), true
	}
	return "", false
}

func escapeName(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ' || c >= 0x7f:
			b.Write([]byte{'\\', hexDigits[c>>4], hexDigits[c&15]})
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(s)-1):
			b.Write([]byte{'\\', c})
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// attributeNames is BoringSSL's short name of an attribute, or "".
func attributeNames(oid string) string {
	if last, ok := strings.CutPrefix(oid, "2.5.4."); ok {
		if n, err := strconv.Atoi(last); err == nil && n < len(x520) {
			return x520[n]
		}
		return ""
	}
	switch oid {
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	case "1.2.840.113549.1.9.2":
		return "unstructuredName"
	case "1.2.840.113549.1.9.8":
		return "unstructuredAddress"
	}
	return ""
}

// x520 is the attributes of X.520 by the last number of their OID; immutable.
var x520 = [...]string{
	3: "CN", 4: "SN", 5: "serialNumber", 6: "C", 7: "L", 8: "ST", 9: "street", 10: "O", 11: "OU", 12: "title",
	13: "description", 14: "searchGuide", 15: "businessCategory", 16: "postalAddress", 17: "postalCode",
	18: "postOfficeBox", 19: "physicalDeliveryOfficeName", 20: "telephoneNumber", 41: "name", 42: "GN",
	43: "initials", 44: "generationQualifier", 45: "x500UniqueIdentifier", 46: "dnQualifier",
	65: "pseudonym", 72: "role",
}
