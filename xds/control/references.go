package control

import (
	"fmt"
	"strconv"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcppb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// outboundName is Istio's name for a cluster.
func outboundName(port uint32, subset, host string) string {
	return fmt.Sprintf("outbound|%d|%s|%s", port, subset, host)
}

// reference finds the cluster that a route of s calls by a short name: a subset of s itself; another
// service, HOST[:PORT][/SUBSET], where HOST is NAME, NAME.NAMESPACE or the whole host; or a cluster's own
// name.
func (m *mesh) reference(s *service, port uint32, name string) (string, error) {
	if strings.Contains(name, "|") || m.extra[name] || name == passthrough || name == blackHole {
		return name, nil
	}
	if s.subset(name) != nil {
		return outboundName(port, name, s.Host), nil
	}
	host, sub, _ := strings.Cut(name, "/")
	host, portText, hasPort := strings.Cut(host, ":")
	to := m.find(host, s.Namespace)
	if to == nil {
		return "", fmt.Errorf("cluster %q is neither a subset of %s nor a service or cluster", name, s.Host)
	}
	if sub != "" && to.subset(sub) == nil {
		return "", fmt.Errorf("cluster %q: %s has no subset %q", name, to.Host, sub)
	}
	if hasPort {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || to.port(uint32(n)) == nil {
			return "", fmt.Errorf("cluster %q: %s has no port %s", name, to.Host, portText)
		}
		port = uint32(n)
	} else if to.port(port) == nil {
		if len(to.Ports) > 1 {
			return "", fmt.Errorf("cluster %q: %s has several ports, say which as %s:PORT", name, to.Host, host)
		}
		port = to.Ports[0].Port
	}
	return outboundName(port, sub, to.Host), nil
}

func (m *mesh) find(host, namespace string) *service {
	for _, h := range []string{host, host + "." + namespace + ".svc." + m.Settings.Domain, host + ".svc." + m.Settings.Domain} {
		if s := m.byHost[h]; s != nil {
			return s
		}
	}
	return nil
}

// resolver replaces short names by clusters' names and keeps the first error.
type resolver struct {
	mesh *mesh
	s    *service
	port uint32
	err  error
}

func (r *resolver) name(short string) string {
	long, err := r.mesh.reference(r.s, r.port, short)
	if err != nil && r.err == nil {
		r.err = err
	}
	return long
}

func (r *resolver) route(to *routepb.Route) error {
	action := to.GetRoute()
	if action == nil {
		return nil
	}
	switch spec := action.GetClusterSpecifier().(type) {
	case *routepb.RouteAction_Cluster:
		spec.Cluster = r.name(spec.Cluster)
	case *routepb.RouteAction_WeightedClusters:
		for _, c := range spec.WeightedClusters.GetClusters() {
			if c.GetName() != "" {
				c.Name = r.name(c.GetName())
			}
		}
	}
	for _, mirror := range action.GetRequestMirrorPolicies() {
		if mirror.GetCluster() != "" {
			mirror.Cluster = r.name(mirror.GetCluster())
		}
	}
	return r.err
}

func (r *resolver) tcp(t *tcppb.TcpProxy) error {
	switch spec := t.GetClusterSpecifier().(type) {
	case *tcppb.TcpProxy_Cluster:
		spec.Cluster = r.name(spec.Cluster)
	case *tcppb.TcpProxy_WeightedClusters:
		for _, c := range spec.WeightedClusters.GetClusters() {
			c.Name = r.name(c.GetName())
		}
	}
	return r.err
}
