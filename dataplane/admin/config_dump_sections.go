package admin

import (
	"slices"
	"strings"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pillion-proxy/pillion/xds"
)

// timestamp is a time as Envoy dumps it: in milliseconds.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t.Truncate(time.Millisecond))
}

func (d *dump) clustersSection() proto.Message {
	out := &adminpb.ClustersConfigDump{VersionInfo: d.snapshot.Version(xds.ClusterURL)}
	for _, c := range d.clusters {
		if !d.matches(c.Name) {
			continue
		}
		if r := c.Active; r != nil && r.Static {
			out.StaticClusters = append(out.StaticClusters, &adminpb.ClustersConfigDump_StaticCluster{Cluster: r.Any, LastUpdated: timestamp(r.Updated)})
		} else if r != nil {
			out.DynamicActiveClusters = append(out.DynamicActiveClusters, dynamicCluster(r))
		}
		if r := c.Warming; r != nil && r.Static {
			// Envoy has static clusters that are not ready yet among the active ones.
			out.StaticClusters = append(out.StaticClusters, &adminpb.ClustersConfigDump_StaticCluster{Cluster: r.Any, LastUpdated: timestamp(r.Updated)})
		} else if r != nil {
			out.DynamicWarmingClusters = append(out.DynamicWarmingClusters, dynamicCluster(r))
		}
	}
	return out
}

func dynamicCluster(r *xds.Resource) *adminpb.ClustersConfigDump_DynamicCluster {
	return &adminpb.ClustersConfigDump_DynamicCluster{VersionInfo: r.Version, Cluster: r.Any, LastUpdated: timestamp(r.Updated)}
}

// endpointsSection is the live hosts of every cluster, and not what EDS sent.
func (d *dump) endpointsSection() proto.Message {
	out := &adminpb.EndpointsConfigDump{}
	for _, e := range d.endpoints {
		if !d.matches(e.Assignment.GetClusterName()) {
			continue
		}
		packed, err := anypb.New(e.Assignment)
		switch {
		case err != nil: // a name that is no UTF-8 cannot have come over the wire
		case e.Static:
			out.StaticEndpointConfigs = append(out.StaticEndpointConfigs, &adminpb.EndpointsConfigDump_StaticEndpointConfig{EndpointConfig: packed})
		default:
			out.DynamicEndpointConfigs = append(out.DynamicEndpointConfigs, &adminpb.EndpointsConfigDump_DynamicEndpointConfig{EndpointConfig: packed})
		}
	}
	return out
}

func (d *dump) listenersSection() proto.Message {
	out := &adminpb.ListenersConfigDump{VersionInfo: d.snapshot.Version(xds.ListenerURL)}
	named := map[string]*adminpb.ListenersConfigDump_DynamicListener{}
	dynamic := func(name string) *adminpb.ListenersConfigDump_DynamicListener {
		l := named[name]
		if l == nil {
			l = &adminpb.ListenersConfigDump_DynamicListener{Name: name}
			named[name] = l
			out.DynamicListeners = append(out.DynamicListeners, l)
		}
		return l
	}
	for i := range d.listeners {
		l := &d.listeners[i]
		if !d.matches(l.Name) {
			continue
		}
		listenerState(out, l.Active, func() **dynamicState { return &dynamic(l.Name).ActiveState })
		listenerState(out, l.Warming, func() **dynamicState { return &dynamic(l.Name).WarmingState })
		listenerState(out, l.Draining, func() **dynamicState { return &dynamic(l.Name).DrainingState })
	}
	d.listenerFailures(out, dynamic)
	return out
}

type dynamicState = adminpb.ListenersConfigDump_DynamicListenerState

// listenerState adds one version of a listener: to the static ones, or where at tells.
func listenerState(out *adminpb.ListenersConfigDump, r *xds.Resource, at func() **dynamicState) {
	switch {
	case r == nil:
	case r.Static:
		out.StaticListeners = append(out.StaticListeners, &adminpb.ListenersConfigDump_StaticListener{Listener: r.Any, LastUpdated: timestamp(r.Updated)})
	default:
		*at() = &dynamicState{VersionInfo: r.Version, Listener: r.Any, LastUpdated: timestamp(r.Updated)}
	}
}

// listenerFailures adds what was rejected: to the listener's entry, and once more without a name, as
// Envoy does. Names are not asked for.
func (d *dump) listenerFailures(out *adminpb.ListenersConfigDump, dynamic func(string) *adminpb.ListenersConfigDump_DynamicListener) {
	failures := []*xds.Failure{}
	for _, f := range d.snapshot.Failures(xds.ListenerURL) {
		failures = append(failures, f)
	}
	slices.SortFunc(failures, func(a, b *xds.Failure) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range failures {
		dynamic(f.Name).ErrorState = &adminpb.UpdateFailureState{FailedConfiguration: f.Any, LastUpdateAttempt: timestamp(f.At), Details: f.Details}
	}
	for _, f := range failures {
		out.DynamicListeners = append(out.DynamicListeners, &adminpb.ListenersConfigDump_DynamicListener{
			ErrorState: &adminpb.UpdateFailureState{FailedConfiguration: f.Any, Details: f.Details},
		})
	}
}

func (d *dump) secretsSection() proto.Message {
	out := &adminpb.SecretsConfigDump{}
	for _, r := range d.snapshot.Sorted(xds.SecretURL) {
		switch {
		case !d.matches(r.Name):
		case r.Static:
			out.StaticSecrets = append(out.StaticSecrets, &adminpb.SecretsConfigDump_StaticSecret{Name: r.Name, Secret: r.Any})
		default:
			out.DynamicActiveSecrets = append(out.DynamicActiveSecrets, &adminpb.SecretsConfigDump_DynamicSecret{
				Name: r.Name, VersionInfo: r.Version, LastUpdated: timestamp(r.Updated), Secret: r.Any,
			})
		}
	}
	var waits []string
	for ref := range d.snapshot.Wants() {
		if ref.TypeURL == xds.SecretURL && d.snapshot.Resource(ref.TypeURL, ref.Name) == nil && d.matches(ref.Name) {
			waits = append(waits, ref.Name)
		}
	}
	slices.Sort(waits)
	for _, name := range slices.Compact(waits) {
		if empty, err := anypb.New(&tlspb.Secret{Name: name}); err == nil {
			out.DynamicWarmingSecrets = append(out.DynamicWarmingSecrets, &adminpb.SecretsConfigDump_DynamicSecret{Name: name, VersionInfo: "uninitialized", Secret: empty})
		}
	}
	return out
}

// extensionsSection is ECDS; nil: nothing is discovered so.
func (d *dump) extensionsSection() proto.Message {
	if d.snapshot.Len(xds.ExtensionURL) == 0 {
		return nil
	}
	out := &adminpb.EcdsConfigDump{}
	for _, r := range d.snapshot.Sorted(xds.ExtensionURL) {
		if d.matches(r.Name) {
			out.EcdsFilters = append(out.EcdsFilters, &adminpb.EcdsConfigDump_EcdsFilterConfig{VersionInfo: r.Version, EcdsFilter: r.Any, LastUpdated: timestamp(r.Updated)})
		}
	}
	return out
}
