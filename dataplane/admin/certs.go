package admin

import (
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
)

// serveCerts is /certs: one entry a TLS context. Fields are printed with their defaults.
func (a *Admin) serveCerts(_ *request, r *reply) {
	out := &adminpb.Certificates{}
	for _, c := range a.o.Contexts.Dump(time.Now()) {
		out.Certificates = append(out.Certificates, &adminpb.Certificate{CaCert: certificates(c.CACert), CertChain: certificates(c.CertChain)})
	}
	r.json(out, true)
}

func certificates(all []transport.CertificateDump) (out []*adminpb.CertificateDetails) {
	for i := range all {
		c := &all[i]
		d := &adminpb.CertificateDetails{
			Path: c.Path, SerialNumber: c.SerialNumber, DaysUntilExpiration: c.DaysUntilExpiration,
			ValidFrom: timestamppb.New(c.ValidFrom), ExpirationTime: timestamppb.New(c.ExpiresAt),
		}
		for _, san := range c.SubjectAltNames {
			d.SubjectAltNames = append(d.SubjectAltNames, subjectAltName(san))
		}
		if !c.StapleFrom.IsZero() {
			d.OcspDetails = &adminpb.CertificateDetails_OcspDetails{ValidFrom: timestamppb.New(c.StapleFrom), Expiration: timestamppb.New(c.StapleUntil)}
		}
		out = append(out, d)
	}
	return out
}

func subjectAltName(san streaminfo.SAN) *adminpb.SubjectAlternateName {
	switch san.Kind {
	case streaminfo.SANDNS:
		return &adminpb.SubjectAlternateName{Name: &adminpb.SubjectAlternateName_Dns{Dns: san.Value}}
	case streaminfo.SANIP:
		return &adminpb.SubjectAlternateName{Name: &adminpb.SubjectAlternateName_IpAddress{IpAddress: san.Value}}
	default:
		return &adminpb.SubjectAlternateName{Name: &adminpb.SubjectAlternateName_Uri{Uri: san.Value}}
	}
}
