package control

import (
	"strings"
	"testing"
)

// FuzzParseSource wants every file to be read or told by its name.
func FuzzParseSource(f *testing.F) {
	f.Add("services: [{name: s, ports: [{port: 80}]}]")
	f.Add(`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [{"cluster": {"name": "c"}}]}]}`)
	f.Add("a: &a {b: *a}")
	f.Add("resources:\n- \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: c\n")
	f.Add("<<: {mesh: {}}\nworkloads: [{name: w, address: 1.2.3.4}]\n---\n{}\n")
	ca, err := newAuthority("cluster.local")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src, err := parseSource("f.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.yaml") {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		if _, err := newWorld([]*source{src}, nil, ca); err != nil && !strings.HasPrefix(err.Error(), "f.yaml") {
			t.Errorf("%v does not name the file", err)
		}
	})
}
