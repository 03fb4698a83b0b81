// Package bookinfo is the demo's application: productpage, details, reviews and ratings, and for the tasks
// that are not about a page a TCP echo and an httpbin. They are small real services; `pillion bookinfo
// SERVICE` runs one, and tests make them in process. README.md says how they fit together.
package bookinfo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// The services.
const (
	ProductPage = "productpage"
	Details     = "details"
	Reviews     = "reviews"
	Ratings     = "ratings"
	HTTPBin     = "httpbin"
	TCPEcho     = "tcp-echo"
)

// Services lists them all.
func Services() []string {
	return []string{ProductPage, Details, Reviews, Ratings, HTTPBin, TCPEcho}
}

// Port is where a service listens unless it is told otherwise.
func Port(service string) int {
	switch service {
	case HTTPBin:
		return 8000
	case TCPEcho:
		return 9000
	}
	return 9080
}

// Options say where a service is and where the others are.
type Options struct {
	// Listen is the address; "": every address, at the service's Port. Listener, if not nil, is used
	// instead.
	Listen   string
	Listener net.Listener
	// Details, Reviews and Ratings are the URLs of the services that are called; "": http://NAME:9080.
	Details, Reviews, Ratings string
	// Resolve gives the address to dial for a HOST or HOST:PORT, in place of DNS. An address without a port
	// keeps the port. The Host header stays what the URL says, as with a service's name in a cluster.
	Resolve map[string]string
	// Instance names this process in answers; "": the host's name.
	Instance string
	// Log is told of the start and of calls that fail; nil: nobody is.
	Log *slog.Logger
}

func (o Options) withDefaults(service string) Options {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.Listen, fmt.Sprintf(":%d", Port(service)))
	set(&o.Details, "http://details:9080")
	set(&o.Reviews, "http://reviews:9080")
	set(&o.Ratings, "http://ratings:9080")
	if o.Instance == "" {
		// A host without a name is no reason not to serve.
		o.Instance, _ = os.Hostname()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", service)
	return o
}

// Run serves until ctx ends.
func Run(ctx context.Context, service, version string, o Options) error {
	o = o.withDefaults(service)
	handler, err := New(service, version, o)
	if err != nil && service != TCPEcho {
		return err
	}
	l := o.Listener
	if l == nil {
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen); err != nil {
			return fmt.Errorf("%s %s: %w", service, version, err)
		}
	}
	o.Log.Info("serving", "service", service, "version", version, "address", l.Addr().String())
	if service == TCPEcho {
		return serveEcho(ctx, l, version)
	}
	return serveHTTP(ctx, l, handler)
}

// New makes the handler of an HTTP service.
func New(service, version string, o Options) (http.Handler, error) {
	if version == "" {
		return nil, fmt.Errorf("%s: no version", service)
	}
	o = o.withDefaults(service)
	app := &app{service: service, version: version, o: o, client: newClient(o)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", app.health)
	switch service {
	case ProductPage:
		app.productPage(mux)
	case Details:
		app.details(mux)
	case Reviews:
		if !slices.Contains([]string{"v1", "v2", "v3"}, version) {
			return nil, fmt.Errorf("reviews: version %q is none of v1, v2, v3", version)
		}
		app.reviews(mux)
	case Ratings:
		app.ratings(mux)
	case HTTPBin:
		app.httpbin(mux)
	default:
		return nil, fmt.Errorf("service %q is none of %s", service, strings.Join(Services(), ", "))
	}
	return app.named(mux), nil
}

// app is one service.
type app struct {
	service, version string
	o                Options
	client           *http.Client
}

// named says in every answer who gave it.
func (a *app) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-App", a.service)
		w.Header().Set("X-Version", a.version)
		w.Header().Set("X-Instance", a.o.Instance)
		next.ServeHTTP(w, r)
	})
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": a.service + " is healthy"})
}

func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	// Owned by this function: it ends with the server.
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		// What is still running then is cut off.
		_ = s.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
