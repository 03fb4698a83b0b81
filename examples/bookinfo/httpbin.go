package bookinfo

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxDelay and maxBytes bound what one request may ask of httpbin.
const (
	maxDelay = 60.0
	maxBytes = 100 << 20
)

// echo is what httpbin says of a request.
type echo struct {
	Args    map[string]string `json:"args"`
	Data    string            `json:"data"`
	Headers map[string]string `json:"headers"`
	Method  string            `json:"method"`
	Origin  string            `json:"origin"`
	URL     string            `json:"url"`
	Proto   string            `json:"proto"`
	Version string            `json:"version"`
}

// httpbin answers what the path asks for, and counts the requests: a mirrored one is seen by that alone.
func (a *app) httpbin(mux *http.ServeMux) {
	var mu sync.Mutex
	hits := map[string]int{}
	counted := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			hits[r.URL.Path]++
			hits["total"]++
			mu.Unlock()
			next(w, r)
		}
	}
	mux.HandleFunc("GET /hits", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		writeJSON(w, http.StatusOK, hits)
	})
	mux.HandleFunc("DELETE /hits", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		clear(hits)
		w.WriteHeader(http.StatusNoContent)
	})
	describe := counted(func(w http.ResponseWriter, r *http.Request) { writeJSON(w, http.StatusOK, a.describe(r)) })
	for _, pattern := range []string{"/anything", "/anything/", "GET /get", "POST /post", "PUT /put", "DELETE /delete", "PATCH /patch"} {
		mux.HandleFunc(pattern, describe)
	}
	mux.HandleFunc("/headers", counted(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"headers": a.describe(r).Headers})
	}))
	mux.HandleFunc("/ip", counted(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"origin": a.describe(r).Origin})
	}))
	mux.HandleFunc("/status/{code}", counted(answerStatus))
	mux.HandleFunc("/delay/{seconds}", counted(a.answerLate))
	mux.HandleFunc("/bytes/{n}", counted(answerBytes))
	mux.HandleFunc("/response-headers", counted(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		writeJSON(w, http.StatusOK, r.URL.Query())
	}))
}

func (a *app) describe(r *http.Request) echo {
	// A body that breaks off is told as far as it came.
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	e := echo{
		Args: map[string]string{}, Headers: map[string]string{"Host": r.Host}, Data: string(body),
		Method: r.Method, URL: "http://" + r.Host + r.RequestURI, Proto: r.Proto, Version: a.version,
	}
	for name, values := range r.URL.Query() {
		e.Args[name] = strings.Join(values, ",")
	}
	for name, values := range r.Header {
		e.Headers[name] = strings.Join(values, ",")
	}
	if e.Origin = r.Header.Get("X-Forwarded-For"); e.Origin == "" {
		e.Origin, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	return e
}

func answerStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
}

// answerLate waits first. A client that leaves ends it.
func (a *app) answerLate(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(r.PathValue("seconds"), 64)
	if err != nil || seconds < 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	t := time.NewTimer(time.Duration(min(seconds, maxDelay) * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		writeJSON(w, http.StatusOK, a.describe(r))
	case <-r.Context().Done():
	}
}

func answerBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n > maxBytes {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	chunk := make([]byte, 32<<10)
	for n > 0 {
		part := chunk[:min(n, len(chunk))]
		if _, err := w.Write(part); err != nil {
			return
		}
		n -= len(part)
	}
}
