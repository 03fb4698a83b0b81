package route

import (
	"fmt"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Trace is how a request came to its route: every step of Match in words.
type Trace struct {
	// Host is the name that domains were matched with. Domain says how the virtual host was found:
	// "exact", "suffix", "prefix", "*", or "" where there is none.
	Host, Domain string
	VirtualHost  *VirtualHost
	// TLS tells that require_tls answered.
	TLS bool
	// Passed are the routes that did not match, in order, up to the one that did.
	Passed []Passed
	// Route is what Match returns; nil: none.
	Route *Route
	// Weight says how a weighted cluster was chosen; "" without any.
	Weight string
}

// Passed is a route that did not match, and the first thing about it that did not.
type Passed struct {
	Route *Route
	Want  string
}

// Explain does what Match does, and tells of every step. It takes no short cut through the routes.
func (t *Table) Explain(h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) Trace {
	var x Trace
	name, ok := t.hostName(h)
	x.Host = name
	if !ok {
		return x
	}
	x.VirtualHost, x.Domain = t.domains.explain(name)
	v := x.VirtualHost
	if v == nil {
		return x
	}
	x.Route = v.Match(h, i, random, rt)
	if v.tls != tlsNone && (x.Route == v.tlsRedirect || !h.Has(header.XForwardedProto)) {
		x.TLS = true
		return x
	}
	routes := v.routes
	if v.tree != nil {
		routes, _ = v.tree.Match(matcher.Data{Request: h, Info: i, Runtime: rt})
	}
	path := v.pathOf(h)
	for _, r := range routes {
		want, ok := r.Mismatch(path, h, i, random, rt)
		if !ok {
			x.Passed = append(x.Passed, Passed{r, want})
			continue
		}
		if w := r.weighted; w != nil {
			x.Weight = w.explain(random)
		}
		break
	}
	return x
}

// Mismatch tells what of the route is the first not to match, if ok is false. path is the request's
// without query.
func (r *Route) Mismatch(path string, h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) (want string, ok bool) {
	if h.Path == "" && r.match.kind != pathConnect || !r.match.matches(path, h) {
		return r.match.String(), false
	}
	if r.matchers == nil {
		return "", true
	}
	what, at := r.matchers.fails(h, i, random, rt)
	return r.matchers.describe(what, at), what == conditionsHold
}

// explain is find, and says which kind of domain it was.
func (d *domains) explain(host string) (*VirtualHost, string) {
	v := d.find(host)
	name := lowerString(host)
	switch {
	case v == nil:
		return nil, ""
	case d.exact[name] == v:
		return v, "exact"
	}
	for i := range d.suffix {
		if n := d.suffix[i].size; len(name) > n && d.suffix[i].of[name[len(name)-n:]] == v {
			return v, "suffix"
		}
	}
	for i := range d.prefix {
		if n := d.prefix[i].size; len(name) > n && d.prefix[i].of[name[:n]] == v {
			return v, "prefix"
		}
	}
	return v, "*"
}

func (w *weighted) explain(random uint64) string {
	switch {
	case w.header != "":
		return fmt.Sprintf("by header %s, else at random: %d of %d", w.header, random%w.total, w.total)
	case w.useHash:
		return "by hash policy"
	case w.keys != nil:
		return "at random, with weights of the runtime"
	}
	return fmt.Sprintf("at random: %d of %d", random%w.total, w.total)
}

// Wants tells what the route matches, for people.
func (r *Route) Wants() string {
	s := r.match.String()
	if r.matchers != nil {
		s += " and more"
	}
	return s
}
