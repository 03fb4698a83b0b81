package dataplane

import (
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/listener"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/xds"
)

// Decoders are the types of resource that the data plane takes, in the order of their dependence. m may
// be nil: then listeners are compiled but nothing is bound (--mode validate, explain).
func Decoders(r *filter.Registry, s *filter.Server, m *listener.Manager) []xds.Decoder {
	return []xds.Decoder{
		secret.Type().Decoder(),
		cluster.Type(cluster.Options{Filter: r.Upstream(s)}).Decoder(),
		endpoint.Type().Decoder(),
		route.Type(r.Routes(false)).Decoder(),
		listener.Type(listener.CompileOptions{Registry: r}, m).Decoder(),
	}
}
