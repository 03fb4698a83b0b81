package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// goClient is x/net's client over cleartext.
func goClient(t testing.TB) *http.Client {
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, _, addr string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestGoClientAgainstOurServer(t *testing.T) {
	s := listen(t, serverOptions(), serveFunc(echo))
	client := goClient(t)
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	for _, size := range []int{0, 1, 100, 16384, 16385, 70_000, 1 << 20} {
		req, _ := http.NewRequest("POST", "http://"+s.addr+fmt.Sprintf("/p?%d", size), bytes.NewReader(body[:size]))
		if size > 0 { // without a body Go's client never ends a request that has trailers
			req.Trailer = http.Header{"X-Trailer": {"t"}}
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(size, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, body[:size]) || resp.Header.Get("x-path") != fmt.Sprintf("/p?%d", size) || resp.Header.Get("x-method") != "POST" ||
			size > 0 && resp.Trailer.Get("x-trailer") != "t" {
			t.Errorf("%d: %v, %d bytes, %v", size, err, len(got), resp.Header)
		}
		resp.Body.Close()
	}
}

func TestOurClientAgainstGoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("Trailer", "X-T")
		io.Copy(w, r.Body)
		w.Header().Set("X-T", "end "+r.Trailer.Get("x-rt"))
	}), Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	c := dial(t, l.Addr().String(), clientOptions())
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			size := []int{0, 1, 100, 16384, 16385, 70_000, 1 << 20}[i%7]
			got, path, trailer, err := roundTrip(c, fmt.Sprintf("/p/%d", i), body[:size])
			if err != nil || !bytes.Equal(got, body[:size]) || path != fmt.Sprintf("/p/%d", i) || trailer != "end rt" {
				t.Errorf("%d: %v, %d of %d bytes, path %q, trailer %q", i, err, len(got), size, path, trailer)
			}
		}()
	}
	wg.Wait()
	if n := c.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// roundTrip sends a POST with trailers and reads its answer.
func roundTrip(c *ClientConn, path string, body []byte) (got []byte, xpath, trailer string, err *Error) {
	st, err := c.NewStream()
	if err != nil {
		return
	}
	defer func() { st.Close(http2.ErrCodeInternal) }()
	var h header.Map
	h.Reset()
	h.Method, h.Scheme, h.Authority, h.Path = "POST", "http", "a", path
	h.Add("trailer", "x-rt")
	if err = st.WriteHeaders(&h, false); err != nil {
		return
	}
	sent := make(chan *Error, 1)
	go func() {
		if err := st.WriteData(body, false); err != nil {
			sent <- err
			return
		}
		var tr header.Map
		tr.Reset()
		tr.Add("x-rt", "rt")
		sent <- st.WriteTrailers(&tr)
	}()
	defer func() {
		if e := <-sent; e != nil && err == nil {
			err = e
		}
	}()
	var resp header.Map
	resp.Reset()
	end, err := st.ReadHeaders(&resp)
	if err != nil {
		return
	}
	xpath, _ = resp.Get("x-path")
	for !end {
		var p []byte
		if p, end, _, err = st.NextBody(true); err != nil {
			return
		}
		got = append(got, p...)
	}
	if tr := st.Trailers(); tr != nil {
		trailer, _ = tr.Get("x-t")
	}
	return
}

func TestOurClientAgainstOurServer(t *testing.T) {
	s := listen(t, serverOptions(), serveFunc(echo))
	c := dial(t, s.addr, clientOptions())
	body := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			size := []int{0, 1, 100, 16384, 16385, 70_000, len(body)}[i%7]
			got, path, _, err := roundTrip(c, fmt.Sprintf("/p/%d", i), body[:size])
			if err != nil || !bytes.Equal(got, body[:size]) || path != fmt.Sprintf("/p/%d", i) {
				t.Errorf("%d: %v, %d of %d bytes, path %q", i, err, len(got), size, path)
			}
		}()
	}
	wg.Wait()
	if n := c.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
