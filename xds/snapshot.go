package xds

import (
	"iter"
	"maps"
	"slices"
)

// Snapshot is the accepted state of everything at one moment. It is immutable: each update makes a new
// one that shares what did not change. The zero Snapshot is empty.
type Snapshot struct {
	types map[string]typed
	// waited are the references that were waited for long enough: who needs them goes without.
	waited map[Ref]struct{}
}

type typed struct {
	version   string
	answered  bool
	resources table
	failures  map[string]*Failure
}

// Resource returns one accepted resource, or nil.
func (s *Snapshot) Resource(typeURL, name string) *Resource {
	return s.types[typeURL].resources.get(name)
}

// Version is the version of the last response of this type that changed something, accepted as a whole
// or in part: version_info at the head of Envoy's /config_dump.
func (s *Snapshot) Version(typeURL string) string { return s.types[typeURL].version }

// Answered tells whether whoever was asked for all resources of a type (LDS, CDS) has answered, even
// with a rejected response, or was waited for long enough, or nobody is asked.
func (s *Snapshot) Answered(typeURL string) bool { return s.types[typeURL].answered }

// Len is the number of accepted resources of a type.
func (s *Snapshot) Len(typeURL string) int { return s.types[typeURL].resources.n }

// All ranges over the accepted resources of a type, in no order.
func (s *Snapshot) All(typeURL string) iter.Seq2[string, *Resource] {
	return s.types[typeURL].resources.all()
}

// Sorted lists the accepted resources of a type by name.
func (s *Snapshot) Sorted(typeURL string) []*Resource {
	t := s.types[typeURL].resources
	all := make([]*Resource, 0, t.n)
	for _, r := range t.all() {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Resource) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// Diff lists the resources of a type that are not the same, or not there, in an older snapshot, and the
// names that only that one has. It costs what has changed, more or less.
func (s *Snapshot) Diff(old *Snapshot, typeURL string) (changed []*Resource, removed []string) {
	s.types[typeURL].resources.diff(old.types[typeURL].resources,
		func(r *Resource) { changed = append(changed, r) }, func(name string) { removed = append(removed, name) })
	return changed, removed
}

// Failures ranges over the resources of a type whose last version was rejected.
func (s *Snapshot) Failures(typeURL string) iter.Seq2[string, *Failure] {
	return maps.All(s.types[typeURL].failures)
}

// Warm tells whether r may serve: everything that it refers to is here, and so on down, or has been
// waited for long enough.
func (s *Snapshot) Warm(r *Resource) bool {
	for _, ref := range r.Refs {
		if _, done := s.waited[ref]; done {
			continue
		}
		to := s.Resource(ref.TypeURL, ref.Name)
		if to == nil || !s.Warm(to) {
			return false
		}
	}
	return true
}

// Waited tells whether ref was given up after its initial_fetch_timeout.
func (s *Snapshot) Waited(ref Ref) bool {
	_, ok := s.waited[ref]
	return ok
}

// Wants is the union of all references of accepted resources that are not themselves static: what has
// to be subscribed to. Names that nothing refers to any more are not in it.
func (s *Snapshot) Wants() map[Ref]struct{} {
	wants := map[Ref]struct{}{}
	for _, t := range s.types {
		for _, r := range t.resources.all() {
			for _, ref := range r.Refs {
				if to := s.Resource(ref.TypeURL, ref.Name); to != nil && to.Static {
					continue
				}
				wants[ref] = struct{}{}
			}
		}
	}
	return wants
}

// Change is what one response does to one type.
type Change struct {
	// Version becomes the type's version.
	Version string
	// Put replaces or adds; Remove takes away; Fail records a rejected version, and a Put of the same
	// name clears that.
	Put    []*Resource
	Remove []string
	Fail   []*Failure
}

// With returns the snapshot after a change of one type.
func (s *Snapshot) With(typeURL string, c Change) *Snapshot {
	d := newDraft(s)
	d.open()
	for _, r := range c.Put {
		d.put(typeURL, r)
	}
	for _, name := range c.Remove {
		d.remove(typeURL, name)
	}
	for _, f := range c.Fail {
		d.fail(typeURL, f)
	}
	d.version(typeURL, c.Version)
	return d.done()
}

// WithWaited returns the snapshot after ref was given up, or, with wait, is waited for again.
func (s *Snapshot) WithWaited(ref Ref, waited bool) *Snapshot {
	d := newDraft(s)
	d.wait(ref, waited)
	return d.done()
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
