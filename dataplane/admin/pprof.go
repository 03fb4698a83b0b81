package admin

import (
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// maxProfile bounds how long a profile is taken.
const maxProfile = 5 * time.Minute

// servePprof is /debug/pprof/: the profiles under the paths that net/http/pprof has.
func (a *Admin) servePprof(q *request, r *reply) {
	name := strings.TrimPrefix(q.path, "/debug/pprof/")
	switch name {
	case "":
		for _, p := range pprof.Profiles() {
			r.text(p.Name() + ": " + strconv.Itoa(p.Count()) + "\n")
		}
		r.text("profile?seconds=N\ntrace?seconds=N\n")
	case "profile":
		r.contentType = binaryType
		if err := pprof.StartCPUProfile(r); err != nil {
			r.contentType = textPlain
			r.fail(http.StatusInternalServerError, err.Error()+"\n")
			return
		}
		q.wait(30 * time.Second)
		pprof.StopCPUProfile()
	case "trace":
		r.contentType = binaryType
		if err := trace.Start(r); err != nil {
			r.contentType = textPlain
			r.fail(http.StatusInternalServerError, err.Error()+"\n")
			return
		}
		q.wait(time.Second)
		trace.Stop()
	default:
		a.profile(name, q, r)
	}
}

func (a *Admin) profile(name string, q *request, r *reply) {
	p := pprof.Lookup(name)
	if p == nil {
		r.fail(http.StatusNotFound, "unknown profile "+name+"\n")
		return
	}
	debug, err := strconv.Atoi(q.value("debug"))
	if err != nil || debug <= 0 {
		debug = 0
		r.contentType = binaryType
	}
	_ = p.WriteTo(r, debug)
}

// wait waits for ?seconds=N, or for the client to go.
func (q *request) wait(d time.Duration) {
	if n, err := strconv.ParseFloat(q.value("seconds"), 64); err == nil && n > 0 {
		d = time.Duration(min(n, maxProfile.Seconds()) * float64(time.Second))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.close:
	}
}
