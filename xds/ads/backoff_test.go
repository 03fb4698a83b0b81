package ads

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/xds"
)

// deaf is a sink that only counts.
type deaf struct {
	mu   sync.Mutex
	down []time.Time
}

func (*deaf) Accept(*xds.Response) xds.Verdict { return xds.Verdict{} }
func (*deaf) Failed(string, error)             {}
func (d *deaf) Connected(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.down = append(d.down, time.Now())
	}
}

func TestReconnectsBackOffWithJitter(t *testing.T) {
	for name, tc := range map[string]struct {
		service   *corepb.GrpcService
		base, max time.Duration
	}{
		"default": {service: &corepb.GrpcService{}, base: 500 * time.Millisecond, max: 30 * time.Second},
		"own": {service: &corepb.GrpcService{RetryPolicy: &corepb.RetryPolicy{RetryBackOff: &corepb.BackoffStrategy{
			BaseInterval: durationpb.New(time.Second), MaxInterval: durationpb.New(4 * time.Second),
		}}}, base: time.Second, max: 4 * time.Second},
		"own base alone": {service: &corepb.GrpcService{RetryPolicy: &corepb.RetryPolicy{RetryBackOff: &corepb.BackoffStrategy{
			BaseInterval: durationpb.New(time.Second),
		}}}, base: time.Second, max: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &corepb.ApiConfigSource{ApiType: corepb.ApiConfigSource_GRPC, GrpcServices: []*corepb.GrpcService{tc.service}}
				sink := &deaf{}
				o := &Opener{ADS: a, Dial: func(context.Context, string, string) (*grpc.ClientConn, error) { return nil, errors.New("refused") }}
				s, err := o.Open(xds.Ref{}, sink)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute)
				s.Close()
				s.Wait()
				step, longest := tc.base, time.Duration(0)
				for i := 1; i < len(sink.down); i++ {
					gap := sink.down[i].Sub(sink.down[i-1])
					if gap >= step {
						t.Errorf("attempt %d came after %v, want less than %v", i, gap, step)
					}
					longest = max(longest, gap)
					step = min(2*step, tc.max)
				}
				if longest < tc.max*3/4 {
					t.Errorf("the longest wait was %v, want about %v", longest, tc.max)
				}
			})
		})
	}
}

func TestGoodResponseResetsTheBackOff(t *testing.T) {
	s := newScript(t)
	h := newHarness(t, s.addr, api(corepb.ApiConfigSource_GRPC), both)
	h.c.Start()
	begin := time.Now()
	for range 12 { // without a reset that would take minutes
		c := s.accept()
		<-c.got
		c.send(xds.ClusterURL, "v1")
		<-c.got
		c.end <- nil
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestRequestsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(&corepb.RateLimitSettings{MaxTokens: wrapperspb.UInt32(3), FillRate: wrapperspb.Double(2)})
		begin := time.Now()
		for range 7 {
			if err := l.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("7 requests took %v, want 2 s", d)
		}
		l = newLimiter(nil)
		for range 1000 {
			_ = l.take(t.Context())
		}
	})
}

func TestWhatIsRefusedAtOpening(t *testing.T) {
	o := &Opener{}
	for _, ref := range []xds.Ref{{}, {Source: "grpc:x", TypeURL: "foo.Bar"}, {Source: "nosuch:x", TypeURL: xds.SecretURL}} {
		if _, err := o.Open(ref, &deaf{}); err == nil {
			t.Errorf("%v was opened", ref)
		}
	}
}
