// Package peer is what Istio's metadata exchange knows of the workload at the other end, in all its forms:
// node metadata, the x-envoy-peer-metadata header, baggage, workload discovery, filter state.
package peer

import (
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
)

// Peer is one workload. It is immutable.
type Peer struct {
	// Instance is the pod's name, Workload that of what it belongs to, Type what that is.
	Instance, Workload  string
	Type                Type
	Namespace, Cluster  string
	Canonical, Revision string
	App, Version        string
	// Identity is the SPIFFE ID, where it is known.
	Identity     string
	Region, Zone string
	// Labels are the additional ones that the configuration asks for, by name.
	Labels []Label

	state atomic.Pointer[structpb.Struct] // see State
}

// Label is one of a workload's labels.
type Label struct{ Name, Value string }

// Type is what a workload is; "" is not known.
type Type string

// The types.
const (
	Pod        Type = "pod"
	Deployment Type = "deployment"
	Job        Type = "job"
	CronJob    Type = "cronjob"
)

// typeOf is the type called s, or "".
func typeOf(s string) Type {
	switch t := Type(s); t {
	case Pod, Deployment, Job, CronJob:
		return t
	}
	return ""
}

// Labels that telemetry has names for.
const (
	labelCanonicalName     = "service.istio.io/canonical-name"
	labelCanonicalRevision = "service.istio.io/canonical-revision"
	labelApp               = "app"
	labelVersion           = "version"
	labelAppName           = "app.kubernetes.io/name"
	labelAppVersion        = "app.kubernetes.io/version"
)

// FromNode is this proxy itself, with the additional labels asked for.
func FromNode(n *filter.Node, additional []string) *Peer {
	p := FromMetadata(n.Metadata, additional)
	if p.Region == "" {
		p.Region = n.Region
	}
	if p.Zone == "" {
		p.Zone = n.Zone
	}
	return p
}

// FromMetadata reads node metadata, or what Metadata has made of it.
func FromMetadata(s *structpb.Struct, additional []string) *Peer {
	f := s.GetFields()
	text := func(name string) string { return f[name].GetStringValue() }
	p := &Peer{
		Instance: text("NAME"), Workload: text("WORKLOAD_NAME"), Namespace: text("NAMESPACE"), Cluster: text("CLUSTER_ID"),
		Identity: text("IDENTITY"), Region: text("REGION"), Zone: text("AVAILABILITY_ZONE"),
	}
	p.Type = ownerType(text("OWNER"), p.Workload)
	labels := f["LABELS"].GetStructValue().GetFields()
	label := func(names ...string) string {
		for _, name := range names {
			if v := labels[name].GetStringValue(); v != "" {
				return v
			}
		}
		return ""
	}
	p.Canonical, p.Revision = label(labelCanonicalName), label(labelCanonicalRevision)
	p.App, p.Version = label(labelAppName, labelApp), label(labelAppVersion, labelVersion)
	for _, name := range additional {
		if v, ok := labels[name]; ok && !named(name) {
			p.Labels = append(p.Labels, Label{name, v.GetStringValue()})
		}
	}
	return p
}

// named tells the labels that have a field of their own.
func named(label string) bool {
	switch label {
	case labelCanonicalName, labelCanonicalRevision, labelApp, labelVersion, labelAppName, labelAppVersion:
		return true
	}
	return false
}

const ownerPrefix = "kubernetes://apis/apps/v1/namespaces/"

// ownerType finds the type in "kubernetes://apis/apps/v1/namespaces/NS/TYPEs/WORKLOAD".
func ownerType(owner, workload string) Type {
	const separators = len("s/")
	if len(owner) <= len(workload)+separators {
		return ""
	}
	owner = owner[:len(owner)-len(workload)-separators]
	at := strings.LastIndexByte(owner, '/')
	if at < 0 {
		return ""
	}
	return typeOf(owner[at+1:])
}

// Metadata is what the peer is sent as: the part of node metadata that tells of a workload.
func (p *Peer) Metadata() *structpb.Struct {
	s := fields("NAME", p.Instance, "NAMESPACE", p.Namespace, "WORKLOAD_NAME", p.Workload, "CLUSTER_ID", p.Cluster, "IDENTITY", p.Identity,
		"REGION", p.Region, "AVAILABILITY_ZONE", p.Zone)
	labels := fields(labelCanonicalName, p.Canonical, labelCanonicalRevision, p.Revision, labelApp, p.App, labelVersion, p.Version)
	for _, l := range p.Labels {
		labels.Fields[l.Name] = structpb.NewStringValue(l.Value)
	}
	s.Fields["LABELS"] = structpb.NewStructValue(labels)
	if p.Type != "" {
		s.Fields["OWNER"] = structpb.NewStringValue(ownerPrefix + p.Namespace + "/" + string(p.Type) + "s/" + p.Workload)
	}
	return s
}

// fields makes a Struct of names and values; empty values are left out.
func fields(pairs ...string) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			s.Fields[pairs[i]] = structpb.NewStringValue(pairs[i+1])
		}
	}
	return s
}

// Marshal encodes m with its maps in the order of their keys, so that equal peers are equal bytes.
func Marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil // only text that is no UTF-8 could not be encoded, and such text could not be decoded either
	}
	return b
}

// FromEndpoint reads the istio.workload metadata of an endpoint: "WORKLOAD;NAMESPACE;CANONICAL;REVISION;CLUSTER";
// nil if it is none.
func FromEndpoint(encoded string) *Peer {
	parts := strings.Split(encoded, ";")
	if len(parts) < 5 {
		return nil
	}
	return &Peer{Workload: parts[0], Namespace: parts[1], Canonical: parts[2], Revision: parts[3], Cluster: parts[4]}
}
