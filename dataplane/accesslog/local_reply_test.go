package accesslog

import (
	"strings"
	"testing"
	"time"

	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func localReply(t *testing.T, config string) (*LocalReply, error) {
	t.Helper()
	p := &hcmpb.LocalReplyConfig{}
	if err := protojson.Unmarshal([]byte(config), p); err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	return CompileLocalReply(p, Options{})
}

func status(n string) string {
	return `"filter":{"status_code_filter":{"comparison":{"value":{"default_value":` + n + `,"runtime_key":"x"}}}}`
}

// mappers is the configuration that Envoy 1.40's replies below were recorded with.
var mappers = `"mappers":[
 {` + status("404") + `,"status_code":450,"body":{"inline_string":"b404 %PROTOCOL%"},"headers_to_add":[
   {"header":{"key":"x-a","value":"code=%RESPONSE_CODE% %REQ(x-q)% %RESP(x-a)% %RESP(content-type)%"}},
   {"header":{"key":"x-empty","value":"%REQ(none)%"}},
   {"header":{"key":"content-type","value":"x/y"},"append_action":"OVERWRITE_IF_EXISTS_OR_ADD"}]},
 {` + status("503") + `,"status_code":502,"body_format_override":{"json_format":{"s":"%RESPONSE_CODE%","m":"%LOCAL_REPLY_BODY%","d":"%RESPONSE_CODE_DETAILS%","z":{"p":"%REQ(:path)%"},"f":"%RESPONSE_FLAGS%"}},
   "headers_to_add":[{"header":{"key":"x-b","value":"1"}},{"header":{"key":"x-b","value":"2"}},{"header":{"key":"content-type","value":"a/b"}}]},
 {"filter":{"header_filter":{"header":{"name":"x-h","string_match":{"exact":"1"}}}},"body_format_override":{"text_format_source":{"inline_string":"<%LOCAL_REPLY_BODY%> %RESPONSE_CODE%"},"content_type":"text/html; charset=UTF-8"}},
 {` + status("201") + `,"body":{"inline_string":""},"status_code":299},
 {` + status("202") + `,"body":{"inline_string":"no override"},"body_format_override":{"text_format":"","content_type":"q/q"}},
 {` + status("203") + `,"headers_to_add":[{"header":{"key":"x-c","value":"%LOCAL_REPLY_BODY%|%RESPONSE_FLAGS%"}}]}]`

func TestLocalRepliesAreEnvoys(t *testing.T) {
	const text = `,"body_format":{"text_format_source":{"inline_string":"BF %LOCAL_REPLY_BODY% %RESPONSE_CODE%\n"}}`
	const json = `,"body_format":{"json_format":{"b":"%LOCAL_REPLY_BODY%"},"content_type":"application/problem+json"}`
	for _, c := range []struct {
		format, path string
		code         int
		body         string
		// want is the code, the headers added, the content type and the body.
		want string
	}{
		{"", "/nope", 404, "", "450 content-type=x/y x-a=code=404 qq   text/plain|b404 %PROTOCOL%"},
		{"", "/503", 503, "no healthy upstream", `502 x-b=1 x-b=2 content-type=a/b application/json|{"d":"no_healthy_upstream","f":"UH","m":"no healthy upstream","s":502,"z":{"p":"/503"}}` + "\n"},
		{"", "/200", 200, "plain", "200 text/plain|plain"},
		{"", "/201", 201, "body", "299 text/plain|"},
		{"", "/202", 202, "x", "202 q/q|"},
		{"", "/203", 203, "orig", "203 x-c=|UH text/plain|orig"},
		{"", "/x-h", 200, "plain", "200 text/html; charset=UTF-8|<plain> 200"},
		{text, "/nope", 404, "", "450 content-type=x/y x-a=code=404 qq   text/plain|BF b404 %PROTOCOL% 450\n"},
		{text, "/2oo", 200, "", "200 text/plain|BF  200\n"},
		{text, "/201", 201, "body", "299 text/plain|BF  299\n"},
		{text, "/202", 202, "x", "202 q/q|"},
		{text, "/203", 203, "orig", "203 x-c=|UH text/plain|BF orig 203\n"},
		{json, "/200", 200, "plain", `200 application/problem+json|{"b":"plain"}` + "\n"},
		{json, "/nope", 404, "", `450 content-type=x/y x-a=code=404 qq   application/problem+json|{"b":"b404 %PROTOCOL%"}` + "\n"},
	} {
		l, err := localReply(t, "{"+mappers+c.format+"}")
		if err != nil {
			t.Fatal(err)
		}
		e := &Entry{Request: &header.Map{Path: c.path}, Response: &header.Map{}, Info: &streaminfo.Info{
			Start: time.Now(), Protocol: streaminfo.HTTP11, Details: "no_healthy_upstream", Flags: streaminfo.NoHealthyUpstream}}
		e.Request.Add("x-q", "qq")
		if c.path == "/x-h" {
			e.Request.Add("x-h", "1")
		}
		r := Reply{Code: c.code, Body: []byte(c.body)}
		l.Rewrite(e, nil, &r)
		got := []string{header.StatusString(r.Code)}
		for _, f := range e.Response.Fields() {
			got = append(got, f.Name+"="+f.Value)
		}
		got = append(got, r.ContentType+"|"+string(r.Body))
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s%s:\n got %q\nwant %q", c.path, c.format, s, c.want)
		}
		if e.Info.ResponseCode != r.Code || e.Response.Status != r.Code || e.LocalReplyBody != "" {
			t.Errorf("%s: code %d in Info, %d in the headers, body %q left", c.path, e.Info.ResponseCode, e.Response.Status, e.LocalReplyBody)
		}
	}
}

func TestNoLocalReplyConfig(t *testing.T) {
	l, err := CompileLocalReply(nil, Options{})
	if err != nil || l != nil {
		t.Fatal(l, err)
	}
	e := entry()
	r := Reply{Code: 503, Body: []byte("b")}
	l.Rewrite(e, nil, &r)
	if r.Code != 503 || string(r.Body) != "b" || r.ContentType != "text/plain" || e.Info.ResponseCode != 503 {
		t.Errorf("%+v", r)
	}
}

func TestHeaderActionsOfLocalReplies(t *testing.T) {
	l, err := localReply(t, `{"mappers":[{"filter":{"not_health_check_filter":{}},"headers_to_add":[
		{"header":{"key":"A","value":"1"}},
		{"header":{"key":"a","value":"2"},"append_action":"ADD_IF_ABSENT"},
		{"header":{"key":"b","value":"2"},"append_action":"ADD_IF_ABSENT"},
		{"header":{"key":"c","value":"2"},"append_action":"OVERWRITE_IF_EXISTS"},
		{"header":{"key":"d","value":"2"},"append_action":"OVERWRITE_IF_EXISTS"},
		{"header":{"key":"e","value":"2"},"append":false},
		{"header":{"key":"f","value":""},"keep_empty_value":true},
		{"header":{"key":"g","value":""}}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	e := entry()
	for _, name := range []string{"a", "c", "e"} {
		e.Response.Add(name, "0")
	}
	l.Rewrite(e, nil, &Reply{Code: 404})
	var got []string
	for _, f := range e.Response.Fields() {
		got = append(got, f.Name+"="+f.Value)
	}
	if s := strings.Join(got, " "); s != "a=0 c=2 e=2 a=1 b=2 f=" {
		t.Error(s)
	}
}

func TestLocalReplyRejections(t *testing.T) {
	always := `"filter":{"not_health_check_filter":{}}`
	for config, want := range map[string]string{
		`{"mappers":[{}]}`: "Proto constraint validation failed (LocalReplyConfigValidationError.Mappers[0]: embedded message failed validation | caused by ResponseMapperValidationError.Filter: value is required)",
		`{"body_format":{"text_format_source":{"inline_string":"%BOGUS%"}}}`:                                                                  "Not supported field in StreamInfo: BOGUS",
		`{"mappers":[{` + always + `,"body":{"filename":"/nope"}}]}`:                                                                          "Invalid path: /nope",
		`{"mappers":[{` + always + `,"headers_to_add":[{"header":{"key":":status","value":"x"}}]}]}`:                                          ":-prefixed or host headers may not be modified",
		`{"mappers":[{` + always + `,"headers_to_add":[{"header":{"key":"Host","value":"x"}}]}]}`:                                             ":-prefixed or host headers may not be modified",
		`{"mappers":[{` + always + `,"headers_to_add":[{"append":false,"append_action":"ADD_IF_ABSENT","header":{"key":"x","value":"x"}}]}]}`: "Both append and append_action are set and it's not allowed",
		`{"mappers":[{` + always + `,"headers_to_add":[{"header":{"key":"x","value":"100%"}}]}]}`:                                             "Incorrect configuration: 100%. Couldn't find valid command at position 3",
	} {
		if _, err := localReply(t, config); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", config, err, want)
		}
	}
}
