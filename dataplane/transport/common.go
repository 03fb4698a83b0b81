package transport

import (
	"errors"
	"fmt"
	"slices"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/xds"
)

// common is a CommonTlsContext. It is immutable.
type common struct {
	params params
	alpn   []string
	// certificates stand in the context; certificateRefs come by SDS. One of them is empty.
	certificates    []*secret.Certificate
	certificateRefs []xds.Ref
	// validation stands in the context; nil: there is none. validationRef comes by SDS if its Name is
	// set, merged over defaultValidation if that is not nil.
	validation        *secret.Validation
	validationRef     xds.Ref
	defaultValidation *tlspb.CertificateValidationContext
	keyLog            *keyLogConfig
}

func compileCommon(m *tlspb.CommonTlsContext, defaultMax uint16) (*common, error) {
	if err := refuseCommonFields(m); err != nil {
		return nil, err
	}
	c := &common{}
	var err error
	if c.params, err = compileParams(m.GetTlsParams(), defaultMax); err != nil {
		return nil, err
	}
	if c.alpn, err = compileALPN(m.GetAlpnProtocols()); err != nil {
		return nil, err
	}
	for _, t := range m.GetTlsCertificates() {
		s, err := secret.CompileCertificate(t, "")
		if err != nil {
			return nil, err
		}
		c.certificates = append(c.certificates, s)
	}
	for _, t := range m.GetTlsCertificateSdsSecretConfigs() {
		r, err := secret.Ref(t)
		if err != nil {
			return nil, err
		}
		c.certificateRefs = append(c.certificateRefs, r)
	}
	if err := c.compileValidation(m); err != nil {
		return nil, err
	}
	if m.GetKeyLog() != nil {
		if c.keyLog, err = compileKeyLog(m.GetKeyLog()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func refuseCommonFields(m *tlspb.CommonTlsContext) error {
	switch {
	case m.GetCustomTlsCertificateSelector() != nil:
		return unregistered(m.GetCustomTlsCertificateSelector())
	case m.GetCustomHandshaker() != nil:
		return unregistered(m.GetCustomHandshaker())
	case m.GetTlsCertificateProviderInstance() != nil:
		return errors.New("field CommonTlsContext.tls_certificate_provider_instance is not supported")
	//nolint:staticcheck // SA1019: refused, not used.
	case m.GetTlsCertificateCertificateProvider() != nil, m.GetTlsCertificateCertificateProviderInstance() != nil:
		return errors.New("field CommonTlsContext.tls_certificate_certificate_provider is not supported")
	//nolint:staticcheck // SA1019: refused, not used.
	case m.GetValidationContextCertificateProvider() != nil, m.GetValidationContextCertificateProviderInstance() != nil:
		return errors.New("field CommonTlsContext.validation_context_certificate_provider is not supported")
	}
	v := m.GetCombinedValidationContext()
	//nolint:staticcheck // SA1019: refused, not used.
	if v.GetValidationContextCertificateProvider() != nil || v.GetValidationContextCertificateProviderInstance() != nil {
		return errors.New("field CombinedCertificateValidationContext.validation_context_certificate_provider is not supported")
	}
	return nil
}

func unregistered(c *corepb.TypedExtensionConfig) error {
	return unknown(&corepb.TransportSocket{Name: c.GetName()}, c.GetTypedConfig().GetTypeUrl())
}

func (c *common) compileValidation(m *tlspb.CommonTlsContext) (err error) {
	switch t := m.GetValidationContextType().(type) {
	case *tlspb.CommonTlsContext_ValidationContext:
		c.validation, err = secret.CompileValidation(t.ValidationContext, "")
	case *tlspb.CommonTlsContext_ValidationContextSdsSecretConfig:
		c.validationRef, err = secret.Ref(t.ValidationContextSdsSecretConfig)
	case *tlspb.CommonTlsContext_CombinedValidationContext:
		v := t.CombinedValidationContext
		c.defaultValidation = v.GetDefaultValidationContext()
		if c.validationRef, err = secret.Ref(v.GetValidationContextSdsSecretConfig()); err != nil {
			return err
		}
		err = secret.CheckDefault(c.defaultValidation)
	}
	return err
}

// refs are the secrets that the context needs.
func (c *common) refs() []xds.Ref {
	out := slices.Clone(c.certificateRefs)
	if c.validationRef.Name != "" {
		out = append(out, c.validationRef)
	}
	return out
}

// check looks for the static secrets that the context refers to, and for their kind.
func (c *common) check(s *xds.Snapshot) error {
	for _, r := range c.certificateRefs {
		if r.Source == secret.Static && staticSecret(s, r).Certificate == nil {
			return fmt.Errorf("Unknown static secret: %s", r.Name)
		}
	}
	if r := c.validationRef; r.Name != "" && r.Source == secret.Static && staticSecret(s, r).Validation == nil {
		return fmt.Errorf("Unknown static certificate validation context: %s", r.Name)
	}
	return nil
}

// staticSecret finds a secret of the bootstrap; an empty one if it is not there.
func staticSecret(s *xds.Snapshot, r xds.Ref) *secret.Secret {
	if to := s.Resource(r.TypeURL, r.Name); to != nil && to.Static {
		if v, ok := to.Value.(*secret.Secret); ok {
			return v
		}
	}
	return &secret.Secret{}
}

// live is the secrets of a built context: it knows the current ones, and tells when they change.
type live struct {
	common       *common
	certificates []*secret.Handle
	validation   *secret.Handle
	cancel       []func()
}

// bind takes hold of the context's secrets and has changed called when one of them changes.
func (c *common) bind(s *secret.Store, changed func()) *live {
	l := &live{common: c}
	hold := func(r xds.Ref) *secret.Handle {
		h := s.Handle(r)
		l.cancel = append(l.cancel, h.Subscribe(changed), h.Release)
		return h
	}
	for _, r := range c.certificateRefs {
		l.certificates = append(l.certificates, hold(r))
	}
	if c.validationRef.Name != "" {
		l.validation = hold(c.validationRef)
	} else if h := s.Private(c.validation); h != nil {
		l.validation = h
		l.cancel = append(l.cancel, h.Subscribe(changed), h.Release)
	}
	return l
}

func (l *live) close() {
	for _, f := range l.cancel {
		f()
	}
}

// current is the certificates and the validation context of now; ok is false while one is missing.
func (l *live) current() (certs []*secret.Certificate, v *secret.Validation, ok bool, err error) {
	certs = l.common.certificates
	if len(l.certificates) > 0 {
		certs = make([]*secret.Certificate, 0, len(l.certificates))
		for _, h := range l.certificates {
			s := h.Load()
			if s == nil || s.Certificate == nil {
				return nil, nil, false, nil
			}
			certs = append(certs, s.Certificate)
		}
	}
	if l.validation == nil {
		return certs, l.common.validation, true, nil
	}
	s := l.validation.Load()
	if s == nil || s.Validation == nil {
		return nil, nil, false, nil
	}
	v = s.Validation
	if d := l.common.defaultValidation; d != nil {
		if v, err = secret.Combine(d, v); err != nil {
			return nil, nil, false, fmt.Errorf("validation context %q: %w", s.Name, err)
		}
	}
	return certs, v, true, nil
}
