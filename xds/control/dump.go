package control

import (
	"strings"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/xds"
)

// recorded reads a recorded /config_dump: Envoy's, or that of the lab's xdsdump, which is one list for
// each short name of a type.
func (d *decoder) recorded(doc *node) ([]resource, error) {
	if doc.get("configs") != nil {
		return d.configDump(doc)
	}
	var all []resource
	for i, k := range doc.keys {
		typeURL, ok := shortNames()[k.name]
		if !ok {
			d.note(doc.vals[i], "%s cannot be served: its type is not known here", k.name)
			continue
		}
		for _, item := range doc.vals[i].vals {
			r, err := d.resource(withType(item, typeURL))
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// shortNames are the names that istiod and xdsdump give the types.
func shortNames() map[string]string {
	return map[string]string{
		"CDS": xds.ClusterURL, "EDS": xds.EndpointURL, "LDS": xds.ListenerURL, "RDS": xds.RouteURL,
		"SDS": xds.SecretURL, "ECDS": xds.ExtensionURL, "SRDS": xds.ScopedURL, "VHDS": xds.VHostURL, "RTDS": xds.RuntimeURL,
	}
}

// isRecording tells whether a document is a recording.
func isRecording(doc *node) bool {
	if configs := doc.get("configs"); configs != nil && configs.kind == listNode {
		return true
	}
	if doc.kind != objectNode || len(doc.keys) == 0 {
		return false
	}
	for i, k := range doc.keys {
		if doc.vals[i].kind != listNode || k.name != strings.ToUpper(k.name) {
			return false
		}
	}
	return true
}

func withType(n *node, typeURL string) *node {
	if n.get("@type") != nil {
		return n
	}
	typ := &node{file: n.file, line: n.line, scalar: quote(typeURL)}
	return &node{
		file: n.file, line: n.line, kind: objectNode,
		keys: append([]key{{"@type", n.line}}, n.keys...), vals: append([]*node{typ}, n.vals...),
	}
}

// section says where one kind of /config_dump keeps its resources: list, the members of an item that
// lead to it, and its type.
type section struct {
	list string
	path []string
	typ  string
}

func sections() map[string][]section {
	return map[string][]section{
		"ClustersConfigDump": {
			{"dynamic_active_clusters", []string{"cluster"}, xds.ClusterURL},
			{"dynamic_warming_clusters", []string{"cluster"}, xds.ClusterURL},
		},
		"ListenersConfigDump": {{"dynamic_listeners", []string{"active_state", "listener"}, xds.ListenerURL}},
		"RoutesConfigDump":    {{"dynamic_route_configs", []string{"route_config"}, xds.RouteURL}},
		"EndpointsConfigDump": {{"dynamic_endpoint_configs", []string{"endpoint_config"}, xds.EndpointURL}},
		"SecretsConfigDump":   {{"dynamic_active_secrets", []string{"secret"}, xds.SecretURL}},
		"EcdsConfigDump":      {{"ecds_filters", []string{"ecds_filter"}, xds.ExtensionURL}},
	}
}

// configDump takes the dynamic resources of Envoy's /config_dump: the static ones are its bootstrap's.
func (d *decoder) configDump(doc *node) ([]resource, error) {
	var all []resource
	seen := map[string]bool{}
	for _, config := range doc.get("configs").vals {
		kind := config.get("@type").text()
		kind = kind[strings.LastIndexByte(kind, '.')+1:]
		for _, s := range sections()[kind] {
			list := config.get(s.list)
			if list == nil {
				continue
			}
			for _, item := range list.vals {
				n := s.find(item)
				if n == nil {
					continue
				}
				r, err := d.resource(withType(n, s.typ))
				if err != nil {
					return nil, err
				}
				if seen[r.typeURL+r.name] {
					continue
				}
				seen[r.typeURL+r.name] = true
				all = append(all, r)
			}
		}
	}
	return d.replayable(doc, all), nil
}

// find follows the section's path: a listener that has no active state yet is warming.
func (s section) find(item *node) *node {
	n := item
	for _, name := range s.path {
		next := n.get(name)
		if next == nil && name == "active_state" {
			next = n.get("warming_state")
		}
		if n = next; n == nil {
			return nil
		}
	}
	return n
}

// replayable drops and mends what a /config_dump shows but no control plane can have sent.
func (d *decoder) replayable(doc *node, all []resource) []resource {
	wanted := map[string]bool{}
	for _, r := range all {
		if c, ok := r.msg.(*clusterpb.Cluster); ok && c.GetType() == clusterpb.Cluster_EDS {
			wanted[edsName(c)] = true
		}
	}
	kept, endpoints := make([]resource, 0, len(all)), 0
	for _, r := range all {
		switch m := r.msg.(type) {
		case *endpointpb.ClusterLoadAssignment:
			// include_eds shows the hosts of every cluster, not just of those that EDS serves.
			if !wanted[r.name] {
				continue
			}
			endpoints++
			r = withoutZeroWeights(r, m)
		case *tlspb.Secret:
			if key := m.GetTlsCertificate().GetPrivateKey(); string(key.GetInlineBytes())+key.GetInlineString() == redacted {
				d.note(r.at, "secret %q is redacted and cannot be served", r.name)
				continue
			}
		}
		kept = append(kept, r)
	}
	if endpoints < len(wanted) {
		d.note(doc, "%d of %d clusters have no recorded endpoints: record /config_dump?include_eds", len(wanted)-endpoints, len(wanted))
	}
	return kept
}

// redacted is what Envoy prints in place of a private key.
const redacted = "[redacted]"

// edsName is the name by which a cluster's endpoints are asked for.
func edsName(c *clusterpb.Cluster) string {
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" {
		return name
	}
	return c.GetName()
}

// withoutZeroWeights removes the locality weights that Envoy prints as 0 where there were none: as input
// it rejects them.
func withoutZeroWeights(r resource, m *endpointpb.ClusterLoadAssignment) resource {
	for _, l := range m.GetEndpoints() {
		if w := l.GetLoadBalancingWeight(); w != nil && w.GetValue() == 0 {
			l.LoadBalancingWeight = nil
		}
	}
	mended, err := newResource(m)
	if err != nil {
		return r
	}
	mended.at = r.at
	return mended
}
