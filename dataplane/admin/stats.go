package admin

import (
	"errors"
	"html"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// serveStatsPage is /stats.
func (a *Admin) serveStatsPage(q *request, r *reply) { a.showStats(q, r, false) }

// serveStatsPrometheus is /stats/prometheus.
func (a *Admin) serveStatsPrometheus(q *request, r *reply) { a.showStats(q, r, true) }

func (a *Admin) showStats(q *request, r *reply, prometheus bool) {
	protobuf := stats.AcceptsProtobuf(strings.Join(q.header.Values("Accept"), ","))
	p, err := stats.ParseParams(q.get, prometheus, protobuf)
	var bad stats.BadParam
	if errors.As(err, &bad) {
		r.fail(http.StatusBadRequest, string(bad))
		return
	}
	if a.o.Flush != nil && !a.main(r, a.o.Flush) {
		return
	}
	switch p.Format {
	case stats.FormatJSON:
		r.contentType = stats.ContentTypeJSON
		_ = a.o.Stats.WriteJSON(r, p) // an error here, and below, is the client's leaving
	case stats.FormatPrometheus:
		if protobuf {
			r.contentType = stats.ContentTypeProtobuf
			_ = a.o.Stats.WriteProtobuf(r, p)
		} else {
			_ = a.o.Stats.WritePrometheus(r, p)
		}
	case stats.FormatHTML, stats.FormatActiveHTML:
		a.statsHTML(p, q, r)
	default:
		_ = a.o.Stats.WriteText(r, p)
	}
	r.start() // there may have been nothing
}

// statsHTML is /stats?format=html, a page of our own: a form, and the text.
func (a *Admin) statsHTML(p *stats.Params, q *request, r *reply) {
	r.contentType = textHTML
	head := pageHead("pillion stats")
	if p.Format == stats.FormatActiveHTML {
		head = strings.Replace(head, "<title>", "<meta http-equiv='refresh' content='5'>\n<title>", 1)
	}
	r.text(head + "<p><a href=\"/\">admin</a></p>\n")
	for _, e := range table() {
		if e.path == "/stats" {
			r.text(strings.Replace(e.form(), `name="filter"`, `name="filter" value="`+html.EscapeString(q.value("filter"))+`"`, 1))
		}
	}
	r.text("\n<pre>\n")
	_ = a.o.Stats.WriteText(escapeWriter{r}, p)
	r.text("</pre>\n" + pageFoot)
}

// escapeWriter escapes what is written into a page.
type escapeWriter struct{ r *reply }

func (w escapeWriter) Write(p []byte) (int, error) {
	if _, err := w.r.Write([]byte(html.EscapeString(string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// serveStatsProcess is /stats/process, of our own: what the Go runtime and the kernel tell of the
// process. It is no part of /stats/prometheus, for pilot-agent serves that after its own process's.
func (a *Admin) serveStatsProcess(_ *request, r *reply) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})
	h.ServeHTTP(responseWriter{r}, &http.Request{Method: http.MethodGet, Header: http.Header{}})
}

// responseWriter is a reply for a handler that wants an http.ResponseWriter; its headers are ours.
type responseWriter struct{ *reply }

func (responseWriter) Header() http.Header { return http.Header{} }

func (w responseWriter) WriteHeader(code int) { w.code = code }

// The lookups of stats by name, which Envoy can track, happen at configuration time alone here: there
// are none to tell of.

// serveRecentLookups is /stats/recentlookups.
func (a *Admin) serveRecentLookups(_ *request, r *reply) {
	if a.recent.Load() {
		r.text("   Count Lookup\n\ntotal: 0\n")
		return
	}
	r.text("Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n")
}

func (a *Admin) serveRecentLookupsClear(_ *request, r *reply) { r.ok() }

func (a *Admin) serveRecentLookupsEnable(_ *request, r *reply) {
	a.recent.Store(true)
	r.ok()
}

func (a *Admin) serveRecentLookupsDisable(_ *request, r *reply) {
	a.recent.Store(false)
	r.ok()
}

// serveResetCounters is /reset_counters.
func (a *Admin) serveResetCounters(_ *request, r *reply) {
	a.o.Stats.ResetCounters()
	r.ok()
}
