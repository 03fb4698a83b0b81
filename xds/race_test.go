package xds

import (
	"fmt"
	"sync"
	"testing"
)

// Streams deliver, the admin interface looks and the proxy ends, all at once.
func TestEverythingAtOnce(t *testing.T) {
	for range 20 {
		var mu sync.Mutex
		var sinks []Sink
		opened := make(chan struct{}, 1000)
		open := func(_ Ref, s Sink) (Stream, error) {
			mu.Lock()
			sinks = append(sinks, s)
			mu.Unlock()
			opened <- struct{}{}
			return quiet{s}, nil
		}
		last := make(chan *Snapshot, 1)
		var c *Client
		c = New(Config{
			Decoders: []Decoder{testType(ClusterURL).Decoder(), testType(EndpointURL).Decoder(), testType(SecretURL).Decoder(), testType(ListenerURL).Decoder()},
			Clusters: &Ref{}, Listeners: &Ref{}, Open: map[string]OpenFunc{SchemeADS: open, SchemeGRPC: open},
			Publish: func(s *Snapshot) {
				if s.Answered(ClusterURL) {
					c.ClustersReady()
				}
				select {
				case <-last:
				default:
				}
				last <- s
			},
			Observe: func(Event) {},
		})
		c.Start()
		<-opened
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 50 {
					mu.Lock()
					s := sinks[i%len(sinks)]
					mu.Unlock()
					name := fmt.Sprint("c", i%7)
					switch (i + g) % 4 {
					case 0:
						s.Accept(sotw(fmt.Sprint(i), cds(name, "needs eds:"+name+" 1ms"), cds("x", fmt.Sprint(i))))
					case 1:
						s.Accept(delta(fmt.Sprint(i), eds(name, fmt.Sprint(i))))
					case 2:
						s.Accept(sotw(fmt.Sprint(i), lds(name, "bad")))
					case 3:
						s.Connected(nil)
						c.Subscriptions()
					}
				}
			})
		}
		wg.Wait()
		want := c.Snapshot()
		for s := <-last; s != want; want = c.Snapshot() {
			s = <-last // the last one is never lost
		}
		c.Close()
	}
}
