package hcm

import (
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// xfcc is forward_client_cert_details and set_current_client_cert_details: what becomes of
// x-forwarded-client-cert.
type xfcc struct {
	mode                                   hcmpb.HttpConnectionManager_ForwardClientCertDetails
	cert, chain, subject, uri, dns, issuer bool
}

// apply brings the request's x-forwarded-client-cert into the form that goes upstream.
func (x *xfcc) apply(s *filter.Stream) {
	h := &s.Request.Map
	t := s.Conn.Info.TLS
	switch {
	case x.mode == hcmpb.HttpConnectionManager_ALWAYS_FORWARD_ONLY:
		return
	case x.mode == hcmpb.HttpConnectionManager_SANITIZE || t == nil || !t.PeerPresented:
		h.DelID(header.XForwardedClientCert)
		return
	case x.mode == hcmpb.HttpConnectionManager_FORWARD_ONLY:
		return
	}
	element := h.Keep(x.element(nil, t))
	if x.mode == hcmpb.HttpConnectionManager_APPEND_FORWARD {
		h.AppendID(header.XForwardedClientCert, element, ",")
		return
	}
	h.SetID(header.XForwardedClientCert, element)
}

// element writes what is known of the client's certificate, in Envoy's order
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/headers#x-forwarded-client-cert).
func (x *xfcc) element(b []byte, t *streaminfo.TLS) []byte {
	add := func(key, value, quote string) {
		if len(b) > 0 {
			b = append(b, ';')
		}
		b = append(append(append(append(b, key...), quote...), value...), quote...)
	}
	if t.Local != nil {
		for _, san := range t.Local.URISANs() {
			add("By=", san, "")
			break
		}
	}
	p := t.Peer
	if p == nil {
		return b
	}
	if sum := p.FingerprintSHA256(); sum != "" {
		add("Hash=", sum, "")
	}
	if x.cert {
		if pem := p.PEM(); pem != "" {
			add("Cert=", pem, `"`)
		}
	}
	if x.chain {
		if pem := t.PeerChainPEM(); pem != "" {
			add("Chain=", pem, `"`)
		}
	}
	if x.subject {
		add("Subject=", p.Subject(), `"`)
	}
	if x.issuer {
		add("Issuer=", p.Issuer(), `"`)
	}
	if x.uri {
		sans := p.URISANs()
		if len(sans) == 0 {
			add("URI=", "", "")
		}
		for _, san := range sans {
			add("URI=", san, "")
		}
	}
	if x.dns {
		for _, san := range p.DNSSANs() {
			add("DNS=", san, "")
		}
	}
	return b
}
