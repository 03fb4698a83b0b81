package admin

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// serveMemory is /memory: the Go runtime's numbers under the names of tcmalloc's.
func (a *Admin) serveMemory(_ *request, r *reply) {
	const classes = "/memory/classes/"
	m := readMetrics(classes+"heap/objects:bytes", classes+"total:bytes", classes+"heap/released:bytes", classes+"heap/free:bytes", classes+"heap/unused:bytes")
	out := &adminpb.Memory{
		Allocated: m[0], HeapSize: m[1] - m[2], PageheapUnmapped: m[2], PageheapFree: m[3], TotalThreadCache: m[4],
		TotalPhysicalBytes: resident(),
	}
	if out.TotalPhysicalBytes == 0 {
		out.TotalPhysicalBytes = out.HeapSize
	}
	r.json(out, true)
}

func readMetrics(names ...string) []uint64 {
	samples := make([]metrics.Sample, len(names))
	for i, n := range names {
		samples[i].Name = n
	}
	metrics.Read(samples)
	out := make([]uint64, len(names))
	for i := range samples {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			out[i] = samples[i].Value.Uint64()
		}
	}
	return out
}

// resident is how much of the process is in memory; 0: nobody knows.
func resident() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// serveTcmalloc is /memory/tcmalloc: all that the Go runtime tells of memory and its collection.
func (a *Admin) serveTcmalloc(_ *request, r *reply) {
	r.contentType = textError
	r.text("The allocator is the Go runtime's: see https://pkg.go.dev/runtime/metrics for an explanation of this page\n")
	for _, d := range metrics.All() {
		if d.Kind == metrics.KindUint64 && (strings.HasPrefix(d.Name, "/memory/") || strings.HasPrefix(d.Name, "/gc/")) {
			r.text(d.Name + ": " + strconv.FormatUint(readMetrics(d.Name)[0], 10) + "\n")
		}
	}
}
