package xds

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"
)

// quiet is a stream that does nothing.
type quiet struct{ sink Sink }

func (quiet) Subscribe(string, []string, []string) {}
func (quiet) Close()                               {}
func (quiet) Wait()                                {}

// large is a client with n clusters from EDS, all of them there.
func large(b *testing.B, n int) (*Client, Sink) {
	b.Helper()
	var sink Sink
	opened := make(chan struct{})
	c := New(Config{
		Decoders: []Decoder{testType(ClusterURL).Decoder(), testType(EndpointURL).Decoder()}, Clusters: &Ref{},
		Open: map[string]OpenFunc{SchemeADS: func(_ Ref, s Sink) (Stream, error) {
			sink = s
			close(opened)
			return quiet{s}, nil
		}},
	})
	b.Cleanup(c.Close)
	c.Start()
	<-opened
	clusters, endpoints := &Response{TypeURL: ClusterURL, Version: "1"}, &Response{TypeURL: EndpointURL, Version: "1"}
	for i := range n {
		name := fmt.Sprint("outbound|9080||svc", i, ".ns0.svc.cluster.local")
		clusters.Resources = append(clusters.Resources, Received{Any: cds(name, "needs eds:"+name+" 15s")})
		endpoints.Resources = append(endpoints.Resources, Received{Any: eds(name, "1")})
	}
	for _, r := range []*Response{clusters, endpoints} {
		if v := sink.Accept(r); v.Details != "" {
			b.Fatal(v.Details)
		}
	}
	return c, sink
}

// BenchmarkOneEndpointOf10000 is what one EDS change costs.
func BenchmarkOneEndpointOf10000(b *testing.B) {
	_, sink := large(b, 10000)
	versions := []*anypb.Any{eds("outbound|9080||svc7.ns0.svc.cluster.local", "2"), eds("outbound|9080||svc7.ns0.svc.cluster.local", "3")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		sink.Accept(sotw("x", versions[i%2]))
	}
}

// BenchmarkSameClusters is what a full push without a change costs.
func BenchmarkSameClusters(b *testing.B) {
	c, sink := large(b, 10000)
	r := &Response{TypeURL: ClusterURL, Version: "2"}
	for _, res := range c.Snapshot().Sorted(ClusterURL) {
		r.Resources = append(r.Resources, Received{Any: res.Any})
	}
	b.ReportAllocs()
	for b.Loop() {
		sink.Accept(r)
	}
}
