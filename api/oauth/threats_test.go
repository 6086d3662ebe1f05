package oauth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// leastThreats is how many negative tests there are at least, after RFC 9700 and OAuth
// 2.1.
const leastThreats = 60

// named are what the page must have a test for, at least.
var named = []string{"PKCE downgrade", "Code replay, and redemption in parallel", "Redirect near-matches", "Mix-up", "Refresh reuse", "Token from another client",
	"DPoP replay and theft", "`authorization_details` beyond terms", "CSRF", "Session fixation", "Open redirect", "Clickjacking headers", "CSP without unsafe-inline"}

var threat = regexp.MustCompile("^\\| .+ \\| `(api/[a-z]+)` (Test[A-Za-z]+) \\| `(.+)` \\|$")

// TestThreats: docs/spec/oauth-threats.md names a case of a test for each attack, each is
// in that test, and none is named twice.
func TestThreats(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/oauth-threats.md")
	fatal(t, err)
	dirs := map[string]map[string][]string{}
	of, have, seen := "", map[string]int{}, map[string]bool{}
	for _, line := range strings.Split(string(page), "\n") {
		if h, is := strings.CutPrefix(line, "## "); is {
			of = h
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack |") {
			continue
		}
		m := threat.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a line of the table: %s", line)
			continue
		}
		dir, test, name := m[1], m[2], m[3]
		if seen[dir+test+name] {
			t.Errorf("%s %s %q is named twice", dir, test, name)
		}
		seen[dir+test+name] = true
		if dirs[dir] == nil {
			dirs[dir] = literals(t, filepath.Join("../..", dir))
		}
		// A case has its name, or says it first where it fails.
		if !slices.ContainsFunc(dirs[dir][test], func(s string) bool {
			return s == name || strings.HasPrefix(s, name) && len(name) > 8 || header(s, name)
		}) {
			t.Errorf("%s: %s %s has no case %q", of, dir, test, name)
			continue
		}
		have[of]++
	}
	for _, n := range named {
		if have[n] == 0 {
			t.Errorf("no test for %s", n)
		}
	}
	if len(seen) < leastThreats || !strings.Contains(string(page), "there are "+strconv.Itoa(len(seen))+" of them") {
		t.Errorf("%d negative tests, want %d and the number on the page", len(seen), leastThreats)
	}
}

// header reports whether a text says that a message begins with a name.
func header(text, name string) bool { return strings.HasPrefix(text, name+":") }

// literals returns the string literals of every test function of a directory, as they
// stand in the values that they have: a line end is written \r\n on the page.
func literals(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	fatal(t, err)
	out := map[string][]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		fatal(t, err)
		for _, d := range f.Decls {
			fn, is := d.(*ast.FuncDecl)
			if !is || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if l, is := n.(*ast.BasicLit); is && l.Kind == token.STRING {
					s, err := strconv.Unquote(l.Value)
					fatal(t, err)
					out[fn.Name.Name] = append(out[fn.Name.Name], strings.ReplaceAll(s, "\r\n", `\r\n`))
				}
				return true
			})
		}
	}
	return out
}
