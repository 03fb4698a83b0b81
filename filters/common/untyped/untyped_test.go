package untyped

import (
	"strings"
	"testing"

	udpapb "github.com/cncf/xds/go/udpa/type/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

var message = Message{
	{Number: 1, Name: "a_name", Kind: String},
	{Number: 2, Name: "flag", Kind: Bool},
	{Number: 3, Name: "all_names", Kind: String, Repeated: true},
	{Number: 4, Name: "inner", Repeated: true, Message: Message{{Number: 1, Name: "nothing", Message: Empty}, {Number: 2, Name: "on", Kind: Bool}}},
}

func structOf(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func typed(t *testing.T, text string) *anypb.Any {
	t.Helper()
	a, err := anypb.New(&udpapb.TypedStruct{TypeUrl: "type.googleapis.com/x.M", Value: structOf(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func field(n protowire.Number, v any) []byte {
	switch v := v.(type) {
	case string:
		return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v)
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
	}
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), 1)
}

func TestBothFormsSayTheSame(t *testing.T) {
	want := structOf(t, `{"a_name":"x","flag":true,"all_names":["a","b"],"inner":[{"nothing":{}},{"on":true}]}`)
	var b []byte
	for _, f := range [][]byte{field(1, "x"), field(2, true), field(3, "a"), field(3, "b"), field(4, field(1, []byte{})), field(4, field(2, true))} {
		b = append(b, f...)
	}
	for name, a := range map[string]*anypb.Any{
		"as it is written": typed(t, `{"a_name":"x","flag":true,"all_names":["a","b"],"inner":[{"nothing":{}},{"on":true}]}`),
		"camel case":       typed(t, `{"aName":"x","flag":true,"allNames":["a","b"],"inner":[{"nothing":{}},{"on":true}]}`),
		"null":             typed(t, `{"aName":"x","flag":true,"allNames":["a","b"],"inner":[{"nothing":{},"on":null},{"on":true}]}`),
		"binary":           {TypeUrl: "type.googleapis.com/x.M", Value: b},
	} {
		got, err := Decode(a, "M", message)
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWhatIsNotKnownIsRefusedByName(t *testing.T) {
	for text, want := range map[string]string{
		`{"other":1}`:                 "field M.other is not supported",
		`{"inner":[{"other":{}}]}`:    "field M.inner.other is not supported",
		`{"flag":"true"}`:             "field M.flag has a value of another type",
		`{"a_name":{}}`:               "field M.a_name has a value of another type",
		`{"inner":{}}`:                "field M.inner is not a list",
		`{"inner":[{"nothing":"x"}]}`: "field M.inner.nothing has a value of another type",
	} {
		if _, err := Decode(typed(t, text), "M", message); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for name, b := range map[string][]byte{
		"not supported": field(9, "x"), "another type": field(2, "x"), "M.inner.nothing": field(4, field(1, true)), "unexpected EOF": field(1, "xyz")[:3],
	} {
		_, err := Decode(&anypb.Any{TypeUrl: "type.googleapis.com/x.M", Value: b}, "M", message)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingIsEmpty(t *testing.T) {
	for _, a := range []*anypb.Any{nil, {TypeUrl: "type.googleapis.com/x.M"}} {
		if s, err := Decode(a, "M", message); err != nil || len(s.GetFields()) != 0 {
			t.Errorf("%v, %v", s, err)
		}
	}
}
