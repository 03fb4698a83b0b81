package lb

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"
)

// Criteria are what a request asks of the metadata of a host: one value for each key of envoy.lb, sorted
// by key. They are immutable.
type Criteria struct {
	list []criterion
	// fallbacks are the criteria to go by one after the other where metadata_fallback_policy is
	// FALLBACK_LIST; hasList tells that a list was given, rest is the criteria without it.
	fallbacks []*Criteria
	rest      *Criteria
	hasList   bool

	fields map[string]*structpb.Value
}

type criterion struct {
	key, value string // the value as ValueKey writes it
}

// fallbackList is the key of a request's list of alternatives.
const fallbackList = "fallback_list"

// CompileCriteria compiles the envoy.lb fields of a route's metadata_match; nil if there are none.
func CompileCriteria(fields map[string]*structpb.Value) *Criteria {
	if len(fields) == 0 {
		return nil
	}
	c := plainCriteria(fields)
	list, ok := fields[fallbackList].GetKind().(*structpb.Value_ListValue)
	if !ok {
		return c
	}
	c.hasList = true
	rest := maps.Clone(fields)
	delete(rest, fallbackList)
	c.rest = plainCriteria(rest)
	for _, v := range list.ListValue.GetValues() {
		merged := maps.Clone(rest)
		maps.Copy(merged, v.GetStructValue().GetFields())
		c.fallbacks = append(c.fallbacks, plainCriteria(merged))
	}
	return c
}

func plainCriteria(fields map[string]*structpb.Value) *Criteria {
	c := &Criteria{fields: fields, list: make([]criterion, 0, len(fields))}
	for k, v := range fields {
		c.list = append(c.list, criterion{k, ValueKey(v)})
	}
	slices.SortFunc(c.list, func(a, b criterion) int { return cmp.Compare(a.key, b.key) })
	return c
}

// Merge returns c with fields added, which win over c's own: a request's dynamic metadata over its
// route's. c may be nil.
func (c *Criteria) Merge(fields map[string]*structpb.Value) *Criteria {
	if len(fields) == 0 {
		return c
	}
	if c == nil {
		return CompileCriteria(fields)
	}
	merged := maps.Clone(c.fields)
	maps.Copy(merged, fields)
	return CompileCriteria(merged)
}

// ValueKey writes a value so that two are the same text if and only if they are equal.
func ValueKey(v *structpb.Value) string { return string(appendValue(nil, v)) }

func appendValue(b []byte, v *structpb.Value) []byte {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return strconv.AppendQuote(b, k.StringValue)
	case *structpb.Value_NumberValue:
		return strconv.AppendFloat(b, k.NumberValue, 'g', -1, 64)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(b, k.BoolValue)
	case *structpb.Value_ListValue:
		b = append(b, '[')
		for _, e := range k.ListValue.GetValues() {
			b = append(appendValue(b, e), ',')
		}
		return append(b, ']')
	case *structpb.Value_StructValue:
		b = append(b, '{')
		fields := k.StructValue.GetFields()
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			b = append(strconv.AppendQuote(b, name), ':')
			b = append(appendValue(b, fields[name]), ',')
		}
		return append(b, '}')
	default:
		return append(b, "null"...)
	}
}
