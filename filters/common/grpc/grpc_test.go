package grpc

import (
	"strconv"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

func TestFramesAreCountedHoweverTheyAreCut(t *testing.T) {
	whole := []byte("\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03abc")
	for size := 1; size <= len(whole); size++ {
		var f Frames
		n := uint64(0)
		for rest := whole; len(rest) > 0; {
			k := min(size, len(rest))
			n += f.Count(rest[:k])
			rest = rest[k:]
		}
		if n != 3 {
			t.Errorf("in pieces of %d: %d messages", size, n)
		}
	}
	f := Frames{EndFlag: 2}
	if n := f.Count([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00")); n != 1 {
		t.Errorf("%d messages, the end of stream is none", n)
	}
}

func TestMethods(t *testing.T) {
	for path, want := range map[string]string{
		"/a.B/C": "a.B C", "/a.B/C?d/e": "a.B C", "/a/b/c": "", "/a": "", "a/b": "", "//b": "", "/a/": "", "": "", "/": "",
	} {
		s, m, ok := Method(path)
		if got := s + " " + m; ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", path, got, ok)
		}
	}
}

func TestCallsAreFoundWithoutAllocation(t *testing.T) {
	server := &filter.Server{Stats: stats.NewStore(1)}
	s := Of(server)
	s.Calls("grpc", "c", "s", "m").Status(1, "0")
	s.Calls("grpc", "c", "s", "m").Requests(1, 1)
	if n := testing.AllocsPerRun(100, func() {
		c := s.Calls("grpc", "c", "s", "m")
		c.Status(1, "0")
		c.Requests(1, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for i := range maxListed + 10 {
		s.Calls("grpc", "c", "s", "m"+strconv.Itoa(i)).Status(1, "5")
	}
	if a, b := s.Calls("grpc", "c", "s", "m4100"), s.Calls("grpc", "c", "s", "m4100"); a != b {
		t.Error("two for one method")
	}
}
