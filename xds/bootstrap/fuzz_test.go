package bootstrap

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad asks that no document brings it down, and that what was loaded can be shown.
func FuzzLoad(f *testing.F) {
	for ext, src := range map[string]string{
		".json":    `{node:{id:'a',cluster:"b",},"static_resources":{"clusters":[{"name":"a","type":"static"}],"listeners":[{}]},"layered_runtime":{"layers":[{"name":"x","static_layer":{"a":{"b":1.5}}}]},}`,
		".yaml":    "node: {id: a, cluster: b}\ndynamic_resources: {cds_config: {path: /x}, lds_config: {ads: {}}, ads_config: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: x}}]}}\n",
		".pb":      "\x0a\x03\x0a\x01a\x12\x06\x12\x04\x0a\x02cc",
		".pb_text": `node { id: "a" }`,
	} {
		f.Add(ext, []byte(src), "stats_flush_interval: 5s")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, ext string, src []byte, yaml string) {
		switch ext {
		case ".json", ".yaml", ".pb", ".pb_text":
		default:
			t.Skip()
		}
		path := filepath.Join(dir, "b"+ext)
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := Load(Options{Path: path, YAML: yaml, AllowUnknown: true})
		if err != nil {
			return
		}
		if b.Node == nil {
			t.Error("no node")
		}
		_, _ = b.Proto()
	})
}
