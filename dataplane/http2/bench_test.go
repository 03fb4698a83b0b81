package http2

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-proxy/pillion/dataplane/dptest/race"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// ok answers a request without a body as cheaply as can be.
type okHandler struct{ resp *header.Map }

type okStream struct{ req, resp header.Map }

func (o *okHandler) Begin(st *ServerStream) *header.Map {
	m := testMaps.Get().(*header.Map)
	m.Reset()
	st.Data = m
	return m
}

func (o *okHandler) Serve(st *ServerStream) {
	if st.WriteHeaders(o.resp, false) == nil {
		st.WriteData(okBody, true)
	}
	testMaps.Put(st.Data.(*header.Map))
}

var okBody = []byte("ok")

func newOK() *okHandler {
	resp := new(header.Map)
	resp.Reset()
	resp.Status = 200
	resp.Add("content-type", "text/plain")
	resp.Add("content-length", "2")
	resp.Add("date", "Mon, 02 Jan 2006 15:04:05 GMT")
	resp.Add("server", "pillion")
	return &okHandler{resp}
}

var benchHeaders = [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "productpage:9080"}, {":path", "/api/v1/products"},
	{"user-agent", "curl/8"}, {"accept", "*/*"}, {"accept-encoding", "gzip"}, {"x-request-id", "9c366011-9d82-4544-88df-3f8c52dab2c8"},
	{"x-forwarded-proto", "http"}, {"x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"}, {"x-b3-sampled", "1"}}

// rawClient is a Framer that keeps conc requests going.
type rawClient struct {
	nc   net.Conn
	fr   *http2.Framer
	out  bytes.Buffer
	enc  *hpack.Encoder
	hbuf bytes.Buffer
	id   uint32
}

func newRawClient(t testing.TB, addr string) *rawClient {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &rawClient{nc: nc, id: 1}
	c.fr = http2.NewFramer(&c.out, &bufReader{nc: nc})
	c.fr.SetReuseFrames()
	c.enc = hpack.NewEncoder(&c.hbuf)
	c.out.WriteString(http2.ClientPreface)
	c.fr.WriteSettings()
	c.fr.WriteWindowUpdate(0, 1<<30)
	return c
}

type bufReader struct {
	nc   net.Conn
	b    [32 << 10]byte
	r, w int
}

func (b *bufReader) Read(p []byte) (int, error) {
	if b.r == b.w {
		n, err := b.nc.Read(b.b[:])
		b.r, b.w = 0, n
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, b.b[b.r:b.w])
	b.r += n
	return n, nil
}

func (b *bufReader) empty() bool { return b.r == b.w }

func (c *rawClient) request() {
	c.hbuf.Reset()
	for _, h := range benchHeaders {
		c.enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: c.id, BlockFragment: c.hbuf.Bytes(), EndStream: true, EndHeaders: true})
	c.id += 2
}

func (c *rawClient) flush() {
	c.nc.Write(c.out.Bytes())
	c.out.Reset()
}

// run makes n requests, conc at a time.
func (c *rawClient) run(t testing.TB, n, conc int, r *bufReader) {
	sent, done := 0, 0
	for ; sent < min(conc, n); sent++ {
		c.request()
	}
	c.flush()
	for done < n {
		f, err := c.fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			if f.StreamEnded() {
				done++
				if sent < n {
					c.request()
					sent++
				}
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			t.Fatalf("GOAWAY %s", f.DebugData())
		}
		if r.empty() && c.out.Len() > 0 {
			c.flush()
		}
	}
}

func BenchmarkServer(b *testing.B) {
	for _, conc := range []int{1, 8, 50} {
		b.Run(fmt.Sprint(conc), func(b *testing.B) {
			s := listen(b, serverOptions(), newOK())
			c := newRawClient(b, s.addr)
			r := &bufReader{nc: c.nc}
			c.fr = http2.NewFramer(&c.out, r)
			c.fr.SetReuseFrames()
			c.run(b, 200, conc, r)
			b.ReportAllocs()
			b.ResetTimer()
			c.run(b, b.N, conc, r)
		})
	}
}

// get makes a GET and reads its answer.
func get(c *ClientConn, req, resp *header.Map) *Error {
	st, err := c.NewStream()
	if err != nil {
		return err
	}
	if err := st.WriteHeaders(req, true); err != nil {
		st.Close(0)
		return err
	}
	resp.Reset()
	end, err := st.ReadHeaders(resp)
	for !end && err == nil {
		_, end, _, err = st.NextBody(true)
	}
	st.Close(0)
	return err
}

func benchRequest() *header.Map {
	req := new(header.Map)
	req.Reset()
	for _, h := range benchHeaders {
		req.Add(h[0], h[1])
	}
	return req
}

func BenchmarkClientAndServer(b *testing.B) {
	for _, conc := range []int{1, 8, 50} {
		b.Run(fmt.Sprint(conc), func(b *testing.B) {
			s := listen(b, serverOptions(), newOK())
			c := dial(b, s.addr, clientOptions())
			b.ReportAllocs()
			todo := make(chan int, b.N)
			for i := range b.N {
				todo <- i
			}
			close(todo)
			done := make(chan bool)
			b.ResetTimer()
			for range conc {
				go func() {
					req, resp := benchRequest(), new(header.Map)
					for range todo {
						if err := get(c, req, resp); err != nil || resp.Status != 200 {
							b.Error(err, resp.Status)
						}
					}
					done <- true
				}()
			}
			for range conc {
				<-done
			}
		})
	}
}

func TestPlainRequestsDoNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("pools forget under -race")
	}
	s := listen(t, serverOptions(), newOK())
	raw := newRawClient(t, s.addr)
	r := &bufReader{nc: raw.nc}
	raw.fr = http2.NewFramer(&raw.out, r)
	raw.fr.SetReuseFrames()
	raw.run(t, 500, 8, r)
	n := testing.AllocsPerRun(10, func() { raw.run(t, 200, 8, r) })
	// The Framer's frames: HEADERS alone, for DATA is reused.
	t.Logf("%.2f allocations a request with a raw client", n/200)
	if n/200 > 1.05 {
		t.Errorf("%.2f allocations a request, of which the Framer's client does 1", n/200)
	}
	c := dial(t, s.addr, clientOptions())
	req, resp := benchRequest(), new(header.Map)
	for range 100 {
		if err := get(c, req, resp); err != nil {
			t.Fatal(err)
		}
	}
	n = testing.AllocsPerRun(1000, func() {
		if err := get(c, req, resp); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
