package route

import (
	"errors"
	"os"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	metadatapb "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingpb "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Decorator names the operation for tracing.
type Decorator struct {
	Operation string
	// Propagate tells the other side by x-envoy-decorator-operation.
	Propagate bool
}

func compileDecorator(p *routepb.Decorator) (*Decorator, error) {
	if p == nil {
		return nil, nil
	}
	if p.GetOperation() == "" {
		return nil, errors.New("Decorator.operation: value length must be at least 1 characters")
	}
	return &Decorator{Operation: p.GetOperation(), Propagate: p.GetPropagate() == nil || p.GetPropagate().GetValue()}, nil
}

// Tracing is a compiled Tracing: what counts instead of the connection manager's settings.
type Tracing struct {
	// Client, Random and Overall are the sampling fractions, 100% by default. Who knows their runtime
	// keys sets them in the connection manager; a route's have none.
	Client, Random, Overall runtime.Fraction
	CustomTags              []CustomTag
	// Operation and UpstreamOperation name the spans; nil: not set.
	Operation, UpstreamOperation formatter.Formatter
}

// TagKind is where a custom tag's value comes from.
type TagKind uint8

// The kinds. The environment is read when the configuration is, which makes a literal of it.
const (
	TagLiteral TagKind = iota
	TagRequestHeader
	TagMetadata
	TagFormat
)

// CustomTag is a compiled CustomTag.
type CustomTag struct {
	Name string
	Kind TagKind
	// Value is a literal's, Header a request header's name in lower case, Format a format. Default is the
	// value where the request has none; without one there is no tag then.
	Value, Header, Default string
	Format                 formatter.Formatter
	MetadataKind           MetadataKind
	Key                    MetadataKey
	ValueType              tracingpb.CustomTag_ValueType
}

// MetadataKind is whose metadata is meant.
type MetadataKind uint8

// The kinds.
const (
	MetadataRequest MetadataKind = iota // dynamic metadata
	MetadataRoute
	MetadataCluster
	MetadataHost
)

// MetadataKey is a compiled MetadataKey.
type MetadataKey struct {
	Filter string
	path   []pathStep
}

type pathStep struct {
	key   string
	index int // of a list, if key is empty
}

func compileMetadataKey(p *metadatapb.MetadataKey) MetadataKey {
	k := MetadataKey{Filter: p.GetKey()}
	for _, s := range p.GetPath() {
		k.path = append(k.path, pathStep{s.GetKey(), int(s.GetIndex())})
	}
	return k
}

// Value finds the value in md; nil if there is none. Without a path it is the whole namespace.
func (k *MetadataKey) Value(md streaminfo.Metadata) *structpb.Value {
	s := md[k.Filter]
	if s == nil {
		return nil
	}
	v := structpb.NewStructValue(s)
	for _, step := range k.path {
		if step.key != "" {
			v = v.GetStructValue().GetFields()[step.key]
			continue
		}
		list := v.GetListValue().GetValues()
		if step.index >= len(list) {
			return nil
		}
		v = list[step.index]
	}
	return v
}

func (o Options) tracing(p *routepb.Tracing) (*Tracing, error) {
	if p == nil {
		return nil, nil
	}
	t := &Tracing{Client: fractionOr100(p.GetClientSampling()), Random: fractionOr100(p.GetRandomSampling()), Overall: fractionOr100(p.GetOverallSampling())}
	for _, tag := range p.GetCustomTags() {
		c, err := o.CustomTag(tag)
		if err != nil {
			return nil, err
		}
		t.CustomTags = append(t.CustomTags, c)
	}
	for _, f := range []struct {
		format string
		to     *formatter.Formatter
	}{{p.GetOperation(), &t.Operation}, {p.GetUpstreamOperation(), &t.UpstreamOperation}} {
		if f.format == "" {
			continue
		}
		compiled, err := formatter.CompileHeader(f.format, o.Formatter)
		if err != nil {
			return nil, err
		}
		*f.to = compiled
	}
	return t, nil
}

func fractionOr100(p *typepb.FractionalPercent) runtime.Fraction {
	if p == nil {
		return runtime.Percent(100)
	}
	return runtime.CompilePercent(p)
}

// CustomTag compiles one custom tag.
func (o Options) CustomTag(p *tracingpb.CustomTag) (CustomTag, error) {
	c := CustomTag{Name: p.GetTag(), ValueType: p.GetValueType()}
	if c.Name == "" {
		return c, errors.New("CustomTag.tag: value length must be at least 1 characters")
	}
	var err error
	switch k := p.GetType().(type) {
	case *tracingpb.CustomTag_Literal_:
		c.Value = k.Literal.GetValue()
	case *tracingpb.CustomTag_Environment_:
		if v, ok := os.LookupEnv(k.Environment.GetName()); ok {
			c.Value = v
		} else {
			c.Value = k.Environment.GetDefaultValue()
		}
	case *tracingpb.CustomTag_RequestHeader:
		c.Kind, c.Header, c.Default = TagRequestHeader, lowerString(k.RequestHeader.GetName()), k.RequestHeader.GetDefaultValue()
	case *tracingpb.CustomTag_Metadata_:
		c.Kind, c.Default, c.Key = TagMetadata, k.Metadata.GetDefaultValue(), compileMetadataKey(k.Metadata.GetMetadataKey())
		switch k.Metadata.GetKind().GetKind().(type) {
		case *metadatapb.MetadataKind_Route_:
			c.MetadataKind = MetadataRoute
		case *metadatapb.MetadataKind_Cluster_:
			c.MetadataKind = MetadataCluster
		case *metadatapb.MetadataKind_Host_:
			c.MetadataKind = MetadataHost
		}
	case *tracingpb.CustomTag_Value:
		c.Kind = TagFormat
		c.Format, err = formatter.CompileHeader(k.Value, o.Formatter)
	default:
		err = errors.New(`CustomTag: field: "type", reason: is required`)
	}
	return c, err
}
