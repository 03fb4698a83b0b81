package xds

import (
	"strings"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The refusals that do not say "is not supported" are Envoy's own, seen on 1.40.
func TestSource(t *testing.T) {
	api := func(s string) string {
		return `{"api_config_source":{"api_type":"GRPC","transport_api_version":"V3","grpc_services":[{"envoy_grpc":{"cluster_name":"x"}}]` + s + `},"resource_api_version":"V3"}`
	}
	for name, tc := range map[string]struct {
		src, want, err string
		timeout        time.Duration
	}{
		"ADS":                       {src: `{"ads":{},"resource_api_version":"V3"}`, want: "", timeout: 15 * time.Second},
		"ADS, AUTO":                 {src: `{"ads":{}}`, want: "", timeout: 15 * time.Second},
		"ADS, V2 is read as V3":     {src: `{"ads":{},"resource_api_version":"V2"}`, want: "", timeout: 15 * time.Second},
		"self":                      {src: `{"self":{}}`, want: "", timeout: 15 * time.Second},
		"no timeout is for ever":    {src: `{"ads":{},"initial_fetch_timeout":"0s"}`, want: "", timeout: 0},
		"timeout":                   {src: `{"ads":{},"initial_fetch_timeout":"2s"}`, want: "", timeout: 2 * time.Second},
		"negative timeout":          {src: `{"ads":{},"initial_fetch_timeout":"-2s"}`, err: "Invalid duration: Expected positive duration"},
		"gRPC":                      {src: api(`,"set_node_on_first_message_only":true,"refresh_delay":"1s"`), want: "grpc:x", timeout: 15 * time.Second},
		"delta":                     {src: strings.Replace(api(""), `"GRPC"`, `"DELTA_GRPC"`, 1), want: "delta:x", timeout: 15 * time.Second},
		"AUTO transport":            {src: strings.Replace(api(""), `"transport_api_version":"V3",`, ``, 1), want: "grpc:x", timeout: 15 * time.Second},
		"V2 transport":              {src: strings.Replace(api(""), `"transport_api_version":"V3",`, `"transport_api_version":"V2",`, 1), err: "V2 xDS transport protocol version is deprecated"},
		"path":                      {src: `{"path":"/a/b.yaml"}`, want: "path:/a/b.yaml", timeout: 15 * time.Second},
		"path config source":        {src: `{"path_config_source":{"path":"/a/b.yaml"}}`, want: "path:/a/b.yaml", timeout: 15 * time.Second},
		"poll interval":             {src: `{"path_config_source":{"path":"/a/b.yaml","poll_interval":"1s"}}`, err: "field PathConfigSource.poll_interval is not supported"},
		"nothing":                   {src: `{}`, err: "ConfigSourceSpecifier: value is required"},
		"authorities":               {src: `{"ads":{},"authorities":[{"name":"x"}]}`, err: "field ConfigSource.authorities is not supported"},
		"REST":                      {src: strings.Replace(api(""), `"GRPC"`, `"REST"`, 1), err: "ApiConfigSource.api_type REST is not supported"},
		"deprecated type":           {src: strings.Replace(api(""), `"api_type":"GRPC",`, ``, 1), err: "REST_LEGACY no longer a supported ApiConfigSource"},
		"aggregated":                {src: strings.Replace(api(""), `"GRPC"`, `"AGGREGATED_GRPC"`, 1), err: "Unsupported config source AGGREGATED_GRPC"},
		"no service":                {src: `{"api_config_source":{"api_type":"GRPC"}}`, err: "API configs must have either a gRPC service or a cluster name defined"},
		"two services":              {src: `{"api_config_source":{"api_type":"GRPC","grpc_services":[{},{}]}}`, err: "must have no more than 1 gRPC services specified"},
		"cluster names":             {src: api(`,"cluster_names":["x"]`), err: "must not have a cluster name specified"},
		"google gRPC":               {src: `{"api_config_source":{"api_type":"GRPC","grpc_services":[{"google_grpc":{"target_uri":"x"}}]}}`, err: "field GrpcService.google_grpc is not supported"},
		"validators":                {src: api(`,"config_validators":[{"name":"x"}]`), err: "field ApiConfigSource.config_validators is not supported"},
		"metadata with an operator": {src: `{"api_config_source":{"api_type":"GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":"x"},"initial_metadata":[{"key":"a","value":"%HOSTNAME%"}]}]}}`, err: `field GrpcService.initial_metadata "a": substitution is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(corepb.ConfigSource)
			if err := protojson.Unmarshal([]byte(tc.src), c); err != nil {
				t.Fatal(err)
			}
			got, timeout, err := Source(c)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want || timeout != tc.timeout {
				t.Errorf("got %q %v %v, want %q %v", got, timeout, err, tc.want, tc.timeout)
			}
		})
	}
}

func TestSourceCarriesItsOptions(t *testing.T) {
	for name, src := range map[string]string{
		"authority":         `{"api_config_source":{"api_type":"DELTA_GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":"x","authority":"a"},"initial_metadata":[{"key":"k","value":"v"}]}]}}`,
		"plain":             `{"api_config_source":{"api_type":"GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":"a|b|c"}}]}}`,
		"odd name":          `{"api_config_source":{"api_type":"GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":"a?b"}}]}}`,
		"watched directory": `{"path_config_source":{"path":"/a","watched_directory":{"path":"/b"}}}`,
		"odd path":          `{"path_config_source":{"path":"/a?b"}}`,
		"path":              `{"path_config_source":{"path":"/a:b"}}`,
	} {
		c := new(corepb.ConfigSource)
		if err := protojson.Unmarshal([]byte(src), c); err != nil {
			t.Fatal(err)
		}
		source, _, err := Source(c)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseSource(source)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a := c.GetApiConfigSource(); a != nil && (!proto.Equal(a, p.API) || p.Target != a.GrpcServices[0].GetEnvoyGrpc().ClusterName) {
			t.Errorf("%s: %q is %v", name, source, p)
		}
		if a := c.GetPathConfigSource(); a != nil && (!proto.Equal(a, p.Path) || p.Target != a.Path) {
			t.Errorf("%s: %q is %v", name, source, p)
		}
	}
	if _, err := ParseSource("nosuch:x"); err == nil {
		t.Error("a scheme that is not known")
	}
}
