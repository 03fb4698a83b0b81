package pool

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pillion-proxy/pillion/dataplane/dptest/race"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a real HTTP/1 server whose connections a test can end.
type upstream struct {
	l     net.Listener
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	total atomic.Int64
	hold  chan struct{} // requests for /hold wait for it
	wg    sync.WaitGroup
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{l: l, conns: map[net.Conn]struct{}{}, hold: make(chan struct{})}
	u.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.total.Add(1)
			u.mu.Lock()
			u.conns[c] = struct{}{}
			u.mu.Unlock()
			u.wg.Go(func() { u.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		u.drop()
		u.wg.Wait()
	})
	return u
}

func (u *upstream) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		if req.URL.Path == "/hold" {
			<-u.hold
		}
		extra := ""
		if req.URL.Path == "/close" {
			extra = "Connection: close\r\n"
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(body)+2, extra, "ok"+string(body))
		if extra != "" {
			return
		}
	}
}

func (u *upstream) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
	clear(u.conns)
}

type testPool struct {
	Pool
	st   Stats
	host HostStats
	br   Breakers
}

func newTestPool(t *testing.T, addr string, change func(*Config)) *testPool {
	t.Helper()
	w, err := network.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	p := &testPool{}
	store := stats.NewStore(1)
	stats.Bind(store.Scope("cluster.a"), &p.st)
	most := uint32(1024)
	for _, l := range []*Limit{&p.br.Connections, &p.br.Pending, &p.br.Requests, &p.br.Retries, &p.br.Pools} {
		l.Init(most, stats.Gauge{}, nil)
	}
	cfg := Config{Stats: &p.st, Breakers: &p.br, Host: &p.host, Workers: 1, ConnectTimeout: time.Second, Watcher: w,
		Dial: func(ctx context.Context, _ Options, _ *streaminfo.Upstream) (net.Conn, *Error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, &Error{Reason: RemoteConnectionFailure, Cause: err}
			}
			return c, nil
		}}
	if change != nil {
		change(&cfg)
	}
	p.Pool = NewHTTP1(cfg)
	t.Cleanup(func() { p.Drain(); w.Close() })
	return p
}

// do makes one request and tells its answer.
func (p *testPool) do(t *testing.T, path, body string) string {
	t.Helper()
	s := p.Ready(1)
	for {
		if s == nil {
			var err *Error
			if s, err = p.NewStream(context.Background(), 1); err != nil {
				return err.String()
			}
		}
		got, err := exchange(s, path, body)
		s.Close()
		if err != nil && err.Reason == Stale {
			s = nil
			continue
		}
		if err != nil {
			return err.String()
		}
		return got
	}
}

func exchange(s Stream, path, body string) (string, *Error) {
	var h, r header.Map
	h.Method, h.Path, h.Authority = "POST", path, "a"
	s.SetDeadline(time.Now().Add(5 * time.Second))
	if err := s.SendHeaders(&h, body == ""); err != nil {
		return "", err
	}
	if body != "" {
		if err := s.SendData([]byte(body), true); err != nil {
			return "", err
		}
	}
	end, err := s.ReadHeaders(&r)
	if err != nil {
		return "", err
	}
	out := header.StatusString(r.Status) + " "
	for !end {
		var b []byte
		if b, end, err = s.Next(); err != nil {
			return out, err
		}
		out += string(b)
	}
	return out, nil
}

func TestConnectionsAreReused(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	for range 3 {
		if got := p.do(t, "/", "x"); got != "200 okx" {
			t.Fatal(got)
		}
	}
	if n := u.total.Load(); n != 1 || p.st.CxTotal.Value() != 1 || p.st.RqTotal.Value() != 3 || p.st.RqActive.Value() != 0 || p.st.CxActive.Value() != 1 {
		t.Errorf("%d connections; %d %d %d", n, p.st.CxTotal.Value(), p.st.RqTotal.Value(), p.st.RqActive.Value())
	}
	p.do(t, "/close", "")
	if p.st.CxActive.Value() != 0 {
		t.Error("connection: close ends the connection")
	}
}

func TestADeadConnectionIsReplacedUnnoticed(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	for range 50 {
		if got := p.do(t, "/", "x"); got != "200 okx" {
			t.Fatal(got)
		}
		u.drop()
	}
	if p.st.RqTotal.Value() < 50 || p.host.CxConnectFail.Value() != 0 {
		t.Error("every request succeeds")
	}
}

func TestAnIdleConnectionThatItsPeerClosesIsForgotten(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	p.do(t, "/", "")
	u.drop()
	for range 500 {
		if p.st.CxActive.Value() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if p.st.CxActive.Value() != 0 || p.st.CxDestroyRemote.Value() != 1 {
		t.Errorf("active %d, destroyed by the remote %d", p.st.CxActive.Value(), p.st.CxDestroyRemote.Value())
	}
}

func TestRefusedConnection(t *testing.T) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := l.Addr().String()
	l.Close()
	p := newTestPool(t, addr, nil)
	if got := p.do(t, "/", ""); !strings.HasPrefix(got, "remote connection failure") {
		t.Error(got)
	}
	if p.st.CxConnectFail.Value() != 1 || p.br.Connections.Current() != 0 || p.br.Pending.Current() != 0 {
		t.Error("counts")
	}
}

func TestBreakersQueueAndOverflow(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	p.br.Connections.Init(1, stats.Gauge{}, nil)
	p.br.Pending.Init(1, stats.Gauge{}, nil)
	answers := make(chan string, 3)
	go func() { answers <- p.do(t, "/hold", "1") }()
	for p.st.RqActive.Value() == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() { answers <- p.do(t, "/", "2") }() // waits for the connection
	for p.st.RqPendingActive.Value() == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := p.do(t, "/", "3"); !strings.HasPrefix(got, "overflow") {
		t.Errorf("third request: %s", got)
	}
	close(u.hold)
	if a, b := <-answers, <-answers; a+b != "200 ok1200 ok2" && a+b != "200 ok2200 ok1" {
		t.Error(a, b)
	}
	if u.total.Load() != 1 || p.st.RqPendingOverflow.Value() != 1 || p.br.Pending.Current() != 0 {
		t.Errorf("%d connections, %d overflows", u.total.Load(), p.st.RqPendingOverflow.Value())
	}
}

func TestMaxRequestsPerConnection(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), func(c *Config) { c.MaxRequests = 2 })
	for range 4 {
		p.do(t, "/", "")
	}
	if u.total.Load() != 2 || p.st.CxMaxRequests.Value() != 2 {
		t.Errorf("%d connections", u.total.Load())
	}
}

func TestIdleTimeout(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), func(c *Config) { c.IdleTimeout = 20 * time.Millisecond })
	p.do(t, "/", "")
	for range 500 {
		if p.st.CxIdleTimeout.Value() == 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("an idle connection stays")
}

func TestCancelWakesAReader(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	s, _ := p.NewStream(context.Background(), 1)
	go func() {
		time.Sleep(10 * time.Millisecond)
		s.Cancel()
	}()
	_, err := exchange(s, "/hold", "")
	s.Close()
	if err == nil || err.Reason != LocalReset || p.st.CxActive.Value() != 0 {
		t.Errorf("%v", err)
	}
	close(u.hold)
}

func TestDeadline(t *testing.T) {
	u := newUpstream(t)
	p := newTestPool(t, u.l.Addr().String(), nil)
	s, _ := p.NewStream(context.Background(), 1)
	var h header.Map
	h.Method, h.Path, h.Authority = "GET", "/hold", "a"
	s.SendHeaders(&h, true)
	s.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := s.ReadHeaders(&h); err == nil || err.Reason != Deadline {
		t.Errorf("%v", err)
	}
	// A stream goes on after a deadline, as a per-try timeout that is no timeout yet does.
	s.SetDeadline(time.Time{})
	close(u.hold)
	h.Reset()
	if _, err := s.ReadHeaders(&h); err != nil || h.Status != 200 {
		t.Errorf("%v", err)
	}
	s.Close()
}

func TestPlainPathDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools forget")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, answer := make([]byte, 4096), []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			c.Write(answer)
		}
	}()
	p := newTestPool(t, l.Addr().String(), nil)
	var h, r header.Map
	p.do(t, "/", "")
	n := testing.AllocsPerRun(100, func() {
		h.Reset()
		r.Reset()
		h.Method, h.Path, h.Authority = "GET", "/", "a"
		s := p.Ready(1)
		s.SetDeadline(time.Now().Add(15 * time.Second))
		s.SendHeaders(&h, true)
		if _, err := s.ReadHeaders(&r); err != nil {
			t.Fatal(err)
		}
		s.Next()
		s.Next()
		s.Close()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
