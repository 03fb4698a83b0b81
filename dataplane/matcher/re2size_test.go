package matcher

import (
	"encoding/json"
	"os"
	"regexp/syntax"
	"testing"
)

// testdata/re2size.json holds sizes that Envoy 1.40 told in its errors with
// re2.max_program_size.error_level at 0.
func TestProgramSizeIsWhatEnvoyReports(t *testing.T) {
	raw, err := os.ReadFile("testdata/re2size.json")
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{}
	if err := json.Unmarshal(raw, &sizes); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range sizes {
		re, err := syntax.Parse(latin1(pattern), syntax.Perl)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		if got := programSize(re); got != want {
			t.Errorf("%q: %d instructions, Envoy says %d", pattern, got, want)
		}
	}
}
