package matcher

import (
	"strings"

	networkpb "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

func nameOf(m proto.Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

func fullName(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }

// HTTPInputs compiles the inputs that there are for a stream: its own, and its connection's.
func HTTPInputs(x Extension) (Input, error) {
	if p, ok, err := as[matcherpb.HttpRequestHeaderMatchInput](x); ok {
		return requestHeaderInput{asciiLower(p.GetHeaderName())}, err
	}
	if p, ok, err := as[matcherpb.HttpRequestTrailerMatchInput](x); ok {
		return mapInput{asciiLower(p.GetHeaderName()), func(d *Data) *header.Map { return d.RequestTrailers }}, err
	}
	if p, ok, err := as[matcherpb.HttpResponseHeaderMatchInput](x); ok {
		return mapInput{asciiLower(p.GetHeaderName()), func(d *Data) *header.Map { return d.Response }}, err
	}
	if p, ok, err := as[matcherpb.HttpResponseTrailerMatchInput](x); ok {
		return mapInput{asciiLower(p.GetHeaderName()), func(d *Data) *header.Map { return d.ResponseTrailers }}, err
	}
	if p, ok, err := as[matcherpb.HttpRequestQueryParamMatchInput](x); ok {
		return queryInput{p.GetQueryParam()}, err
	}
	if _, ok, err := as[matcherpb.HttpResponseStatusCodeMatchInput](x); ok {
		return statusInput{}, err
	}
	if _, ok, err := as[matcherpb.HttpResponseStatusCodeClassMatchInput](x); ok {
		return statusInput{class: true}, err
	}
	if p, ok, err := as[networkpb.DynamicMetadataInput](x); ok {
		in := metadataInput{filter: p.GetFilter()}
		for _, s := range p.GetPath() {
			in.path = append(in.path, s.GetKey())
		}
		return in, err
	}
	return NetworkInputs(x)
}

type requestHeaderInput struct{ name string }

// Get joins the values of the header.
func (in requestHeaderInput) Get(d Data) InputValue {
	if d.Request == nil {
		return Pending()
	}
	return maybeText(d.Request.Joined(in.name))
}

type mapInput struct {
	name string
	of   func(d *Data) *header.Map
}

// Get joins the values of the header.
func (in mapInput) Get(d Data) InputValue {
	m := in.of(&d)
	if m == nil {
		return Pending()
	}
	return maybeText(m.Joined(in.name))
}

type queryInput struct{ name string }

// Get is the first value of the parameter.
func (in queryInput) Get(d Data) InputValue {
	if d.Request == nil {
		return Pending()
	}
	v, ok := QueryParam(d.Request.Path, in.name)
	if ok && strings.IndexByte(v, '%') >= 0 {
		v = percentDecode(v)
	}
	return maybeText(v, ok)
}

// percentDecode decodes what is well formed and leaves the rest.
func percentDecode(s string) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hex, lower(s[i+1])), strings.IndexByte(hex, lower(s[i+2]))
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

type statusInput struct{ class bool }

// Get is the response's status, or its class as "2xx".
func (in statusInput) Get(d Data) InputValue {
	if d.Response == nil {
		return Pending()
	}
	status := d.Response.Status
	if status == 0 {
		return InputValue{}
	}
	if !in.class {
		return TextValue(header.StatusString(status))
	}
	if status < 100 || status > 599 {
		return InputValue{}
	}
	const classes = "1xx2xx3xx4xx5xx"
	at := (status/100 - 1) * 3
	return TextValue(classes[at : at+3])
}

type metadataInput struct {
	filter string
	path   []string
}

// Get follows the path through dynamic metadata.
func (in metadataInput) Get(d Data) InputValue {
	if d.Info == nil {
		return Pending()
	}
	v := MetadataValue(d.Info.Metadata, in.filter, in.path)
	return InputValue{object: v, state: inputObject}
}
