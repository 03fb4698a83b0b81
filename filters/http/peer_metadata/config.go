package peermetadata

import (
	"fmt"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/filters/common/untyped"
)

const typeName = "io.istio.http.peer_metadata.Config"

// message is io.istio.http.peer_metadata.Config, which has no Go type.
var (
	istioHeadersMessage = untyped.Message{{Number: 1, Name: "skip_external_clusters", Kind: untyped.Bool}}
	discoveryMessage    = untyped.Message{
		{Number: 1, Name: "baggage", Message: untyped.Empty},
		{Number: 2, Name: "workload_discovery", Message: untyped.Empty},
		{Number: 3, Name: "istio_headers", Message: istioHeadersMessage},
		{Number: 4, Name: "upstream_filter_state", Message: untyped.Message{{Number: 1, Name: "peer_metadata_key"}}},
	}
	propagationMessage = untyped.Message{
		{Number: 1, Name: "istio_headers", Message: istioHeadersMessage},
		{Number: 2, Name: "baggage", Message: untyped.Empty},
	}
	message = untyped.Message{
		{Number: 1, Name: "downstream_discovery", Message: discoveryMessage, Repeated: true},
		{Number: 2, Name: "upstream_discovery", Message: discoveryMessage, Repeated: true},
		{Number: 3, Name: "downstream_propagation", Message: propagationMessage, Repeated: true},
		{Number: 4, Name: "upstream_propagation", Message: propagationMessage, Repeated: true},
		{Number: 5, Name: "shared_with_upstream", Kind: untyped.Bool},
		{Number: 6, Name: "additional_labels", Repeated: true},
	}
)

// Config is a compiled Config.
type Config struct {
	downstreamDiscovery, upstreamDiscovery     []discovery
	downstreamPropagation, upstreamPropagation []propagation
	sharedWithUpstream                         bool
	labels                                     []string
}

// method is a way to learn of a peer, or to tell one.
type method uint8

const (
	istioHeaders method = iota
	workloadDiscovery
	baggageHeader
	upstreamFilterState
)

type discovery struct {
	method method
	key    string // of upstreamFilterState
}

type propagation struct {
	method       method
	skipExternal bool
}

func parse(a *anypb.Any, _ filter.Parsers) (filter.HTTPConfig, error) {
	s, err := untyped.Decode(a, "Config", message)
	if err != nil {
		return nil, err
	}
	f := s.GetFields()
	c := &Config{sharedWithUpstream: f["shared_with_upstream"].GetBoolValue()}
	for _, l := range f["additional_labels"].GetListValue().GetValues() {
		c.labels = append(c.labels, l.GetStringValue())
	}
	if c.downstreamDiscovery, err = discoveries(f, "downstream_discovery"); err != nil {
		return nil, err
	}
	if c.upstreamDiscovery, err = discoveries(f, "upstream_discovery"); err != nil {
		return nil, err
	}
	if c.downstreamPropagation, err = propagations(f, "downstream_propagation"); err != nil {
		return nil, err
	}
	c.upstreamPropagation, err = propagations(f, "upstream_propagation")
	return c, err
}

// discoveries compiles a list of methods. One that says nothing is passed over, as is one for the other
// direction: Istio warns of it.
func discoveries(f map[string]*structpb.Value, name string) (out []discovery, err error) {
	for _, v := range f[name].GetListValue().GetValues() {
		kind, arg, err := one(v, name)
		if err != nil {
			return nil, err
		}
		switch {
		case kind == "istio_headers":
			// skip_external_clusters is about telling, not about learning.
			out = append(out, discovery{method: istioHeaders})
		case kind == "workload_discovery":
			out = append(out, discovery{method: workloadDiscovery})
		case kind == "baggage" && name == "downstream_discovery":
			out = append(out, discovery{method: baggageHeader})
		case kind == "upstream_filter_state" && name == "upstream_discovery":
			out = append(out, discovery{method: upstreamFilterState, key: arg["peer_metadata_key"].GetStringValue()})
		}
	}
	return out, nil
}

func propagations(f map[string]*structpb.Value, name string) (out []propagation, err error) {
	for _, v := range f[name].GetListValue().GetValues() {
		kind, arg, err := one(v, name)
		if err != nil {
			return nil, err
		}
		switch kind {
		case "istio_headers":
			out = append(out, propagation{istioHeaders, arg["skip_external_clusters"].GetBoolValue()})
		case "baggage":
			out = append(out, propagation{method: baggageHeader})
		}
	}
	return out, nil
}

// one is the member of a method's oneof that is set; "" is none.
func one(v *structpb.Value, name string) (kind string, arg map[string]*structpb.Value, err error) {
	for k, v := range v.GetStructValue().GetFields() {
		if kind != "" {
			return "", nil, fmt.Errorf("field Config.%s: %s and %s are both set", name, min(kind, k), max(kind, k))
		}
		kind, arg = k, v.GetStructValue().GetFields()
	}
	return kind, arg, nil
}

var _ filter.HTTPConfig = (*Config)(nil)
