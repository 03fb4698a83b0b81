package bootstrap

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/xds"
)

// Layer is one layer of the runtime; later ones win.
type Layer struct {
	Name string
	// Values are a static layer's, by dotted key.
	Values map[string]string
	// Admin layers take /runtime_modify.
	Admin bool
	// RTDS, if not nil, is where the values come from.
	RTDS *xds.Ref
}

func compileRuntime(r *bootstrappb.LayeredRuntime) ([]Layer, error) {
	var out []Layer
	names := map[string]bool{}
	admin := false
	for _, p := range r.GetLayers() {
		if names[p.Name] {
			return nil, fmt.Errorf("Duplicate layer name: %s", p.Name)
		}
		names[p.Name] = true
		l, err := compileLayer(p)
		if err != nil {
			return nil, err
		}
		if l.Admin && admin {
			return nil, errors.New("Too many admin layers specified in LayeredRuntime, at most one may be specified")
		}
		admin = admin || l.Admin
		out = append(out, l)
	}
	return out, nil
}

func compileLayer(p *bootstrappb.RuntimeLayer) (l Layer, err error) {
	l.Name = p.Name
	switch s := p.LayerSpecifier.(type) {
	case *bootstrappb.RuntimeLayer_StaticLayer:
		l.Values, err = Flatten(s.StaticLayer)
	case *bootstrappb.RuntimeLayer_AdminLayer_:
		l.Admin = true
	case *bootstrappb.RuntimeLayer_RtdsLayer_:
		var source string
		var timeout time.Duration
		source, timeout, err = xds.Source(s.RtdsLayer.GetRtdsConfig())
		l.RTDS = &xds.Ref{TypeURL: xds.RuntimeURL, Name: s.RtdsLayer.GetName(), Source: source, Timeout: timeout}
		if l.RTDS.Name == "" {
			l.RTDS.Name = p.Name
		}
	case *bootstrappb.RuntimeLayer_DiskLayer_:
		err = errors.New("field RuntimeLayer.disk_layer is not supported")
	default:
		err = fmt.Errorf("runtime layer %q: %T is not supported", p.Name, s)
	}
	return l, err
}

// Flatten is a runtime layer's struct by dotted keys: nested objects are levels of a key, and but one
// that is a fractional percent is a value.
func Flatten(s *structpb.Struct) (map[string]string, error) {
	out := map[string]string{}
	for k, v := range s.GetFields() {
		if err := flatten(out, k, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func flatten(out map[string]string, key string, v *structpb.Value) error {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		out[key] = k.StringValue
	case *structpb.Value_BoolValue:
		out[key] = strconv.FormatBool(k.BoolValue)
	case *structpb.Value_NumberValue:
		out[key] = strconv.FormatFloat(k.NumberValue, 'f', -1, 64)
	case *structpb.Value_StructValue:
		f := k.StructValue.GetFields()
		if f["numerator"] != nil || f["denominator"] != nil {
			out[key] = fraction(f)
			return nil
		}
		for name, v := range f {
			if err := flatten(out, key+"."+name, v); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("Invalid runtime entry value for %s", key)
	}
	return nil
}

// fraction writes a fractional percent as the runtime reads it.
func fraction(f map[string]*structpb.Value) string {
	denominator := f["denominator"].GetStringValue()
	if denominator == "" {
		denominator = "HUNDRED"
		if n := int(f["denominator"].GetNumberValue()); n > 0 && n < 3 {
			denominator = [...]string{"HUNDRED", "TEN_THOUSAND", "MILLION"}[n]
		}
	}
	numerator := f["numerator"].GetStringValue()
	if numerator == "" {
		numerator = strconv.FormatFloat(f["numerator"].GetNumberValue(), 'f', -1, 64)
	}
	return "numerator: " + numerator + ", denominator: " + denominator
}
