package alpn

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	alpnpb "istio.io/api/envoy/config/filter/http/alpn/v2alpha1"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/filters/common/peer/peertest"
)

// istios is what istiod sends (reference/istiod/dumps).
const istios = `{"alpn_override":[{"alpn_override":["istio-http/1.0","istio","http/1.0"]},{"upstream_protocol":"HTTP11","alpn_override":["istio-http/1.1","istio","http/1.1"]},
	{"upstream_protocol":"HTTP2","alpn_override":["istio-h2","istio","h2"]}]}`

const http2 = `"typed_extension_protocol_options":{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",`

func build(t *testing.T, text string) filter.HTTPFactory {
	t.Helper()
	p := &alpnpb.FilterConfig{}
	if err := protojson.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	c, err := parse(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	store := stats.NewStore(1)
	f, err := c.Build(&filter.Context{Server: &filter.Server{Stats: store, Clusters: peertest.Clusters(t, store, map[string]string{
		"h1":     `{}`,
		"h2":     `{` + http2 + `"explicit_http_config":{"http2_protocol_options":{}}}}}`,
		"follow": `{` + http2 + `"use_downstream_protocol_config":{"http2_protocol_options":{}}}}}`,
		"keeps":  `{"metadata":{"filter_metadata":{"istio":{"alpn_override":"false"}}}}`,
	})}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestProtocolsByTheUpstreamsVersion(t *testing.T) {
	const h10, h11, h2 = "istio-http/1.0,istio,http/1.0", "istio-http/1.1,istio,http/1.1", "istio-h2,istio,h2"
	f := build(t, istios)
	for _, c := range []struct {
		cluster    string
		downstream streaminfo.Protocol
		want       string
	}{
		{"h1", streaminfo.HTTP11, h11}, {"h1", streaminfo.HTTP2, h11}, {"h1", streaminfo.HTTP10, h11},
		{"h2", streaminfo.HTTP11, h2}, {"h2", streaminfo.HTTP10, h2},
		{"follow", streaminfo.HTTP10, h10}, {"follow", streaminfo.HTTP11, h11}, {"follow", streaminfo.HTTP2, h2},
		{"keeps", streaminfo.HTTP11, ""}, {"unknown", streaminfo.HTTP11, ""}, {"", streaminfo.HTTP11, ""},
	} {
		s := peertest.Stream(c.cluster)
		s.Info.Protocol = c.downstream
		if f(s).DecodeHeaders(s) != filter.Continue {
			t.Error("it stops")
		}
		got, _ := s.Info.FilterState.Get("envoy.network.application_protocols").(streaminfo.ApplicationProtocols)
		if string(got) != c.want {
			t.Errorf("%s to %s: %q, want %q", c.downstream, c.cluster, got, c.want)
		}
	}
}

func TestUpstreamOfSeveralVersions(t *testing.T) {
	for p, want := range map[pool.Protocol]streaminfo.Protocol{pool.HTTP1: streaminfo.HTTP11, pool.HTTP2: streaminfo.HTTP2, pool.HTTP3: streaminfo.HTTP3, pool.Auto: streaminfo.HTTP2} {
		if got := upstream(&cluster.HTTP{Protocol: p}, streaminfo.HTTP11); got != want {
			t.Errorf("%d: %s, want %s", p, got, want)
		}
	}
}

func TestVersionsWithoutOverrideAreLeftAlone(t *testing.T) {
	f := build(t, `{"alpn_override":[{"upstream_protocol":"HTTP2","alpn_override":["x"]},{"upstream_protocol":"HTTP2","alpn_override":["y"]},{"upstream_protocol":"HTTP11"}]}`)
	for cluster, want := range map[string]any{"h1": nil, "h2": streaminfo.ApplicationProtocols("x")} {
		s := peertest.Stream(cluster)
		f(s).DecodeHeaders(s)
		if got := s.Info.FilterState.Get(streaminfo.ApplicationProtocolsKey); got != want {
			t.Errorf("%s: %v, want %v", cluster, got, want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	f := build(t, istios)
	s := peertest.Stream("h1")
	conn, route := s.Conn, s.Route
	run := func(conn *network.Conn) {
		peertest.Begin(s, conn, "")
		s.Route = route
		f(s).DecodeHeaders(s)
		s.Reset()
	}
	run(conn)
	if n := testing.AllocsPerRun(100, func() { run(conn) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
