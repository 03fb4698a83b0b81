package xds

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A snapshot is compared with a plain map through thousands of changes, small and large, and none that
// was made before ever changes.
func TestSnapshotsAreImmutableWhateverTheirSize(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := &Snapshot{}
	want := map[string]*Resource{}
	type kept struct {
		s *Snapshot
		m map[string]*Resource
	}
	var old []kept
	check := func(s *Snapshot, m map[string]*Resource) {
		t.Helper()
		if got := maps.Collect(s.All(ClusterURL)); !maps.Equal(got, m) || s.Len(ClusterURL) != len(m) {
			t.Fatalf("%d resources, want %d", len(got), len(m))
		}
	}
	for step := range 300 {
		var c Change
		for range r.IntN(40) {
			c.Put = append(c.Put, &Resource{Name: fmt.Sprint("c", r.IntN(3000))})
		}
		for range r.IntN(8) {
			c.Remove = append(c.Remove, fmt.Sprint("c", r.IntN(3000)))
		}
		c.Version = fmt.Sprint(step)
		next := s.With(ClusterURL, c)
		after := maps.Clone(want)
		for _, p := range c.Put {
			after[p.Name] = p
		}
		for _, n := range c.Remove {
			delete(after, n)
		}
		check(s, want)
		check(next, after)
		changed, removed := next.Diff(s, ClusterURL)
		checkDiff(t, want, after, changed, removed)
		if step%50 == 0 {
			old = append(old, kept{next, maps.Clone(after)})
		}
		s, want = next, after
	}
	if s.Len(ClusterURL) <= sharded {
		t.Fatalf("only %d resources: shards were not tried", s.Len(ClusterURL))
	}
	for _, k := range old {
		check(k.s, k.m)
		changed, removed := s.Diff(k.s, ClusterURL)
		checkDiff(t, k.m, want, changed, removed)
	}
	for name, res := range want {
		if s.Resource(ClusterURL, name) != res {
			t.Fatalf("%s is another", name)
		}
	}
	if !slices.IsSortedFunc(s.Sorted(ClusterURL), func(a, b *Resource) int { return map[bool]int{true: -1, false: 1}[a.Name < b.Name] }) {
		t.Error("not sorted")
	}
}

func checkDiff(t *testing.T, before, after map[string]*Resource, changed []*Resource, removed []string) {
	t.Helper()
	got := maps.Clone(before)
	for _, c := range changed {
		if got[c.Name] == c {
			t.Fatalf("%s has not changed", c.Name)
		}
		got[c.Name] = c
	}
	for _, n := range removed {
		if got[n] == nil {
			t.Fatalf("%s was not there", n)
		}
		delete(got, n)
	}
	if !maps.Equal(got, after) {
		t.Fatalf("the difference makes %d of %d, want %d", len(got), len(before), len(after))
	}
}

func TestFailuresAreClearedByWhatFollows(t *testing.T) {
	s := (&Snapshot{}).With(ClusterURL, Change{Version: "1", Fail: []*Failure{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	before := s
	s = s.With(ClusterURL, Change{Version: "2", Put: []*Resource{{Name: "a"}}, Remove: []string{"b"}})
	if got := slices.Collect(maps.Keys(maps.Collect(s.Failures(ClusterURL)))); !slices.Equal(got, []string{"c"}) {
		t.Errorf("failures %q", got)
	}
	if n := len(maps.Collect(before.Failures(ClusterURL))); n != 3 || before.Version(ClusterURL) != "1" {
		t.Errorf("the older snapshot has %d failures", n)
	}
	ref := Ref{TypeURL: EndpointURL, Name: "e"}
	waited := s.WithWaited(ref, true)
	if s.Waited(ref) || !waited.Waited(ref) || waited.WithWaited(ref, false).Waited(ref) {
		t.Error("waited")
	}
}
