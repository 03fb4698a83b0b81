package accesslog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

func counters(s *stats.Store) map[string]uint64 {
	var into fileStats
	stats.Bind(s.Scope("filesystem"), &into)
	return map[string]uint64{
		"buffered": into.WriteBuffered.Value(), "completed": into.WriteCompleted.Value(), "failed": into.WriteFailed.Value(),
		"timer": into.FlushedByTimer.Value(), "reopen_failed": into.ReopenFailed.Value(), "total": into.WriteTotalBuffered.Value(),
	}
}

func wantCounters(t *testing.T, s *stats.Store, want string) {
	t.Helper()
	c := counters(s)
	got := fmt.Sprintf("buffered %d completed %d failed %d timer %d reopen_failed %d total %d",
		c["buffered"], c["completed"], c["failed"], c["timer"], c["reopen_failed"], c["total"])
	if got != want {
		t.Errorf("stats:\n got %s\nwant %s", got, want)
	}
}

func open(t *testing.T, files *Files, path string) *File {
	t.Helper()
	f, err := files.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLinesWaitForTheInterval(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		store := stats.NewStore(1)
		files := NewFiles(FilesOptions{FlushInterval: time.Second, Store: store})
		f := open(t, files, path)
		f.Append([]byte("a\n"))
		f.Append([]byte("b\n"))
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		wantFile(t, path, "")
		wantCounters(t, store, "buffered 2 completed 0 failed 0 timer 0 reopen_failed 0 total 4")
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		wantFile(t, path, "a\nb\n")
		time.Sleep(time.Second)
		synctest.Wait()
		wantCounters(t, store, "buffered 2 completed 1 failed 0 timer 2 reopen_failed 0 total 0")
		files.Close()
	})
}

func TestEnoughIsWrittenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		files := NewFiles(FilesOptions{MinFlush: 10})
		f := open(t, files, path)
		f.Append([]byte("123456789\n"))
		synctest.Wait()
		wantFile(t, path, "")
		f.Append([]byte("x\n"))
		synctest.Wait()
		wantFile(t, path, "123456789\nx\n")
		files.Close()
	})
}

func TestRotatedFilesAreReopened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	store := stats.NewStore(1)
	files := NewFiles(FilesOptions{FlushInterval: time.Hour, Store: store})
	defer files.Close()
	f := open(t, files, path)
	f.Append([]byte("old\n"))
	files.Flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	f.Append([]byte("new\n"))
	files.Reopen()
	files.Flush()
	wantFile(t, path+".1", "old\n")
	wantFile(t, path, "new\n")

	// A directory that is gone: the old file goes on to be written to.
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir + ".gone") })
	f.Append([]byte("more\n"))
	files.Reopen()
	files.Flush()
	wantFile(t, dir+".gone/log", "new\nmore\n")
	wantCounters(t, store, "buffered 3 completed 3 failed 0 timer 0 reopen_failed 1 total 0")
}

func TestMemoryIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	store := stats.NewStore(1)
	files := NewFiles(FilesOptions{FlushInterval: time.Hour, MinFlush: 1 << 20, MaxBuffered: 10, Store: store})
	f := open(t, files, path)
	for range 5 {
		f.Append([]byte("1234\n"))
	}
	files.Close()
	f.Append([]byte("late\n"))
	wantFile(t, path, "1234\n1234\n")
	wantCounters(t, store, "buffered 2 completed 1 failed 4 timer 0 reopen_failed 0 total 0")
}

func TestFailedWritesAreCounted(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	store := stats.NewStore(1)
	files := NewFiles(FilesOptions{Store: store})
	open(t, files, "/dev/full").Append([]byte("x\n"))
	files.Close()
	wantCounters(t, store, "buffered 1 completed 0 failed 1 timer 0 reopen_failed 0 total 0")
}

func TestLogsOfOnePathShareItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	files := NewFiles(FilesOptions{})
	a, b := open(t, files, path), open(t, files, path)
	if a != b {
		t.Error("two files")
	}
	a.Close()
	b.Append([]byte("still open\n"))
	b.Close()
	wantFile(t, path, "still open\n")
	c := open(t, files, path)
	if c == a {
		t.Error("the file was not given up")
	}
	c.Append([]byte("appended\n"))
	c.Close()
	wantFile(t, path, "still open\nappended\n")
}

func TestWritersDoNotMixLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	files := NewFiles(FilesOptions{MinFlush: 100})
	f := open(t, files, path)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			line := []byte(strings.Repeat(string(rune('a'+w)), 30) + "\n")
			for range 200 {
				f.Append(line)
			}
		})
	}
	for range 20 {
		files.Reopen()
	}
	writers.Wait()
	files.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) != 1600 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if len(l) != 30 || strings.Trim(l, l[:1]) != "" {
			t.Fatalf("mixed line %q", l)
		}
	}
}

func TestStandardStreams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = old }()
	config, err := compile(t, `{"name":"f","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}}`, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	files := NewFiles(FilesOptions{})
	logs, err := config.Build(&Context{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	logs.Log(sample(t))
	files.Reopen()
	logs.Close()
	if _, err := out.WriteString("still open\n"); err != nil {
		t.Error(err)
	}
	wantFile(t, path, sampleLine+"still open\n")
}
