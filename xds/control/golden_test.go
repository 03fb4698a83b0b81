package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pillion-proxy/pillion/xds"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func goldenWorld(t *testing.T) *world {
	t.Helper()
	return worldOf(t, map[string]string{"a.yaml": read(t, "bookinfo.yaml"), "b.yaml": read(t, "everything.yaml"), "c.yaml": `
workloads:
- {name: client, address: 127.0.0.9, labels: {app: tcp-echo, version: v9}, interception: NONE, outbound: 127.0.0.10, outbound_ports: {9080: 19080, "istio-ingressgateway:443": 10443}, app: {9000: "127.0.0.11:9001"}}
`})
}

// TestGoldens shows what is made from a mesh file by default, without mutual TLS and Istio's own filters.
func TestGoldens(t *testing.T) {
	w := goldenWorld(t)
	for name, id := range map[string]string{
		"redirect.json": productpageID,
		"none.json":     "sidecar~127.0.0.9~client.default~default.svc.cluster.local",
		"foreign.json":  "sidecar~127.0.0.8~unknown.elsewhere~elsewhere.svc.cluster.local",
	} {
		t.Run(name, func(t *testing.T) {
			all := nodeResources(t, w, id)
			if name != "redirect.json" {
				// Clusters and endpoints are the same for all.
				maps.DeleteFunc(all, func(r ref, _ resource) bool {
					return r.typeURL == xds.EndpointURL || r.typeURL == xds.ClusterURL && r.name[:3] == "out"
				})
			}
			got := dump(t, all)
			path := filepath.Join("testdata", "golden", name)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what is made, run with -update and look at the difference: %v", path, err)
			}
		})
	}
}

// dump writes resources the way the lab's xdsdump does, so that this control plane can read them again.
func dump(t *testing.T, all map[ref]resource) []byte {
	t.Helper()
	short := map[string]string{}
	for k, v := range shortNames() {
		short[v] = k
	}
	lists := map[string][]json.RawMessage{}
	_, grouped := byType(all)
	for url, group := range grouped {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			if err := validate(group[name].msg); err != nil {
				t.Errorf("%s %q: %v", url, name, err)
			}
			// protojson's spaces are random.
			var compact bytes.Buffer
			if err := json.Compact(&compact, group[name].json()); err != nil {
				t.Fatal(err)
			}
			lists[short[url]] = append(lists[short[url]], compact.Bytes())
		}
	}
	b, err := json.MarshalIndent(lists, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func TestGoldenIsARecording(t *testing.T) {
	again := worldOf(t, map[string]string{"golden": read(t, "golden", "redirect.json")}).files
	w := goldenWorld(t)
	for r, want := range nodeResources(t, w, productpageID) {
		if !bytes.Equal(again[r].body, want.body) {
			t.Errorf("%s %q is not the same after it was recorded", short(r.typeURL), r.name)
		}
	}
}
