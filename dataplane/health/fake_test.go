package health

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// answer is what the fake host does with a request.
type answer struct {
	status  int
	headers [][2]string
	body    string
	trailer string // grpc-status
	hang    bool
	refuse  bool
}

// checkTest is a checker over fake hosts.
type checkTest struct {
	t       *testing.T
	k       *Checker
	stats   CheckStats
	log     lockedBuffer
	traffic bool

	mu       sync.Mutex
	answer   answer
	requests []string
	pools    int
	server   func(net.Conn) // for TCP
	changes  string         // "+" passed, "-" failed, upper level with a change: "P", "F"
	at       []time.Duration
	start    time.Time
}

func newCheckTest(t *testing.T, config string) *checkTest {
	t.Helper()
	p := &corepb.HealthCheck{}
	if err := protojson.Unmarshal([]byte(config), p); err != nil {
		t.Fatal(err)
	}
	checks, err := CompileChecks([]*corepb.HealthCheck{p})
	if err != nil {
		t.Fatal(err)
	}
	c := &checkTest{t: t, traffic: true, answer: answer{status: 200}, start: time.Now()}
	stats.Bind(stats.NewStore(1).Scope("cluster.c.health_check"), &c.stats)
	c.k = NewChecker(checks[0], CheckEnv{
		Cluster: "c", Stats: &c.stats, Runtime: runtime.New(), Dialer: c, Traffic: func() bool { return c.traffic },
		OnChecked: c.onChecked, Logs: []io.Writer{&c.log},
	})
	t.Cleanup(c.k.Close)
	return c
}

func (c *checkTest) onChecked(_ *endpoint.Host, passed, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Since(c.start))
	c.changes += map[[2]bool]string{{true, true}: "P", {true, false}: "+", {false, true}: "F", {false, false}: "-"}[[2]bool{passed, changed}]
}

func (c *checkTest) set(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = a
}

func (c *checkTest) wantChanges(want string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != want {
		c.t.Errorf("checks %s, want %s", c.changes, want)
	}
}

func (c *checkTest) DialCheck(ctx context.Context, _ Target) (net.Conn, *pool.Error) {
	if c.answer.refuse {
		return nil, &pool.Error{Reason: pool.RemoteConnectionFailure}
	}
	ours, theirs := net.Pipe()
	go c.server(theirs)
	return ours, nil
}

func (c *checkTest) CheckPool(Target) pool.Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools++
	return &checkPool{test: c}
}

type checkPool struct{ test *checkTest }

func (p *checkPool) Ready(stats.Worker) pool.Stream { return nil }
func (p *checkPool) Drain()                         {}
func (p *checkPool) Close()                         {}
func (p *checkPool) NewStream(context.Context, stats.Worker) (pool.Stream, *pool.Error) {
	p.test.mu.Lock()
	defer p.test.mu.Unlock()
	if p.test.answer.refuse {
		return nil, &pool.Error{Reason: pool.RemoteConnectionFailure}
	}
	return &checkStream{test: p.test, answer: p.test.answer, cancelled: make(chan struct{})}, nil
}

type checkStream struct {
	pool.Stream
	test      *checkTest
	answer    answer
	cancelled chan struct{}
	trailers  header.Map
}

func (s *checkStream) SetDeadline(time.Time)     {}
func (s *checkStream) Cancel()                   { close(s.cancelled) }
func (s *checkStream) Close()                    {}
func (s *checkStream) Info(*streaminfo.Upstream) {}
func (s *checkStream) SendData(p []byte, _ bool) *pool.Error {
	s.test.mu.Lock()
	defer s.test.mu.Unlock()
	s.test.requests = append(s.test.requests, string(p))
	return nil
}

func (s *checkStream) SendHeaders(h *header.Map, _ bool) *pool.Error {
	var b strings.Builder
	b.WriteString(h.Method + " " + h.Scheme + "://" + h.Authority + h.Path)
	for _, f := range h.Fields() {
		b.WriteString(" " + f.Name + "=" + f.Value)
	}
	s.test.mu.Lock()
	defer s.test.mu.Unlock()
	s.test.requests = append(s.test.requests, b.String())
	return nil
}

func (s *checkStream) ReadHeaders(h *header.Map) (bool, *pool.Error) {
	if s.answer.hang {
		<-s.cancelled
		return false, &pool.Error{Reason: pool.LocalReset}
	}
	h.Status = s.answer.status
	for _, f := range s.answer.headers {
		h.Add(f[0], f[1])
	}
	return s.answer.body == "", nil
}

func (s *checkStream) Next() ([]byte, bool, *pool.Error) { return []byte(s.answer.body), true, nil }

func (s *checkStream) Trailers() *header.Map {
	if s.answer.trailer == "" {
		return nil
	}
	s.trailers.Reset()
	s.trailers.Add("grpc-status", s.answer.trailer)
	return &s.trailers
}
