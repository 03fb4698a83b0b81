package http2

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// serveFunc is a Handler.
type serveFunc func(st *ServerStream, h *header.Map)

var testMaps = sync.Pool{New: func() any { return new(header.Map) }}

func (f serveFunc) Begin(st *ServerStream) *header.Map {
	m := testMaps.Get().(*header.Map)
	m.Reset()
	st.Data = m
	return m
}

func (f serveFunc) Serve(st *ServerStream) {
	m := st.Data.(*header.Map)
	f(st, m)
	testMaps.Put(m)
}

// serverOptions are the defaults with quick timeouts and stats.
func serverOptions() *ServerOptions {
	return &ServerOptions{Options: DefaultOptions(), Stats: boundStats()}
}

func clientOptions() *ClientOptions {
	return &ClientOptions{Options: DefaultOptions(), Stats: boundStats()}
}

func boundStats() *Stats {
	s := new(Stats)
	stats.Bind(stats.NewStore(1).Scope("http2"), s)
	return s
}

// testServer serves connections on a loopback port until the test ends.
type testServer struct {
	addr string
	l    net.Listener
	o    *ServerOptions
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns []*ServerConn
	socks []*network.Conn
	ended []*Error
}

func listen(t testing.TB, o *ServerOptions, h Handler, wrap ...func(net.Conn) net.Conn) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{addr: l.Addr().String(), l: l, o: o}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Add(1)
			go s.serve(nc, h, wrap)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.socks {
			c.Shutdown()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *testServer) serve(nc net.Conn, h Handler, wrap []func(net.Conn) net.Conn) {
	defer s.wg.Done()
	var conn network.Conn
	conn.Start(nc)
	for _, w := range wrap {
		conn.Wrap(w)
	}
	c := new(ServerConn)
	c.Init(&conn.Sock, s.o, 1)
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.socks = append(s.socks, &conn)
	s.mu.Unlock()
	err := c.Serve(h)
	s.mu.Lock()
	s.ended = append(s.ended, err)
	s.mu.Unlock()
	if err == nil || err.Kind == Protocol {
		conn.CloseDelayed(300 * time.Millisecond)
		return
	}
	conn.Close()
}

// conn returns the n-th connection once there is one.
func (s *testServer) conn(t testing.TB, n int) *ServerConn {
	t.Helper()
	for range 2000 {
		s.mu.Lock()
		if len(s.conns) > n {
			defer s.mu.Unlock()
			return s.conns[n]
		}
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no connection")
	return nil
}

// end returns how the n-th connection to end has ended, once it has.
func (s *testServer) end(t testing.TB, n int) *Error {
	t.Helper()
	for range 5000 {
		s.mu.Lock()
		if len(s.ended) > n {
			defer s.mu.Unlock()
			return s.ended[n]
		}
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the connection has not ended")
	return nil
}

// dial connects a ClientConn.
func dial(t testing.TB, addr string, o *ClientOptions) *ClientConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	sock := new(network.Sock)
	sock.Init(nc)
	c := new(ClientConn)
	c.Init(sock, o, 1)
	c.Start(nil, func(*Error) { nc.Close() })
	t.Cleanup(func() {
		c.Shutdown()
		c.Wait()
	})
	return c
}

// echo answers with the request's body, and some of its head.
func echo(st *ServerStream, h *header.Map) {
	if st.Err() != nil {
		return
	}
	var resp header.Map
	resp.Reset()
	resp.Status = 200
	resp.Add("x-method", h.Method)
	resp.Add("x-path", h.Path)
	resp.Add("x-authority", h.Authority)
	if st.WriteHeaders(&resp, st.EndStream()) != nil || st.EndStream() {
		return
	}
	for {
		p, end, ok, err := st.NextBody(false)
		if !ok {
			st.Flush()
			p, end, _, err = st.NextBody(true)
		}
		if err != nil {
			return
		}
		if end {
			st.WriteTrailers(st.Trailers())
			return
		}
		if st.WriteData(p, false) != nil {
			return
		}
	}
}
