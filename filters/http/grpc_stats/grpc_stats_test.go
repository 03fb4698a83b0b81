package grpcstats

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
)

func TestAsEnvoy(t *testing.T) { filtertest.Goldens(t, Extension) }

func TestOtherRequestsCostNothing(t *testing.T) {
	h := filtertest.New(t, filtertest.Config("gs", `{"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", "emit_filter_state": true}`), Extension)
	s := h.Stream(&envoytest.Request{Method: "GET", Path: "/", Host: "a"})
	f, err := (&config{emit: true}).Build(h.Context)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		hf := f(s)
		hf.DecodeHeaders(s)
		hf.EncodeHeaders(s)
		hf.OnStreamComplete(s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTapKeepsWhatTheBodyKnows(t *testing.T) {
	h := filtertest.New(t, filtertest.Config("gs", `{"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"}`), Extension)
	body := "\x00\x00\x00\x00\x00"
	s := h.Stream(&envoytest.Request{Method: "POST", Path: "/a/b", Host: "a", Headers: []string{"content-type: application/grpc"}})
	whole := &filter.BytesBody{}
	whole.Set([]byte(body), nil)
	s.Request.Body = whole
	h.Chain.Run(s)
	if b, ok := s.Request.Body.(filter.CompleteBody); !ok || !b.Complete() {
		t.Error("a body that is there would be sent by a second goroutine")
	}
}
