// Package secret holds certificates, validation contexts, session ticket keys and generic secrets:
// compiled from their resource (SDS), published to who uses them, and rotated under live sockets.
package secret

import (
	"errors"
	"fmt"
	"strings"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// Secret is one compiled secret. It is immutable, and one of its four values is set.
type Secret struct {
	Name        string
	Certificate *Certificate
	Validation  *Validation
	TicketKeys  *TicketKeys
	Generic     *Generic

	// What the value was compiled from, and the files among its sources: the store watches those and
	// compiles again.
	from    *tlspb.Secret
	watches []watch
}

// Type is the resource type of secrets.
func Type() xds.Type[*Secret] {
	return xds.Type[*Secret]{
		URL: xds.SecretURL,
		Decode: func(a *anypb.Any) (string, *Secret, error) {
			m := &tlspb.Secret{}
			if err := a.UnmarshalTo(m); err != nil {
				return "", nil, err
			}
			s, err := Compile(m)
			return m.GetName(), s, err
		},
	}
}

// Compile validates and compiles a secret. It reads the files that the secret names.
func Compile(m *tlspb.Secret) (*Secret, error) {
	if err := m.Validate(); err != nil {
		return nil, Invalid(err)
	}
	s := &Secret{Name: m.GetName(), from: m}
	var err error
	switch t := m.GetType().(type) {
	case *tlspb.Secret_TlsCertificate:
		s.watches = certificateWatches(t.TlsCertificate)
		s.Certificate, err = CompileCertificate(t.TlsCertificate, m.GetName())
	case *tlspb.Secret_ValidationContext:
		s.watches = validationWatches(t.ValidationContext)
		s.Validation, err = CompileValidation(t.ValidationContext, m.GetName())
	case *tlspb.Secret_SessionTicketKeys:
		s.TicketKeys, err = CompileTicketKeys(t.SessionTicketKeys)
	case *tlspb.Secret_GenericSecret:
		s.watches = genericWatches(t.GenericSecret)
		s.Generic, err = compileGeneric(t.GenericSecret)
	default:
		err = errors.New("Secret type not implemented")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Invalid is Envoy's text for a message that breaks the rules of its proto; err is Validate's.
func Invalid(err error) error {
	parts := strings.Split(err.Error(), " | caused by: ")
	for i, p := range parts {
		// "invalid Type.Field: reason" is "TypeValidationError.Field: reason" there.
		if kind, rest, ok := strings.Cut(strings.TrimPrefix(p, "invalid "), "."); ok {
			parts[i] = kind + "ValidationError." + rest
		}
	}
	text := strings.Join(parts, " | caused by ")
	if strings.HasSuffix(text, " runes") {
		text = strings.TrimSuffix(text, " runes") + " characters"
	}
	return errors.New("Proto constraint validation failed (" + text + ")")
}

// Ref is what an SdsSecretConfig refers to. Without sds_config that is a static secret of the bootstrap
// (Source is Static).
func Ref(c *tlspb.SdsSecretConfig) (xds.Ref, error) {
	r := xds.Ref{TypeURL: xds.SecretURL, Name: c.GetName(), Source: Static}
	if c.GetSdsConfig() == nil {
		return r, nil
	}
	source, timeout, err := xds.Source(c.GetSdsConfig())
	if err != nil {
		return r, fmt.Errorf("secret %q: %w", c.GetName(), err)
	}
	r.Source, r.Timeout = source, timeout
	return r, nil
}

// Static is the source of references to static secrets.
const Static = "static"
