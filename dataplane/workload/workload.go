// Package workload is Istio's workload discovery (WDS): what the control plane tells of the mesh's
// workloads, found by their addresses.
package workload

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"unique"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// URL is the type URL of the resource.
const URL = "type.googleapis.com/istio.workload.Workload"

// Workload is one workload, with the names that telemetry has for it. It is immutable.
type Workload struct {
	UID string
	// Name is the instance's, of a pod the pod's; Owner is the name of what it belongs to, a Kind.
	Name, Owner string
	Kind        Kind
	Namespace   string
	// CanonicalName and CanonicalRevision are the service's.
	CanonicalName, CanonicalRevision string
	Cluster                          string
	// Identity is the workload's SPIFFE ID.
	Identity     string
	Region, Zone string
	Addresses    []netip.Addr

	derived atomic.Pointer[any]
}

// Derived returns what make makes of w, made once: there is one user, so one value.
func (w *Workload) Derived(make func(*Workload) any) any {
	if v := w.derived.Load(); v != nil {
		return *v
	}
	v := make(w)
	if !w.derived.CompareAndSwap(nil, &v) {
		return *w.derived.Load()
	}
	return v
}

// Kind is what a workload's owner is, under the numbers of istio.workload.WorkloadType.
type Kind uint8

// The kinds. One that is not known is a Deployment, as in Istio.
const (
	Deployment Kind = iota
	CronJob
	Pod
	Job
)

// Type is the resource. Its name is the uid, which is not its first field.
func Type() xds.Type[*Workload] {
	return xds.Type[*Workload]{URL: URL, AllRequiredInSotW: true, Decode: decode}
}

// The fields of istio.workload.Workload that are looked at. There is no Go package of that message in
// istio.io/api; the others are for who routes traffic by it, which is ztunnel.
const (
	fieldName              = 1
	fieldNamespace         = 2
	fieldAddresses         = 3
	fieldTrustDomain       = 6
	fieldServiceAccount    = 7
	fieldCanonicalName     = 10
	fieldCanonicalRevision = 11
	fieldWorkloadType      = 12
	fieldWorkloadName      = 13
	fieldClusterID         = 18
	fieldUID               = 20
	fieldLocality          = 24

	fieldRegion = 1
	fieldZone   = 2
)

func decode(a *anypb.Any) (string, *Workload, error) {
	w := &Workload{}
	domain, account := "", ""
	err := eachField(a.GetValue(), func(n protowire.Number, v uint64, b []byte) error {
		switch n {
		case fieldUID:
			w.UID = string(b)
		case fieldName:
			w.Name = string(b)
		case fieldNamespace:
			w.Namespace = intern(b)
		case fieldAddresses:
			addr, ok := netip.AddrFromSlice(b)
			if !ok {
				return fmt.Errorf("an address has %d bytes", len(b))
			}
			w.Addresses = append(w.Addresses, addr.Unmap())
		case fieldTrustDomain:
			domain = string(b)
		case fieldServiceAccount:
			account = string(b)
		case fieldCanonicalName:
			w.CanonicalName = intern(b)
		case fieldCanonicalRevision:
			w.CanonicalRevision = intern(b)
		case fieldWorkloadType:
			if v <= uint64(Job) {
				w.Kind = Kind(v)
			}
		case fieldWorkloadName:
			w.Owner = intern(b)
		case fieldClusterID:
			w.Cluster = intern(b)
		case fieldLocality:
			return w.locality(b)
		}
		return nil
	})
	if err != nil {
		return w.UID, nil, fmt.Errorf("Unable to unpack as istio.workload.Workload: %w", err) //nolint:staticcheck // Envoy's text
	}
	w.finish(domain, account)
	return w.UID, w, nil
}

func (w *Workload) locality(b []byte) error {
	return eachField(b, func(n protowire.Number, _ uint64, b []byte) error {
		switch n {
		case fieldRegion:
			w.Region = intern(b)
		case fieldZone:
			w.Zone = intern(b)
		}
		return nil
	})
}

// finish fills in what the control plane may leave out: "This may be elided if this is …".
func (w *Workload) finish(domain, account string) {
	if w.Namespace == "" {
		w.Namespace = "default"
	}
	if domain == "" {
		domain = "cluster.local"
	}
	if account == "" {
		account = "default"
	}
	w.Identity = intern([]byte("spiffe://" + domain + "/ns/" + w.Namespace + "/sa/" + account))
}

// intern makes equal strings one: a mesh says the same names ten thousand times.
func intern(b []byte) string { return unique.Make(string(b)).Value() }

// eachField calls f with every field of an encoded message: a varint's value, or the bytes of a string or
// message. Fields of other wire types are passed over.
func eachField(b []byte, f func(n protowire.Number, v uint64, b []byte) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var v uint64
		var p []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			p, size = protowire.ConsumeBytes(b)
		default:
			if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
				return protowire.ParseError(size)
			}
			b = b[size:]
			continue
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := f(n, v, p); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
