package filtertest

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
)

// update records goldens anew, on the real Envoy.
var update = flag.Bool("update", false, "record goldens with "+envoytest.Binary)

// Goldens runs the scenarios testdata/*.yaml and compares what happens with what Envoy did, which is in
// the files *.golden.json beside them: go test -update records them.
func Goldens(t *testing.T, extensions ...any) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { golden(t, file, extensions) })
	}
}

func golden(t *testing.T, file string, extensions []any) {
	t.Helper()
	s, err := envoytest.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want := &envoytest.Golden{}
	path := strings.TrimSuffix(file, ".yaml") + ".golden.json"
	if *update {
		want = envoytest.Record(t, s)
		b, err := json.MarshalIndent(want, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, want); err != nil {
		t.Fatal(err)
	}
	h := New(t, s, extensions...)
	for i := range s.Steps {
		got := h.Do(t, &s.Steps[i])
		if diff := cmp.Diff(printable(&want.Steps[i]), printable(&got)); diff != "" {
			t.Errorf("%s: Envoy (-), we (+):\n%s", s.Steps[i].Name, diff)
		}
	}
	if s.Stats == "" {
		return
	}
	if diff := cmp.Diff(want.Stats, h.stats(s.Counts)); diff != "" && len(want.Stats)+len(h.stats(s.Counts)) > 0 {
		t.Errorf("stats: Envoy (-), we (+):\n%s", diff)
	}
}

// printable takes an outcome through JSON, as the golden went, so that the same bytes compare as the same.
func printable(o *envoytest.Outcome) *envoytest.Outcome {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	out := &envoytest.Outcome{}
	if err := json.Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// Refusals runs the configurations in a file: each must be refused with the text that is its "error", a
// part of what Envoy says.
func Refusals(t *testing.T, file string, extensions ...any) {
	t.Helper()
	list, err := envoytest.LoadRefusals(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		r := &list[i]
		t.Run(r.Name, func(t *testing.T) {
			if *update {
				if got := envoytest.Reject(t, &r.Scenario); (got == "") != (r.Error == "") || !strings.Contains(got, r.Error) {
					t.Errorf("Envoy says %q", got)
				}
			}
			_, err := Build(t, &r.Scenario, extensions...)
			switch {
			case err == nil && r.Error != "":
				t.Errorf("accepted, want %q", r.Error)
			case err != nil && (r.Error == "" || !strings.Contains(err.Error(), r.Error)):
				t.Errorf("refused: %v, want %q", err, r.Error)
			}
		})
	}
}
