package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-proxy/pillion/xds"
)

func TestBadFilesAreToldByNameAndLine(t *testing.T) {
	const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	tests := []struct{ name, text, want string }{
		{"syntax", "a: b\n c: [", "f.yaml:2: mapping values are not allowed in this context"},
		{"JSON syntax", "{\n \"a\": 1,\n \"b\" 2\n}", "f.yaml:3: "},
		{"empty", " \n", "f.yaml: the file is empty"},
		{"nothing known", "a: b", "f.yaml:1: neither a resource (@type), resources, a mesh file (mesh, services, workloads) nor a recorded /config_dump"},
		{"twice the same key", "mesh:\n  domain: a\n  domain: b", `f.yaml:3: key "domain" is given twice`},
		{"unknown field", "resources:\n- \"@type\": " + clusterType + "\n  name: c\n  conect_timeout: 1s", `f.yaml:4: unknown field "conect_timeout"`},
		{"bad value", "\"@type\": " + clusterType + "\nname: c\n\nconnect_timeout: soon", `f.yaml:4: invalid google.protobuf.Duration value "soon"`},
		{"bad enum", "\"@type\": " + clusterType + "\nname: c\nlb_policy: FASTEST", `f.yaml:3: invalid value for enum field lbPolicy: "FASTEST"`},
		{"rule", "\"@type\": " + clusterType + "\nname: c\nconnect_timeout: 0s", "f.yaml:1: invalid Cluster.ConnectTimeout: value must be greater than 0s"},
		{"unknown resource", "\n\"@type\": type.googleapis.com/foo.Bar", `f.yaml:2: type "type.googleapis.com/foo.Bar" is not known here`},
		{"no name", "\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "f.yaml:1: envoy.config.route.v3.RouteConfiguration has no name"},
		{"no type", "resources:\n- name: c", `f.yaml:2: a resource is an object with an "@type"`},
		{"beside resources", "resources: []\nresuorces: []", `f.yaml:2: unknown key "resuorces" beside resources`},
		{"twice the same resource", "resources:\n- {\"@type\": " + clusterType + ", name: c}\n- {\"@type\": " + clusterType + ", name: c}", `f.yaml:3: envoy.config.cluster.v3.Cluster "c" is at f.yaml:2 already`},
		{"unknown mesh key", "services:\n- name: s\n  prots: []", `f.yaml:3: unknown key "prots", there are name, namespace,`},
		{"wrong kind", "services:\n- name: s\n  ports: 80", "f.yaml:3: want a list"},
		{"wrong scalar", "services:\n- name: s\n  ports:\n  - {port: http}", `f.yaml:4: want a uint32, not "http"`},
		{"no ports", "services:\n- name: s", `f.yaml:2: service "s.default.svc.cluster.local" has no ports`},
		{"bad address", "workloads:\n- name: w\n  address: here", `f.yaml:2: ParseAddr("here"): unable to parse IP`},
		{"bad protocol", "services:\n- name: s\n  ports:\n  - {port: 80, protocol: udp}", `f.yaml:4: protocol "udp" is not one of http,`},
		{"bad word in a route", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  routes:\n  - match: {prefix: /}\n    rout: {}", `f.yaml:6: unknown field "rout"`},
		{"rule in a route", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  routes:\n  - route: {cluster: s}", "f.yaml:5: invalid Route.Match: value is required"},
		{"unknown subset", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  routes:\n  - {match: {prefix: /}, route: {cluster: v9}}", `f.yaml:5: cluster "v9" is neither a subset of s.default.svc.cluster.local nor a service or cluster`},
		{"unknown subset of another", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  routes:\n  - {match: {prefix: /}, route: {cluster: s/v9}}", `f.yaml:5: cluster "s/v9": s.default.svc.cluster.local has no subset "v9"`},
		{"word that is made", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  cluster:\n    name: x", "f.yaml:5: name is made from the mesh and cannot be given"},
		{"rule in a cluster", "services:\n- name: s\n  ports: [{port: 80, protocol: http}]\n  cluster: {connect_timeout: -1s}", `f.yaml:2: envoy.config.cluster.v3.Cluster "outbound|80||s.default.svc.cluster.local": invalid Cluster.ConnectTimeout`},
		{"two at one listener", "services:\n- {name: a, ports: [{port: 80, protocol: tcp}]}\n- {name: b, ports: [{port: 80, protocol: tcp}]}", "f.yaml:3: port 80 of b.default.svc.cluster.local would be at listener 0.0.0.0_80, which is a.default.svc.cluster.local's"},
		{"mode", "mesh: {outbound: SOME}", `f.yaml:1: outbound "SOME" is not one of ALLOW_ANY, REGISTRY_ONLY`},
		{"no outbound address", "workloads:\n- {name: w, address: 1.2.3.4, interception: NONE}", "f.yaml:2: without interception a sidecar needs outbound"},
		{"subset twice", "services:\n- name: s\n  ports: [{port: 80}]\n  subsets: [{name: a},\n   {name: a}]", `f.yaml:5: subset "a" is given twice`},
		{"port twice", "services:\n- name: s\n  ports: [{port: 80},\n   {port: 80}]", `f.yaml:4: port 80 is given twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, Options{})
			err := s.UpdateFile("f.yaml", []byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestUnknownExtensionsSurviveAsTypedStruct(t *testing.T) {
	src, err := parseSource("f.yaml", []byte(`
"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: c
transport_socket:
  name: mine
  typed_config:
    "@type": type.googleapis.com/my.Socket
    depth: 3
`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(src.resources[0].json())
	for _, want := range []string{`"@type":"type.googleapis.com/xds.type.v3.TypedStruct"`, `"type_url":"type.googleapis.com/my.Socket"`, `"depth":3`} {
		if !strings.Contains(strings.ReplaceAll(got, `": "`, `":"`), want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if want := "f.yaml:7: my.Socket is not known here and is sent as a TypedStruct"; len(src.notes) != 1 || src.notes[0] != want {
		t.Errorf("notes %q, want %q", src.notes, want)
	}
}

func TestRecordingsAreRead(t *testing.T) {
	for file, want := range map[string]map[string]int{
		"default-sidecar-productpage.json":          {xds.ClusterURL: 23, xds.EndpointURL: 19, xds.ListenerURL: 8, xds.RouteURL: 3},
		"default-router-ingressgateway.json":        {xds.ClusterURL: 20, xds.EndpointURL: 19, xds.ListenerURL: 1, xds.RouteURL: 1},
		"realenvoy-oracle-sidecar.config_dump.json": {xds.ClusterURL: 23, xds.EndpointURL: 19, xds.ListenerURL: 8, xds.RouteURL: 3},
	} {
		t.Run(file, func(t *testing.T) {
			src, err := parseSource(file, []byte(read(t, "istiod", file)))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, r := range src.resources {
				got[r.typeURL]++
			}
			for url, n := range want {
				if got[url] != n {
					t.Errorf("%d of %s, want %d", got[url], short(url), n)
				}
			}
			t.Log(src.notes)
		})
	}
}

// events collects events.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) last(kind EventKind) (Event, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found Event
	n := 0
	for _, ev := range e.all {
		if ev.Kind == kind {
			found = ev
			n++
		}
	}
	return found, n
}

func TestFolderIsWatched(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		// As editors and Kubernetes do it: written beside, then moved.
		tmp := filepath.Join(dir, ".tmp")
		if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yaml", clusterFile("a", "1s"))
	write("README.md", "not configuration")
	var seen events
	s, err := New(Options{Path: dir, OnEvent: seen.add, Debounce: 10e6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := newSotw(t, s)
	c.ask("n", xds.ClusterURL)
	c.ack(c.want(xds.ClusterURL, "a"))

	write("b.yaml", clusterFile("b", "1s"))
	c.ack(c.want(xds.ClusterURL, "a", "b"))

	// A bad file is told, and what it was goes on.
	write("b.yaml", "resources:\n- nonsense")
	eventually(t, "the bad file to be told", func() bool { _, n := seen.last(FileBad); return n == 1 })
	bad, _ := seen.last(FileBad)
	path := filepath.Join(dir, "b.yaml")
	if want := path + `:2: a resource is an object with an "@type"`; bad.File != path || bad.Err.Error() != want {
		t.Errorf("got %q: %v, want %s", bad.File, bad.Err, want)
	}
	if got := s.Status().Files[path]; got == "" {
		t.Error("the status does not name the bad file")
	}
	write("c.yaml", clusterFile("c", "1s"))
	c.ack(c.want(xds.ClusterURL, "a", "b", "c"))

	// A conflict between good files is told as well.
	write("d.yaml", clusterFile("c", "2s"))
	eventually(t, "the conflict to be told", func() bool { _, n := seen.last(FileBad); return n == 2 })
	write("b.yaml", clusterFile("b", "2s"))
	if err := os.Remove(filepath.Join(dir, "d.yaml")); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.ClusterURL, "a", "b", "c"))
	eventually(t, "the status to be good", func() bool { return len(s.Status().Files) == 0 })

	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	c.ack(c.want(xds.ClusterURL, "b", "c"))
}

func TestFileThatIsBadFromTheStartIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte("a: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Path: path}); err == nil || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("got %v", err)
	}
}
