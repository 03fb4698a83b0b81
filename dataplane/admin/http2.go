package admin

import (
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// serveHTTP2 serves a connection whose client speaks HTTP/2 with prior knowledge.
func (a *Admin) serveHTTP2(c *conn) {
	a.stats.protocol(c)
	c.spoke = true
	s := &http2.Server{MaxConcurrentStreams: 100, IdleTimeout: time.Hour}
	s.ServeConn(c, &http2.ServeConnOpts{
		BaseConfig: &http.Server{MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)},
		Handler:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.stream(c, w, r) }),
	})
}

// stream answers one stream.
func (a *Admin) stream(c *conn, w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	a.stats.begin(true)
	rp := newReply(&http2Wire{w: w})
	a.answer(r, rp)
	_ = rp.end()
	a.stats.finish(rp.code, time.Since(started))
	a.stats.moved(c)
	a.logAccess(c, r, rp, started)
	rp.afterwards()
}

type http2Wire struct{ w http.ResponseWriter }

func (h *http2Wire) start(r *reply) {
	for _, f := range r.headers() {
		h.w.Header().Add(f.name, f.value)
	}
	h.w.WriteHeader(r.code)
	_ = http.NewResponseController(h.w).Flush() // so that no content-length is made up
}

func (h *http2Wire) write(p []byte) error {
	_, err := h.w.Write(p)
	return err
}

func (h *http2Wire) end() error { return nil }
