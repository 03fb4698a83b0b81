package admin

import (
	"net/http"
	"slices"
	"strings"

	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// endpoint is one path of the interface.
type endpoint struct {
	path, help string
	// post tells that it changes something.
	post   bool
	params []endpointParam
	serve  func(a *Admin, q *request, r *reply)
	// ours tells that Envoy has none such.
	ours bool
	// prefix tells that paths below it are its own.
	prefix bool
}

// endpointParam is one parameter as the help text tells of it.
type endpointParam struct{ name, help string }

// answer finds the endpoint and has it answer.
func (a *Admin) answer(r *http.Request, rp *reply) {
	q := &request{method: r.Method, header: r.Header, close: r.Context().Done()}
	q.path, q.target = normalise(r.RequestURI)
	if !a.allowed(q.target) {
		rp.fail(http.StatusForbidden, "request to path "+q.target+" not allowed")
		return
	}
	e := a.find(q.path)
	switch {
	case e == nil:
		rp.fail(http.StatusNotFound, "invalid path. "+a.helpText())
	case e.post && q.method != http.MethodPost:
		a.log.Error(`admin path "` + q.path + `" mutates state, method=` + q.method + " rather than POST")
		rp.fail(http.StatusMethodNotAllowed, "Method "+q.method+" not allowed, POST required.")
	default:
		q.readQuery(r)
		e.serve(a, q, rp)
	}
}

func (a *Admin) find(path string) *endpoint {
	if e := a.endpoints[path]; e != nil {
		return e
	}
	for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
		if e := a.endpoints[path[:at+1]]; e != nil && e.prefix {
			return e
		}
	}
	return nil
}

// allowed tells whether allow_paths lets a path, with its query, through.
func (a *Admin) allowed(target string) bool {
	return len(a.allow) == 0 || slices.ContainsFunc(a.allow, func(match func(string) bool) bool { return match(target) })
}

func compileAllow(ps []*matcherpb.StringMatcher, o matcher.Options) (out []func(string) bool, err error) {
	for _, p := range ps {
		m, err := matcher.CompileString(p, o)
		if err != nil {
			return nil, err
		}
		out = append(out, m.Match)
	}
	return out, nil
}

// main runs f on the main goroutine, which owns what is live; it answers for a proxy that is on its way
// out.
func (a *Admin) main(r *reply, f func()) bool {
	if a.o.Main(f) {
		return true
	}
	r.fail(http.StatusServiceUnavailable, "the server is shutting down\n")
	return false
}

// ok answers what has no answer but that it was done.
func (r *reply) ok() { r.text("OK\n") }
