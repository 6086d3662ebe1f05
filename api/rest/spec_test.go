package rest

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite-spec", false, "write the table of routes into docs/spec/api.md")

const (
	specFile  = "../../docs/spec/api.md"
	specBegin = "<!-- routes: go test ./api/rest -rewrite-spec -->\n"
	specEnd   = "<!-- end of routes -->\n"
)

// TestSpec: the table of routes in the specification is that of the program.
func TestSpec(t *testing.T) {
	b, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), specBegin)
	table, tail, ok2 := strings.Cut(rest, specEnd)
	if !ok || !ok2 {
		t.Fatal("the specification has no place for the routes")
	}
	var want strings.Builder
	want.WriteString("| request | who | what |\n|---|---|---|\n")
	for _, rt := range routes() {
		who := strings.Join(rt.roles.names(), ", ")
		if rt.roles == public {
			who = "everyone"
		}
		path := rt.path
		for i, p := range rt.query {
			path += map[bool]string{true: "?", false: "&"}[i == 0] + p.name
		}
		fmt.Fprintf(&want, "| `%s %s` | %s | %s |\n", rt.method, path, who, rt.text.En)
	}
	if table == want.String() {
		return
	}
	if !*rewrite {
		t.Fatal("the table of routes differs; see -rewrite-spec")
	}
	if err := os.WriteFile(specFile, []byte(head+specBegin+want.String()+specEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
