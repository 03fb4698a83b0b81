package envoytest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestProbe records the scenarios that PROBE names, for looking at what Envoy does.
func TestProbe(t *testing.T) {
	pattern := os.Getenv("PROBE")
	if pattern == "" {
		t.Skip("PROBE is not set")
	}
	files, _ := filepath.Glob(pattern)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			s, err := Load(f)
			if err != nil {
				t.Fatal(err)
			}
			if why := Reject(t, s); why != "" {
				t.Fatalf("rejected: %s", why)
			}
			b, _ := json.MarshalIndent(Record(t, s), "", " ")
			if err := os.WriteFile(filepath.Join(os.TempDir(), "probe-"+filepath.Base(f)+".json"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRefusals prints what Envoy says to the configurations in the file that REFUSALS names.
func TestRefusals(t *testing.T) {
	path := os.Getenv("REFUSALS")
	if path == "" {
		t.Skip("REFUSALS is not set")
	}
	cases, err := LoadRefusals(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		t.Logf("%s\n    %s", cases[i].Name, Reject(t, &cases[i].Scenario))
	}
}
