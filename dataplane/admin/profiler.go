package admin

import (
	"net/http"
	"os"
	"runtime/pprof"
	"sync"
)

// profiler is the CPU profiler of /cpuprofiler.
type profiler struct {
	mu   sync.Mutex
	file *os.File // guarded by mu; nil: not running
}

// defaultProfile is Admin.profile_path's default.
const defaultProfile = "/var/log/envoy/envoy.prof"

func (p *profiler) start(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close()
		return err
	}
	p.file = f
	return nil
}

func (p *profiler) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		pprof.StopCPUProfile()
		_ = p.file.Close()
		p.file = nil
	}
}

// enable reads the parameter of the profilers.
func enable(q *request, r *reply) (on, ok bool) {
	switch q.value("enable") {
	case "y":
		return true, true
	case "n":
		return false, true
	}
	r.fail(http.StatusBadRequest, "?enable=<y|n>\n")
	return false, false
}

// serveCPUProfiler is /cpuprofiler: it writes profile_path, for go tool pprof.
func (a *Admin) serveCPUProfiler(q *request, r *reply) {
	on, ok := enable(q, r)
	if !ok {
		return
	}
	if !on {
		a.profiler.stop()
		r.ok()
		return
	}
	path := a.o.Config.GetProfilePath()
	if path == "" {
		path = defaultProfile
	}
	if err := a.profiler.start(path); err != nil {
		a.log.Warn("failure to start the profiler", "path", path, "error", err)
		r.fail(http.StatusInternalServerError, "failure to start the profiler")
		return
	}
	r.ok()
}

// serveHeapProfiler is /heapprofiler, which Envoy's own build does not have either: see /heap_dump.
func (a *Admin) serveHeapProfiler(_ *request, r *reply) {
	r.fail(http.StatusNotImplemented, "The current build does not support heap profiler")
}

// serveAllocProfiler is /allocprofiler. The Go runtime samples allocations all the time: switching off
// answers with what it has.
func (a *Admin) serveAllocProfiler(q *request, r *reply) {
	on, ok := enable(q, r)
	switch {
	case !ok:
	case on:
		r.ok()
	default:
		_ = pprof.Lookup("allocs").WriteTo(r, 0)
	}
}

// serveHeapDump is /heap_dump: a profile of the live heap, for go tool pprof.
func (a *Admin) serveHeapDump(_ *request, r *reply) { _ = pprof.Lookup("heap").WriteTo(r, 0) }

// servePeakHeapDump is /peak_heap_dump: the Go runtime knows no peak.
func (a *Admin) servePeakHeapDump(_ *request, r *reply) {
	r.fail(http.StatusNotImplemented, "Heap dump not supported in current build")
}
