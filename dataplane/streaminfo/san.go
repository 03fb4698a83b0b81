package streaminfo

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The kinds of subject alternative names that have text: the tags of GeneralName (RFC 5280, 4.2.1.6).
const (
	SANOtherName = 0
	SANEmail     = 1
	SANDNS       = 2
	SANURI       = 6
	SANIP        = 7
)

// SAN is one subject alternative name.
type SAN struct {
	// Kind is the tag of GeneralName; kinds without text (directoryName, registeredID …) have Value "".
	Kind int
	// Value is the name's text: an address as it is printed, an otherName's value as Envoy's matchers
	// read it.
	Value string
	// OID is an otherName's type.
	OID string
}

// SubjectAltNames lists the subject alternative names among a certificate's extensions, in order.
func SubjectAltNames(extensions []pkix.Extension) []SAN {
	for i := range extensions {
		if oid := extensions[i].Id; len(oid) == 4 && oid[0] == 2 && oid[1] == 5 && oid[2] == 29 && oid[3] == 17 {
			return parseSANs(extensions[i].Value)
		}
	}
	return nil
}

func parseSANs(der []byte) []SAN {
	in := cryptobyte.String(der)
	var names cryptobyte.String
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) {
		return nil
	}
	var out []SAN
	for !names.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&value, &tag) {
			return out
		}
		s := SAN{Kind: int(tag & 0x1f)}
		switch s.Kind {
		case SANEmail, SANDNS, SANURI:
			s.Value = string(value)
		case SANIP:
			if a, ok := netip.AddrFromSlice(value); ok {
				s.Value = a.String()
			}
		case SANOtherName:
			s.OID, s.Value = otherName(value)
		}
		out = append(out, s)
	}
	return out
}

// otherName reads the type and, as text, the value: OBJECT dotted, BOOLEAN true or false, INTEGER
// decimal, NULL empty, strings as they are.
func otherName(in cryptobyte.String) (oid, text string) {
	var id asn1.ObjectIdentifier
	var wrapped, value cryptobyte.String
	if !in.ReadASN1ObjectIdentifier(&id) || !in.ReadASN1(&wrapped, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return "", ""
	}
	oid = id.String()
	whole := wrapped
	var tag cbasn1.Tag
	if !wrapped.ReadAnyASN1(&value, &tag) {
		return oid, ""
	}
	switch tag {
	case cbasn1.OBJECT_IDENTIFIER:
		var v asn1.ObjectIdentifier
		if whole.ReadASN1ObjectIdentifier(&v) {
			text = v.String()
		}
	case cbasn1.BOOLEAN:
		text = "false"
		if len(value) == 1 && value[0] != 0 {
			text = "true"
		}
	case cbasn1.INTEGER, cbasn1.ENUM:
		text = signed(value).String()
	case cbasn1.NULL:
	default:
		text, _ = asn1Text(value, tag)
		if text == "" {
			text = string(value)
		}
	}
	return oid, text
}

// signed reads a two's complement number.
func signed(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

func (t *CertificateText) readSANs(extensions []pkix.Extension) {
	for _, s := range SubjectAltNames(extensions) {
		t.SANs = append(t.SANs, s.Value)
		switch s.Kind {
		case SANURI:
			t.URISANs = append(t.URISANs, s.Value)
		case SANDNS:
			t.DNSSANs = append(t.DNSSANs, s.Value)
		case SANIP:
			t.IPSANs = append(t.IPSANs, s.Value)
		case SANEmail:
			t.EmailSANs = append(t.EmailSANs, s.Value)
		case SANOtherName:
			t.OtherNameSANs = append(t.OtherNameSANs, s.Value)
		}
	}
}
