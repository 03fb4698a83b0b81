package peer

import "strings"

// Baggage is the peer as a baggage header: "k8s.deployment.name=W,service.name=S,…".
func (p *Peer) Baggage() string {
	var b strings.Builder
	put := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	kind := p.Type
	if kind == "" {
		kind = Pod
	}
	put("k8s."+string(kind)+".name", p.Workload)
	put("service.name", p.Canonical)
	if p.App != p.Canonical {
		put("app.name", p.App)
	}
	put("service.version", p.Revision)
	if p.Version != p.Revision {
		put("app.version", p.Version)
	}
	put("k8s.namespace.name", p.Namespace)
	put("k8s.cluster.name", p.Cluster)
	put("k8s.instance.name", p.Instance)
	put("cloud.region", p.Region)
	put("cloud.availability_zone", p.Zone)
	return b.String()
}

// FromBaggage reads a baggage header. What it does not tell of a service is what it tells of the app, and
// the other way round. Values are taken as they are: Istio writes none that would be escaped.
func FromBaggage(header, identity string) *Peer {
	header = strings.Clone(header)
	p := &Peer{Identity: identity}
	for property := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(property, "=")
		switch name {
		case "k8s.namespace.name":
			p.Namespace = value
		case "k8s.cluster.name":
			p.Cluster = value
		case "k8s.instance.name":
			p.Instance = value
		case "service.name":
			p.Canonical, p.App = value, or(p.App, value)
		case "service.version":
			p.Revision, p.Version = value, or(p.Version, value)
		case "app.name":
			p.App, p.Canonical = value, or(p.Canonical, value)
		case "app.version":
			p.Version, p.Revision = value, or(p.Revision, value)
		case "cloud.region":
			p.Region = value
		case "cloud.availability_zone":
			p.Zone = value
		case "k8s.deployment.name", "k8s.pod.name", "k8s.cronjob.name", "k8s.job.name":
			p.Workload = value
			p.Type = typeOf(strings.TrimSuffix(strings.TrimPrefix(name, "k8s."), ".name"))
		}
	}
	return p
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
