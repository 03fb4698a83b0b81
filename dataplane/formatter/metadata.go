package formatter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// metadataSource picks the metadata of one thing; nil is none.
type metadataSource func(i *streaminfo.Info) streaminfo.Metadata

func dynamicMetadata(i *streaminfo.Info) streaminfo.Metadata { return i.Metadata }
func clusterMetadata(i *streaminfo.Info) streaminfo.Metadata { return i.ClusterMetadata }
func hostMetadata(i *streaminfo.Info) streaminfo.Metadata    { return i.Upstream.HostMetadata }

// compileMetadata compiles %METADATA(TYPE:namespace:key…)%.
func compileMetadata(param string) (Operator, error) {
	kind, rest, _ := strings.Cut(param, ":")
	var from metadataSource
	switch kind {
	case "DYNAMIC":
		from = dynamicMetadata
	case "CLUSTER":
		from = clusterMetadata
	case "UPSTREAM_HOST":
		from = hostMetadata
	case "ROUTE":
		from = func(i *streaminfo.Info) streaminfo.Metadata { return i.RouteMetadata }
	case "VIRTUAL_HOST":
		from = func(i *streaminfo.Info) streaminfo.Metadata { return i.VirtualHostMetadata }
	case "LISTENER":
		from = func(i *streaminfo.Info) streaminfo.Metadata { return i.ListenerMetadata }
	case "LISTENER_FILTER_CHAIN":
		from = func(i *streaminfo.Info) streaminfo.Metadata { return i.FilterChainMetadata }
	default:
		return nil, fmt.Errorf("%s is not supported type of metadata", kind)
	}
	return metadataOf(from)(rest)
}

// metadataOf compiles %DYNAMIC_METADATA(namespace:key…)% and its kin.
func metadataOf(from metadataSource) func(param string) (Operator, error) {
	return func(param string) (Operator, error) {
		path := strings.Split(param, ":")
		namespace, path := path[0], path[1:]
		return func(dst []byte, c *Context) ([]byte, Kind) {
			if c.Info == nil {
				return dst, Missing
			}
			s := from(c.Info)[namespace]
			if s == nil {
				return dst, Missing
			}
			if len(path) == 0 {
				return appendStruct(dst, s), JSON
			}
			v := s.GetFields()[path[0]]
			for _, key := range path[1:] {
				v = v.GetStructValue().GetFields()[key]
			}
			return appendValue(dst, v)
		}, nil
	}
}

// appendValue appends a value of metadata: a string as it is, everything else as JSON.
func appendValue(dst []byte, v *structpb.Value) ([]byte, Kind) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return append(dst, k.StringValue...), String
	case *structpb.Value_NumberValue:
		return appendDouble(dst, k.NumberValue), Number
	case nil, *structpb.Value_NullValue:
		return dst, Missing
	}
	return appendJSON(dst, v), JSON
}

// appendJSON writes v as JSON without spaces, keys sorted.
func appendJSON(dst []byte, v *structpb.Value) []byte {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return appendStruct(dst, k.StructValue)
	case *structpb.Value_ListValue:
		dst = append(dst, '[')
		for i, e := range k.ListValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case *structpb.Value_StringValue:
		return appendQuoted(dst, k.StringValue)
	case *structpb.Value_NumberValue:
		return appendDouble(dst, k.NumberValue)
	case *structpb.Value_BoolValue:
		if k.BoolValue {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	}
	return append(dst, "null"...)
}

func appendStruct(dst []byte, s *structpb.Struct) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, key), ':')
		dst = appendJSON(dst, s.GetFields()[key])
	}
	return append(dst, '}')
}
