package control

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// mesh is what the mesh files of a folder say together. It is immutable once linked.
type mesh struct {
	Settings  settings   `mesh:"mesh"`
	Services  []service  `mesh:"services"`
	Workloads []workload `mesh:"workloads"`

	// byHost finds a service by its host; byLabel workloads by namespace and one label.
	byHost  map[string]*service
	byLabel map[[3]string][]*workload
	// extra are clusters that are not of the mesh but that its routes may name.
	extra map[string]bool
	dec   *decoder
	ca    *authority
}

// settings hold for the whole mesh.
type settings struct {
	Domain          string `mesh:"domain"`
	ClusterID       string `mesh:"cluster_id"`
	OutboundPolicy  string `mesh:"outbound"`
	Interception    string `mesh:"interception"`
	IstioFilters    bool   `mesh:"istio_filters"`
	MTLS            string `mesh:"mtls"`
	AccessLog       *node  `mesh:"access_log"`
	HTTPConnections *node  `mesh:"http_connection_manager"`
	At              *node
}

// service is a service: what its clients' sidecars know of it.
type service struct {
	Name      string            `mesh:"name"`
	Namespace string            `mesh:"namespace"`
	Host      string            `mesh:"host"`
	VIP       string            `mesh:"vip"`
	Ports     []port            `mesh:"ports"`
	Selector  map[string]string `mesh:"selector"`
	Discovery string            `mesh:"discovery"`
	Endpoints []endpoint        `mesh:"endpoints"`
	Cluster   *node             `mesh:"cluster"`
	HTTP      *node             `mesh:"http_protocol_options"`
	Subsets   []subset          `mesh:"subsets"`
	VHost     *node             `mesh:"virtual_host"`
	Routes    []*node           `mesh:"routes"`
	TCPProxy  *node             `mesh:"tcp_proxy"`
	At        *node
}

// port is one port of a service.
type port struct {
	Name     string `mesh:"name"`
	Port     uint32 `mesh:"port"`
	Protocol string `mesh:"protocol"`
	Target   uint32 `mesh:"target_port"`
	At       *node
}

// subset is the part of a service's workloads that has all of some labels.
type subset struct {
	Name    string            `mesh:"name"`
	Labels  map[string]string `mesh:"labels"`
	Cluster *node             `mesh:"cluster"`
	HTTP    *node             `mesh:"http_protocol_options"`
	At      *node
}

// endpoint is an address of a service that is not in the mesh.
type endpoint struct {
	Address  string            `mesh:"address"`
	Ports    map[uint32]uint32 `mesh:"ports"`
	Labels   map[string]string `mesh:"labels"`
	Locality string            `mesh:"locality"`
	Weight   uint32            `mesh:"weight"`
	At       *node
}

// workload is one instance of an application, with the sidecar in front of it if it has one.
type workload struct {
	Name           string            `mesh:"name"`
	Namespace      string            `mesh:"namespace"`
	Address        string            `mesh:"address"`
	Labels         map[string]string `mesh:"labels"`
	ServiceAccount string            `mesh:"service_account"`
	Locality       string            `mesh:"locality"`
	Weight         uint32            `mesh:"weight"`
	Health         string            `mesh:"health"`
	Sidecar        *bool             `mesh:"sidecar"`
	Interception   string            `mesh:"interception"`
	// Outbound, Ports and App are for a sidecar without interception: where its outbound listeners are, a
	// service's PORT or HOST:PORT to the port that its listener has instead, and where the application
	// really is.
	Outbound string            `mesh:"outbound"`
	Ports    map[string]uint32 `mesh:"outbound_ports"`
	App      map[uint32]string `mesh:"app"`
	At       *node
}

func isMesh(doc *node) bool {
	return doc.get("services") != nil || doc.get("workloads") != nil || doc.get("mesh") != nil
}

// parseMesh reads one mesh file, or one that changes parts of another.
func parseMesh(doc *node) (*mesh, error) {
	m := &mesh{}
	if err := assign(doc, m); err != nil {
		return nil, err
	}
	for i := range m.Services {
		s := &m.Services[i]
		s.Namespace = cmp.Or(s.Namespace, "default")
		if s.Name == "" && s.Host == "" {
			return nil, s.At.errorf("a service needs a name, or a host if it is outside the mesh")
		}
	}
	for i := range m.Workloads {
		w := &m.Workloads[i]
		w.Namespace = cmp.Or(w.Namespace, "default")
		if w.Name == "" {
			return nil, w.At.errorf("a workload needs a name")
		}
	}
	return m, nil
}

// mergeMeshes lays the parts of several files over one another, in order: what a later file gives of a
// service, a workload or the settings replaces what an earlier one gave.
func mergeMeshes(parts []*mesh) (*mesh, error) {
	all := &mesh{byHost: map[string]*service{}, byLabel: map[[3]string][]*workload{}}
	services, workloads := map[string]int{}, map[string]int{}
	for _, part := range parts {
		overlay(&all.Settings, &part.Settings)
		for _, s := range part.Services {
			id := s.Host + "/" + s.Name + "." + s.Namespace
			if i, ok := services[id]; ok {
				overlay(&all.Services[i], &s)
				continue
			}
			services[id] = len(all.Services)
			all.Services = append(all.Services, s)
		}
		for _, w := range part.Workloads {
			id := w.Name + "." + w.Namespace
			if i, ok := workloads[id]; ok {
				overlay(&all.Workloads[i], &w)
				continue
			}
			workloads[id] = len(all.Workloads)
			all.Workloads = append(all.Workloads, w)
		}
	}
	return all, all.link()
}

// link fills in defaults, and checks what can be checked without compiling Envoy's words.
func (m *mesh) link() error {
	s := &m.Settings
	s.Domain, s.ClusterID = cmp.Or(s.Domain, "cluster.local"), cmp.Or(s.ClusterID, "Kubernetes")
	s.OutboundPolicy, s.MTLS = cmp.Or(s.OutboundPolicy, outboundAny), cmp.Or(s.MTLS, mtlsDisable)
	s.Interception = cmp.Or(s.Interception, interceptRedirect)
	err := s.At.first(
		oneOf("outbound", s.OutboundPolicy, outboundAny, outboundRegistry),
		oneOf("mtls", s.MTLS, mtlsDisable, mtlsPermissive, mtlsStrict),
		oneOf("interception", s.Interception, interceptions()...))
	if err != nil {
		return err
	}
	slices.SortStableFunc(m.Services, func(a, b service) int { return strings.Compare(a.host(s.Domain), b.host(s.Domain)) })
	for i := range m.Services {
		if err := m.linkService(&m.Services[i]); err != nil {
			return err
		}
	}
	for i := range m.Workloads {
		w := &m.Workloads[i]
		if err := m.linkWorkload(w); err != nil {
			return err
		}
		for k, v := range w.Labels {
			id := [3]string{w.Namespace, k, v}
			m.byLabel[id] = append(m.byLabel[id], w)
		}
	}
	return nil
}

// selected are the workloads of a service, in the order of the file.
func (m *mesh) selected(s *service) []*workload {
	for k, v := range s.Selector {
		var all []*workload
		for _, w := range m.byLabel[[3]string{s.Namespace, k, v}] {
			if selects(s.Selector, w.Labels) {
				all = append(all, w)
			}
		}
		return all
	}
	return nil
}

func (m *mesh) linkService(s *service) error {
	s.Host = s.host(m.Settings.Domain)
	s.Name = cmp.Or(s.Name, s.Host)
	s.Discovery = cmp.Or(s.Discovery, "EDS")
	if s.Selector == nil && s.Endpoints == nil {
		s.Selector = map[string]string{"app": s.Name}
	}
	if other := m.byHost[s.Host]; other != nil {
		return s.At.errorf("service %q is at %s:%d already", s.Host, other.At.file, other.At.line)
	}
	m.byHost[s.Host] = s
	errs := []error{oneOf("discovery", s.Discovery, "EDS", "STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST")}
	if s.VIP != "" {
		_, err := netip.ParseAddr(s.VIP)
		errs = append(errs, err)
	}
	if len(s.Ports) == 0 {
		errs = append(errs, fmt.Errorf("service %q has no ports", s.Host))
	}
	if err := s.At.first(errs...); err != nil {
		return err
	}
	for i := range s.Subsets {
		if s.subset(s.Subsets[i].Name) != &s.Subsets[i] {
			return s.Subsets[i].At.errorf("subset %q is given twice", s.Subsets[i].Name)
		}
	}
	s.Ports = slices.Clone(s.Ports)
	for i := range s.Ports {
		p := &s.Ports[i]
		p.Target, p.Protocol = cmp.Or(p.Target, p.Port), cmp.Or(p.Protocol, protoAuto)
		if err := p.At.first(oneOf("protocol", p.Protocol, protocols()...), portNumber(p.Port), portNumber(p.Target)); err != nil {
			return err
		}
		if s.port(p.Port) != p {
			return p.At.errorf("port %d is given twice", p.Port)
		}
	}
	return nil
}

func (m *mesh) linkWorkload(w *workload) error {
	w.Interception = cmp.Or(w.Interception, m.Settings.Interception)
	w.Weight, w.Health = cmp.Or(w.Weight, 1), cmp.Or(w.Health, "HEALTHY")
	w.ServiceAccount = cmp.Or(w.ServiceAccount, "default")
	if w.Labels == nil {
		w.Labels = map[string]string{}
	}
	_, err := netip.ParseAddr(w.Address)
	errs := []error{err, oneOf("interception", w.Interception, interceptions()...)}
	errs = append(errs, oneOf("health", w.Health, "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"))
	if w.Interception == interceptNone && w.hasSidecar() {
		if _, err := netip.ParseAddr(w.Outbound); err != nil {
			errs = append(errs, fmt.Errorf("without interception a sidecar needs outbound, an address for its listeners: %w", err))
		}
	}
	for _, to := range w.App {
		_, err := netip.ParseAddrPort(to)
		errs = append(errs, err)
	}
	return w.At.first(errs...)
}

func (w *workload) hasSidecar() bool { return w.Sidecar == nil || *w.Sidecar }

// host is the name that clients call a service by.
func (s *service) host(domain string) string {
	if s.Host != "" {
		return s.Host
	}
	return s.Name + "." + s.Namespace + ".svc." + domain
}

// inMesh tells a service of the mesh from an external one.
func (s *service) inMesh(domain string) bool {
	return s.Host == s.Name+"."+s.Namespace+".svc."+domain
}

func (s *service) subset(name string) *subset {
	for i := range s.Subsets {
		if s.Subsets[i].Name == name {
			return &s.Subsets[i]
		}
	}
	return nil
}

func (s *service) port(number uint32) *port {
	for i := range s.Ports {
		if s.Ports[i].Port == number {
			return &s.Ports[i]
		}
	}
	return nil
}

// selects tells whether all labels of a selector are among a workload's.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return selector != nil
}

// first is the first of some errors, as one of this place.
func (n *node) first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return n.at(err)
		}
	}
	return nil
}

func oneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %q is not one of %s", name, value, strings.Join(allowed, ", "))
}

func portNumber(p uint32) error {
	if p == 0 || p > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535", p)
	}
	return nil
}
