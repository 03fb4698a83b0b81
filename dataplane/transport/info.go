package transport

import (
	"crypto/tls"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// describe is what logs and filters may ask of a TLS connection. peer is the verified peer; its Leaf is
// nil if there is none.
func describe(cs *tls.ConnectionState, local *streaminfo.Certificate, peer *secret.Peer) *streaminfo.TLS {
	t := &streaminfo.TLS{
		Version:    versionName(cs.Version),
		Group:      curveName(cs.CurveID),
		ServerName: cs.ServerName,
		ALPN:       cs.NegotiatedProtocol,
		Resumed:    cs.DidResume,
		Local:      local,
	}
	if cs.CipherSuite != 0 {
		t.Cipher = cipherName(cs.CipherSuite)
	}
	if len(cs.PeerCertificates) == 0 {
		return t
	}
	t.PeerPresented, t.PeerValidated = true, peer.Validated
	t.Peer, t.PeerIssuer = peer.Leaf, peer.Issuer
	if t.Peer == nil {
		t.Peer = streaminfo.NewCertificate(cs.PeerCertificates[0])
	}
	t.PeerChain = make([]*streaminfo.Certificate, len(cs.PeerCertificates))
	t.PeerChain[0] = t.Peer
	for i, c := range cs.PeerCertificates[1:] {
		t.PeerChain[i+1] = streaminfo.NewCertificate(c)
	}
	return t
}
