package memo

import (
	"strconv"
	"sync"
	"testing"
)

func TestMapFindsWhatWasPut(t *testing.T) {
	m := NewMap[int, string](100)
	if _, ok := m.Get(1); ok {
		t.Error("an empty map has something")
	}
	for i := range 50 {
		m.Put(i, strconv.Itoa(i))
		for range 3 {
			for j := range i + 1 {
				if v, ok := m.Get(j); !ok || v != strconv.Itoa(j) {
					t.Fatalf("after %d: Get(%d) = %q, %v", i, j, v, ok)
				}
			}
		}
	}
	if v := m.Put(7, "other"); v != "7" {
		t.Errorf("a second Put returned %q", v)
	}
}

func TestMapIsBounded(t *testing.T) {
	m := NewMap[int, int](10)
	for i := range 1000 {
		m.Put(i, i)
		m.Get(i)
		if n := m.Len(); n > 10 {
			t.Fatalf("%d values", n)
		}
		if v, ok := m.Get(i); !ok || v != i {
			t.Fatalf("Get(%d) = %d, %v", i, v, ok)
		}
	}
}

func TestGetOfAKnownKeyDoesNotAllocate(t *testing.T) {
	type key struct {
		a, b string
		p    *int
	}
	m := NewMap[key, int](10)
	k := key{"a", "b", new(int)}
	m.Put(k, 1)
	m.Get(k)
	if n := testing.AllocsPerRun(100, func() { m.Get(k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if m.fresh != nil {
		t.Error("a key that is asked for often still takes the lock")
	}
}

func TestMapServesManyAtOnce(t *testing.T) {
	m := NewMap[int, int](64)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				k := i % 100
				if v, ok := m.Get(k); ok && v != k {
					t.Errorf("Get(%d) = %d", k, v)
				}
				if v := m.Put(k, k); v != k {
					t.Errorf("Put(%d) = %d", k, v)
				}
			}
		})
	}
	all.Wait()
}
