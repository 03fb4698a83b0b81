package transcode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	_ "github.com/cncf/xds/go/udpa/type/v1"
)

var bootstrap = (&bootstrappb.Bootstrap{}).ProtoReflect().Descriptor()

// j puts a fragment into a whole bootstrap, c into a cluster.
func j(s string) string { return `{"node":{"id":"a","cluster":"b"},` + s + `}` }
func c(s string) string {
	return j(`"static_resources":{"clusters":[{"name":"a","type":"STATIC",` + s + `}]}`)
}

// Every line was tried on Envoy 1.40 (`--mode validate`): accepted, or refused for that reason.
func TestJSONIsAsLenientAsEnvoys(t *testing.T) {
	for name, tc := range map[string]struct{ src, same, err string }{
		"trailing comma in an object":  {src: j(`"static_resources":{"clusters":[],},`), same: j(`"static_resources":{}`)},
		"trailing comma in a list":     {src: j(`"node_context_params":["x",]`), same: j(`"node_context_params":["x"]`)},
		"single quotes":                {src: `{'node':{'id':'a'}}`, same: `{"node":{"id":"a"}}`},
		"unquoted keys":                {src: `{node:{id:'a'}}`, same: `{"node":{"id":"a"}}`},
		"camel case":                   {src: `{node:{userAgentName:'a'}}`, same: `{"node":{"user_agent_name":"a"}}`},
		"enum of any case":             {src: c(`"lb_policy":"ring_Hash"`), same: c(`"lb_policy":"RING_HASH"`)},
		"enum as a number":             {src: c(`"lb_policy":2`), same: c(`"lb_policy":"RING_HASH"`)},
		"enum as a number in quotes":   {src: c(`"lb_policy":"2"`), same: c(`"lb_policy":"RING_HASH"`)},
		"enum as a whole float":        {src: c(`"lb_policy":2.0`), same: c(`"lb_policy":"RING_HASH"`)},
		"repeated scalar: last wins":   {src: `{"node":{"id":"a","id":"b"}}`, same: `{"node":{"id":"b"}}`},
		"repeated message merges":      {src: `{"node":{"id":"a"},"node":{"cluster":"b"}}`, same: `{"node":{"id":"a","cluster":"b"}}`},
		"repeated list is appended":    {src: j(`"node_context_params":["x"],"nodeContextParams":["y"]`), same: j(`"node_context_params":["x","y"]`)},
		"one value for a list":         {src: j(`"node_context_params":"x"`), same: j(`"node_context_params":["x"]`)},
		"a list in a list":             {src: j(`"node_context_params":[["x"],"y"]`), same: j(`"node_context_params":["x","y"]`)},
		"duration with decimals":       {src: j(`"stats_flush_interval":"0.25s"`), same: j(`"stats_flush_interval":"0.250s"`)},
		"duration as an object":        {src: j(`"stats_flush_interval":{"seconds":5}`), same: j(`"stats_flush_interval":"5s"`)},
		"negative duration":            {src: j(`"stats_flush_interval":"-1.5s"`), same: j(`"stats_flush_interval":"-1.500s"`)},
		"integer in quotes":            {src: c(`"per_connection_buffer_limit_bytes":"32768"`), same: c(`"per_connection_buffer_limit_bytes":32768`)},
		"integer as a float":           {src: c(`"per_connection_buffer_limit_bytes":32768.0`), same: c(`"per_connection_buffer_limit_bytes":32768`)},
		"integer as a float in quotes": {src: c(`"per_connection_buffer_limit_bytes":"32768.0"`), same: c(`"per_connection_buffer_limit_bytes":32768`)},
		"integer with an exponent":     {src: c(`"per_connection_buffer_limit_bytes":3e4`), same: c(`"per_connection_buffer_limit_bytes":30000`)},
		"minus zero":                   {src: c(`"per_connection_buffer_limit_bytes":-0`), same: c(`"per_connection_buffer_limit_bytes":0`)},
		"wrapper as an object":         {src: c(`"per_connection_buffer_limit_bytes":{"value":5}`), same: c(`"per_connection_buffer_limit_bytes":5`)},
		"boolean in quotes":            {src: j(`"enable_dispatcher_stats":"TRUE"`), same: j(`"enable_dispatcher_stats":true`)},
		"double in quotes":             {src: c(`"common_lb_config":{"healthy_panic_threshold":{"value":"50.5"}}`), same: c(`"common_lb_config":{"healthy_panic_threshold":{"value":50.5}}`)},
		"null is absent":               {src: `{"node":{"id":null}}`, same: `{"node":{}}`},
		"null map value":               {src: c(`"metadata":{"filter_metadata":{"a":null}}`), same: c(`"metadata":{"filter_metadata":{"a":{}}}`)},
		"@type last": {
			src:  c(`"typed_extension_protocol_options":{"x":{"explicit_http_config":{"http2_protocol_options":{}},"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"}}`),
			same: c(`"typed_extension_protocol_options":{"x":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions","explicit_http_config":{"http2_protocol_options":{}}}}`),
		},
		"a well-known type in an Any": {
			src:  j(`"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{a:1}}}]`),
			same: j(`"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":1}}}]`),
		},
		"escapes":            {src: `{"node":{"id":"\'\"\\\/\b\f\n\r\té\ud83d\ude00\u0000"}}`, same: `{"node":{"id":"'\"\\/\b\f\n\r\té😀\u0000"}}`},
		"control characters": {src: "{\"node\":{\"id\":\"a\nb\tc\"}}", same: `{"node":{"id":"a\nb\tc"}}`},

		"comment //":           {src: "{\"node\":{\"id\":\"a\"} // x\n}", err: "expected ','"},
		"comment #":            {src: "{\"node\":{\"id\":\"a\"} # x\n}", err: "expected ','"},
		"unquoted value":       {src: `{node:{id: abc}}`, err: `invalid JSON in envoy.config.bootstrap.v3.Bootstrap @ node.id: string, near 1:12 (offset 11): unexpected character: 'a'; expected '"'`},
		"empty":                {src: ``, err: "INVALID_ARGUMENT: unexpected EOF"},
		"blank":                {src: ` `, err: "INVALID_ARGUMENT: unexpected EOF"},
		"null document":        {src: `null`, err: "near 1:1 (offset 0): unexpected character: 'n'; expected '{'"},
		"list document":        {src: `[]`, err: "unexpected character: '['; expected '{'"},
		"enum out of words":    {src: c(`"lb_policy":"strict-dns"`), err: "reason INVALID_ARGUMENT: unknown enum value: 'strict-dns') has unknown fields"},
		"two of a oneof":       {src: j(`"dynamic_resources":{"cds_config":{"ads":{},"path":"x"}}`), err: "'path' has already been set (either directly or as part of a oneof)"},
		"unknown field":        {src: j(`"foo":1`), err: "Protobuf message (type envoy.config.bootstrap.v3.Bootstrap reason INVALID_ARGUMENT: invalid JSON in envoy.config.bootstrap.v3.Bootstrap, near 1:34 (offset 33): no such field: 'foo') has unknown fields"},
		"unknown nested field": {src: c(`"zork":1`), err: "@ static_resources.clusters[0]: message envoy.config.cluster.v3.Cluster, near 1:94 (offset 93): no such field: 'zork'"},
		"field of other case":  {src: `{"node":{"ID":"a"}}`, err: "no such field: 'ID'"},
		"duration in ms":       {src: j(`"stats_flush_interval":"250ms"`), err: "duration must end with a single 's'"},
		"duration as a number": {src: j(`"stats_flush_interval":5`), err: "unexpected character: '5'; expected '\"'"},
		"duration .5s":         {src: j(`"stats_flush_interval":".5s"`), err: "duration must start with an integer"},
		"duration 1.s":         {src: j(`"stats_flush_interval":"1.s"`), err: "duration had bad nanoseconds"},
		"fraction":             {src: c(`"per_connection_buffer_limit_bytes":1.5`), err: "static_resources.clusters[0].per_connection_buffer_limit_bytes: message google.protobuf.UInt32Value"},
		"negative":             {src: c(`"per_connection_buffer_limit_bytes":-1`), err: "JSON number out of range for int"},
		"too large":            {src: c(`"per_connection_buffer_limit_bytes":4294967296`), err: "integer out of range"},
		"space in quotes":      {src: c(`"per_connection_buffer_limit_bytes":" 1"`), err: "non-number characters in quoted number"},
		"empty number":         {src: c(`"per_connection_buffer_limit_bytes":""`), err: "invalid number: ''"},
		"hex":                  {src: c(`"per_connection_buffer_limit_bytes":0x10`), err: "expected ','"},
		"leading zero":         {src: c(`"per_connection_buffer_limit_bytes":010`), err: "number cannot have extraneous leading zero"},
		"plus":                 {src: c(`"per_connection_buffer_limit_bytes":+1`), err: "unexpected character: '+'"},
		"boolean as a number":  {src: j(`"enable_dispatcher_stats":1`), err: "expected 'true' or 'false'"},
		"Python's True":        {src: j(`"enable_dispatcher_stats":True`), err: "expected 'true' or 'false'"},
		"string as a number":   {src: `{"node":{"id":1}}`, err: "unexpected character: '1'; expected '\"'"},
		"string as an object":  {src: `{"node":{"id":{}}}`, err: "unexpected character: '{'; expected '\"'"},
		"message as a number":  {src: j(`"static_resources":5`), err: "unexpected character: '5'; expected '{'"},
		"@type missing":        {src: j(`"bootstrap_extensions":[{"name":"x","typed_config":{"a":1}}]`), err: "in legacy mode, missing @type in Any is only allowed for an empty object"},
		"@type without host":   {src: j(`"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"a.B"}}]`), err: "@type must contain at least one / and a nonempty host; got: a.B"},
		"well-known fields":    {src: j(`"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Struct","a":1}}]`), err: "fields in a well-known-typed Any must be @type or value"},
		"trailing garbage":     {src: `{"node":{"id":"a"}} x`, err: "extraneous characters after end of JSON object"},
		"bad escape":           {src: `{"node":{"id":"\q"}}`, err: "invalid escape char: 'q'"},
		"lone surrogate":       {src: `{"node":{"id":"\ud800"}}`, err: `expected '\u'`},
		"bad UTF-8":            {src: "{\"node\":{\"id\":\"\xff\"}}", err: "Invalid UTF-8 string"},
		"byte order mark":      {src: "\ufeff{}", err: "expected '{'"},
		"missing comma":        {src: `{"node":{"id":"a" "cluster":"b"}}`, err: "expected ','"},
		"double comma":         {src: `{"node":{"id":"a",, "cluster":"b"}}`, err: "expected bare word"},
		"leading comma":        {src: `{"node":{,"id":"a"}}`, err: "expected bare word"},
		"number as a key":      {src: `{1:2}`, err: "expected bare word"},
		"dot in a key":         {src: `{a.b:2}`, err: "unexpected character: '.'; expected ':'"},
		"repeated map key":     {src: c(`"metadata":{"filter_metadata":{"a":{},"a":{}}}`), err: "got unexpectedly-repeated repeated map key: 'a'"},
		"repeated struct key":  {src: c(`"metadata":{"filter_metadata":{"a":{"x":1,"x":2}}}`), err: "got unexpectedly-repeated repeated map key: 'x'"},
		"NaN":                  {src: c(`"metadata":{"filter_metadata":{"a":{"x":NaN}}}`), err: "unexpected character: 'N'"},
		"beyond a double":      {src: c(`"metadata":{"filter_metadata":{"a":{"x":1e400}}}`), err: "invalid number: '1e400'"},
		"unclosed":             {src: `{"node":{"id":"a"}`, err: "expected ','"},
		"too deep":             {src: c(`"metadata":{"filter_metadata":{"a":{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}}}`), err: "too deeply nested"},
	} {
		t.Run(name, func(t *testing.T) {
			wire, _, err := JSON(bootstrap, []byte(tc.src), Options{})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, want := new(bootstrappb.Bootstrap), new(bootstrappb.Bootstrap)
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal([]byte(tc.same), want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnknownFieldsAreDroppedIfAsked(t *testing.T) {
	wire, r, err := JSON(bootstrap, []byte(c(`"zork":{"a":[1,{}]},"lb_policy":"NOSUCH","zork2":null`)), Options{DropUnknown: true})
	if err != nil {
		t.Fatal(err)
	}
	b := new(bootstrappb.Bootstrap)
	if err := proto.Unmarshal(wire, b); err != nil {
		t.Fatal(err)
	}
	if len(b.StaticResources.Clusters) != 1 || b.StaticResources.Clusters[0].Name != "a" {
		t.Errorf("got %v", b)
	}
	if len(r.Unknown) != 3 || !strings.Contains(r.Unknown[0], "no such field: 'zork'") || !strings.Contains(r.Unknown[1], "unknown enum value: 'NOSUCH'") {
		t.Errorf("unknown: %q", r.Unknown)
	}
}

func TestUnknownTypesKeepTheirURL(t *testing.T) {
	wire, r, err := JSON(bootstrap, []byte(j(`"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"type.googleapis.com/foo.Bar","a":1}}]`)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := new(bootstrappb.Bootstrap)
	if err := proto.Unmarshal(wire, b); err != nil {
		t.Fatal(err)
	}
	if got := b.BootstrapExtensions[0].TypedConfig; got.TypeUrl != "type.googleapis.com/foo.Bar" || len(got.Value) != 0 {
		t.Errorf("got %v", got)
	}
	if len(r.Types) != 1 || r.Types[0] != "type.googleapis.com/foo.Bar" {
		t.Errorf("types: %q", r.Types)
	}
}

// What protojson reads, strict as it is, must come out the same: pilot-agent's own bootstraps.
func TestRealBootstrapsAsProtojsonReadsThem(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.json")
	if len(files) != 3 {
		t.Fatalf("files: %q", files)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		wire, _, err := JSON(bootstrap, src, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, want := new(bootstrappb.Bootstrap), new(bootstrappb.Bootstrap)
		if err := proto.Unmarshal(wire, got); err != nil {
			t.Fatal(err)
		}
		opts := protojson.UnmarshalOptions{Resolver: keepURL{}, DiscardUnknown: true}
		if err := opts.Unmarshal(src, want); err != nil {
			if strings.Contains(name, "kitchen") {
				continue // it has a trailing comma: protojson cannot
			}
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestYAML(t *testing.T) {
	for name, tc := range map[string]struct{ src, same, err string }{
		"flow and block":     {src: "node: {id: a}\nstats_flush_interval: 5s\n", same: `{"node":{"id":"a"},"stats_flush_interval":"5s"}`},
		"on and yes":         {src: "enable_dispatcher_stats: on\n", same: `{"enable_dispatcher_stats":true}`},
		"octal":              {src: "admin: {address: {pipe: {path: /p, mode: 0644}}}\n", same: `{"admin":{"address":{"pipe":{"path":"/p","mode":420}}}}`},
		"hexadecimal":        {src: "admin: {address: {pipe: {path: /p, mode: 0x1ff}}}\n", same: `{"admin":{"address":{"pipe":{"path":"/p","mode":511}}}}`},
		"null":               {src: "node: {id: ~}\n", same: `{"node":{}}`},
		"the first document": {src: "node: {id: a}\n---\nnode: {id: b}\n", same: `{"node":{"id":"a"}}`},
		"number for string":  {src: "node: {id: 1}\n", err: "node.id: string, near 1:15 (offset 14): unexpected character: '1'; expected '\"'"},
		"no for string":      {src: "node: {id: no}\n", err: "unexpected character: 'f'; expected '\"'"},
		"unknown field":      {src: "foo: 1\n", err: "no such field: 'foo'"},
		"anchors":            {src: "x: &x {id: a}\nnode: {<<: {cluster: b}, id: a}\n", err: "no such field: 'x'"},
		"merged":             {src: "node: {<<: &x {cluster: b}, id: a}\n", same: `{"node":{"id":"a","cluster":"b"}}`},
		"repeated key":       {src: "node: {id: a}\nnode: {cluster: b}\n", same: `{"node":{"cluster":"b"}}`},
		"scalars": {
			src:  "node: {metadata: {a: y, b: n, c: yes, d: on, e: 1.5, f: 1e3, g: 0x10, h: 0o17, i: 017, j: ~, k: null, l: 2001-01-01, m: 1_000, n: .5, o: +1, p: \"1\", r: .inf, s: True, t: TRUE, u: NO, u2: nO, v: 12345678901234567890, w: 2147483648, x: -5, y2: 1:30, z: Null, z2: \"\", z3: , z6: 1.0, z7: -0, z8: 08, z9: 0b11, 5: five, zb: \"yes\", zd: oN, big: [1, [2]], e2: {}, e3: []}}\n",
			same: `{"node":{"metadata":{"a":true,"b":false,"c":true,"d":true,"e":"1.5","f":"1e3","g":16,"h":"0o17","i":15,"j":null,"k":null,"l":"2001-01-01","m":"1_000","n":".5","o":1,"p":"1","r":".inf","s":true,"t":true,"u":false,"u2":"nO","v":"12345678901234567890","w":"2147483648","x":-5,"y2":"1:30","z":null,"z2":"","z3":null,"z6":"1.0","z7":0,"z8":"08","z9":"0b11","5":"five","zb":"yes","zd":"oN","big":[1,[2]],"e2":{},"e3":[]}}}`,
		},
		"empty":  {src: "", err: "Unable to convert YAML as JSON: "},
		"broken": {src: "foo: [", err: "Unable to convert YAML as JSON: "},
	} {
		t.Run(name, func(t *testing.T) {
			wire, _, err := YAML(bootstrap, []byte(tc.src), Options{})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, want := new(bootstrappb.Bootstrap), new(bootstrappb.Bootstrap)
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal([]byte(tc.same), want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
