package control

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-proxy/pillion/xds"
)

// ref names a resource.
type ref struct{ typeURL, name string }

func (r resource) ref() ref { return ref{r.typeURL, r.name} }

// source is what one file gives. It is immutable.
type source struct {
	name string
	// data is the file's content; nil if it came by UpdateFile.
	data      []byte
	parts     []*mesh
	resources []resource
	notes     []string
}

// parseSource reads a file: mesh files, resources and recordings, told apart by what is in them.
func parseSource(name string, data []byte) (*source, error) {
	docs, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	s := &source{name: name}
	strict, lenient := &decoder{strict: true}, &decoder{}
	for _, doc := range docs {
		var add []resource
		switch {
		case isRecording(doc):
			add, err = lenient.recorded(doc)
		case doc.get("resources") != nil:
			add, err = strict.collection(doc)
		case doc.get("@type") != nil:
			var r resource
			r, err = strict.resource(doc)
			add = []resource{r}
		case isMesh(doc):
			var m *mesh
			m, err = parseMesh(doc)
			s.parts = append(s.parts, m)
		default:
			err = doc.errorf("neither a resource (@type), resources, a mesh file (mesh, services, workloads) nor a recorded /config_dump")
		}
		if err != nil {
			return nil, err
		}
		s.resources = append(s.resources, add...)
	}
	s.notes = append(strict.told(), lenient.told()...)
	return s, nil
}

// collection reads a DiscoveryResponse, or just its resources.
func (d *decoder) collection(doc *node) ([]resource, error) {
	var all []resource
	for i, k := range doc.keys {
		switch k.name {
		case "resources":
			for _, item := range doc.vals[i].vals {
				r, err := d.resource(item)
				if err != nil {
					return nil, err
				}
				all = append(all, r)
			}
		case "version_info", "versionInfo", "type_url", "typeUrl", "nonce":
			// This control plane gives its own versions and nonces, and each resource has its type.
		default:
			return nil, doc.vals[i].errorf("unknown key %q beside resources", k.name)
		}
	}
	return all, nil
}

// layer is what the API put over the files: for every node, or for one.
type layer struct {
	put  map[ref]resource
	hide map[ref]bool
}

// world is everything that is served, at one moment. It is immutable.
type world struct {
	mesh   *compiled
	files  map[ref]resource
	layers map[string]*layer
}

// newWorld puts files together. The same resource in two files is a mistake, not a choice.
func newWorld(sources []*source, layers map[string]*layer, ca *authority) (*world, error) {
	slices.SortFunc(sources, func(a, b *source) int { return strings.Compare(a.name, b.name) })
	w := &world{files: map[ref]resource{}, layers: layers}
	var parts []*mesh
	for _, s := range sources {
		parts = append(parts, s.parts...)
		for _, r := range s.resources {
			if other, ok := w.files[r.ref()]; ok {
				return nil, r.at.errorf("%s %q is at %s:%d already", short(r.typeURL), r.name, other.at.file, other.at.line)
			}
			w.files[r.ref()] = r
		}
	}
	if parts == nil {
		return w, nil
	}
	m, err := mergeMeshes(parts)
	if err != nil {
		return nil, err
	}
	m.ca, m.dec, m.extra = ca, &decoder{strict: true}, map[string]bool{}
	for r := range w.files {
		if r.typeURL == xds.ClusterURL {
			m.extra[r.name] = true
		}
	}
	w.mesh, err = m.compile()
	return w, err
}

// resources are what a node is to have, by type and name: the mesh's, then the files', then the API's,
// the later over the earlier.
func (w *world) resources(id string, n *corepb.Node) (map[ref]resource, error) {
	all := map[ref]resource{}
	if w.mesh != nil {
		made, err := w.mesh.sidecar(id, n)
		if err != nil {
			return nil, err
		}
		for _, r := range made {
			all[r.ref()] = r
		}
	}
	maps.Copy(all, w.files)
	for _, name := range slices.Compact([]string{"", id}) {
		if l := w.layers[name]; l != nil {
			for r := range l.hide {
				delete(all, r)
			}
			maps.Copy(all, l.put)
		}
	}
	return all, nil
}

// byType groups resources by type, in the order in which types are sent.
func byType(all map[ref]resource) (types []string, grouped map[string]map[string]resource) {
	grouped = map[string]map[string]resource{}
	for r, v := range all {
		if grouped[r.typeURL] == nil {
			grouped[r.typeURL] = map[string]resource{}
		}
		grouped[r.typeURL][r.name] = v
	}
	return slices.SortedFunc(maps.Keys(grouped), inOrder), grouped
}

// inOrder compares types by when they are sent. What is not in the list comes last.
func inOrder(a, b string) int {
	rank := func(url string) int {
		if i := slices.Index(order(), url); i >= 0 {
			return i
		}
		return len(order())
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
}
