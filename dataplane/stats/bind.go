package stats

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Kind is the kind of a stat.
type Kind uint8

// The four kinds, as Envoy has them.
const (
	KindCounter Kind = iota
	KindGauge
	KindHistogram
	KindTextReadout
)

// desc is what a struct of stats looks like: shared by every group of that struct.
type desc struct {
	fields              []field
	order               []uint16 // of fields, by name
	cells, hists, texts int
}

type field struct {
	name string
	kind Kind
	at   uint16 // first cell, or place in hists or texts
	path []int  // of the struct field
}

var singleDesc = [...]*desc{
	KindCounter:     {fields: []field{{kind: KindCounter}}, order: []uint16{0}, cells: 1},
	KindGauge:       {fields: []field{{kind: KindGauge}}, order: []uint16{0}, cells: gaugeCells},
	KindHistogram:   {fields: []field{{kind: KindHistogram}}, order: []uint16{0}, hists: 1},
	KindTextReadout: {fields: []field{{kind: KindTextReadout}}, order: []uint16{0}, texts: 1},
}

// Bind fills the fields of the struct that into points to: Counter, Gauge, Histogram and TextReadout
// fields with a tag `stat:"name"`, and structs of them (a tag on the struct is a prefix, with its dot).
// Stats under a prefix that another scope has bound already are the same stats.
func Bind(s *Scope, into any) {
	v := reflect.ValueOf(into).Elem()
	g := acquire(s, describe(v.Type()))
	if g == nil {
		return
	}
	for i, f := range g.key.desc.fields {
		if g.excludes(i) {
			continue
		}
		switch to := v.FieldByIndex(f.path).Addr().Interface().(type) {
		case *Counter:
			*to = Counter{g, f.at}
		case *Gauge:
			*to = Gauge{g, f.at}
		case *Histogram:
			*to = Histogram{g, f.at}
		case *TextReadout:
			*to = TextReadout{g, f.at}
		}
	}
}

// Declare lists the stats of the struct type T under s without making them: for what has not been
// used yet (a cluster without traffic), which Envoy lists all the same.
func Declare[T any](s *Scope) { acquire(s, describe(reflect.TypeFor[T]())) }

func acquire(s *Scope, d *desc) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acquire(groupKey{s.prefix, d}, nil)
}

// descs caches describe: reflection is paid once a type.
var descs sync.Map // reflect.Type → *desc

func describe(t reflect.Type) *desc {
	if d, ok := descs.Load(t); ok {
		return d.(*desc)
	}
	d := &desc{}
	d.add(t, "", nil)
	for i := range d.fields {
		d.order = append(d.order, uint16(i))
	}
	slices.SortFunc(d.order, func(a, b uint16) int { return strings.Compare(d.fields[a].name, d.fields[b].name) })
	got, _ := descs.LoadOrStore(t, d)
	return got.(*desc)
}

func (d *desc) add(t reflect.Type, prefix string, path []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("stat")
		at := append(path[:len(path):len(path)], i)
		switch f.Type {
		case reflect.TypeFor[Counter]():
			d.field(KindCounter, prefix+tag, at, &d.cells, 1)
		case reflect.TypeFor[Gauge]():
			d.field(KindGauge, prefix+tag, at, &d.cells, gaugeCells)
		case reflect.TypeFor[Histogram]():
			d.field(KindHistogram, prefix+tag, at, &d.hists, 1)
		case reflect.TypeFor[TextReadout]():
			d.field(KindTextReadout, prefix+tag, at, &d.texts, 1)
		default:
			if f.Type.Kind() == reflect.Struct && (ok || f.Anonymous) {
				d.add(f.Type, prefix+tag, at)
			}
			continue
		}
		if tag == "" {
			panic(fmt.Sprintf("stats: field %s of %s has no stat tag", f.Name, t))
		}
	}
}

func (d *desc) field(k Kind, name string, path []int, n *int, size int) {
	d.fields = append(d.fields, field{name: name, kind: k, at: uint16(*n), path: path})
	*n += size
}
