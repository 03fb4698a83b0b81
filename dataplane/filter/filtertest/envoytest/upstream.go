package envoytest

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream answers as it is told and remembers what it was asked.
type upstream struct {
	addr string

	mu   sync.Mutex
	next *Response // guarded by mu
	seen *Seen     // guarded by mu
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String()}
	srv := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	// Owned by the test: ends when the server is closed.
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return u
}

func (u *upstream) prepare(r *Response) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next, u.seen = r, nil
}

func (u *upstream) take() *Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s := &Seen{Line: r.Method + " " + r.RequestURI, Host: r.Host, Headers: lines(r.Header), Body: string(body), Trailers: lines(r.Trailer)}
	u.mu.Lock()
	next := u.next
	u.seen = s
	u.mu.Unlock()
	h := w.Header()
	h["Date"], h["Content-Type"] = nil, nil
	for _, line := range next.Headers {
		name, value, _ := strings.Cut(line, ": ")
		if h.Get(name) == "" {
			h.Del(name)
		}
		h.Add(name, value)
	}
	w.WriteHeader(next.Status)
	pieces := next.Pieces
	if next.Body != "" {
		pieces = []string{next.Body}
	}
	flush := len(next.Pieces) > 0 || len(next.Trailers) > 0
	for _, p := range pieces {
		_, _ = io.WriteString(w, p)
		if flush {
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, line := range next.Trailers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(http.TrailerPrefix+name, value)
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
