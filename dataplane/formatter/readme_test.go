package formatter

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in README.md")

// operatorTable lists every operator that the tables hold.
func operatorTable() string {
	var b strings.Builder
	b.WriteString("| operator | parameter | length |\n|---|---|---|\n")
	rows := maps.Clone(parameterOperators)
	for name := range plainOperators {
		rows[name] = spec{plain: true}
	}
	rows[coalesce] = spec{needsParam: true}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		s := rows[name]
		param, length := "may", "may"
		switch {
		case s.plain:
			param, length = "-", "-"
		case s.needsParam || refusesNoParameter(s):
			param = "must"
		}
		if s.noLength {
			length = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, param, length)
	}
	return b.String()
}

func refusesNoParameter(s spec) bool {
	_, err := s.compile("")
	return err != nil
}

func TestREADMEListsTheOperators(t *testing.T) {
	const file, from, to = "README.md", "<!-- operators -->\n", "<!-- end -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), from)
	got, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("the README has no place for the table")
	}
	want := operatorTable()
	if got == want {
		return
	}
	if !*update {
		t.Fatal("the table is out of date: run with -update")
	}
	if err := os.WriteFile(file, []byte(before+from+want+to+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
