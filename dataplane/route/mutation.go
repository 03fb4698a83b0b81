package route

import (
	"errors"
	"fmt"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Mutations are header mutations of several levels in the order in which they are applied. A nil one
// does nothing.
type Mutations struct{ levels []*mutation }

// mutation is one level's: what to remove, then what to add.
type mutation struct {
	remove []string
	add    []headerAdd
	// host replaces :authority after all else, for a weighted cluster's host_rewrite_literal.
	host string
}

// headerAdd is a HeaderValueOption.
type headerAdd struct {
	name   string // lower case
	id     header.ID
	action corepb.HeaderValueOption_HeaderAppendAction
	keep   bool // keep_empty_value
	joined bool // a second value goes into the same line
	text   string
	format formatter.Formatter // instead of text
}

// Mutations compiles lists of headers to add and to remove, for who has such lists of its own.
func (o Options) Mutations(add []*corepb.HeaderValueOption, remove []string, request bool) (*Mutations, error) {
	m, err := o.mutation(add, remove, request)
	if err != nil || m == nil {
		return nil, err
	}
	return &Mutations{levels: []*mutation{m}}, nil
}

// mutation returns nil where there is nothing to do.
func (o Options) mutation(add []*corepb.HeaderValueOption, remove []string, request bool) (*mutation, error) {
	if len(add) == 0 && len(remove) == 0 {
		return nil, nil
	}
	m := &mutation{}
	for _, name := range remove {
		name = lowerString(name)
		if fixed(name) {
			return nil, errors.New(":-prefixed or host headers may not be removed")
		}
		m.remove = append(m.remove, name)
	}
	for _, p := range add {
		a, err := o.headerAdd(p, request)
		if err != nil {
			return nil, err
		}
		m.add = append(m.add, a)
	}
	return m, nil
}

func (o Options) headerAdd(p *corepb.HeaderValueOption, request bool) (headerAdd, error) {
	a := headerAdd{name: lowerString(p.GetHeader().GetKey()), action: p.GetAppendAction(), keep: p.GetKeepEmptyValue()}
	if fixed(a.name) {
		return a, errors.New(":-prefixed or host headers may not be modified")
	}
	a.id = header.IDOf(a.name)
	a.joined = isJoined(a.name, request)
	if old := p.GetAppend(); old != nil { //nolint:staticcheck // deprecated, and in use
		if a.action != corepb.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			return a, errors.New("Both append and append_action are set and it's not allowed")
		}
		if !old.GetValue() {
			a.action = corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
	}
	return a, a.setValue(p, o.Formatter)
}

// fixed tells the names that mutations may not touch.
func fixed(name string) bool { return strings.HasPrefix(name, ":") || name == "host" }

// pending is a header that is to be set once all values are known.
type pending struct {
	add   *headerAdd
	value string
}

// Apply changes to, which is req or resp. resp is nil for a request.
func (m *Mutations) Apply(to, req, resp *header.Map, i *streaminfo.Info) {
	if m == nil {
		return
	}
	for _, level := range m.levels {
		level.apply(to, req, resp, i)
	}
}

// apply removes, then evaluates all formats, then overwrites, then adds: so no format sees what its own
// level adds, and the conditions see the headers as they came.
func (m *mutation) apply(to, req, resp *header.Map, i *streaminfo.Info) {
	for _, name := range m.remove {
		to.Del(name)
	}
	var space [8]pending
	todo := space[:0]
	for n := range m.add {
		a := &m.add[n]
		value := a.text
		if a.format != nil {
			value = formatted(a.format, to, req, resp, i)
		}
		if value == "" && !a.keep || !a.wants(to) {
			continue
		}
		todo = append(todo, pending{a, value})
	}
	for _, p := range todo {
		if p.add.overwrites() {
			p.add.set(to, p.value)
		}
	}
	for _, p := range todo {
		if !p.add.overwrites() {
			p.add.append(to, p.value)
		}
	}
	if m.host != "" {
		to.Authority, to.HasAuthority = m.host, true
	}
}

// formatted evaluates f into to's arena.
func formatted(f formatter.Formatter, to, req, resp *header.Map, i *streaminfo.Info) string {
	const usual = 128
	b := f.Append(to.Grow(usual)[:0], req, resp, i)
	return header.Borrow(b)
}

// wants tells whether the header's presence is as the action wants it.
func (a *headerAdd) wants(h *header.Map) bool {
	switch a.action {
	case corepb.HeaderValueOption_ADD_IF_ABSENT:
		_, has := h.Get(a.name)
		return !has
	case corepb.HeaderValueOption_OVERWRITE_IF_EXISTS:
		_, has := h.Get(a.name)
		return has
	}
	return true
}

func (a *headerAdd) overwrites() bool {
	return a.action == corepb.HeaderValueOption_OVERWRITE_IF_EXISTS || a.action == corepb.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
}

// set replaces all lines: in place for those that Envoy knows, else at the end.
func (a *headerAdd) set(h *header.Map, value string) {
	if !a.joined {
		h.Del(a.name)
	}
	h.Set(a.name, value)
}

func (a *headerAdd) append(h *header.Map, value string) {
	if a.joined {
		if old, has := h.Joined(a.name); has && old != "" {
			if value == "" {
				return
			}
			to := h.Grow(len(old) + 1 + len(value))[:0]
			to = append(append(append(to, old...), ','), value...)
			value = header.Borrow(to)
		}
		h.Set(a.name, value)
		return
	}
	h.AddField(header.Field{Name: a.name, Value: value, ID: a.id})
}

// String tells what is done, for people.
func (m *Mutations) String() string {
	if m == nil {
		return ""
	}
	var b strings.Builder
	for _, level := range m.levels {
		for _, name := range level.remove {
			fmt.Fprintf(&b, "-%s ", name)
		}
		for n := range level.add {
			fmt.Fprintf(&b, "+%s ", level.add[n].name)
		}
	}
	return strings.TrimSpace(b.String())
}
