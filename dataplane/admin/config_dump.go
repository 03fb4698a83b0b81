package admin

import (
	"errors"
	"net/http"
	"regexp"
	"regexp/syntax"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/xds"
)

// serveConfigDump is /config_dump. Resources are printed exactly as they were received: the sections
// hold the snapshot's own Any, and each is decoded when it is printed, one at a time.
func (a *Admin) serveConfigDump(q *request, r *reply) {
	d := &dump{eds: q.has("include_eds")}
	if expr := q.value("name_regex"); expr != "" {
		var err error
		if d.names, err = regexp.Compile("^(?:" + expr + ")$"); err != nil {
			r.contentType = textError
			r.fail(http.StatusBadRequest, "INVALID_ARGUMENT: Error while parsing name_regex from "+expr+": "+re2Error(expr))
			return
		}
	}
	if !a.collect(d, r) {
		return
	}
	mask := parseMask(q.value("mask"))
	var messages []proto.Message
	var wrong *dumpError
	if resource := q.value("resource"); resource != "" {
		messages, wrong = d.resources(resource, mask)
	} else {
		messages, wrong = d.masked(mask, q.value("mask"))
	}
	if wrong != nil {
		// Envoy sends this header twice.
		r.before = []field{{"x-content-type-options", "nosniff"}}
		r.contentType = textError
		r.fail(wrong.code, wrong.text)
		return
	}
	r.contentType = jsonType
	p := newPrinter(r)
	if len(messages) == 0 {
		p.list('{', '}', 0, nil)
	} else {
		p.list('{', '}', 1, func(int) {
			p.key("configs")
			p.list('[', ']', len(messages), func(i int) { p.typed(messages[i]) })
		})
	}
	_ = p.end() // an error is the client's leaving
}

type dumpError struct {
	code int
	text string
}

// dump is one answer while it is made.
type dump struct {
	names *regexp.Regexp // nil: all
	eds   bool

	bootstrap *bootstrappb.Bootstrap
	snapshot  *xds.Snapshot
	clusters  []cluster.Resources
	endpoints []cluster.Endpoints
	listeners []Listener
	admin     *Admin
}

// collect gathers what is dumped, what is live on the main goroutine.
func (a *Admin) collect(d *dump, r *reply) bool {
	d.admin = a
	if a.o.Bootstrap != nil {
		var err error
		if d.bootstrap, err = a.o.Bootstrap(); err != nil {
			r.fail(http.StatusInternalServerError, err.Error()+"\n")
			return false
		}
	}
	return a.main(r, func() {
		d.snapshot = a.snapshot()
		if a.o.Clusters != nil {
			d.clusters = a.o.Clusters.Resources()
			if d.eds {
				d.endpoints = a.o.Clusters.Endpoints()
			}
		}
		if a.o.Listeners != nil {
			d.listeners = a.o.Listeners()
		}
	})
}

// sections are all parts of the dump, in Envoy's order.
func (d *dump) sections() []proto.Message {
	all := []proto.Message{&adminpb.BootstrapConfigDump{Bootstrap: d.bootstrap, LastUpdated: timestamp(d.admin.o.Started)}, d.clustersSection()}
	if e := d.extensionsSection(); e != nil {
		all = append(all, e)
	}
	if d.eds {
		all = append(all, d.endpointsSection())
	}
	// Scoped routes have no section of their own contents: they are not supported.
	return append(all, d.listenersSection(), &adminpb.ScopedRoutesConfigDump{}, d.routesSection(), d.secretsSection())
}

func (d *dump) matches(name string) bool { return d.names == nil || d.names.MatchString(name) }

// masked applies a mask to every section, and drops those that it does not fit.
func (d *dump) masked(m mask, text string) (out []proto.Message, wrong *dumpError) {
	for _, s := range d.sections() {
		if m == nil {
			out = append(out, s)
			continue
		}
		if m.fits(s.ProtoReflect().Descriptor()) {
			if b, ok := s.(*adminpb.BootstrapConfigDump); ok && b.Bootstrap != nil {
				b.Bootstrap = proto.CloneOf(b.Bootstrap) // what is below it may be somebody else's
			}
			m.trim(s.ProtoReflect())
			out = append(out, s)
		}
	}
	if len(out) == 0 && m != nil {
		return nil, &dumpError{http.StatusBadRequest, "FieldMask " + text + " could not be successfully applied to any configs."}
	}
	return out, nil
}

// resources are the elements of one repeated field, each masked.
func (d *dump) resources(name string, m mask) (out []proto.Message, wrong *dumpError) {
	for _, s := range d.sections() {
		r := s.ProtoReflect()
		fd := r.Descriptor().Fields().ByName(protoreflect.Name(name))
		switch {
		case fd == nil:
			continue
		case !fd.IsList():
			return nil, &dumpError{http.StatusBadRequest, name + " is not a repeated field. Use ?mask=" + name + " to get only this field"}
		}
		list := r.Get(fd).List()
		for i := range list.Len() {
			e := list.Get(i).Message()
			if m != nil && !m.trimResource(e) {
				return nil, &dumpError{http.StatusBadRequest, "FieldMask " + m.String() + " could not be successfully used."}
			}
			out = append(out, e.Interface())
		}
		return out, nil
	}
	return nil, &dumpError{http.StatusNotFound, name + " not found in config dump"}
}

// re2Error says what is wrong with an expression in the words of RE2.
func re2Error(expr string) string {
	_, err := syntax.Parse(expr, syntax.Perl)
	var e *syntax.Error
	if !errors.As(err, &e) {
		return "bad expression"
	}
	code := string(e.Code)
	switch e.Code {
	case syntax.ErrMissingParen:
		code = "missing )"
	case syntax.ErrMissingBracket:
		code = "missing ]"
	case syntax.ErrInvalidPerlOp:
		code = "invalid perl operator"
	case syntax.ErrMissingRepeatArgument:
		code = "no argument for repetition operator"
	case syntax.ErrInvalidRepeatOp:
		code = "bad repetition operator"
	case syntax.ErrInvalidRepeatSize:
		code = "invalid repetition size"
	case syntax.ErrTrailingBackslash:
		return `trailing \`
	}
	return code + ": " + e.Expr
}
