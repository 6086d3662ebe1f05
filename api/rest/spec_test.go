package rest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite-spec", false, "write the tables of routes and codes into docs/spec/api.md")

const specFile = "../../docs/spec/api.md"

// TestSpec: the tables of routes and codes in the specification are the program's.
func TestSpec(t *testing.T) {
	b, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for name, table := range map[string]string{"routes": routeTable(), "codes": codeTable(t)} {
		begin, end := "<!-- "+name+": go test ./api/rest -rewrite-spec -->\n", "<!-- end of "+name+" -->\n"
		head, rest, ok := strings.Cut(want, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatal("the specification has no place for the " + name)
		}
		want = head + begin + table + end + tail
	}
	if want == string(b) {
		return
	}
	if !*rewrite {
		t.Fatal("a table differs; see -rewrite-spec")
	}
	if err := os.WriteFile(specFile, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func routeTable() string {
	var b strings.Builder
	b.WriteString("| request | who | what |\n|---|---|---|\n")
	for _, rt := range routes() {
		who := strings.Join(rt.roles.names(), ", ")
		if rt.roles == public {
			who = "everyone"
		}
		path := rt.path
		for i, p := range rt.query {
			path += map[bool]string{true: "?", false: "&"}[i == 0] + p.name
		}
		fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", rt.method, path, who, rt.text.En)
	}
	return b.String()
}

// codeTable has the codes that codes.md does not, but for the stories' words for what
// no node does yet.
func codeTable(t *testing.T) string {
	t.Helper()
	shared, err := os.ReadFile("../../docs/spec/codes.md")
	if err != nil {
		t.Fatal(err)
	}
	own := slices.Collect(maps.Values(constants(t, "../../node/custody", "Code")))
	for _, m := range []map[string]entry{codesOfAPI, codesOfForm, codesOfNode} {
		own = slices.AppendSeq(own, maps.Keys(m))
	}
	slices.Sort(own)
	var b strings.Builder
	b.WriteString("| code | status | meaning |\n|---|---|---|\n")
	for _, code := range slices.Compact(own) {
		if !strings.Contains(string(shared), "| `"+code+"` |") {
			fmt.Fprintf(&b, "| `%s` | %d | %s |\n", code, codes[code].status, codes[code].text.En)
		}
	}
	return b.String()
}
