package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/pillion-proxy/pillion/dataplane/filter"
)

// ringSize is how many failures are kept.
const ringSize = 128

// Ring keeps the last failures that the proxy answered for. The zero Ring is empty. It may be used by
// many goroutines.
type Ring struct {
	mu   sync.Mutex
	last [ringSize]*filter.Verdict // guarded by mu
	n    uint64                    // guarded by mu: how many there ever were
}

// Add keeps v, which is not changed any more.
func (r *Ring) Add(v *filter.Verdict) {
	r.mu.Lock()
	r.last[r.n%ringSize] = v
	r.n++
	r.mu.Unlock()
}

// Last lists what is kept, the latest first.
func (r *Ring) Last() []*filter.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*filter.Verdict, 0, min(r.n, ringSize))
	for i := range uint64(cap(out)) {
		out = append(out, r.last[(r.n-1-i)%ringSize])
	}
	return out
}

// serveWhy is /why, of our own: the last failures, the latest first.
func (a *Admin) serveWhy(q *request, r *reply) {
	all := a.o.Why.Last()
	if q.value("format") == "json" {
		r.contentType = jsonType
		e := json.NewEncoder(r)
		e.SetIndent("", " ")
		_ = e.Encode(map[string]any{"verdicts": all})
		return
	}
	if len(all) == 0 {
		r.text("no failure that the proxy answered for so far\n")
	}
	for _, v := range all {
		r.text(story(v))
	}
}

// story tells one failure in a few lines.
func story(v *filter.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s%s\n", v.At.UTC().Format("2006-01-02T15:04:05.000Z"), orDash(v.Method), v.Host, v.Path)
	fmt.Fprintf(&b, "  %d %s %s, decided by the %s after %s\n", v.Code, orDash(v.Flags), orDash(v.Details), orDash(v.Stage), v.Took)
	if v.Because != "" {
		b.WriteString("  because " + v.Because + "\n")
	}
	for _, named := range []struct{ what, name string }{{"listener", v.Listener}, {"route", v.Route}, {"cluster", v.Cluster}, {"request id", v.ID}} {
		if named.name != "" {
			b.WriteString("  " + named.what + ": " + named.name + "\n")
		}
	}
	for _, res := range v.Resource {
		b.WriteString("  by " + res + "\n")
	}
	for i, t := range v.Attempts {
		fmt.Fprintf(&b, "  attempt %d: %s: %s (%s)\n", i+1, orDash(t.Host), t.Why, t.Took)
	}
	return b.String() + "\n"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
