package xds

import (
	"errors"
	"time"
)

// Accept is called by the stream. Decoding is done before the lock is taken: only one stream brings a
// type from a source, so that nothing changes under it that matters.
func (h *handle) Accept(r *Response) Verdict {
	c, start := h.c, time.Now()
	c.mu.Lock()
	f := c.feeds[feedKey{h.source, r.TypeURL}]
	if f == nil || h.closed {
		c.mu.Unlock()
		return Verdict{}
	}
	skip := h.unwanted(f, r)
	s := c.snapshot.Load()
	c.mu.Unlock()

	if text := duplicates(r); text != "" {
		return h.refuse(f, r, text)
	}
	resources := c.judge(s, f, r, skip)

	c.mu.Lock()
	defer c.mu.Unlock()
	if h.closed {
		return Verdict{}
	}
	u := &update{transaction: c.transaction(), h: h, f: f, r: r, resources: resources}
	u.apply()
	u.tell(time.Since(start))
	u.finish()
	return u.verdict
}

// unwanted marks the resources that nobody asked for; nil: none.
func (h *handle) unwanted(f *feed, r *Response) (skip []bool) {
	if f.all {
		return nil
	}
	for i := range r.Resources {
		name := r.Resources[i].nameFor(r.TypeURL)
		if name == "" || f.names[name] != nil && (h.name == "" || h.name == name) {
			continue
		}
		if skip == nil {
			skip = make([]bool, len(r.Resources))
		}
		skip[i] = true
	}
	return skip
}

// refuse rejects a response as a whole.
func (h *handle) refuse(f *feed, r *Response, text string) Verdict {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.closed {
		return Verdict{}
	}
	u := &update{transaction: c.transaction(), h: h, f: f, r: r}
	u.verdict = Verdict{Details: text, Whole: true}
	u.nameless = true
	u.answer()
	u.tell(0)
	u.finish()
	return u.verdict
}

// update is one response on its way into the snapshot.
type update struct {
	*transaction
	h         *handle
	f         *feed
	r         *Response
	resources []judged

	rejected []rejection
	taken    []string // names of accepted resources, unchanged ones too
	applied  bool     // something changed
	nameless bool     // something was rejected that nobody can name
	verdict  Verdict
}

// apply takes the good resources and keeps the bad ones' last good versions. What is gone goes first, so
// that its address is free for what comes.
func (u *update) apply() {
	for i := range u.resources {
		if j := &u.resources[i]; j.err != nil && j.name == "" {
			u.nameless = true
		}
	}
	u.remove()
	seen := make(map[string]struct{}, len(u.resources))
	for i := range u.resources {
		j := &u.resources[i]
		if j.skip {
			continue
		}
		if j.name != "" {
			if _, dup := seen[j.name]; dup {
				if why := duplicate(u.f.url, j.name); why != "" {
					u.reject(j, errors.New(why), false)
				}
				continue
			}
			seen[j.name] = struct{}{}
		}
		u.take(j)
	}
	if u.applied {
		u.draft.version(u.f.url, u.r.Version)
	}
	u.verdict.Details = details(u.f.url, u.rejected)
	u.answer()
}

// take decides about one resource.
func (u *update) take(j *judged) {
	if j.err == nil && !u.f.all && (u.f.names[j.name] == nil || u.h.name != "" && u.h.name != j.name) {
		return
	}
	now := u.draft.next.Resource(u.f.url, j.name)
	if now != nil && now.Static {
		return // as Envoy: static resources are not replaced, and nothing is said
	}
	if j.same != nil && now == j.same {
		u.draft.settle(u.f.url, j.name)
		u.taken = append(u.taken, j.name)
		return
	}
	if j.same != nil { // another source took its place meanwhile
		j.value, j.refs = j.same.Value, j.same.Refs
	}
	err := j.err
	if err == nil {
		err = u.c.backed(u.draft.next, j.refs)
	}
	if err == nil && u.f.decoder.Check != nil {
		err = u.f.decoder.Check(u.draft.next, j.name, j.value)
	}
	if err != nil {
		u.reject(j, err, true)
		return
	}
	version := j.Version
	if !u.r.Delta {
		version = u.r.Version
	}
	u.put(u.f, &Resource{Name: j.name, Version: version, Any: j.Any, Value: j.value, Refs: j.refs, Updated: u.now, Source: u.f.source})
	u.taken = append(u.taken, j.name)
	u.applied = true
}

// reject records a resource's failure. Who waits for it goes without, as in Envoy.
func (u *update) reject(j *judged, err error, record bool) {
	u.rejected = append(u.rejected, rejection{name: j.name, reason: err.Error()})
	name := j.name
	if j.Name != "" { // delta names what it brings
		u.verdict.Rejected = append(u.verdict.Rejected, j.Name)
		if name == "" {
			name = j.Name
		}
	}
	api, kind := short(u.f.url)
	u.c.cfg.Log.Warn(api+": "+kind+" '"+name+"' config rejected: "+err.Error(), "source", u.f.source)
	if name == "" || !record {
		return
	}
	version := j.Version
	if !u.r.Delta {
		version = u.r.Version
	}
	u.draft.fail(u.f.url, &Failure{Name: name, Version: version, Details: err.Error(), Any: j.Any, At: u.now})
	u.without(u.f, name)
}

// remove takes away what the response says is gone: in delta what it names, and in a state of the world
// what it leaves out, if it is for all there are. A state of the world with a resource that cannot be
// named removes nothing: that may be the one. A named subscription is never answered by a removal: it
// keeps what it has, as Envoy does, or goes without.
func (u *update) remove() {
	if u.r.Delta {
		for _, name := range u.r.Removed {
			switch {
			case u.f.all:
				u.gone(name)
			case u.f.names[name] != nil:
				u.without(u.f, name)
				u.taken = append(u.taken, name)
			}
		}
		return
	}
	if !u.f.all || !u.f.decoder.AllRequiredInSotW || u.nameless {
		return
	}
	present := make(map[string]struct{}, len(u.resources))
	for i := range u.resources {
		present[u.resources[i].name] = struct{}{}
	}
	types := u.draft.base.types[u.f.url]
	for name := range types.resources.all() {
		if _, is := present[name]; !is {
			u.gone(name)
		}
	}
	for name := range types.failures {
		if _, is := present[name]; !is {
			u.draft.settle(u.f.url, name)
		}
	}
}

func (u *update) gone(name string) {
	if r := u.draft.next.Resource(u.f.url, name); r != nil && !r.Static && r.Source == u.f.source {
		u.applied = true
	}
	u.drop(u.f, name)
}

// answer marks a subscription as answered, and the names that a nameless failure may have been.
func (u *update) answer() {
	if u.f.all {
		delete(u.c.deadlines, u.f.root)
		u.draft.answered(u.f.url)
	}
	if u.nameless {
		for name := range u.f.names {
			if u.h.name == "" || u.h.name == name {
				u.without(u.f, name)
			}
		}
	}
}

// tell counts, and tells the observer.
func (u *update) tell(took time.Duration) {
	st := &u.f.state
	e := Event{TypeURL: u.f.url, Source: u.f.source, Version: u.r.Version, At: u.now, Took: took}
	if by := u.r.ControlPlane; by != u.h.by {
		u.h.by = by
		u.c.event(Event{Kind: Identified, TypeURL: u.h.url, Name: u.h.name, Source: u.h.source, Details: by, At: u.now})
	}
	if u.verdict.Details == "" {
		st.Successes++
		st.Version, st.Updated = u.r.Version, u.now
		e.Kind = Success
	} else {
		st.Rejections++
		st.Details = u.verdict.Details
		e.Kind, e.Version, e.Details = Rejected, "", u.verdict.Details
	}
	if u.f.all {
		u.c.event(e)
		return
	}
	if u.c.cfg.Observe == nil {
		return
	}
	e.Kind, e.Version, e.Details = Success, u.r.Version, ""
	for _, name := range u.taken {
		e.Name = name
		u.c.event(e)
	}
	e.Kind, e.Version = Rejected, ""
	if u.nameless {
		e.Details = u.verdict.Details
		for name := range u.f.names {
			if u.h.name == "" || u.h.name == name {
				e.Name = name
				u.c.event(e)
			}
		}
		return
	}
	for _, r := range u.rejected {
		e.Name, e.Details = r.name, r.reason
		u.c.event(e)
	}
}
