package formatter

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

func FuzzCompile(f *testing.F) {
	for _, s := range []string{istioFormat, "%%", "%REQ(a%b)%", "%START_TIME(%E3S %5f %%)%", `%COALESCE({"operators":["HOSTNAME"]}):3%`, "%XFCC_VALUE(uri)%", "%QUERY_PARAM(q):1%", "x %METADATA(ROUTE:x:o):3%"} {
		f.Add(s, `By="a\";b";URI=c,d`, "/a?q=%41%&b=%zz", "a\xe9\"\\")
	}
	f.Fuzz(func(t *testing.T, format, xfcc, path, value string) {
		c := sampleFirst(t)
		c.Request.Path = path
		c.Request.Add("x-forwarded-client-cert", xfcc)
		c.Request.Add("a", value)
		c.Info.Details = value
		c.Info.RouteMetadata["x"] = metadata(t)
		text, err := Compile(format, Options{})
		j, err2 := CompileJSON(&structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue(format)}}, Options{})
		if (err == nil) != (err2 == nil) {
			t.Fatalf("text: %v, JSON: %v", err, err2)
		}
		if err != nil {
			return
		}
		_ = text.AppendContext(nil, c)
		if out := j.AppendContext(nil, c); !json.Valid(out) {
			t.Fatalf("no JSON: %q", out)
		}
	})
}
