// Package akashi_test polices the floors of the house: what each directory may
// import and call, and how long a file may be. It only parses; it builds nothing.
package akashi_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/akashi-ledger/akashi"

// floors from the ground up. A floor may import itself and every lower one.
var floors = []string{"crypto", "ledger", "node", "api", "cmd"}

// cmdMayImport are the two packages of simulations that the binary carries:
// the runner behind demo and the generator behind bench.
var cmdMayImport = []string{"simulations/scenarios", "simulations/load"}

// banImport forbids import paths (and everything below them) under some directories.
type banImport struct {
	under   []string // directories; "" is the whole tree
	except  []string // directories, or single import paths that are harmless
	imports []string
	tests   bool // test files too: these may measure with the real parts
	reason  string
}

var banned = []banImport{
	{
		under: []string{""}, imports: []string{"C"}, tests: true,
		reason: "the binary is static and builds with CGO_ENABLED=0",
	},
	{
		under:   []string{"crypto", "ledger"},
		imports: []string{"github.com/hashicorp/raft", "github.com/hashicorp/raft-wal", "github.com/dgraph-io/badger", "github.com/libp2p/go-libp2p", "github.com/google/trillian"},
		reason:  "an auditor must be able to re-derive the history without the machinery that made it",
	},
	{
		under: []string{""}, except: []string{"api/browsertest", "api/oauth/apptest"}, imports: []string{module + "/internal/machine", module + "/api/browsertest"},
		reason: "it is for tests: it installs programs and starts browsers",
	},
	{
		under: []string{""}, except: []string{"api/trillian"}, imports: []string{"github.com/google/trillian"},
		reason: "Trillian is in maintenance mode and stays at the edge (docs/decisions/0001-trillian-at-the-edge.md)",
	},
	{
		under: []string{"ledger"}, except: []string{"net/url", "net/netip"},
		imports: []string{"os", "net", "syscall", "log", "io/ioutil", "golang.org/x/sys"},
		reason:  "the law of the system does no I/O: every member must reach the same answer from the same bytes",
	},
	{
		under:   []string{"ledger"},
		imports: []string{"math/rand", "crypto/rand"},
		reason:  "chance would make two members disagree: what must be fresh is passed in",
	},
}

// banCall forbids package.Name selectors under some directories, outside tests.
type banCall struct {
	under  []string
	pkg    string
	names  []string
	reason string
}

var bannedCalls = []banCall{{
	under:  []string{"ledger"},
	pkg:    "time",
	names:  []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local"},
	reason: "time is a field of the batch, and a machine's clock or zone would make members disagree",
}}

// noGoroutines are the packages that Apply consists of.
var noGoroutines = []string{"ledger/record", "ledger/rules"}

// maxLines is the length of a Go file, tests too. The longest files are the ones
// that nobody reads as a whole: past this there is a seam to look for.
const maxLines = 500

// tooLong says what is wrong with the length of a file, or "". What a tool wrote
// is not read by people.
func tooLong(source []byte) string {
	if file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.PackageClauseOnly|parser.ParseComments); err == nil && ast.IsGenerated(file) {
		return ""
	}
	if n := bytes.Count(source, []byte("\n")); n > maxLines {
		return fmt.Sprintf("%d lines: at most %d in a file; move a part that has a name of its own to another", n, maxLines)
	}
	return ""
}

func within(dir, under string) bool {
	return under == "" || dir == under || strings.HasPrefix(dir, under+"/")
}

func withinAny(dir string, under []string) bool {
	return slices.ContainsFunc(under, func(u string) bool { return within(dir, u) })
}

// floor returns the height of a module-relative directory, or -1 when it is on no floor.
func floor(dir string) int {
	return slices.Index(floors, strings.SplitN(dir, "/", 2)[0])
}

// floorFault says why dir must not import the module-relative package target, or "".
func floorFault(dir, target string) string {
	from, to := floor(dir), floor(target)
	if within(target, "simulations") {
		switch {
		case within(dir, "simulations"), dir == ".":
			return ""
		case within(dir, "cmd") && slices.Contains(cmdMayImport, target):
			return ""
		case within(dir, "cmd"):
			return "of simulations, cmd carries only " + strings.Join(cmdMayImport, " and ") + ": the rest is test machinery"
		}
		return "only cmd imports simulations: a product that leans on its own simulation cannot be judged by it"
	}
	if within(dir, "simulations") && within(target, "cmd") {
		return "simulations judge the floors below cmd; the binary is tested through its command line"
	}
	if from >= 0 && to > from {
		return fmt.Sprintf("imports go down only (%s): %s may not know %s", "cmd → api → node → ledger → crypto", floors[from], floors[to])
	}
	return ""
}

// faults returns what is wrong with one parsed file, each with position and reason.
func faults(fset *token.FileSet, dir, name string, file *ast.File) []string {
	var out []string
	isTest := strings.HasSuffix(name, "_test.go")
	report := func(pos token.Pos, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s: %s", fset.Position(pos), fmt.Sprintf(format, args...)))
	}
	local := map[string]string{} // name in this file → import path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			report(spec.Pos(), "import path %s", spec.Path.Value)
			continue
		}
		called := path.Base(imported)
		if spec.Name != nil {
			called = spec.Name.Name
		}
		local[called] = imported
		if target, ok := strings.CutPrefix(imported, module+"/"); ok {
			if why := floorFault(dir, target); why != "" {
				report(spec.Pos(), "import of %s: %s", target, why)
			}
		}
		for _, ban := range banned {
			if isTest && !ban.tests || !withinAny(dir, ban.under) || withinAny(dir, ban.except) || slices.Contains(ban.except, imported) {
				continue
			}
			if withinAny(imported, ban.imports) {
				report(spec.Pos(), "import of %s: %s", imported, ban.reason)
			}
		}
	}
	if isTest {
		return out
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if withinAny(dir, noGoroutines) {
				report(n.Pos(), "go statement: Apply is a pure function, and scheduling is a source of chance")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || x.Obj != nil { // x.Obj: a local variable shadows the package
				return true
			}
			for _, ban := range bannedCalls {
				if withinAny(dir, ban.under) && local[x.Name] == ban.pkg && slices.Contains(ban.names, n.Sel.Name) {
					report(n.Pos(), "%s.%s: %s", ban.pkg, n.Sel.Name, ban.reason)
				}
			}
		}
		return true
	})
	return out
}

// eachGoFile calls f with every Go file of this module.
func eachGoFile(t *testing.T, f func(name string, source []byte)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			base := entry.Name()
			if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own (tools for tests)
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err == nil {
			files++
			f(name, source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go files found: the test runs in the wrong directory")
	}
}

func TestFloors(t *testing.T) {
	fset := token.NewFileSet()
	eachGoFile(t, func(name string, source []byte) {
		file, err := parser.ParseFile(fset, name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults(fset, filepath.ToSlash(filepath.Dir(name)), name, file) {
			t.Error(fault)
		}
	})
}

// TestFloorsCatches plants one fault of each kind, so that a rule that stops
// matching anything does not pass unseen.
func TestFloorsCatches(t *testing.T) {
	for _, c := range []struct {
		file, src string
		want      string // part of the only fault; "" for none
	}{
		{"crypto/seal/a.go", `import _ "github.com/akashi-ledger/akashi/ledger/rules"`, "crypto may not know ledger"},
		{"ledger/rules/a.go", `import _ "github.com/akashi-ledger/akashi/node"`, "ledger may not know node"},
		{"node/a_test.go", `import _ "github.com/akashi-ledger/akashi/api/rest"`, "node may not know api"},
		{"api/rest/a.go", `import _ "github.com/akashi-ledger/akashi/crypto/seal"`, ""},
		{"api/rest/a.go", `import _ "github.com/akashi-ledger/akashi/simulations/scenarios"`, "only cmd imports simulations"},
		{"cmd/akashi/a.go", `import _ "github.com/akashi-ledger/akashi/simulations/scenarios"`, ""},
		{"cmd/akashi/a.go", `import _ "github.com/akashi-ledger/akashi/simulations/model"`, "test machinery"},
		{"simulations/cluster/a.go", `import _ "github.com/akashi-ledger/akashi/node"`, ""},
		{"simulations/cluster/a.go", `import _ "github.com/akashi-ledger/akashi/cmd/akashi"`, "simulations judge"},
		{"crypto/sign/a.go", `import "C"`, "static"},
		{"ledger/audit/a.go", `import _ "github.com/dgraph-io/badger/v4"`, "re-derive"},
		{"crypto/vault/a_test.go", `import _ "github.com/dgraph-io/badger/v4"`, ""},
		{"node/replica/a.go", `import _ "github.com/hashicorp/raft"`, ""},
		{"node/store/a.go", `import _ "github.com/google/trillian"`, "edge"},
		{"api/trillian/a.go", `import _ "github.com/google/trillian/types"`, ""},
		{"api/web/a.go", `import _ "github.com/akashi-ledger/akashi/internal/machine"`, "for tests"},
		{"api/web/a_test.go", `import _ "github.com/akashi-ledger/akashi/api/browsertest"`, ""},
		{"ledger/audit/a.go", `import _ "os"`, "no I/O"},
		{"ledger/audit/a.go", `import _ "net/http"`, "no I/O"},
		{"ledger/audit/a.go", `import _ "net/url"`, ""},
		{"ledger/audit/a_test.go", `import _ "os"`, ""},
		{"ledger/record/a.go", `import _ "crypto/rand"`, "chance"},
		{"ledger/record/a.go", `import _ "math/rand/v2"`, "chance"},
		{"ledger/rules/a.go", "import \"time\"\nvar x = time.Now()", "field of the batch"},
		{"ledger/rules/a.go", "import clock \"time\"\nvar x = clock.Now()", "field of the batch"},
		{"ledger/rules/a.go", "import \"time\"\nvar x = time.Unix(0, 0)", ""},
		{"ledger/rules/a.go", "func f() { go f() }", "pure function"},
		{"node/a.go", "import \"time\"\nvar x = time.Now()\nfunc f() { go f() }", ""},
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, c.file, "package p\n"+c.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := faults(fset, path.Dir(c.file), c.file, file)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s %q: %q, want none", c.file, c.src, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s %q: %q, want one with %q", c.file, c.src, got, c.want)
		}
	}
}

func TestFileLength(t *testing.T) {
	eachGoFile(t, func(name string, source []byte) {
		if fault := tooLong(source); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	})
	const clause, generated = "package p\n", "// Code generated by a tool. DO NOT EDIT.\n\n"
	full := clause + strings.Repeat("\n", maxLines-1)
	for source, want := range map[string]bool{full: false, full + "\n": true, generated + full: false} {
		if got := tooLong([]byte(source)) != ""; got != want {
			t.Errorf("a file of %d lines: refused %v, want %v", strings.Count(source, "\n"), got, want)
		}
	}
}
