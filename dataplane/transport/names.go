package transport

import "crypto/tls"

// cipher is a cipher suite under OpenSSL's name, which Envoy's configuration, logs and stats use.
type cipher struct {
	id   uint16
	name string
}

// ciphers12 is the cipher suites of TLS 1.2 and before that crypto/tls has and BoringSSL knows;
// immutable.
var ciphers12 = [...]cipher{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA"},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256"},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA"},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA"},
	{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA"},
}

// cipherID finds a cipher suite by OpenSSL's name or the RFC's; 0: there is none.
func cipherID(name string) uint16 {
	for i := range ciphers12 {
		c := &ciphers12[i]
		if c.name == name || tls.CipherSuiteName(c.id) == name {
			return c.id
		}
	}
	return 0
}

// cipherName is OpenSSL's name of a cipher suite.
func cipherName(id uint16) string {
	for i := range ciphers12 {
		if ciphers12[i].id == id {
			return ciphers12[i].name
		}
	}
	switch id { // not by tls.CipherSuiteName, which makes a list for each answer
	case tls.TLS_AES_128_GCM_SHA256:
		return "TLS_AES_128_GCM_SHA256"
	case tls.TLS_AES_256_GCM_SHA384:
		return "TLS_AES_256_GCM_SHA384"
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return "TLS_CHACHA20_POLY1305_SHA256"
	}
	return ""
}

// rsaKeyExchange tells the cipher suites that encrypt with the server's RSA key.
func rsaKeyExchange(id uint16) bool {
	switch id {
	case tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA:
		return true
	}
	return false
}

// wantsECDSA tells the cipher suites that need a certificate with an ECDSA key.
func wantsECDSA(id uint16) bool {
	switch id {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:
		return true
	}
	return false
}

// versionName is how Envoy calls a protocol version.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return "TLSv1.2" // also BoringSSL's answer before a version was agreed
}

// curveID finds a group by BoringSSL's names of it; 0: there is none, or crypto/tls has it not.
func curveID(name string) tls.CurveID {
	switch name {
	case "X25519", "x25519":
		return tls.X25519
	case "P-256", "prime256v1":
		return tls.CurveP256
	case "P-384", "secp384r1":
		return tls.CurveP384
	case "P-521", "secp521r1":
		return tls.CurveP521
	case "X25519MLKEM768":
		return tls.X25519MLKEM768
	}
	return 0
}

// curveName is BoringSSL's name of a group.
func curveName(c tls.CurveID) string {
	switch c {
	case 0:
		return ""
	case tls.CurveP256:
		return "P-256"
	case tls.CurveP384:
		return "P-384"
	case tls.CurveP521:
		return "P-521"
	}
	return c.String()
}
