package xds

import "maps"

// draft is the next snapshot while it is made: what changes is cloned first, so that the base stays as
// it is. next may be read at any time. It is owned by whoever holds the client's lock.
type draft struct {
	base  *Snapshot
	next  *Snapshot // base, until something changes
	types map[string]*edit
	waits bool // the map of what was waited for is the draft's own
}

// edit is one type's change.
type edit struct {
	editor
	failures bool // the map of failures is the draft's own
}

func newDraft(base *Snapshot) *draft { return &draft{base: base, next: base} }

// done is the snapshot that was made; the draft may not be used any more.
func (d *draft) done() *Snapshot { return d.next }

// changed tells whether next differs from base.
func (d *draft) changed() bool { return d.next != d.base }

// open makes next a snapshot of its own.
func (d *draft) open() {
	if d.next == d.base {
		d.next = &Snapshot{types: maps.Clone(d.base.types), waited: d.base.waited}
		if d.next.types == nil {
			d.next.types = map[string]typed{}
		}
		d.types = map[string]*edit{}
	}
}

// edit returns one type's editor, and its failures to write to.
func (d *draft) edit(url string, failures bool) (*edit, map[string]*Failure) {
	d.open()
	e := d.types[url]
	if e == nil {
		e = &edit{editor: editor{table: d.next.types[url].resources}}
		d.types[url] = e
	}
	t := d.next.types[url]
	if failures && !e.failures {
		e.failures = true
		t.failures = clone(t.failures)
		d.next.types[url] = t
	}
	return e, t.failures
}

// keep puts what an editor has made into next.
func (d *draft) keep(url string, e *edit) {
	t := d.next.types[url]
	t.resources = e.table
	d.next.types[url] = t
}

func (d *draft) put(url string, r *Resource) {
	d.settle(url, r.Name)
	e, _ := d.edit(url, false)
	e.put(r)
	d.keep(url, e)
}

func (d *draft) remove(url, name string) {
	d.settle(url, name)
	e, _ := d.edit(url, false)
	e.remove(name)
	d.keep(url, e)
}

func (d *draft) fail(url string, f *Failure) {
	_, failures := d.edit(url, true)
	failures[f.Name] = f
}

// settle forgets that the last version of a resource was rejected.
func (d *draft) settle(url, name string) {
	if _, failed := d.next.types[url].failures[name]; failed {
		_, failures := d.edit(url, true)
		delete(failures, name)
	}
}

func (d *draft) version(url, version string) {
	if d.next.types[url].version != version {
		d.open()
		t := d.next.types[url]
		t.version = version
		d.next.types[url] = t
	}
}

func (d *draft) answered(url string) {
	if !d.next.types[url].answered {
		d.open()
		t := d.next.types[url]
		t.answered = true
		d.next.types[url] = t
	}
}

func (d *draft) wait(ref Ref, given bool) {
	if _, is := d.next.waited[ref]; is == given {
		return
	}
	d.open()
	if !d.waits {
		d.waits = true
		d.next.waited = clone(d.next.waited)
	}
	if given {
		d.next.waited[ref] = struct{}{}
	} else {
		delete(d.next.waited, ref)
	}
}
