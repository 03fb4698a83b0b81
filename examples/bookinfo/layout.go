package bookinfo

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"text/template"
)

//go:embed mesh.yaml.tmpl tasks/*.yaml
var files embed.FS

// Layout says where the demo's workloads are: each with an address of its own and iptables that lead its
// traffic to its sidecar, or all on loopback with explicit ports.
type Layout struct {
	// Loopback tells that there is no interception: sidecars listen where the mesh file says.
	Loopback bool
	// Offset is added to every port on loopback, where other programs may have the usual ones.
	Offset int
	// Pods and VIPs are where the workloads' and the services' addresses begin.
	Pods, VIPs netip.Addr
}

// Namespaces is a layout for network namespaces: 10.88.0.x and 10.96.88.x.
func Namespaces() Layout {
	return Layout{Pods: netip.MustParseAddr("10.88.0.10"), VIPs: netip.MustParseAddr("10.96.88.10")}
}

// Loopback is a layout for one machine without any privilege: all is on 127.88.x.y.
func Loopback() Layout {
	return Layout{Loopback: true, Offset: 10000, Pods: netip.MustParseAddr("127.88.0.10"), VIPs: netip.MustParseAddr("10.96.88.10")}
}

// Workload is one instance of a service.
type Workload struct {
	Name, Service, Version string
	// Sidecar tells whether it has one.
	Sidecar bool
	// Address is what others call it by: its own, or on loopback its sidecar's.
	Address netip.Addr
	// Outbound is, on loopback, where its sidecar's outbound listeners are, and App where it listens itself.
	Outbound, App netip.Addr
}

// NodeID is the id by which the control plane knows its sidecar: --service-node.
func (w Workload) NodeID() string {
	return fmt.Sprintf("sidecar~%s~%s.default~default.svc.cluster.local", w.Address, w.Name)
}

// Workloads are the demo's: bookinfo's six, the two of httpbin and of tcp-echo, a client, and something
// outside the mesh.
func (l Layout) Workloads() []Workload {
	all := []Workload{
		{Name: "productpage-v1", Service: ProductPage, Version: "v1"},
		{Name: "details-v1", Service: Details, Version: "v1"},
		{Name: "reviews-v1", Service: Reviews, Version: "v1"},
		{Name: "reviews-v2", Service: Reviews, Version: "v2"},
		{Name: "reviews-v3", Service: Reviews, Version: "v3"},
		{Name: "ratings-v1", Service: Ratings, Version: "v1"},
		{Name: "httpbin-v1", Service: HTTPBin, Version: "v1"},
		{Name: "httpbin-v2", Service: HTTPBin, Version: "v2"},
		{Name: "tcp-echo-v1", Service: TCPEcho, Version: "v1"},
		{Name: "tcp-echo-v2", Service: TCPEcho, Version: "v2"},
		{Name: ClientName, Version: "v1"},
		{Name: ExternalName, Service: HTTPBin, Version: "external"},
	}
	pod := l.Pods
	for i := range all {
		w := &all[i]
		w.Sidecar = w.Name != ExternalName
		w.Address, w.App = pod, pod
		if l.Loopback {
			w.Outbound = third(pod, 1)
			if w.Sidecar {
				w.App = third(pod, 2)
			}
		}
		pod = pod.Next()
	}
	return all
}

// The two workloads that are no service of the mesh.
const (
	ClientName   = "client"
	ExternalName = "external"
)

// third adds to the third number of an IPv4 address.
func third(a netip.Addr, n byte) netip.Addr {
	b := a.As4()
	b[2] += n
	return netip.AddrFrom4(b)
}

// meshService is a service as the mesh file has it.
type meshService struct {
	Name, Protocol string
	VIP            netip.Addr
	Port, Target   int
	Subsets        []string
}

func (l Layout) services() []meshService {
	all := []meshService{
		{Name: ProductPage, Protocol: "http", Subsets: []string{"v1"}},
		{Name: Details, Protocol: "http", Subsets: []string{"v1"}},
		{Name: Reviews, Protocol: "http", Subsets: []string{"v1", "v2", "v3"}},
		{Name: Ratings, Protocol: "http", Subsets: []string{"v1"}},
		{Name: HTTPBin, Protocol: "http", Subsets: []string{"v1", "v2"}},
		{Name: TCPEcho, Protocol: "tcp", Subsets: []string{"v1", "v2"}},
	}
	vip := l.VIPs
	for i := range all {
		s := &all[i]
		s.VIP, s.Port = vip, Port(s.Name)
		s.Target = l.port(s.Port)
		vip = vip.Next()
	}
	return all
}

// port is where a port really is.
func (l Layout) port(p int) int {
	if l.Loopback {
		return p + l.Offset
	}
	return p
}

// Mesh is the mesh file of the layout.
func (l Layout) Mesh() ([]byte, error) {
	t, err := template.ParseFS(files, "mesh.yaml.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Loopback": l.Loopback, "Services": l.services(), "Workloads": l.Workloads(), "Ports": l.ports(),
	})
	return b.Bytes(), err
}

// Task is the mesh file of one of the tasks, to be served beside the layout's own.
func Task(name string) ([]byte, error) { return files.ReadFile("tasks/" + name + ".yaml") }

// Tasks lists the tasks.
func Tasks() []string {
	// The folder is embedded: it is there.
	entries, _ := files.ReadDir("tasks")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// ports are the services' ports and where they are on loopback.
func (l Layout) ports() [][2]int {
	return [][2]int{{80, l.port(80)}, {8000, l.port(8000)}, {9000, l.port(9000)}, {9080, l.port(9080)}}
}

// Options are what a workload is run with, so that what it calls is led through its sidecar: to the
// services' virtual addresses, which the iptables rules take, or to its sidecar's listeners.
func (l Layout) Options(w Workload) Options {
	o := Options{Instance: w.Name, Resolve: map[string]string{}}
	o.Listen = ":" + strconv.Itoa(l.listenPort(w))
	if l.Loopback {
		o.Listen = w.App.String() + o.Listen
	}
	for _, s := range l.services() {
		o.Resolve[s.Name] = l.Dial(w, s.Name)
	}
	return o
}

// externalPort is where the workload outside the mesh listens, in every layout.
const externalPort = 18000

func (l Layout) listenPort(w Workload) int {
	switch {
	case w.Name == ExternalName:
		return externalPort
	case w.Service == "":
		return 0
	}
	return l.port(Port(w.Service))
}

// Dial is the address at which a workload calls a service.
func (l Layout) Dial(w Workload, service string) string {
	for _, s := range l.services() {
		if s.Name != service {
			continue
		}
		if l.Loopback {
			return netip.AddrPortFrom(w.Outbound, uint16(s.Target)).String()
		}
		return netip.AddrPortFrom(s.VIP, uint16(s.Port)).String()
	}
	return ""
}
