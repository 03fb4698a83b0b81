package route

import (
	"cmp"
	"slices"
	"sync/atomic"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// lazyMetadata keeps metadata as bytes until someone asks: as structs it costs ten times as much, and a
// mesh has a route's worth of it for every service. A nil one is empty.
type lazyMetadata struct {
	raw     []byte
	decoded atomic.Pointer[streaminfo.Metadata]
}

func compileLazyMetadata(p *corepb.Metadata) *lazyMetadata {
	if len(p.GetFilterMetadata()) == 0 {
		return nil // typed_filter_metadata is for extensions that there are none of here
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&corepb.Metadata{FilterMetadata: p.GetFilterMetadata()})
	if err != nil {
		return nil // what was unmarshalled can be marshalled
	}
	return &lazyMetadata{raw: raw}
}

func (m *lazyMetadata) get() streaminfo.Metadata {
	if m == nil {
		return nil
	}
	if md := m.decoded.Load(); md != nil {
		return *md
	}
	p := &corepb.Metadata{}
	if err := proto.Unmarshal(m.raw, p); err != nil {
		return nil
	}
	md := streaminfo.Metadata(p.GetFilterMetadata())
	m.decoded.Store(&md) // who comes second replaces it by the same
	return md
}

// MetadataPair is one key of metadata_match, and the value that a host's metadata must have there.
type MetadataPair struct {
	Key   string
	Value *structpb.Value
}

const lbNamespace = "envoy.lb"

// compileMetadataMatch takes the envoy.lb part of metadata_match; pairs of over replace those of base.
func compileMetadataMatch(base []MetadataPair, over *corepb.Metadata) []MetadataPair {
	fields := over.GetFilterMetadata()[lbNamespace].GetFields()
	if len(fields) == 0 {
		return base
	}
	out := make([]MetadataPair, 0, len(base)+len(fields))
	for _, p := range base {
		if _, replaced := fields[p.Key]; !replaced {
			out = append(out, p)
		}
	}
	for key, value := range fields {
		out = append(out, MetadataPair{key, value})
	}
	slices.SortFunc(out, func(a, b MetadataPair) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (o Options) subset(pairs []MetadataPair) any {
	if o.Subset == nil || len(pairs) == 0 {
		return nil
	}
	fields := make(map[string]*structpb.Value, len(pairs))
	for _, p := range pairs {
		fields[p.Key] = p.Value
	}
	return o.Subset(fields)
}
