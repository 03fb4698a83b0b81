package cors

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
)

func TestAsEnvoy(t *testing.T) { filtertest.Goldens(t, Extension) }

func TestRequestsWithoutOriginCostNothing(t *testing.T) {
	s := filtertest.Config("envoy.filters.http.cors", `{"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}`)
	h := filtertest.New(t, s, Extension)
	stream := h.Stream(&envoytest.Request{Method: "GET", Path: "/", Host: "a"})
	f := mustBuild(t, h)
	if n := testing.AllocsPerRun(100, func() {
		hf := f(stream)
		hf.DecodeHeaders(stream)
		hf.EncodeHeaders(stream)
		hf.OnStreamComplete(stream)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func mustBuild(t *testing.T, h *filtertest.Harness) filter.HTTPFactory {
	t.Helper()
	f, err := config{}.Build(h.Context.Named("envoy.filters.http.cors"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
