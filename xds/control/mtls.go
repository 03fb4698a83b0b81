package control

import (
	"fmt"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Istio's mutual TLS, made if the mesh file says so. The secrets come over ADS from this control plane,
// where istiod's sidecars have them from their agent.

const (
	certificateSecret = "default"
	rootSecret        = "ROOTCA"
)

// identity is the SPIFFE name of a service account.
func (m *mesh) identity(namespace, account string) string {
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", m.Settings.Domain, namespace, account)
}

func tlsContext(alpn []string, names ...*matcherpb.StringMatcher) *tlspb.CommonTlsContext {
	return &tlspb.CommonTlsContext{
		TlsParams: &tlspb.TlsParameters{
			TlsMinimumProtocolVersion: tlspb.TlsParameters_TLSv1_2,
			TlsMaximumProtocolVersion: tlspb.TlsParameters_TLSv1_3,
		},
		TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{{Name: certificateSecret, SdsConfig: adsSource()}},
		ValidationContextType: &tlspb.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlspb.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlspb.CertificateValidationContext{
					MatchSubjectAltNames: names, //nolint:staticcheck // what istiod sends.
				},
				ValidationContextSdsSecretConfig: &tlspb.SdsSecretConfig{Name: rootSecret, SdsConfig: adsSource()},
			},
		},
		AlpnProtocols: alpn,
	}
}

// upstreamTLS chooses by an endpoint's metadata: Istio's mutual TLS towards a sidecar, else plain text.
func (m *mesh) upstreamTLS(s *service, p *port, sub *subset) []*clusterpb.Cluster_TransportSocketMatch {
	if m.Settings.MTLS == mtlsDisable {
		return nil
	}
	var names []*matcherpb.StringMatcher
	seen := map[string]bool{}
	for _, w := range m.selected(s) {
		if id := m.identity(w.Namespace, w.ServiceAccount); !seen[id] {
			seen[id] = true
			names = append(names, &matcherpb.StringMatcher{MatchPattern: &matcherpb.StringMatcher_Exact{Exact: id}})
		}
	}
	alpn := []string{"istio-peer-exchange", "istio"}
	if p.Protocol == protoHTTP2 || p.Protocol == protoGRPC {
		alpn = append(alpn, "h2")
	}
	return []*clusterpb.Cluster_TransportSocketMatch{
		{
			Name:  "tlsMode-istio",
			Match: &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}},
			TransportSocket: tlsSocket(&tlspb.UpstreamTlsContext{
				CommonTlsContext: tlsContext(alpn, names...),
				Sni:              fmt.Sprintf("outbound_.%d_.%s_.%s", p.Port, sub.name(), s.Host),
			}),
		},
		{
			Name: "tlsMode-disabled", Match: &structpb.Struct{},
			TransportSocket: &corepb.TransportSocket{
				Name:       "envoy.transport_sockets.raw_buffer",
				ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: packed(&rawpb.RawBuffer{})},
			},
		},
	}
}

func tlsSocket(context proto.Message) *corepb.TransportSocket {
	return &corepb.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: packed(context)},
	}
}

// downstreamTLS is the server side of it.
func (m *mesh) downstreamTLS(alpn ...string) *corepb.TransportSocket {
	c := tlsContext(alpn, &matcherpb.StringMatcher{
		MatchPattern: &matcherpb.StringMatcher_Prefix{Prefix: "spiffe://" + m.Settings.Domain + "/"},
	})
	c.TlsParams.CipherSuites = []string{
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-GCM-SHA256",
	}
	return tlsSocket(&tlspb.DownstreamTlsContext{CommonTlsContext: c, RequireClientCertificate: wrapperspb.Bool(true)})
}
