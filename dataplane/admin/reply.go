package admin

import (
	"net/http"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// The content types of the interface.
const (
	textPlain  = "text/plain; charset=UTF-8"
	textHTML   = "text/html; charset=UTF-8"
	textError  = "text/plain" // of /config_dump and /memory/tcmalloc
	jsonType   = stats.ContentTypeJSON
	binaryType = "application/octet-stream"
)

// field is a header of a response.
type field struct{ name, value string }

// reply is the response that an endpoint writes. The head goes out with the first byte of the body.
type reply struct {
	code        int
	contentType string
	// before are headers that come first.
	before []field
	// after is run once the response has gone out; nil: nothing.
	after func()

	wire    wire
	started bool
	size    uint64
	err     error
}

// wire is what a reply is written to: one protocol's.
type wire interface {
	start(r *reply)
	write(p []byte) error
	end() error
}

func newReply(w wire) *reply { return &reply{code: http.StatusOK, contentType: textPlain, wire: w} }

// headers are the response's, in Envoy's order.
func (r *reply) headers() []field {
	return append(r.before[:len(r.before):len(r.before)],
		field{"content-type", r.contentType},
		field{"cache-control", "no-cache, max-age=0"},
		field{"x-content-type-options", "nosniff"},
		field{"date", date()},
		field{"server", "envoy"})
}

func date() string { return time.Now().UTC().Format(http.TimeFormat) }

// Write writes a piece of the body.
func (r *reply) Write(p []byte) (int, error) {
	r.start()
	if r.err == nil && len(p) > 0 {
		r.err = r.wire.write(p)
		r.size += uint64(len(p))
	}
	if r.err != nil {
		return 0, r.err
	}
	return len(p), nil
}

func (r *reply) text(s string) { _, _ = r.Write([]byte(s)) }

// fail answers with an error.
func (r *reply) fail(code int, text string) {
	r.code = code
	r.text(text)
}

func (r *reply) start() {
	if !r.started {
		r.started = true
		r.wire.start(r)
	}
}

func (r *reply) end() error {
	r.start()
	if r.err == nil {
		r.err = r.wire.end()
	}
	return r.err
}

func (r *reply) afterwards() {
	if r.after != nil {
		r.after()
	}
}
