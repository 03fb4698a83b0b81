package lb

import "github.com/pillion-proxy/pillion/dataplane/endpoint"

// random picks any host. Like Envoy's it knows no weights.
type random struct{ hosts []*endpoint.Host }

func newRandom(hosts []*endpoint.Host) picker { return &random{hosts} }

func (r *random) pick(c *Context) *endpoint.Host { return r.hosts[c.below(len(r.hosts))] }
