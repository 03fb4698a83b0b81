package formatter

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// tlsSide picks the TLS of one side; nil is plaintext.
type tlsSide func(c *Context) *streaminfo.TLS

func downstreamTLS(c *Context) *streaminfo.TLS {
	if conn := c.conn(); conn != nil {
		return conn.TLS
	}
	return nil
}

func upstreamTLS(c *Context) *streaminfo.TLS {
	if c.Info == nil {
		return nil
	}
	return c.Info.Upstream.TLS
}

func tlsVersion(t *streaminfo.TLS) string    { return t.Version }
func tlsCipher(t *streaminfo.TLS) string     { return t.Cipher }
func tlsSessionID(t *streaminfo.TLS) string  { return t.SessionID }
func tlsGroup(t *streaminfo.TLS) string      { return t.Group }
func tlsServerName(t *streaminfo.TLS) string { return t.ServerName }

// tlsText makes the operator of a property of the TLS connection.
func tlsText(side tlsSide, text func(*streaminfo.TLS) string) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		t := side(c)
		if t == nil {
			return dst, Missing
		}
		return str(dst, text(t))
	}
}

// certificate picks a certificate; nil, whose every property is empty, if there is none.
type certificate func(c *Context) *streaminfo.Certificate

func downstreamPeer(c *Context) *streaminfo.Certificate { return peer(downstreamTLS(c)) }
func downstreamOwn(c *Context) *streaminfo.Certificate  { return own(downstreamTLS(c)) }
func upstreamPeer(c *Context) *streaminfo.Certificate   { return peer(upstreamTLS(c)) }
func upstreamOwn(c *Context) *streaminfo.Certificate    { return own(upstreamTLS(c)) }

func downstreamPeerIssuer(c *Context) *streaminfo.Certificate {
	if t := downstreamTLS(c); t != nil {
		return t.PeerIssuer
	}
	return nil
}

func peer(t *streaminfo.TLS) *streaminfo.Certificate {
	if t == nil {
		return nil
	}
	return t.Peer
}

func own(t *streaminfo.TLS) *streaminfo.Certificate {
	if t == nil {
		return nil
	}
	return t.Local
}

func certSubject(x *streaminfo.Certificate) string { return x.Subject() }
func certIssuer(x *streaminfo.Certificate) string  { return x.Issuer() }
func certSerial(x *streaminfo.Certificate) string  { return x.Serial() }
func certSHA1(x *streaminfo.Certificate) string    { return x.FingerprintSHA1() }
func certSHA256(x *streaminfo.Certificate) string  { return x.FingerprintSHA256() }
func certPEM(x *streaminfo.Certificate) string     { return x.PEM() }

// certText makes the operator of a text of a certificate.
func certText(of certificate, text func(*streaminfo.Certificate) string) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		x := of(c)
		if x == nil {
			return dst, Missing
		}
		return str(dst, text(x))
	}
}

func uriSANs(x *streaminfo.Certificate) []string       { return x.URISANs() }
func dnsSANs(x *streaminfo.Certificate) []string       { return x.DNSSANs() }
func ipSANs(x *streaminfo.Certificate) []string        { return x.IPSANs() }
func emailSANs(x *streaminfo.Certificate) []string     { return x.EmailSANs() }
func otherNameSANs(x *streaminfo.Certificate) []string { return x.OtherNameSANs() }

// names makes the operator of a certificate's subject alternative names of one kind.
func names(of certificate, list func(*streaminfo.Certificate) []string) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		x := of(c)
		if x == nil {
			return dst, Missing
		}
		return joined(dst, list(x))
	}
}

// chainText makes the operator of a text of every certificate that the downstream peer sent.
func chainText(text func(*streaminfo.Certificate) string) Operator {
	return func(dst []byte, c *Context) ([]byte, Kind) {
		t := downstreamTLS(c)
		if t == nil || len(t.PeerChain) == 0 {
			return dst, Missing
		}
		for n, x := range t.PeerChain {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, text(x)...)
		}
		return dst, String
	}
}

// validFrom and validTo are the moments of %DOWNSTREAM_PEER_CERT_V_START% and its kin.
func validFrom(of certificate) moment {
	return func(c *Context) time.Time { return of(c).NotBefore() }
}

func validTo(of certificate) moment {
	return func(c *Context) time.Time { return of(c).NotAfter() }
}
