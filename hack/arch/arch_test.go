package arch

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root     = "../.."
	module   = "github.com/pillion-proxy/pillion"
	maxLines = 400
	maxFunc  = 80
)

// layer is one line of the block: packages that the pattern matches may import what is listed.
type layer struct {
	pattern string
	may     []string
}

// layers reads the block ```layers of ARCHITECTURE.md.
func layers(t *testing.T) (out []layer) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```layers\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("ARCHITECTURE.md has no block of layers")
	}
	for s := bufio.NewScanner(strings.NewReader(block)); s.Scan(); {
		pattern, may, ok := strings.Cut(s.Text(), ":")
		if !ok {
			continue
		}
		out = append(out, layer{strings.TrimSpace(pattern), strings.Fields(may)})
	}
	return out
}

// file is one Go file that is no test.
type file struct {
	pkg, name string
	lines     int
	ast       *ast.File
	set       *token.FileSet
}

func files(t *testing.T) (out []file) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".." && p != root || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, filepath.Dir(p))
		out = append(out, file{pkg: filepath.ToSlash(rel), name: name, lines: set.File(f.Pos()).LineCount(), ast: f, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImportsGoDown(t *testing.T) {
	all := layers(t)
	for _, f := range files(t) {
		if strings.HasPrefix(f.pkg, "hack/") || strings.HasPrefix(f.pkg, "examples/") || strings.HasSuffix(f.pkg, "test") || strings.Contains(f.pkg, "/dptest") {
			continue
		}
		for _, i := range f.ast.Imports {
			to, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module+"/")
			if !ours || to == f.pkg {
				continue
			}
			if !allowed(all, f.pkg, to) {
				t.Errorf("%s/%s imports %s, which ARCHITECTURE.md does not allow", f.pkg, f.name, to)
			}
		}
	}
}

// allowed tells whether any layer that matches from allows to. A package's own folder is its own.
func allowed(all []layer, from, to string) bool {
	if strings.HasPrefix(to, from+"/") || strings.HasPrefix(from, to+"/") && !strings.HasPrefix(from, "dataplane/") && to != "filters" {
		return true
	}
	for _, l := range all {
		if !matches(l.pattern, from) {
			continue
		}
		if slices.ContainsFunc(l.may, func(p string) bool { return matches(p, to) }) {
			return true
		}
	}
	return false
}

// matches tells whether a package is the pattern's, or in a folder below it.
func matches(pattern, pkg string) bool {
	for p := pkg; ; p = path.Dir(p) {
		if ok, _ := path.Match(pattern, p); ok {
			return true
		}
		if strings.Count(p, "/") < 2 {
			return false
		}
	}
}

func TestDirectionsThatAreForbidden(t *testing.T) {
	for _, f := range files(t) {
		for _, i := range f.ast.Imports {
			to := strings.Trim(i.Path.Value, `"`)
			rel, _ := strings.CutPrefix(to, module+"/")
			switch {
			case strings.HasPrefix(f.pkg, "filters/") && (rel == "dataplane/listener" || rel == "dataplane/admin" || rel == "dataplane" || strings.HasPrefix(rel, "xds")):
				t.Errorf("%s imports %s: filters know no listener, admin, xds", f.pkg, rel)
			case strings.HasPrefix(f.pkg, "filters/") && f.pkg != "filters" && strings.HasPrefix(rel, "filters/") && !strings.HasPrefix(rel, "filters/common/") && !strings.HasPrefix(rel, f.pkg+"/"):
				t.Errorf("%s imports another filter: %s", f.pkg, rel)
			case strings.HasPrefix(f.pkg, "xds") && !strings.HasPrefix(f.pkg, "xds/control") && strings.HasPrefix(rel, "dataplane"):
				t.Errorf("%s imports %s: xds knows no data plane", f.pkg, rel)
			}
		}
	}
}

func TestFilesAndFunctionsAreSmall(t *testing.T) {
	for _, f := range files(t) {
		if f.lines > maxLines {
			t.Errorf("%s/%s has %d lines, more than %d", f.pkg, f.name, f.lines, maxLines)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.set.Position(fn.Body.Rbrace).Line - f.set.Position(fn.Body.Lbrace).Line
			if n > maxFunc {
				t.Errorf("%s/%s: function %s has %d lines, more than %d", f.pkg, f.name, fn.Name.Name, n, maxFunc)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	docs := map[string]string{}
	for _, f := range files(t) {
		if f.ast.Doc != nil && docs[f.pkg] == "" {
			docs[f.pkg] = f.ast.Doc.Text()
		} else if _, ok := docs[f.pkg]; !ok {
			docs[f.pkg] = ""
		}
		if f.ast.Name.Name == "main" {
			docs[f.pkg] = "Package main"
		}
	}
	for pkg, doc := range docs {
		if !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command ") {
			t.Errorf("%s has no doc comment that begins \"Package …\"", pkg)
		}
	}
}

func TestNoInitNoGlobalsOfBadNames(t *testing.T) {
	for _, f := range files(t) {
		base := path.Base(f.pkg)
		if slices.Contains([]string{"util", "utils", "types", "internal", "pkg", "helper", "helpers"}, base) || base == "common" && f.pkg != "filters/common" {
			t.Errorf("%s: a package is one noun, none of util, common, types, internal, pkg", f.pkg)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s/%s has an init", f.pkg, f.name)
			}
		}
	}
}

// headings are what a filter's README has.
var headings = []string{"Name", "Config", "Behaviour", "Stats", "Response flags and details", "Not done yet", "Differences from Envoy"}

func TestFiltersAreListedAndDocumented(t *testing.T) {
	list, err := os.ReadFile(filepath.Join(root, "filters/filters.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"listener", "network", "http"} {
		dirs, err := os.ReadDir(filepath.Join(root, "filters", kind))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			folder := fmt.Sprintf("filters/%s/%s", kind, d.Name())
			if !strings.Contains(string(list), `"`+module+"/"+folder+`"`) {
				t.Errorf("filters/filters.go does not list %s", folder)
			}
			readme, err := os.ReadFile(filepath.Join(root, folder, "README.md"))
			if err != nil {
				t.Errorf("%s has no README.md", folder)
				continue
			}
			for _, h := range headings {
				if !strings.Contains(string(readme), "## "+h+"\n") {
					t.Errorf("%s/README.md has no heading %q", folder, h)
				}
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	want := []string{"cmd", "dataplane", "xds", "filters", "examples", "hack", "go.mod", "go.sum", "Makefile", "LICENSE", "README.md", "ARCHITECTURE.md", "bin"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("%s is not one of the top level's: %v", e.Name(), want)
		}
	}
}
