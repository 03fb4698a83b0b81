package xds

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// everything is the name under which a subscription to all there are is waited for.
const everything = "*"

type feedKey struct{ source, url string }

// feed is what is subscribed to of one type at one source. It is guarded by the client's mu.
type feed struct {
	feedKey
	decoder *Decoder
	all     bool // LDS and CDS: not by name
	root    Ref  // what that is waited for as
	names   map[string]*want
	streams map[string]*handle // of its own, by name; none for ADS
	state   Subscription       // its counters and times
}

// want is one name and who needs it.
type want struct {
	n    int
	refs []counted
}

// counted are the references that differ in nothing but the timeout: nearly always one kind.
type counted struct {
	timeout time.Duration
	n       int
}

func (f *feed) ref(name string, timeout time.Duration) Ref {
	return Ref{TypeURL: f.url, Name: name, Source: f.source, Timeout: timeout}
}

// transaction is one change of the snapshot and of what is subscribed to. It is made, and finished,
// under the client's mu.
type transaction struct {
	c       *Client
	now     time.Time
	draft   *draft
	touched map[*feed]map[string]bool // names whose count was 0 (false) or was not, at first touch
}

func (c *Client) transaction() *transaction {
	return &transaction{c: c, now: time.Now(), draft: newDraft(c.snapshot.Load()), touched: map[*feed]map[string]bool{}}
}

// feed finds or makes the feed of a type at a source; nil: no decoder knows the type.
func (t *transaction) feed(url, source string) *feed {
	key := feedKey{source, url}
	f := t.c.feeds[key]
	if f == nil {
		d := t.c.decoders[url]
		if d == nil {
			return nil
		}
		f = &feed{feedKey: key, decoder: d, names: map[string]*want{}, streams: map[string]*handle{}}
		t.c.feeds[key] = f
	}
	return f
}

// all subscribes to all resources of a type.
func (t *transaction) all(url string, ref Ref) {
	ref.TypeURL, ref.Name = url, everything
	f := t.feed(url, ref.Source)
	if f == nil || f.all {
		return
	}
	f.all, f.root = true, ref
	t.c.event(Event{Kind: Attempt, TypeURL: url, Source: f.source})
	t.c.deadline(ref, t.now)
	if h := t.c.stream(f, ""); h != nil {
		h.stream.Subscribe(url, nil, nil)
	}
}

// listen subscribes to listeners, once.
func (t *transaction) listen() {
	if t.c.listening || t.c.cfg.Listeners == nil {
		return
	}
	t.c.listening = true
	t.all(ListenerURL, *t.c.cfg.Listeners)
}

// acquire counts references; release takes them back. Static resources are not asked for.
func (t *transaction) acquire(refs []Ref) {
	for _, ref := range refs {
		f := t.wanted(ref)
		if f == nil {
			continue
		}
		w := f.names[ref.Name]
		if w == nil {
			w = &want{}
			f.names[ref.Name] = w
		}
		t.touch(f, ref.Name, w.n > 0)
		w.n++
		i := slices.IndexFunc(w.refs, func(c counted) bool { return c.timeout == ref.Timeout })
		if i < 0 {
			w.refs = append(w.refs, counted{timeout: ref.Timeout, n: 1})
			if t.draft.next.Resource(ref.TypeURL, ref.Name) == nil {
				t.c.deadline(ref, t.now)
			}
			continue
		}
		w.refs[i].n++
	}
}

func (t *transaction) release(refs []Ref) {
	for _, ref := range refs {
		f := t.wanted(ref)
		if f == nil || f.names[ref.Name] == nil {
			continue
		}
		w := f.names[ref.Name]
		t.touch(f, ref.Name, true)
		w.n--
		i := slices.IndexFunc(w.refs, func(c counted) bool { return c.timeout == ref.Timeout })
		if w.refs[i].n--; w.refs[i].n == 0 {
			w.refs = slices.Delete(w.refs, i, i+1)
			delete(t.c.deadlines, ref)
			t.draft.wait(ref, false)
		}
	}
}

func (t *transaction) wanted(ref Ref) *feed {
	if to := t.draft.next.Resource(ref.TypeURL, ref.Name); to != nil && to.Static {
		return nil
	}
	return t.feed(ref.TypeURL, ref.Source)
}

func (t *transaction) touch(f *feed, name string, wanted bool) {
	names := t.touched[f]
	if names == nil {
		names = map[string]bool{}
		t.touched[f] = names
	}
	if _, is := names[name]; !is {
		names[name] = wanted
	}
}

// put takes a resource in the place of whatever there is; drop takes one away. What the new one needs
// is counted before the old one lets go, so that what both need is not asked for, or waited for, again.
func (t *transaction) put(f *feed, r *Resource) {
	old := t.draft.next.Resource(f.url, r.Name)
	t.draft.put(f.url, r)
	t.acquire(r.Refs)
	if old != nil {
		t.release(old.Refs)
	}
	t.arrived(f, r.Name)
}

func (t *transaction) drop(f *feed, name string) {
	if old := t.draft.next.Resource(f.url, name); old != nil && !old.Static && old.Source == f.source {
		t.draft.remove(f.url, name)
		t.release(old.Refs)
		return
	}
	t.draft.settle(f.url, name)
}

// arrived ends the wait for a resource; without it is given up.
func (t *transaction) arrived(f *feed, name string) {
	if w := f.names[name]; w != nil {
		for _, r := range w.refs {
			delete(t.c.deadlines, f.ref(name, r.timeout))
			t.draft.wait(f.ref(name, r.timeout), false)
		}
	}
}

// without has who needs a resource that is not there go without it.
func (t *transaction) without(f *feed, name string) {
	w := f.names[name]
	if w == nil || t.draft.next.Resource(f.url, name) != nil {
		return
	}
	for _, r := range w.refs {
		delete(t.c.deadlines, f.ref(name, r.timeout))
		t.draft.wait(f.ref(name, r.timeout), true)
	}
}

// finish subscribes to what is newly wanted, forgets what no longer is, with all that only it wanted,
// and makes the snapshot the current one.
func (t *transaction) finish() {
	for len(t.touched) > 0 {
		touched := t.touched
		t.touched = map[*feed]map[string]bool{}
		// In one order always, so that a control plane sees the same requests each time.
		for _, f := range slices.SortedFunc(maps.Keys(touched), func(a, b *feed) int {
			return cmp.Or(cmp.Compare(a.url, b.url), cmp.Compare(a.source, b.source))
		}) {
			t.settle(f, touched[f])
		}
	}
	t.c.arm()
	if t.draft.changed() {
		t.c.snapshot.Store(t.draft.done())
		select {
		case t.c.dirty <- struct{}{}:
		default:
		}
	}
}

// settle subscribes to the names of a feed that are wanted now and were not, and the other way round.
func (t *transaction) settle(f *feed, touched map[string]bool) {
	var add, remove []string
	for name, was := range touched {
		switch w := f.names[name]; {
		case w.n > 0 && !was:
			add = append(add, name)
		case w.n == 0:
			delete(f.names, name)
			if was {
				remove = append(remove, name)
				t.drop(f, name)
			}
		}
	}
	slices.Sort(add)
	slices.Sort(remove)
	for _, name := range add {
		t.c.event(Event{Kind: Attempt, TypeURL: f.url, Name: name, Source: f.source, At: t.now})
	}
	t.c.subscribe(f, add, remove)
}
