package secret

import (
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Redacted is what stands for a secret value in /config_dump.
const Redacted = "[redacted]"

// Redact returns a copy of a secret without private keys, passwords, ticket keys and generic secrets, as
// /config_dump shows it.
func Redact(m *tlspb.Secret) *tlspb.Secret {
	m = proto.CloneOf(m)
	switch t := m.GetType().(type) {
	case *tlspb.Secret_TlsCertificate:
		RedactCertificate(t.TlsCertificate)
	case *tlspb.Secret_SessionTicketKeys:
		for _, d := range t.SessionTicketKeys.GetKeys() {
			redact(d)
		}
	case *tlspb.Secret_GenericSecret:
		redact(t.GenericSecret.GetSecret())
		for _, d := range t.GenericSecret.GetSecrets() {
			redact(d)
		}
	}
	return m
}

// RedactAny is Redact for a packed secret; what is none is returned as it is.
func RedactAny(a *anypb.Any) *anypb.Any {
	m := &tlspb.Secret{}
	if a.UnmarshalTo(m) != nil {
		return a
	}
	out, err := anypb.New(Redact(m))
	if err != nil {
		return a
	}
	return out
}

// RedactCertificate redacts a tls_certificate in place: for those that stand in a TLS context.
func RedactCertificate(c *tlspb.TlsCertificate) {
	redact(c.GetPrivateKey())
	redact(c.GetPassword())
	redact(c.GetPkcs12())
}

// redact replaces an inline value; where it comes from is no secret.
func redact(d *corepb.DataSource) {
	switch k := d.GetSpecifier().(type) {
	case *corepb.DataSource_InlineBytes:
		k.InlineBytes = []byte(Redacted)
	case *corepb.DataSource_InlineString:
		k.InlineString = Redacted
	}
}
