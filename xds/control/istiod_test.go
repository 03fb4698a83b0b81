package control

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-proxy/pillion/xds"
)

const productpageID = "sidecar~127.10.0.6~productpage-v1-0.default~default.svc.cluster.local"

// worldOf is the world of some files of testdata and texts.
func worldOf(t *testing.T, files map[string]string) *world {
	t.Helper()
	var sources []*source
	for _, name := range slices.Sorted(maps.Keys(files)) {
		src, err := parseSource(name, []byte(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, src)
	}
	ca, err := newAuthority("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(sources, nil, ca)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func nodeResources(t *testing.T, w *world, id string) map[ref]resource {
	t.Helper()
	all, err := w.resources(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// plain is a resource as generic JSON, to be compared.
func plain(t *testing.T, r resource) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(r.json(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// sameAs removes from generic JSON what this control plane and istiod say differently on purpose.
func sameAs(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = sameAs(v[i])
		}
	case map[string]any:
		// Telemetry is not made, and the secrets come over ADS instead of from an agent.
		delete(v, "tracing")
		if _, ok := v["sds_config"]; ok {
			v["sds_config"] = "from somewhere"
		}
		if istio, ok := v["istio"].(map[string]any); ok {
			// There is no VirtualService and no DestinationRule that it could have come from.
			delete(istio, "config")
		}
		for k, x := range v {
			v[k] = sameAs(x)
			if m, ok := v[k].(map[string]any); ok && len(m) == 0 && (k == "metadata" || k == "filter_metadata" || k == "istio") {
				delete(v, k)
			}
		}
	}
	return v
}

func TestBookinfoIsWhatIstiodSends(t *testing.T) {
	ours := nodeResources(t, worldOf(t, map[string]string{
		"a.yaml": read(t, "bookinfo.yaml"),
		"b.yaml": "mesh: {istio_filters: true, mtls: PERMISSIVE}",
	}), productpageID)
	theirs := worldOf(t, map[string]string{"dump": read(t, "istiod", "default-sidecar-productpage.json")}).files

	for r := range theirs {
		if _, ok := ours[r]; !ok {
			t.Errorf("istiod sends %s %q, we do not", short(r.typeURL), r.name)
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(ours), func(a, b ref) int { return strings.Compare(a.typeURL+a.name, b.typeURL+b.name) }) {
		their, ok := theirs[r]
		if !ok {
			if r.typeURL != xds.SecretURL {
				t.Errorf("we send %s %q, istiod does not", short(r.typeURL), r.name)
			}
			continue
		}
		got, want := sameAs(plain(t, ours[r])), sameAs(plain(t, their))
		if r == (ref{xds.RouteURL, "80"}) {
			// istiod repeats a VirtualService's hosts at port 80, whatever ports they have.
			dropHosts(want, "reviews.default.svc.cluster.local:80", "ratings.default.svc.cluster.local:80")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %q (-istiod +ours):\n%s", short(r.typeURL), r.name, diff)
		}
	}
}

func dropHosts(config any, names ...string) {
	c, ok := config.(map[string]any)
	if !ok {
		return
	}
	hosts, _ := c["virtual_hosts"].([]any)
	c["virtual_hosts"] = slices.DeleteFunc(hosts, func(v any) bool {
		h, _ := v.(map[string]any)
		name, _ := h["name"].(string)
		return slices.Contains(names, name)
	})
}
