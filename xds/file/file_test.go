package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

// sink notes what it is given; what has a resource whose bytes hold "bad" it rejects.
type sink struct {
	t   *testing.T
	got chan string
}

func (s *sink) Accept(r *xds.Response) (v xds.Verdict) {
	line := "version " + r.Version
	for _, in := range r.Resources {
		c := new(clusterpb.Cluster)
		if err := in.Any.UnmarshalTo(c); err != nil {
			s.t.Error(err)
		}
		line += " " + c.Name
		if c.Name == "bad" {
			v.Details = "bad cluster"
		}
	}
	s.got <- line
	return v
}
func (s *sink) Failed(_ string, err error) { s.got <- "failed " + err.Error() }
func (s *sink) Connected(error)            { s.t.Error("a file is no stream") }

func (s *sink) want(prefix string) {
	s.t.Helper()
	select {
	case got := <-s.got:
		if !strings.HasPrefix(got, prefix) {
			s.t.Fatalf("got %q, want %q", got, prefix)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("nothing came, want %q", prefix)
	}
}

func open(t *testing.T, p *corepb.PathConfigSource) (*sink, *Opener) {
	t.Helper()
	o := &Opener{}
	source, _, err := xds.Source(&corepb.ConfigSource{ConfigSourceSpecifier: &corepb.ConfigSource_PathConfigSource{PathConfigSource: p}})
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, got: make(chan string, 100)}
	st, err := o.Open(xds.Ref{TypeURL: xds.ClusterURL, Source: source}, s)
	if err != nil {
		t.Fatal(err)
	}
	st.Subscribe(xds.ClusterURL, nil, nil)
	t.Cleanup(func() { st.Close(); st.Wait(); o.Close() })
	return s, o
}

func doc(version string, names ...string) string {
	s := "version_info: '" + version + "'\nresources:\n"
	for _, n := range names {
		s += fmt.Sprintf("- {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: %s}\n", n)
	}
	return s
}

// move puts a file in its place by a rename, as whoever writes such files does.
func move(t *testing.T, path, text string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsReadAndReadAgainWhenItIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cds.yaml")
	move(t, path, doc("1", "a", "b"))
	s, _ := open(t, &corepb.PathConfigSource{Path: path})
	s.want("version 1 a b")
	move(t, path, doc("2", "a"))
	s.want("version 2 a")
	// Written in place: nobody looks. The next move shows that nothing came between.
	if err := os.WriteFile(path, []byte(doc("3", "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	move(t, path, doc("4", "bad"))
	s.want("version 4 bad")
	move(t, path, "foo: [")
	s.want("failed Unable to convert YAML as JSON")
	move(t, path, "")
	s.want("failed Unable to convert YAML as JSON")
	move(t, path, "version_info: '5'\nfoo: 1\nresources: []")
	s.want("version 5")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	move(t, path, doc("6", "a"))
	s.want("version 6 a")
	move(t, filepath.Join(filepath.Dir(path), "other.yaml"), doc("7", "a"))
	move(t, path, doc("8", "a"))
	s.want("version 8 a")
}

func TestUnknownFieldsFailIfTheyAreNotWanted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cds.yaml")
	move(t, path, "foo: 1")
	s := &sink{t: t, got: make(chan string, 10)}
	o := &Opener{RejectUnknown: true}
	st, err := o.Open(xds.Ref{TypeURL: xds.ClusterURL, Source: "path:" + path}, s)
	if err != nil {
		t.Fatal(err)
	}
	st.Subscribe(xds.ClusterURL, nil, nil)
	s.want("failed Protobuf message")
	st.Close()
	st.Wait()
	o.Close()
}

func TestFormats(t *testing.T) {
	c, err := anypb.New(&clusterpb.Cluster{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(&discoverypb.DiscoveryResponse{VersionInfo: "1", Resources: []*anypb.Any{c}})
	if err != nil {
		t.Fatal(err)
	}
	js := `{version_info: '1', "resources":[{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"a"},]}`
	for name, text := range map[string]string{
		"x.pb": string(wire), "x.json": js, "x": js, "x.yml": doc("1", "a"),
		"x.pb_text": `version_info: "1" resources { [type.googleapis.com/envoy.config.cluster.v3.Cluster] { name: "a" } }`,
	} {
		path := filepath.Join(t.TempDir(), name)
		move(t, path, text)
		s, _ := open(t, &corepb.PathConfigSource{Path: path})
		s.want("version 1 a")
	}
	path := filepath.Join(t.TempDir(), "x.pb")
	move(t, path, "\xff")
	s, _ := open(t, &corepb.PathConfigSource{Path: path})
	s.want("failed unable to parse")
}

func TestWatchedDirectoryStandsForTheFile(t *testing.T) {
	dir, watched := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "cds.yaml")
	move(t, path, doc("1", "a"))
	s, _ := open(t, &corepb.PathConfigSource{Path: path, WatchedDirectory: &corepb.WatchedDirectory{Path: watched}})
	s.want("version 1 a")
	move(t, path, doc("2", "a"))
	move(t, filepath.Join(watched, "anything"), "")
	s.want("version 2 a")
}

// Kubernetes mounts a directory whose files are links through "..data", which is swapped by a rename.
func TestKubernetesSwapsALinkAboveTheFile(t *testing.T) {
	dir := t.TempDir()
	swap := func(version string) {
		t.Helper()
		real := filepath.Join(dir, "..2026_"+version)
		if err := os.Mkdir(real, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(real, "cds.yaml"), []byte(doc(version, "a")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Base(real), filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("1")
	path := filepath.Join(dir, "cds.yaml")
	if err := os.Symlink("..data/cds.yaml", path); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, &corepb.PathConfigSource{Path: path})
	s.want("version 1 a")
	swap("2")
	s.want("version 2 a")
	swap("3")
	s.want("version 3 a")
}

func TestStreamsShareOneWatcher(t *testing.T) {
	dir := t.TempDir()
	o := &Opener{}
	var streams []xds.Stream
	var sinks []*sink
	for i := range 20 {
		move(t, filepath.Join(dir, fmt.Sprint(i, ".yaml")), doc("1", fmt.Sprint("c", i)))
	}
	for i := range 200 {
		path := filepath.Join(dir, fmt.Sprint(i%20, ".yaml"))
		s := &sink{t: t, got: make(chan string, 10)}
		st, err := o.Open(xds.Ref{TypeURL: xds.ClusterURL, Source: "path:" + path}, s)
		if err != nil {
			t.Fatal(err)
		}
		st.Subscribe(xds.ClusterURL, nil, nil)
		streams, sinks = append(streams, st), append(sinks, s)
	}
	for i, s := range sinks {
		s.want(fmt.Sprint("version 1 c", i%20))
	}
	move(t, filepath.Join(dir, "7.yaml"), doc("2", "x"))
	for i := 7; i < 200; i += 20 {
		sinks[i].want("version 2 x")
	}
	var wg sync.WaitGroup
	for _, st := range streams {
		st.Close()
		wg.Go(st.Wait)
	}
	wg.Wait()
	o.Close()
	if n := len(o.openDirs()); n != 0 {
		t.Errorf("%d directories are watched still", n)
	}
}

func (o *Opener) openDirs() map[string][]*stream {
	if o.watcher == nil {
		return nil
	}
	return o.watcher.streams
}
