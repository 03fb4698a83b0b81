package control

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
)

// nodeID is a node's id in Istio's form, TYPE~IP~NAME.NAMESPACE~DOMAIN.
type nodeID struct{ kind, ip, name, namespace string }

// parseNodeID tells whether a node is a sidecar that is named the way Istio's are.
func parseNodeID(id string) (nodeID, bool) {
	parts := strings.Split(id, "~")
	if len(parts) != 4 || parts[0] != "sidecar" {
		return nodeID{}, false
	}
	dot := strings.LastIndexByte(parts[2], '.')
	if dot < 0 {
		return nodeID{}, false
	}
	return nodeID{parts[0], parts[1], parts[2][:dot], parts[2][dot+1:]}, true
}

// compiled is a mesh ready to be served: what is the same for all sidecars is made once.
type compiled struct {
	*mesh
	common []resource
	http   *connections

	mu sync.Mutex
	// routes are by namespace. Guarded by mu.
	routes map[string][]resource
}

// compile makes all that does not depend on the sidecar, and one sidecar of each kind, so that whatever is
// wrong is found before anyone asks.
func (m *mesh) compile() (*compiled, error) {
	c := &compiled{mesh: m, routes: map[string][]resource{}}
	var err error
	if c.http, err = m.connections(); err != nil {
		return nil, err
	}
	for _, cluster := range m.commonClusters() {
		add, err := m.generated(nil, cluster)
		if err != nil {
			return nil, err
		}
		c.common = append(c.common, add...)
	}
	for i := range m.Services {
		s := &m.Services[i]
		for j := range s.Ports {
			add, err := m.outboundClusters(s, &s.Ports[j])
			if err != nil {
				return nil, err
			}
			c.common = append(c.common, add...)
		}
	}
	return c, c.try()
}

func (c *compiled) try() error {
	if _, err := c.sidecar("sidecar~0.0.0.0~nobody.default~default.svc", nil); err != nil {
		return err
	}
	for i := range c.Workloads {
		w := &c.Workloads[i]
		if w.hasSidecar() && w.Interception == interceptNone {
			if _, err := c.sidecar("sidecar~"+w.Address+"~"+w.Name+"."+w.Namespace+"~"+w.Namespace+".svc", nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// sidecar makes everything that one sidecar asks for; nothing for other nodes.
func (c *compiled) sidecar(id string, node *corepb.Node) ([]resource, error) {
	n, ok := parseNodeID(id)
	if !ok {
		return nil, nil
	}
	w := c.workload(n)
	all := slices.Clone(c.common)
	routes, err := c.routesFor(n.namespace)
	if err != nil {
		return nil, err
	}
	all = append(all, routes...)
	own, err := c.own(w, c.placeOf(w, node))
	if err != nil {
		return nil, err
	}
	add, err := c.generated(w.at(), own...)
	return append(all, add...), err
}

func (c *compiled) workload(n nodeID) *workload {
	for i := range c.Workloads {
		if w := &c.Workloads[i]; w.Name == n.name && w.Namespace == n.namespace {
			return w
		}
	}
	return nil
}

func (w *workload) at() *node {
	if w == nil {
		return nil
	}
	return w.At
}

// placeOf says where a sidecar's listeners are. Its metadata may name the mode of interception, as
// Istio's does.
func (c *compiled) placeOf(w *workload, node *corepb.Node) place {
	at := place{mode: c.Settings.Interception, address: "127.0.0.1"}
	if w != nil {
		at = place{mode: w.Interception, address: cmp.Or(w.Outbound, at.address), ports: w.Ports}
	}
	if mode := node.GetMetadata().GetFields()["INTERCEPTION_MODE"].GetStringValue(); slices.Contains(interceptions(), mode) {
		at.mode = mode
	}
	return at
}

func (c *compiled) routesFor(namespace string) ([]resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.routes[namespace]; ok {
		return r, nil
	}
	r, err := c.routeConfigurations(namespace)
	if err == nil {
		c.routes[namespace] = r
	}
	return r, err
}

// own makes what is a sidecar's alone: its listeners, its inbound clusters, its secrets.
func (c *compiled) own(w *workload, at place) ([]proto.Message, error) {
	var all []proto.Message
	outbound, err := c.outboundListeners(c.http, at)
	if err != nil {
		return nil, err
	}
	var inbound []*listenerpb.Listener
	if w != nil || at.mode != interceptNone {
		if inbound, err = c.inboundListeners(c.http, at.mode, w); err != nil {
			return nil, err
		}
	}
	for _, l := range append(inbound, outbound...) {
		all = append(all, l)
	}
	for _, in := range c.inboundPorts(w) {
		cluster, err := c.inboundCluster(w, at.mode, in)
		if err != nil {
			return nil, err
		}
		all = append(all, cluster)
	}
	if c.Settings.MTLS == mtlsDisable || w == nil {
		return all, nil
	}
	secrets, err := c.ca.secrets(c.identity(w.Namespace, w.ServiceAccount))
	return append(all, secrets...), err
}
