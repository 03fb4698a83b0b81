package peer

import (
	"net/netip"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
)

// Discover asks workload discovery for the peer at an address; nil: it is not known.
func Discover(x *workload.Index, a netip.Addr) *Peer {
	w := x.Find(a)
	if w == nil {
		return nil
	}
	p, _ := w.Derived(fromWorkload).(*Peer)
	return p
}

// fromWorkload is a workload as a peer: its app is its canonical service.
func fromWorkload(w *workload.Workload) any {
	kind := Deployment
	switch w.Kind {
	case workload.CronJob:
		kind = CronJob
	case workload.Job:
		kind = Job
	case workload.Pod:
		kind = Pod
	case workload.Deployment:
	}
	return &Peer{Instance: w.Name, Workload: w.Owner, Type: kind, Namespace: w.Namespace, Cluster: w.Cluster, Canonical: w.CanonicalName,
		Revision: w.CanonicalRevision, App: w.CanonicalName, Version: w.CanonicalRevision, Identity: w.Identity, Region: w.Region, Zone: w.Zone}
}

// MetadataNamespace is Istio's namespace in the metadata of clusters and endpoints.
const MetadataNamespace = "istio"

// UpstreamAddr is the address at which workload discovery knows an upstream host: its own, or for a host
// behind an internal listener the destination in its metadata. Not valid: there is none.
func UpstreamAddr(u *streaminfo.Upstream) netip.Addr {
	if a := addrOf(u.Host); a.IsValid() {
		return a
	}
	if u.Host == "" {
		return u.Remote.Addr().Unmap()
	}
	return addrOf(u.HostMetadata["envoy.filters.listener.original_dst"].GetFields()["local"].GetStringValue())
}

// addrOf is the address in "10.0.0.1:80" or "[::1]:80"; not valid: it is something else, which costs no
// error.
func addrOf(host string) netip.Addr {
	if host == "" || host[0] != '[' && (host[0] < '0' || host[0] > '9') {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddrPort(host)
	return a.Addr().Unmap()
}

// Remote tells a host on another network, behind an east-west gateway: its address is the gateway's.
func Remote(u *streaminfo.Upstream) bool {
	if addrOf(u.Host).IsValid() {
		return false
	}
	_, ok := u.HostMetadata[MetadataNamespace].GetFields()["double_hbone"]
	return ok
}

// EndpointMetadata is the part of a host's metadata that FromEndpoint reads; "": it has none.
func EndpointMetadata(u *streaminfo.Upstream) string {
	return u.HostMetadata[MetadataNamespace].GetFields()["workload"].GetStringValue()
}

// Cluster is the cluster that a stream's route leads to, known before the router looks for it; nil: none.
func Cluster(s *filter.Stream, clusters *cluster.Set) *cluster.Config {
	if s.Route == nil || s.Route.Kind != route.Forward || clusters == nil {
		return nil
	}
	if c := clusters.Get(s.Route.ClusterName(&s.Request.Map, &s.Info)); c != nil {
		return c.Config()
	}
	return nil
}

// Skips tells whether a cluster is not sent our metadata: the control plane says so, or, if external ones
// are to be skipped, it is external.
func Skips(name string, m streaminfo.Metadata, skipExternal bool) bool {
	if skipExternal && name == "PassthroughCluster" {
		return true
	}
	f := m[MetadataNamespace].GetFields()
	if len(f) == 0 {
		return false
	}
	return skipExternal && f["external"].GetBoolValue() || f["disable_mx"].GetBoolValue()
}

// KeepsALPN tells whether a cluster's metadata forbid that its ALPN protocols be overridden.
func KeepsALPN(m streaminfo.Metadata) bool {
	return m[MetadataNamespace].GetFields()["alpn_override"].GetStringValue() == "false"
}
