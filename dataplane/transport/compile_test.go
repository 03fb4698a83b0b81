package transport

import (
	"strings"
	"testing"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	xdspb "github.com/cncf/xds/go/xds/type/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	internalpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	proxypb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	startpb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/starttls/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/secret/pkitest"
	"github.com/pillion-proxy/pillion/xds"
)

// The texts are what Envoy 1.40 says, but for what this proxy does not have.
func TestBadDownstreamContextsAreRefused(t *testing.T) {
	ca := pkitest.CA("ca")
	srv := ca.Issue(pkitest.Leaf{})
	with := func(f func(*tlspb.DownstreamTlsContext, *tlspb.CommonTlsContext)) *tlspb.DownstreamTlsContext {
		c := common1(srv)
		m := &tlspb.DownstreamTlsContext{CommonTlsContext: c}
		f(m, c)
		return m
	}
	params := func(p *tlspb.TlsParameters) *tlspb.DownstreamTlsContext {
		return with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) { c.TlsParams = p })
	}
	ext := &corepb.TypedExtensionConfig{Name: "nope", TypedConfig: must(anypb.New(&structpb.Value{}))}
	for name, f := range map[string]struct {
		m    *tlspb.DownstreamTlsContext
		want string
	}{
		"no certificate": {&tlspb.DownstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{}}, "No TLS certificates found for server context"},
		"both kinds": {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) {
			c.TlsCertificateSdsSecretConfigs = []*tlspb.SdsSecretConfig{ads("x")}
		}), "SDS and non-SDS TLS certificates may not be mixed in server contexts"},
		"ciphers": {params(&tlspb.TlsParameters{CipherSuites: []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "NOSUCH", "X2"}}),
			"Failed to initialize cipher suites ECDHE-ECDSA-AES128-GCM-SHA256:NOSUCH:X2. The following ciphers were rejected when tried individually: NOSUCH, X2"},
		"cipher group": {params(&tlspb.TlsParameters{CipherSuites: []string{"[ECDHE-ECDSA-AES128-GCM-SHA256|NOSUCH]"}}),
			"Failed to initialize cipher suites [ECDHE-ECDSA-AES128-GCM-SHA256|NOSUCH]. The following ciphers were rejected when tried individually: NOSUCH"},
		"TLS 1.3 cipher": {params(&tlspb.TlsParameters{CipherSuites: []string{"TLS_AES_128_GCM_SHA256"}}),
			"Failed to initialize cipher suites TLS_AES_128_GCM_SHA256. The following ciphers were rejected when tried individually: TLS_AES_128_GCM_SHA256"},
		"curve":      {params(&tlspb.TlsParameters{EcdhCurves: []string{"P-256", "nope"}}), "Failed to initialize ECDH curves P-256:nope"},
		"signatures": {params(&tlspb.TlsParameters{SignatureAlgorithms: []string{"ecdsa_secp256r1_sha256"}}), "field TlsParameters.signature_algorithms is not supported"},
		"compliance": {params(&tlspb.TlsParameters{CompliancePolicies: []tlspb.TlsParameters_CompliancePolicy{tlspb.TlsParameters_FIPS_202205}}), "field TlsParameters.compliance_policies is not supported"},
		"ALPN": {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) {
			c.AlpnProtocols = []string{strings.Repeat("x", 256)}
		}), "Invalid ALPN protocol string"},
		"selector":   {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) { c.CustomTlsCertificateSelector = ext }), "Didn't find a registered implementation for 'nope' with type URL: 'google.protobuf.Value'"},
		"handshaker": {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) { c.CustomHandshaker = ext }), "Didn't find a registered implementation for 'nope' with type URL: 'google.protobuf.Value'"},
		"provider":   {&tlspb.DownstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsCertificateProviderInstance: &tlspb.CertificateProviderPluginInstance{InstanceName: "x"}}}, "field CommonTlsContext.tls_certificate_provider_instance is not supported"},
		"ticket keys": {with(func(m *tlspb.DownstreamTlsContext, _ *tlspb.CommonTlsContext) {
			m.SessionTicketKeysType = &tlspb.DownstreamTlsContext_SessionTicketKeys{SessionTicketKeys: &tlspb.TlsSessionTicketKeys{Keys: []*corepb.DataSource{text("AAA")}}}
		}), "Incorrect TLS session ticket key length. Length 3, expected length 80."},
		"timeout": {with(func(m *tlspb.DownstreamTlsContext, _ *tlspb.CommonTlsContext) {
			m.SessionTimeout = &durationpb.Duration{Seconds: 1 << 32}
		}),
			"Proto constraint validation failed (DownstreamTlsContextValidationError.SessionTimeout: value must be inside range [0s, 1193046h28m16s))"},
		"key log": {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) { c.KeyLog = &tlspb.TlsKeyLog{} }),
			"Proto constraint validation failed (DownstreamTlsContextValidationError.CommonTlsContext: embedded message failed validation | caused by CommonTlsContextValidationError.KeyLog: embedded message failed validation | caused by TlsKeyLogValidationError.Path: value length must be at least 1 characters)"},
		"key log range": {with(func(_ *tlspb.DownstreamTlsContext, c *tlspb.CommonTlsContext) {
			c.KeyLog = &tlspb.TlsKeyLog{Path: "x", LocalAddressRange: []*corepb.CidrRange{{AddressPrefix: "x"}}}
		}), "invalid ip/mask combo 'x/0' (format is <ip>/<# mask bits>)"},
	} {
		_, err := CompileDownstream(socket(t, f.m))
		if err == nil || err.Error() != f.want {
			t.Errorf("%s: %v\nwant %s", name, err, f.want)
		}
	}
	for name, m := range map[string]*tlspb.DownstreamTlsContext{
		"old versions":  params(&tlspb.TlsParameters{TlsMinimumProtocolVersion: tlspb.TlsParameters_TLSv1_0}),
		"curves":        params(&tlspb.TlsParameters{EcdhCurves: []string{"X25519", "x25519", "P-256", "prime256v1", "P-384", "P-521", "X25519MLKEM768"}}),
		"istio ciphers": params(&tlspb.TlsParameters{CipherSuites: []string{"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-GCM-SHA256"}}),
		"RFC names":     params(&tlspb.TlsParameters{CipherSuites: []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}}),
	} {
		if _, err := CompileDownstream(socket(t, m)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadUpstreamContextsAreRefused(t *testing.T) {
	ca := pkitest.CA("ca")
	for name, f := range map[string]struct {
		m    *tlspb.UpstreamTlsContext
		want string
	}{
		"two certificates": {&tlspb.UpstreamTlsContext{CommonTlsContext: common1(ca.Issue(pkitest.Leaf{}), ca.Issue(pkitest.Leaf{}))}, "Multiple TLS certificates are not supported for client contexts"},
		"two secrets":      {&tlspb.UpstreamTlsContext{CommonTlsContext: &tlspb.CommonTlsContext{TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{ads("x"), ads("y")}}}, "Multiple TLS certificates are not supported for client contexts"},
		"NUL in name":      {&tlspb.UpstreamTlsContext{Sni: "a\x00b"}, "SNI names containing NULL-byte are not allowed"},
		"long name":        {&tlspb.UpstreamTlsContext{Sni: strings.Repeat("x", 256)}, "Proto constraint validation failed (UpstreamTlsContextValidationError.Sni: value length must be at most 255 bytes)"},
		"renegotiation":    {&tlspb.UpstreamTlsContext{AllowRenegotiation: true}, "field UpstreamTlsContext.allow_renegotiation is not supported"},
		"SNI validation":   {&tlspb.UpstreamTlsContext{AutoSniSanValidation: true}, "'auto_sni_san_validation' was configured without a validation context"},
	} {
		_, err := CompileUpstream(socket(t, f.m))
		if err == nil || err.Error() != f.want {
			t.Errorf("%s: %v\nwant %s", name, err, f.want)
		}
	}
}

func TestOtherTransportSocketsAreRefusedByName(t *testing.T) {
	raw := &corepb.TransportSocket{Name: "r", ConfigType: &corepb.TransportSocket_TypedConfig{TypedConfig: must(anypb.New(&rawpb.RawBuffer{}))}}
	proxy := func(c *corepb.ProxyProtocolConfig) proto.Message {
		return &proxypb.ProxyProtocolUpstreamTransport{TransportSocket: raw, Config: c}
	}
	internal := func(k *metadatapb.MetadataKind) proto.Message {
		return &internalpb.InternalUpstreamTransport{TransportSocket: raw, PassthroughMetadata: []*internalpb.InternalUpstreamTransport_MetadataValueSource{{Name: "x", Kind: k}}}
	}
	for name, f := range map[string]struct {
		m    *corepb.TransportSocket
		want string
	}{
		"no config":      {&corepb.TransportSocket{Name: "envoy.transport_sockets.tls"}, "Didn't find a registered implementation for 'envoy.transport_sockets.tls' with type URL: ''"},
		"unknown":        {socket(t, &structpb.Value{}), "Didn't find a registered implementation for 'envoy.transport_sockets.tls' with type URL: 'google.protobuf.Value'"},
		"wrong side":     {socket(t, &tlspb.DownstreamTlsContext{}), "Didn't find a registered implementation for 'envoy.transport_sockets.tls' with type URL: 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'"},
		"starttls":       {socket(t, &startpb.StartTlsConfig{}), `transport socket "envoy.transport_sockets.tls" (envoy.transport_sockets.starttls) is not supported`},
		"no inner":       {socket(t, &proxypb.ProxyProtocolUpstreamTransport{}), "Proto constraint validation failed (ProxyProtocolUpstreamTransportValidationError.TransportSocket: value is required)"},
		"two TLV forms":  {socket(t, proxy(&corepb.ProxyProtocolConfig{AddedTlvs: []*corepb.TlvEntry{{Type: 1, Value: []byte("x"), FormatString: &corepb.SubstitutionFormatString{Format: &corepb.SubstitutionFormatString_TextFormatSource{TextFormatSource: text("x")}}}}})), "Invalid TLV configuration: only one of 'value' or 'format_string' may be set."},
		"no TLV form":    {socket(t, proxy(&corepb.ProxyProtocolConfig{AddedTlvs: []*corepb.TlvEntry{{Type: 1}}})), "Invalid TLV configuration: one of 'value' or 'format_string' must be set."},
		"TLV format":     {socket(t, proxy(&corepb.ProxyProtocolConfig{AddedTlvs: []*corepb.TlvEntry{{Type: 1, FormatString: &corepb.SubstitutionFormatString{Format: &corepb.SubstitutionFormatString_TextFormatSource{TextFormatSource: text("x")}}}}})), "field TlvEntry.format_string is not supported"},
		"TLVs in key":    {socket(t, &proxypb.ProxyProtocolUpstreamTransport{TransportSocket: raw, TlvAsPoolKey: true}), "field ProxyProtocolUpstreamTransport.tlv_as_pool_key is not supported"},
		"route metadata": {socket(t, internal(&metadatapb.MetadataKind{Kind: &metadatapb.MetadataKind_Route_{Route: &metadatapb.MetadataKind_Route{}}})), "metadata type is not supported: route"},
	} {
		_, err := CompileUpstream(f.m)
		if err == nil || err.Error() != f.want {
			t.Errorf("%s: %v\nwant %s", name, err, f.want)
		}
	}
	if _, err := CompileDownstream(socket(t, &startpb.StartTlsConfig{})); err == nil {
		t.Error("starttls was accepted")
	}
}

func TestNoTransportSocketIsRawBuffer(t *testing.T) {
	d, err := CompileDownstream(nil)
	if err != nil || d != (RawDownstream{}) {
		t.Errorf("%v, %v", d, err)
	}
	u, err := CompileUpstream(nil)
	if err != nil || u != (RawUpstream{}) || u.Secure() {
		t.Errorf("%v, %v", u, err)
	}
}

func TestTypedStructsAreRead(t *testing.T) {
	value := must(structpb.NewStruct(map[string]any{"sni": "x"}))
	for _, m := range []proto.Message{
		&xdspb.TypedStruct{TypeUrl: upstreamTLSURL, Value: value},
		&udpapb.TypedStruct{TypeUrl: strings.TrimPrefix(upstreamTLSURL, "type.googleapis.com/"), Value: value},
	} {
		c, err := CompileUpstream(socket(t, m))
		if err != nil || c.(*upstreamTLS).sni != "x" {
			t.Errorf("%v, %v", c, err)
		}
	}
	if _, err := CompileUpstream(socket(t, &xdspb.TypedStruct{TypeUrl: upstreamTLSURL, Value: must(structpb.NewStruct(map[string]any{"nope": "x"}))})); err == nil {
		t.Error("an unknown field was accepted")
	}
}

func TestRefsNameTheSecrets(t *testing.T) {
	m := &tlspb.DownstreamTlsContext{
		SessionTicketKeysType: &tlspb.DownstreamTlsContext_SessionTicketKeysSdsSecretConfig{SessionTicketKeysSdsSecretConfig: ads("tickets")},
		CommonTlsContext: &tlspb.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlspb.SdsSecretConfig{ads("default"), {Name: "static"}},
			ValidationContextType: &tlspb.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlspb.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlspb.CertificateValidationContext{}, ValidationContextSdsSecretConfig: ads("ROOTCA"),
			}},
		},
	}
	c, err := CompileDownstream(socket(t, m))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Refs() {
		got = append(got, r.Source+"/"+r.Name)
	}
	if s := strings.Join(got, " "); s != "/default static/static /ROOTCA /tickets" {
		t.Errorf("%q", s)
	}
	if err := c.Check(&xds.Snapshot{}); err == nil || err.Error() != "Unknown static secret: static" {
		t.Error(err)
	}
	ca := pkitest.CA("ca")
	v := must(secret.Compile(&tlspb.Secret{Name: "static", Type: &tlspb.Secret_ValidationContext{ValidationContext: trusted(ca)}}))
	snap := (&xds.Snapshot{}).With(xds.SecretURL, xds.Change{Put: []*xds.Resource{{Name: "static", Static: true, Value: v}}})
	if err := c.Check(snap); err == nil {
		t.Error("a static secret of another kind will do")
	}
	v = must(secret.Compile(&tlspb.Secret{Name: "static", Type: &tlspb.Secret_TlsCertificate{TlsCertificate: pair(ca.Issue(pkitest.Leaf{}))}}))
	snap = snap.With(xds.SecretURL, xds.Change{Put: []*xds.Resource{{Name: "static", Static: true, Value: v}}})
	if err := c.Check(snap); err != nil {
		t.Error(err)
	}
}
