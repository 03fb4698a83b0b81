package header

import (
	"strings"
	"testing"
)

func TestEveryWellKnownNameIsFound(t *testing.T) {
	for id := ID(1); id < idCount; id++ {
		if names[id] == "" {
			t.Errorf("ID %d has no name", id)
		}
		if got := IDOf(names[id]); got != id {
			t.Errorf("IDOf(%q) = %d, want %d", names[id], got, id)
		}
	}
	for _, n := range []string{"", "x", "x-own", ":nope", strings.Repeat("a", 99)} {
		if got := IDOf(n); got != 0 {
			t.Errorf("IDOf(%q) = %d, want 0", n, got)
		}
	}
}

func TestMapKeepsOrderAndRepeats(t *testing.T) {
	var m Map
	m.Reset()
	m.Add("x-a", "1")
	m.Add("x-b", "2")
	m.Add("x-a", "3")
	if v, _ := m.Joined("x-a"); v != "1,3" || m.Count("x-a") != 2 {
		t.Errorf("joined x-a = %q, count %d", v, m.Count("x-a"))
	}
	m.Set("x-a", "4")
	if got := dump(&m); got != "x-a=4 x-b=2" {
		t.Errorf("after Set: %s", got)
	}
	m.Add("x-envoy-retry-on", "5xx")
	if !m.Has(XEnvoyRetryOn) || m.Value(XEnvoyRetryOn) != "5xx" {
		t.Error("well-known header is not found by its number")
	}
	m.DelFunc(func(f *Field) bool { return f.ID == XEnvoyRetryOn })
	if m.Has(XEnvoyRetryOn) || m.Del("x-b") != 1 || m.Del("x-b") != 0 || dump(&m) != "x-a=4" {
		t.Errorf("after deletes: %s", dump(&m))
	}
}

func TestHostIsAuthority(t *testing.T) {
	var m Map
	m.Set("host", "a.example")
	if v, ok := m.Get(":authority"); !ok || v != "a.example" || m.Len() != 0 {
		t.Errorf(":authority = %q, %v", v, ok)
	}
	if m.Del("host") != 1 || m.Del("host") != 0 || m.Del(":path") != 0 {
		t.Error("only :authority, :scheme and :protocol can be removed, once")
	}
}

func TestAppendAndCopy(t *testing.T) {
	var m, c Map
	m.Reset()
	m.Method, m.Path, m.Status = "GET", "/", 0
	m.AppendID(XForwardedFor, "1.1.1.1", ",")
	m.AppendID(XForwardedFor, "2.2.2.2", ",")
	m.AddField(Field{Name: m.Keep([]byte("x-own")), Value: m.Keep([]byte("v")), Case: "X-Own"})
	c.CopyFrom(&m)
	want := dump(&m)
	m.Reset()
	copy(m.Grow(30), "##############################")
	if got := dump(&c); got != want || c.Value(XForwardedFor) != "1.1.1.1,2.2.2.2" {
		t.Errorf("copy = %q, want %q", got, want)
	}
	if c.ByteSize() != len(":path/:methodGETx-forwarded-for1.1.1.1,2.2.2.2x-ownv") {
		t.Errorf("ByteSize = %d", c.ByteSize())
	}
}

func TestReuseDoesNotAllocate(t *testing.T) {
	var m Map
	n := testing.AllocsPerRun(100, func() {
		m.Reset()
		for range 12 {
			m.Add("x-some", m.Keep([]byte("value")))
		}
		m.SetID(XRequestID, "id")
		m.DelID(XRequestID)
		_ = m.Value(ContentLength)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStatusString(t *testing.T) {
	for n, want := range map[int]string{100: "100", 204: "204", 599: "599", 7: "7", 999: "999"} {
		if got := StatusString(n); got != want {
			t.Errorf("StatusString(%d) = %q", n, got)
		}
	}
}

func dump(m *Map) string {
	var out []string
	for _, f := range m.Fields() {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func BenchmarkIDOf(b *testing.B) {
	for b.Loop() {
		_ = IDOf("x-envoy-upstream-rq-timeout-ms")
	}
}
