package formatter

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// stateSource finds an object of filter state; nil if there is none.
type stateSource func(i *streaminfo.Info, key string) any

func streamState(i *streaminfo.Info, key string) any   { return i.Find(key) }
func upstreamState(i *streaminfo.Info, key string) any { return i.Upstream.FilterState.Get(key) }

// filterStateOf compiles %FILTER_STATE(key:PLAIN|TYPED|FIELD:field)%.
func filterStateOf(from stateSource) func(param string) (Operator, error) {
	return func(param string) (Operator, error) {
		key, rest, _ := strings.Cut(param, ":")
		form, field, hasField := strings.Cut(rest, ":")
		if key == "" {
			return nil, errors.New("Invalid filter state configuration, key cannot be empty.")
		}
		var value func(dst []byte, object any) ([]byte, Kind)
		switch form {
		case "", "TYPED":
			value = typedState
		case "PLAIN":
			value = plainState
		case "FIELD":
			value = fieldState(field)
		default:
			return nil, errors.New("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.")
		}
		if (form == "FIELD") != hasField || hasField && field == "" {
			return nil, errors.New("Invalid filter state serialize type, FIELD should be used with the field name.")
		}
		return func(dst []byte, c *Context) ([]byte, Kind) {
			if c.Info == nil {
				return dst, Missing
			}
			object := from(c.Info, key)
			if object == nil {
				return dst, Missing
			}
			return value(dst, object)
		}, nil
	}
}

func plainState(dst []byte, object any) ([]byte, Kind) {
	s, ok := object.(streaminfo.Serializer)
	if !ok {
		return dst, Missing
	}
	return append(dst, s.FilterStateString()...), String
}

func fieldState(name string) func(dst []byte, object any) ([]byte, Kind) {
	return func(dst []byte, object any) ([]byte, Kind) {
		f, ok := object.(streaminfo.Fielder)
		if !ok {
			return dst, Missing
		}
		v, ok := f.FilterStateField(name)
		if !ok {
			return dst, Missing
		}
		return append(dst, v...), String
	}
}

// typedState writes the object as JSON. One that is only text is a JSON string, quotes included, in
// text formats too.
func typedState(dst []byte, object any) ([]byte, Kind) {
	j, ok := object.(streaminfo.JSONer)
	if !ok {
		s, ok := object.(streaminfo.Serializer)
		if !ok {
			return dst, Missing
		}
		return appendQuoted(dst, s.FilterStateString()), JSON
	}
	switch v := j.FilterStateJSON().(type) {
	case nil:
		return dst, Missing
	case *structpb.Struct:
		return appendStruct(dst, v), JSON
	case *structpb.Value:
		return appendJSON(dst, v), JSON
	default:
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if e.Encode(v) != nil {
			return dst, Missing
		}
		return append(dst, bytes.TrimSpace(out.Bytes())...), JSON
	}
}
