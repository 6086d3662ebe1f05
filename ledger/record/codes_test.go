package record_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// constants returns the Code… constants of a file, by name.
func constants(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[spec.Names[0].Name] = s
		}
		return true
	})
	return out
}

// TestCodesAreDocumented keeps docs/spec/codes.md and the constants the same,
// and its last column true of this floor.
func TestCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/codes.md")
	if err != nil {
		t.Fatal(err)
	}
	refusedBy := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(string(page), -1) {
		if _, twice := refusedBy[m[1]]; twice {
			t.Errorf("%s stands twice", m[1])
		}
		refusedBy[m[1]] = m[3]
	}
	form, rules := uses(t, "."), uses(t, "../rules")
	known := map[string]bool{}
	for _, file := range []string{"code.go", "../../crypto/canon/canon.go"} {
		for name, code := range constants(t, file) {
			if known[code] {
				t.Errorf("two constants for %s", code)
			}
			known[code] = true
			if !record.ValidCode(record.Code(code)) {
				t.Errorf("%q is no code", code)
			}
			by, ok := refusedBy[code]
			if !ok {
				t.Errorf("%s is not in docs/spec/codes.md", code)
				continue
			}
			words := strings.Split(by, ", ")
			if strings.HasPrefix(code, "cbor.") { // canon's, which record passes on
				continue
			}
			if slices.Contains(words, "form") != form[name] || slices.Contains(words, "rules") != rules[name] {
				t.Errorf("%s is said to be refused by %s; in ledger/record %v, in ledger/rules %v", code, by, form[name], rules[name])
			}
		}
	}
	for code := range refusedBy {
		if !known[code] {
			t.Errorf("docs/spec/codes.md has %s, which is no constant", code)
		}
	}
}

// uses returns the Code… names that a package's product code mentions, beside
// their definitions.
func uses(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "code.go" {
			return err
		}
		b, err := os.ReadFile(path)
		for _, name := range regexp.MustCompile(`\bCode[A-Z]\w+`).FindAllString(string(b), -1) {
			out[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
